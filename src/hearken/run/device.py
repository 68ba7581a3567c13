"""Where a run computes: device by name, seeds, threads, and a line that names the hardware."""

from __future__ import annotations

import os
import platform
import random
from pathlib import Path

import numpy as np
import torch

from hearken.errors import UsageError

__all__ = ["hardware", "pick", "seed_all", "set_threads"]


def pick(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else the CPU.

    Raises:
        UsageError: a name torch does not know, or a device this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: not a device; use cpu, cuda, cuda:N or auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: this machine has no usable GPU; use --device cpu")
    return device


def seed_all(seed: int) -> None:
    """Seed the global generators of torch, numpy and python."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def set_threads(count: int) -> None:
    """Let torch use `count` threads; 0 leaves it alone."""
    if count > 0:
        torch.set_num_threads(count)


def hardware() -> str:
    """One line for model cards and benchmark pages, e.g. "AMD EPYC, 2 cores, 23 GiB"."""
    parts = [_cpu_name(), f"{os.cpu_count()} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        parts.append(f"{memory:.0f} GiB")
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
