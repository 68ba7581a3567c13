"""The flags of every command, by hand in argparse: the help must come in under half a second."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearken import __version__

__all__ = ["STAGES", "Stage", "parser", "spelled"]


@dataclass(frozen=True)
class Stage:
    """One loop: the module of `hearken.loops` that runs it, and one line of help."""

    module: str
    help: str


STAGES: dict[str, dict[str, Stage]] = {
    "train": {
        "critic-calibrate": Stage("critic_calibrate", "teach the critic to score: supervised"),
        "critic-locate": Stage("critic_locate", "teach it when a fault begins and ends"),
        "critic-reason": Stage("critic_reason", "teach it to say why: GRPO on its own words"),
        "enhancer-pretrain": Stage("enhancer_pretrain", "teach the enhancer: SI-SNR on mixtures"),
        "enhancer-finetune": Stage("enhancer_finetune", "PPO on the words of the critic"),
        "rating-fit": Stage("rating_fit", "fit the small model that turns words into 1-5"),
    },
    "eval": {
        "critic": Stage("critic_eval", "scores, faults and words against truth or ratings"),
        "enhancer": Stage("enhancer_eval", "the table of metrics over scenes"),
    },
}

CAPS = {
    "bytes": "bytes (default: 2 GiB)",
    "seconds": "seconds (default: 4 hours)",
    "channels": "channels (default: 64)",
    "pixels": "pixels in a frame (default: 4096 x 2304)",
    "frames": "picture frames (default: 4 hours at 60 a second)",
}
"""What `hearken.media.Limits` caps, and its defaults in words."""

DEPTHS = ("signal", "full")
"""How far `listen --verify` goes: the values of `hearken.critic.verify.Depth`."""

_EXIT = "exit codes: 0 ok, 1 a gate failed, 2 wrong call, 3 some inputs failed, 130 interrupted"
_WEIGHTS = {"pretrained": "enhancer-small", "critic": "enhancer-critic"}
_INPUTS = "files, folders, globs, lists (.scp, .jsonl, .csv), or - for standard input"


def parser() -> argparse.ArgumentParser:
    """The whole command line; `args.command` names what was chosen."""
    top = _parser(
        prog="hearken",
        description="Hears what is wrong with speech and says so in words; then repairs it.",
        epilog=f"{_EXIT}. 'hearken COMMAND --help' tells more.",
    )
    top.add_argument("--version", action="version", version=f"hearken {__version__}")
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=argparse.ArgumentParser
    )
    _demo(commands)
    _listen(commands)
    _enhance(commands)
    _serve(commands)
    _export(commands)
    for group, words in (
        ("train", "train the critic, the enhancer or the rating model"),
        ("eval", "measure the critic or the enhancer"),
    ):
        _stages(commands, group, words)
    _data(commands)
    return top


def spelled(argv: Sequence[str]) -> list[str]:
    """The words with a bare --verify spelled out: argparse would take the next input for its value.

    >>> spelled(["listen", "--verify", "a.wav"])
    ['listen', '--verify=signal', 'a.wav']
    >>> spelled(["listen", "--verify", "signal", "--", "--verify"])
    ['listen', '--verify', 'signal', '--', '--verify']
    """
    end = argv.index("--") if "--" in argv else len(argv)
    bare = [i for i in range(end) if argv[i] == "--verify" and [*argv, ""][i + 1] not in DEPTHS]
    return [f"--verify={DEPTHS[0]}" if i in bare else word for i, word in enumerate(argv)]


def _parser(**kwargs: Any) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(allow_abbrev=False, **kwargs)


def _command(commands: Any, name: str, words: str, more: str = "") -> argparse.ArgumentParser:
    description = words[0].upper() + words[1:] + "." + (f" {more}" if more else "")
    found: argparse.ArgumentParser = commands.add_parser(
        name, help=words, description=description, epilog=_EXIT, allow_abbrev=False
    )
    found.set_defaults(command=name)
    return found


def _demo(commands: Any) -> None:
    p = _command(
        commands,
        "demo",
        "enhance a clip, listen before and after, write report.html",
        "With no CLIP it makes a noisy talking face of its own, and can then also measure the "
        "result against the clean speech.",
    )
    p.add_argument("clip", nargs="?", metavar="CLIP", help="audio or video; made if left out")
    p.add_argument(
        "-o", "--output-dir", type=Path, default=Path("hearken-demo"), metavar="OUT",
        help="folder for report.html and the sound (default: hearken-demo)",
    )  # fmt: skip
    p.add_argument("--text", metavar="WORDS", help="what the made talker says")
    _models(p, critic=True, enhancer=True)


def _listen(commands: Any) -> None:
    p = _command(
        commands,
        "listen",
        "say what is wrong with each clip: scores, timed faults, words",
        "One record for each input, in order; a bad file is a record with an error.",
    )
    p.add_argument("inputs", nargs="+", metavar="INPUT", help=_INPUTS)
    _outputs(p)
    p.add_argument(
        "-f", "--format", action="append", default=[], dest="formats", metavar="FORMAT",
        help="jsonl (default), csv, text, audacity, textgrid, vtt, html or all; repeatable; "
        "more than one needs -o",
    )  # fmt: skip
    p.add_argument("--resume", action="store_true", help="skip what OUT/records.jsonl holds")
    p.add_argument(
        "--min-overall", type=float, metavar="X",
        help="quality gate: exit 1 if the overall score of any clip is below X",
    )  # fmt: skip
    p.add_argument(
        "--min", action="append", default=[], type=_bar, dest="at_least", metavar="DIM=X",
        help="the same for another dimension, e.g. noise=3.5; repeatable",
    )  # fmt: skip
    p.add_argument(
        "--ref", metavar="FILE|DIR",
        help="clean reference (a file, or a folder with the same stems): adds intrusive metrics",
    )  # fmt: skip
    p.add_argument(
        "--verify", choices=DEPTHS,
        help="keep a fault only if the sound bears it out: signal (also the bare flag), no "
        "detector contradicts it; full, and mending its span raises the score more than mending "
        "another (for critics without a locator); the record lists what was dropped",
    )  # fmt: skip
    p.add_argument("--batch-size", type=int, default=16, metavar="N", help="default: 16 clips")
    p.add_argument("--num-workers", type=int, default=2, metavar="N", help="decoders; default: 2")
    _media(p)
    _models(p, critic=True)


def _enhance(commands: Any) -> None:
    p = _command(
        commands,
        "enhance",
        "clean the voice of the talker one sees",
        "Video in: OUT/X.mp4 with the picture copied, and OUT/X.wav. Audio in: OUT/X.wav. One "
        "record for each input on standard output.",
    )
    p.add_argument("inputs", nargs="*", metavar="INPUT", help=_INPUTS)
    _outputs(p)
    p.add_argument("--scenes", type=Path, metavar="DIR", help="an AVSEC folder: OUT/Sxxxxx.wav")
    p.add_argument("--audio", metavar="FILE", help="the sound, where it is not in the video")
    p.add_argument("--video", metavar="FILE", help="the face, with --audio")
    p.add_argument(
        "--face", default="largest", type=_face, metavar="WHICH",
        help="of several faces: largest (default) over time; a number, from the left from 1, by "
        "the mean place over time; or all, which writes OUT/X.face1.wav, OUT/X.face1.mp4, ... A "
        "face that is lost and comes back near its place is the same one",
    )  # fmt: skip
    p.add_argument(
        "--detector", choices=("haar", "mesh"), default="haar",
        help="what finds the mouth: haar (default) comes with the package; mesh is slower, bears "
        "turned and tilted heads, and needs the extra [face]",
    )  # fmt: skip
    p.add_argument("--sheet", action="store_true",
                   help="write 30 of the mouth crops too, to look at: OUT/X.lips.png")  # fmt: skip
    p.add_argument("--no-lips", action="store_true", help="do not look at the picture")
    _media(p)
    which = p.add_mutually_exclusive_group()
    _models(p, enhancer=True, into=which)
    which.add_argument(
        "--weights", type=_weights, dest="enhancer", metavar="WHICH",
        help="of those shipped: pretrained (default), or critic, which is the same fine-tuned to "
        "please the critic (docs/reward.md has what that is worth)",
    )  # fmt: skip


def _serve(commands: Any) -> None:
    p = _command(
        commands,
        "serve",
        "answer for the critic at an address, for runs elsewhere",
        "OpenAI's chat completions with input_audio parts; prints its URL, which is what 'hearken "
        "train enhancer-finetune --judge-url' takes. There is no encryption: keep it in a network "
        "that is trusted. HEARKEN_JUDGE_KEY, where set, must be borne by every request.",
    )
    p.add_argument("--host", default="127.0.0.1", metavar="ADDR", help="default: 127.0.0.1")
    p.add_argument("--port", type=int, default=8077, metavar="N",
                   help="0 for any that is free (default: 8077)")  # fmt: skip
    p.add_argument("--batch-size", type=int, default=16, metavar="N",
                   help="clips heard together (default: 16); with 1 no answer depends on its "
                   "neighbours, to the bit")  # fmt: skip
    p.add_argument("--queue", type=int, default=64, metavar="N",
                   help="requests that may wait; more get status 503 (default: 64)")  # fmt: skip
    p.add_argument("--max-bytes", type=int, default=2**24, metavar="N",
                   help="refuse requests of more bytes (default: 16 MiB)")  # fmt: skip
    p.add_argument("--max-seconds", type=float, default=600.0, metavar="N",
                   help="refuse clips of more seconds (default: 600)")  # fmt: skip
    _models(p, critic=True, named=True)


def _export(commands: Any) -> None:
    p = _command(
        commands,
        "export",
        "write the enhancer as ONNX graphs",
        "OUT gets the weights and lips.onnx, listener.onnx beside them; 'hearken enhance "
        "--model OUT' then runs the graphs. Needs the package onnx: hearken[onnx].",
    )
    p.add_argument("--model", metavar="DIR", help="enhancer checkpoint (default: enhancer-small)")
    p.add_argument("-o", "--output-dir", type=Path, required=True, metavar="OUT", help="folder")


def _stages(commands: Any, group: str, words: str) -> None:
    lines = "\n".join(f"  {name:<20}{stage.help}" for name, stage in STAGES[group].items())
    found = commands.add_parser(
        group,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.\n\nstages:\n{lines}",
        epilog=f"'hearken {group} STAGE --help' lists the options of a stage; each also takes\n"
        "--config FILE.yaml (only what differs from the defaults) and --smoke (tiny, minutes).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("stage", choices=sorted(STAGES[group]), metavar="STAGE", help="see above")


def _data(commands: Any) -> None:
    top = _command(commands, "data", "build and check corpora")
    kinds = top.add_subparsers(dest="kind", metavar="WHAT", title="what", required=True)
    for name, words in (
        ("faults", "plant faults with exact truth in clean speech"),
        ("scenes", "mix audio-visual scenes in the AVSEC layout"),
    ):
        p = _command(kinds, name, words)
        p.set_defaults(command="data")
        p.add_argument("--data", type=Path, metavar="DIR", help="sources with a manifest.csv "
                       "(default: the HEARKEN_DATA variable)")  # fmt: skip
        p.add_argument("-o", "--output-dir", type=Path, required=True, metavar="OUT", help="folder")
        p.add_argument("--count", type=int, default=100, metavar="N", help="default: 100")
        p.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
        p.add_argument("--split", choices=("train", "valid"), default="train",
                       help="talkers, noises and rooms to draw from (default: train)")  # fmt: skip
        if name == "faults":
            p.add_argument("--seconds", type=float, nargs=2, default=(2.0, 6.0),
                           metavar=("MIN", "MAX"), help="clip length (default: 2 6)")  # fmt: skip
            p.add_argument("--workers", type=int, default=1, metavar="N", help="default: 1")
            p.add_argument("--repairs", type=float, default=0.15, metavar="SHARE",
                           help="of clips that a machine has repaired (default: 0.15)")  # fmt: skip
            p.add_argument("--enhancers", nargs="*", default=("small",), metavar="DIR",
                           help="machines beside the classic ones; small is the shipped one "
                           "(default: small)")  # fmt: skip
        else:
            _scene_flags(p)
    talkers = _command(kinds, "puppets", "draw clean talking faces with synthetic voices")
    talkers.set_defaults(command="data")
    talkers.add_argument("-o", "--output-dir", type=Path, required=True, metavar="OUT",
                         help="folder for puppet-000.mp4 ...")  # fmt: skip
    talkers.add_argument("--count", type=int, default=100, metavar="N", help="default: 100")
    talkers.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    check = _command(kinds, "check", "validate a folder of scenes in the AVSEC layout")
    check.set_defaults(command="data")
    check.add_argument("folder", type=Path, metavar="DIR", help="the folder to check")


def _scene_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument("--kind", choices=("noise", "speech", "mixed"), default="mixed",
                   dest="scene_kind", help="interferers (default: mixed)")  # fmt: skip
    p.add_argument("--interferers", type=int, choices=(1, 2, 3), default=3, metavar="N",
                   help="at most so many in a scene, 1-3 (default: 3)")  # fmt: skip
    p.add_argument("--snr", type=float, nargs=2, default=(-10.0, 10.0), metavar=("MIN", "MAX"),
                   help="dB, uniform (default: -10 10)")  # fmt: skip
    p.add_argument("--reverb", type=float, default=0.0, metavar="SHARE",
                   help="share of scenes in a measured room (default: 0)")  # fmt: skip
    p.add_argument("--binaural", action="store_true",
                   help="also write both ears: simulated, a head without outer ears")  # fmt: skip
    p.add_argument(
        "--same-voice",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share whose interferer has the voice of the target (default: 0)",
    )
    p.add_argument("--faces", choices=("known", "unseen", "any"), default="any",
                   help="faces the shipped enhancer was trained on, others, or any")  # fmt: skip


def _outputs(p: argparse.ArgumentParser) -> None:
    p.add_argument("-o", "--output-dir", type=Path, metavar="OUT", help="folder for the results")
    p.add_argument("--overwrite", action="store_true", help="replace results that exist")
    p.add_argument("--root", metavar="DIR", help="paths in lists must lie below DIR "
                   "(default: the folder of the list)")  # fmt: skip


def _media(p: argparse.ArgumentParser) -> None:
    p.add_argument("--channel", default="mix", metavar="N|mix", help="default: mix of all")
    for name, words in CAPS.items():
        p.add_argument(
            f"--max-{name}", type=float, metavar="N", help=f"refuse files of more {words}"
        )


def _models(
    p: argparse.ArgumentParser,
    *,
    critic: bool = False,
    enhancer: bool = False,
    named: bool = False,
    into: Any = None,
) -> None:
    """The flags of the models in use; `named` calls one --critic or --enhancer also when alone.

    The enhancer's goes `into` a group that excludes others.
    """
    both = named or (critic and enhancer)
    if critic:
        p.add_argument("--critic" if both else "--model", dest="critic", metavar="NAME|DIR",
                       help="critic checkpoint (default: the small one shipped)")  # fmt: skip
        p.add_argument("--revision", metavar="REV", help="pinned revision of a critic by name")
    if enhancer:
        (into or p).add_argument(
            "--enhancer" if both else "--model", dest="enhancer", metavar="DIR",
            help="checkpoint, or enhancer-causal (default: enhancer-small)",
        )  # fmt: skip
    p.add_argument(
        "--device", default="auto", metavar="D", help="cpu, cuda, cuda:N (default: auto)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")


def _weights(text: str) -> str:
    if text in _WEIGHTS:
        return _WEIGHTS[text]
    why = "; rewarded in words or faults it learnt nothing that was worth shipping (docs/reward.md)"
    raise argparse.ArgumentTypeError(
        f"{text!r}: give {' or '.join(_WEIGHTS)}{why if text in ('words', 'faults') else ''}"
    )


def _face(text: str) -> str:
    if text in ("largest", "all") or (text.isascii() and text.isdigit() and int(text) > 0):
        return text
    raise argparse.ArgumentTypeError(f"{text!r}: give largest, all, or a number from 1")


def _bar(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip().replace("-", "_").replace(" ", "_"), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write DIMENSION=NUMBER") from None


def names(group: str) -> Sequence[str]:
    """The stages of a group, in reading order."""
    return list(STAGES[group])
