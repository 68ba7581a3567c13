"""`hearken data`: build corpora of planted faults and of scenes, and check a folder of scenes."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hearken.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from hearken.data.repaired import Filter
    from hearken.data.scores import Intrusive
    from hearken.enhancer import Enhancer
    from hearken.nouns import Audio

__all__ = ["Enhancing", "measure", "run"]


def run(args: Namespace) -> int:
    """Build or check; exit code 0, or 1 where `check` found an error."""
    if args.kind == "check":
        return _check(args.folder)
    if args.kind == "puppets":
        from hearken.app import puppet

        puppet.make_talkers(args.output_dir, args.count, seed=args.seed)
        print(args.output_dir)
        return 0
    data = _data_dir(args.data)
    if args.count < 1:
        raise UsageError(f"--count {args.count}: must be 1 or more")
    if args.kind == "scenes":
        from hearken.data import scenes

        scenes.build(
            data,
            args.output_dir,
            args.count,
            seed=args.seed,
            split=args.split,
            kind=args.scene_kind,
            reverb=args.reverb,
            max_interferers=args.interferers,
            faces=args.faces,
            same_voice=args.same_voice,
            snr_range_db=tuple(args.snr),
            binaural=args.binaural,
        )
    else:
        _faults(args, data)
    print(args.output_dir)
    return 0


def _faults(args: Namespace, data: Path) -> None:
    from hearken.data import corpus

    low, high = args.seconds
    if not 0 < low <= high:
        raise UsageError(f"--seconds {low:g} {high:g}: must be positive, the smaller one first")
    if not 0 <= args.repairs <= 1:
        raise UsageError(f"--repairs {args.repairs:g}: a share between 0 and 1")
    for folder in args.enhancers:
        if folder != "small" and not (Path(folder) / "config.json").is_file():
            raise UsageError(
                f"--enhancers {folder}: no config.json in it; want an enhancer's folder"
            )
    corpus.build(
        data,
        args.output_dir,
        args.count,
        seed=args.seed,
        split=args.split,
        measure=measure,
        seconds=(low, high),
        repairs=args.repairs,
        machines=[Enhancing(folder) for folder in args.enhancers],
        workers=args.workers,
    )


def _check(folder: Path) -> int:
    """One line for each finding on standard output: level, where, message, tabs between."""
    from hearken.app.exports import plain
    from hearken.data import scenes

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    findings = scenes.check(folder)
    for f in findings:
        print(f"{f.level}\t{plain(f.where)}\t{plain(f.message)}")
    errors = sum(f.level == "error" for f in findings)
    verdict = f"{errors} errors, {len(findings) - errors} other findings"
    print(f"hearken: {folder}: {verdict if findings else 'no findings'}", file=sys.stderr)
    return 1 if errors else 0


def _data_dir(given: Path | None) -> Path:
    found = given or (Path(os.environ["HEARKEN_DATA"]) if os.environ.get("HEARKEN_DATA") else None)
    if found is None:
        raise UsageError("--data DIR is missing (or set HEARKEN_DATA): where manifest.csv is")
    if not (found / "manifest.csv").is_file():
        raise UsageError(f"{found}: no manifest.csv in it; docs/data.md tells its layout")
    return found


@dataclass(frozen=True)
class Enhancing:
    """An enhancer without its video, as a machine that repairs; "small" is the shipped one."""

    folder: str

    def __call__(self, mixture: Audio, rng: np.random.Generator) -> Filter:
        """The mask that the network chooses for a mixture [T]."""
        import torch

        net = _enhancer(self.folder).net
        with torch.inference_mode():
            mask = net.mask(net.spectrum(torch.from_numpy(mixture)[None]))

        def through(x: Audio) -> Audio:
            with torch.inference_mode():
                spectrum = net.spectrum(torch.from_numpy(x)[None])
                sound: Audio = net.synthesise(mask, spectrum, len(x))[0].numpy()
            return sound

        return through


@cache
def _enhancer(folder: str) -> Enhancer:
    from hearken.enhancer import Enhancer

    return Enhancer.from_pretrained(None if folder == "small" else folder)


def measure(reference: Audio, degraded: Audio) -> Intrusive:
    """The intrusive metrics that the scores of a planted clip follow from, both [T]."""
    from hearken.app.yardsticks import intrusive
    from hearken.data.scores import Intrusive

    found = intrusive(reference, degraded)
    return Intrusive(
        pesq_wb=found.get("pesq_wb"), estoi=found.get("estoi"), si_sdr_db=found.get("si_sdr_db")
    )
