"""Pages that are made from the code, so that they cannot tell otherwise.

    python -m hearken.app.docs

docs/cli.md from the parsers, docs/loops.md from the docstrings and Configs of the loops (read as
text: nothing is imported), docs/record.schema.json from the record. A test fails when one of
them is stale.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from hearken.app.flags import STAGES, parser

__all__ = ["commands", "main", "pages"]

_LOOPS = Path(__file__).resolve().parent.parent / "loops"
_MADE = "<!-- made by: python -m hearken.app.docs; do not edit -->"
_EXITS = """\
| exit code | meaning |
|---|---|
| 0 | all is well |
| 1 | a gate failed: `listen --min-overall`, `data check`, a judge that failed too often |
| 2 | the call is wrong, or a checkpoint cannot be used |
| 3 | some inputs failed; each has its row with an error |
| 130 | interrupted by Ctrl-C; a training run has saved its checkpoint |

Data goes to standard output, everything else to standard error; progress bars only show on a
terminal. `HEARKEN_DEBUG=1` shows the traceback of an error. `HEARKEN_DATA` names the folder of
real recordings for `hearken data`."""
_RUNS = """\
Every loop is one file, read from its Config (top) to its save (bottom), and runs the same way:

    hearken train STAGE [--config FILE.yaml] [--smoke] [flags]

The defaults come first, then `--smoke`, then the file (it holds only what differs; see `conf/`),
then the flags. `--smoke` is the whole loop made tiny: the same code, minutes on a CPU.

A run folder holds `config.yaml` (all of it), `provenance.json` (git commit and diff, versions,
seed, hardware; written before step 0), `metrics.jsonl` (the truth: one line for each logged
step, keys are `who/what`) and `checkpoint.safetensors` (weights, optimiser, random state). A
folder that exists is refused without `--resume`; a resumed run equals one that was never
interrupted. Ctrl-C saves and ends; twice, it ends at once."""


def pages() -> dict[str, str]:
    """File name below docs/ -> the page as it should be."""
    from hearken.app.record import schema

    return {
        "cli.md": _cli(),
        "loops.md": _loops(),
        "record.schema.json": json.dumps(schema(), indent=2) + "\n",
    }


def main(folder: Path = Path("docs")) -> int:
    """Write all pages."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name, file=sys.stderr)
    return 0


# --- the command line ----------------------------------------------------------------------


