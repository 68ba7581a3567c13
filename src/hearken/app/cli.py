"""The command line: parse, dispatch, and turn every error into one line and an exit code.

Data goes to standard output, everything else to standard error. Commands are imported when they
are called.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from hearken.errors import CheckpointError, HearkenError, JudgeError, UsageError

if TYPE_CHECKING:
    from hearken.media import Limits

__all__ = ["main"]

OK, GATE_FAILED, USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What libraries print of themselves is kept off the terminal, unless it is asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 ok, 1 a gate failed, 2 wrong call, 3 some inputs failed, 130 interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    _make_printable()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        code = _dispatch(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("hearken: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except HearkenError as error:
        if os.environ.get("HEARKEN_DEBUG"):
            raise
        print(f"hearken: error: {' '.join(str(error).split())}", file=sys.stderr)
        return _code(error)


def _code(error: HearkenError) -> int:
    if isinstance(error, UsageError | CheckpointError):
        return USAGE
    return GATE_FAILED if isinstance(error, JudgeError) else SOME_FAILED


def _make_printable() -> None:
    """A terminal that cannot show a character must not end the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _dispatch(argv: list[str]) -> int:
    from hearken.app.flags import STAGES, parser, spelled

    if len(argv) > 1 and argv[0] in STAGES and argv[1] in STAGES[argv[0]]:
        from hearken.app import stages

        return stages.run(argv[0], argv[1], argv[2:])
    top = parser()
    if not argv:
        top.print_help(sys.stderr)
        return USAGE
    args = top.parse_args(spelled(argv))
    return _COMMANDS[args.command](args)


def _limits(args: Namespace) -> Limits | None:
    """The caps on hostile input that the flags change; None where they change nothing."""
    from hearken.app.flags import CAPS

    given = {f"max_{name}": getattr(args, f"max_{name}") for name in CAPS}
    changed = {name: value for name, value in given.items() if value is not None}
    if not changed:
        return None
    from hearken.media import Limits

    return Limits(**changed)


def _listen(args: Namespace) -> int:
    from hearken.app import listen

    bars = dict(args.at_least)
    if args.min_overall is not None:
        bars["overall"] = args.min_overall
    options = listen.Options(
        inputs=tuple(args.inputs),
        output_dir=args.output_dir,
        formats=tuple(args.formats),
        model=args.critic,
        revision=args.revision,
        device=args.device,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        seed=args.seed,
        channel=args.channel,
        limits=_limits(args),
        root=args.root,
        ref=args.ref,
        resume=args.resume,
        overwrite=args.overwrite,
        verify=args.verify,
        at_least=bars,
    )
    return listen.run(options)


def _enhance(args: Namespace) -> int:
    from hearken.app import enhance

    options = enhance.Options(
        inputs=tuple(args.inputs),
        output_dir=args.output_dir,
        scenes=args.scenes,
        audio=args.audio,
        video=args.video,
        lips=not args.no_lips,
        face=args.face,
        detector=args.detector,
        sheet=args.sheet,
        model=args.enhancer,
        device=args.device,
        seed=args.seed,
        channel=args.channel,
        limits=_limits(args),
        root=args.root,
        overwrite=args.overwrite,
    )
    return enhance.run(options)


def _demo(args: Namespace) -> int:
    from hearken.app import demo

    options = demo.Options(
        clip=args.clip,
        output_dir=args.output_dir,
        text=args.text,
        critic=args.critic,
        revision=args.revision,
        enhancer=args.enhancer,
        device=args.device,
        seed=args.seed,
    )
    return demo.run(options)


def _serve(args: Namespace) -> int:
    from hearken.app import serve

    options = serve.Options(
        host=args.host,
        port=args.port,
        model=args.critic,
        revision=args.revision,
        device=args.device,
        seed=args.seed,
        batch_size=args.batch_size,
        queue=args.queue,
        max_bytes=args.max_bytes,
        max_seconds=args.max_seconds,
    )
    return serve.run(options)


def _export(args: Namespace) -> int:
    from hearken.app import graphs

    return graphs.export(args.model, args.output_dir)


def _data(args: Namespace) -> int:
    from hearken.app import corpora

    return corpora.run(args)


_COMMANDS = {
    "demo": _demo,
    "listen": _listen,
    "enhance": _enhance,
    "serve": _serve,
    "export": _export,
    "data": _data,
}


if __name__ == "__main__":
    sys.exit(main())
