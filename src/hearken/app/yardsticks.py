"""Small measurements that several commands print: intrusive metrics, hashes of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hearken.errors import HearkenError, UsageError

if TYPE_CHECKING:
    from hearken.app.inputs import Input
    from hearken.nouns import Audio

__all__ = ["intrusive", "reference_for", "weights_sha256"]


def intrusive(reference: Audio | None, estimate: Audio) -> dict[str, float | None]:
    """SI-SDR, and PESQ-WB and ESTOI where the `metrics` extra is installed.

    Args:
        reference: [T] clean speech, aligned with the estimate; None makes every value None.
        estimate: [T]; the longer of the two is cut to the shorter.

    Returns:
        name -> value; None where this metric could not be computed on this pair.
    """
    from hearken.metrics.intrusive import estoi, pesq_wb, si_sdr_db

    out: dict[str, float | None] = {}
    named: tuple[tuple[str, Callable[[Audio, Audio], float]], ...] = (
        ("si_sdr_db", si_sdr_db),
        ("pesq_wb", pesq_wb),
        ("estoi", estoi),
    )
    for name, measure in named:
        out[name] = None
        if reference is None:
            continue
        n = min(len(reference), len(estimate))
        try:
            out[name] = round(float(measure(reference[:n], estimate[:n])), 4)
        except UsageError:  # the extra is not installed: no such column
            del out[name]
        except HearkenError:
            continue
    return out


def reference_for(item: Input, ref: Path) -> Path | None:
    """The reference of an input: `ref` itself, or the file of the same stem below the folder.

    Raises:
        UsageError: `ref` does not exist.
    """
    if ref.is_file():
        return ref
    if not ref.is_dir():
        raise UsageError(f"--ref {ref}: no such file or folder")
    folder = ref / item.folder
    same = sorted(p for p in folder.glob("*") if p.stem == item.stem and p.is_file())
    return same[0] if same else None


def weights_sha256(name: str | Path) -> str | None:
    """SHA-256 over the safetensors files of a checkpoint, in name order.

    Args:
        name: a folder, or the name of weights that are shipped; None for anything else.
    """
    shipped = Path(__file__).resolve().parent.parent / "weights" / Path(name).name
    folder = Path(name) if Path(name).is_dir() else shipped
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()