def commands(top: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(name, parser) of every command that takes options, in the order of the help."""
    for action in top._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for command in action.choices.values():
            below = list(commands(command))
            yield from below or [(command.prog, command)]


def _cli() -> str:
    out = [_MADE, "# The command line", "", parser().description or "", "", _EXITS, ""]
    for name, command in commands(parser()):
        group = name.split()[-1]
        out += [f"## `{name}`", ""]
        if group in STAGES:
            out += [f"| `{name} STAGE` | |", "|---|---|"]
            out += [f"| `{stage}` | {s.help} |" for stage, s in STAGES[group].items()]
            out += ["", "Options of each stage: [loops.md](loops.md).", ""]
            continue
        out += [command.description or "", "", f"    {name} {_usage(command)}", ""]
        out += ["| option | |", "|---|---|"]
        out += [_option(a) for a in command._actions if a.dest != "help"]
        out.append("")
    return "\n".join([*out, _RECORD])


_RECORD = """\
## The record

`hearken listen` prints one JSON line for each input, in input order; its schema is
[record.schema.json](record.schema.json). `scores.<dimension>` holds `value` (the expectation
over the five digits that the critic might have written), `lo` and `hi` (the shortest interval that
holds 90 % of that distribution, each digit d taken as a triangle that falls to nothing at d - 1 and
d + 1), `scale` and `higher_is_better` (null for speed, where 3 is normal). `faults[]` are timed in
seconds. Where `error` is not null there are no scores.

The shipped critic's words say what is wrong, and its locator says when: a noise event, lost
packets, clicks, a level jump, a dropout or a pause that the words name stands in `faults[]` at the
spans that were found of it, to 20 ms, and is left out where none was found. `raw` holds the words
as they were written, with times to 0.1 s. A critic without a locator is taken at its word.

With `--verify` a fault is kept only if nothing in the sound speaks against it. `signal`: a plain
detector of that fault must not contradict it. `full`: besides, mending the span must raise the
critic's score in the fault's `dimension`, and by more than mending another span of equal length,
drawn at random from `--seed`, does. What cannot be asked is left out: there is no honest detector
of a competing talker, a room, a codec, musical noise, over-suppression, a robotic voice or a wrong
tempo, and no other span beside a fault that covers most of the clip. `faults[].verified` then
says what bears a fault out (`signal`, `repair`, `signal+repair`, or `abstained` where no question
had a clear answer), `dropped[]` holds the others with their `reason` (`signal` or `repair`), and
`decode.verify` how far the check went. Scores and text stay as the critic wrote them. The
shipped critic's faults are placed by its locator, and of those neither check takes out a
measurable share of the wrong ones (`benchmarks/verify.py`).

`hearken enhance` prints one JSON line for each input too: `key`, `path`, `outputs` (the files
written, video first), `face_found` (part of the sound during which the face is seen; null where no
picture was looked at), `faces`, `warnings`, `error`, `model`. `faces[]` has, for each face that
the sound was enhanced for, `face` (`largest`, or its number from the left), `found` (0-1), `unseen`
(spans of `[start, end]` seconds where the sound alone was used: no face, a face out of sight, a
picture that ends before the sound) and its `outputs`. With `--face all` there is one set of outputs
for each face, `OUT/X.face1.mp4`, `OUT/X.face1.wav`, ...; a face seen for less than a second or 1 %
of the video is passed over. Nobody is recognised by looks: a cut to another view can make one
person two faces. A number or `all` reads the picture once more than `largest`. Memory does not grow
with the length of sound or picture: the sound is read twice, once to its end before anything is
written, and never held whole.

Lists: `.jsonl` with `path` and optionally `key`, `.csv` with the same columns, Kaldi's `.scp`
(commands in it are never run). A listed path is relative to its list and must lie below the
list's folder, or below `--root DIR`.
"""


def _usage(command: argparse.ArgumentParser) -> str:
    named = [a for a in command._actions if not a.option_strings]
    words = []
    for a in named:
        name = str(a.metavar or a.dest)
        words.append({"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}.get(
            str(a.nargs), name
        ))  # fmt: skip
    return " ".join([*words, "[options]"])


def _option(action: argparse.Action) -> str:
    value = action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else None)
    if isinstance(value, tuple):
        value = " ".join(value)
    names = ", ".join(action.option_strings) or str(value)
    if action.option_strings and action.nargs != 0 and value:
        names += f" {value}"
    names = names.replace("|", "\\|")
    return f"| `{names}` | {(action.help or '').replace('|', chr(92) + '|')} |"


# --- the loops -----------------------------------------------------------------------------


def _loops() -> str:
    out = [_MADE, "# The loops", "", _RUNS, ""]
    for group, stages in STAGES.items():
        for name, stage in stages.items():
            out += _loop(f"hearken {group} {name}", _LOOPS / f"{stage.module}.py")
    return "\n".join(out)


def _loop(name: str, path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    config = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config")
    out = [f"## `{name}`", "", (ast.get_docstring(tree) or "").strip(), ""]
    out += ["| option | default | |", "|---|---|---|"]
    body = [*config.body, *(n for base in _bases(tree, config) for n in base.body)]
    for field, words in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            flag = "--" + field.target.id.replace("_", "-")
            default = ast.unparse(field.value) if field.value is not None else "required"
            default = "none" if default in ("None", "Path('')", "''") else default
            text = " ".join(_string(words).split()).replace("|", "\\|")
            out.append(f"| `{flag}` | `{default}` | {text} |")
    tiny = _smoke(config)
    return [*out, "", *([f"`--smoke`: `{tiny}`", ""] if tiny else [])]


def _bases(tree: ast.Module, config: ast.ClassDef) -> list[ast.ClassDef]:
    """The classes that a Config takes fields from, in the modules of this package."""
    named = {b.id for b in config.bases if isinstance(b, ast.Name)}
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and named & {a.name for a in node.names}:
            path = _LOOPS.parent.parent / f"{str(node.module).replace('.', '/')}.py"
            classes = ast.parse(path.read_text(encoding="utf-8")).body
            found += [c for c in classes if isinstance(c, ast.ClassDef) and c.name in named]
    return found


def _string(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def _smoke(config: ast.ClassDef) -> str:
    """The differences that `smoke` makes, where they are written as one dict literal."""
    for node in config.body:
        if isinstance(node, ast.FunctionDef) and node.name == "smoke":
            literal = next((n for n in ast.walk(node) if isinstance(n, ast.Dict)), None)
            return ast.unparse(literal) if literal is not None else ""
    return ""


if __name__ == "__main__":
    sys.exit(main())
