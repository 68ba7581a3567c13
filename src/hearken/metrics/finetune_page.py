"""progress.html of a fine-tuning on the critic's words: what the run does, to see and to hear.

The held-out gains with their intervals, curves of every step, where the time goes, a few clips
before and after with the critic's words, and the words that the critic keeps saying. The page
holds all that it shows; its own policy forbids any other source.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from hearken import media
from hearken.metrics import charts
from hearken.metrics import page as html
from hearken.metrics.finetune_examples import Example, section

__all__ = ["Example", "page", "running_mean", "write"]

Row = Mapping[str, object]

_QUOTED = 10
"""Steps whose answers are shown."""
_STOCK = 6
"""Sentences that are shown as the commonest."""
_RAW_MAX = 4000  # characters of one answer

_HELD_OUT = {
    "words": ("The critic's words", "rated 1 to 5", 2),
    "scores": ("The critic's overall score", "1 to 5", 2),
    "si_sdr_db": ("SI-SDR", "dB", 2),
    "estoi": ("ESTOI", "0 to 1", 3),
    "pesq_wb": ("PESQ-WB", "1 to 4.6", 2),
    "dnsmos": ("DNSMOS", "OVRL, 1 to 5", 2),
    "distillmos": ("DistillMOS", "1 to 5; never a reward", 2),
}  # name -> title, unit, decimals; more is better in all of them
_EACH_STEP = {
    "reward/mean": ("Reward", "should rise; below 0 at first, as the sampled noise hurts"),
    "reward/group_std": ("Spread in a group", "std of R; near 0 the judge hears no difference"),
    "reward/flat_groups": ("Flat groups", "rollouts all rated alike; they teach nothing"),
    "policy/kl": ("KL to the base", "nats for a bin; should grow slowly"),
    "policy/clip_fraction": ("Clipped bins", "share outside the trust interval; below 0.2"),
    "anchor/si_snr_db": ("Anchor SI-SNR", "dB on supervised clips; should not fall"),
    "critic/failed_frac": ("Failed answers", "share of the critic's latest; near 0"),
}
_STAGES = {
    "time/enhance_s": "enhancing",
    "time/update_s": "updating",
    "time/wait_s": "waiting for the critic",
}


def write(
    folder: Path,
    history: Sequence[Row],
    examples: Sequence[Example],
    title: str = "",
    facts: Mapping[str, object] | None = None,
) -> None:
    """Write progress.html into a run folder, whole or not at all.

    Args:
        folder: of the run; must exist.
        history: the lines of metrics.jsonl, oldest first.
        examples: clips to hear.
        title: the head of the page.
        facts: what to say of the run under its head, e.g. {"reward": "words"}.
    """
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    text = page(history, examples, title, {**(facts or {}), "written": written})
    with media.atomic(folder / "progress.html") as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def page(
    history: Sequence[Row],
    examples: Sequence[Example],
    title: str = "",
    facts: Mapping[str, object] | None = None,
) -> str:
    """The whole page as text; arguments as for `write`."""
    title = title or "Fine-tuning on the critic's words"
    rows = [row for row in history if _number(row.get("step")) is not None]
    body = [
        _head(title, rows, facts or {}),
        _held_out(rows),
        *(section(example) for example in examples),
        _each_step(rows),
        _stages(rows),
        _answers(rows),
    ]
    if not rows:
        body.append('<section><p class="small">Nothing has been logged yet.</p></section>')
    script = html.asset("finetune_page.js") if examples else ""
    return html.whole(title, "".join(body), kind="wide", script=script)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and its neighbours, window // 2 to either side, fewer at the ends.

    >>> running_mean([0.0, 3.0, 6.0, 0.0], 3)
    [1.5, 3.0, 3.0, 3.0]
    """
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    ends = [(max(0, i - window // 2), i + window // 2 + 1) for i in range(len(values))]
    ends = [(low, min(high, len(values))) for low, high in ends]
    return [(sums[high] - sums[low]) / (high - low) for low, high in ends]


def _head(title: str, rows: Sequence[Row], facts: Mapping[str, object]) -> str:
    shown: dict[str, object] = {}
    if rows:
        shown["step"] = f"{max(step for step, _ in _series(rows, 'step')):g}"
    seconds = sum(value for _, value in _series(rows, "time/step_s"))
    if seconds:
        shown["time in steps"] = _duration(seconds)
    shown |= facts
    each = "".join(
        f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in shown.items()
    )
    return (
        f'<p class="brand">hearken</p><h1>{escape(title)}</h1><dl class="facts small">{each}</dl>'
    )


def _held_out(rows: Sequence[Row]) -> str:
    """A card for each held-out number: the latest, the first, the curve with its band."""
    found = [key for row in rows for key in row if key.startswith("valid/")]
    names = [k.removeprefix("valid/") for k in dict.fromkeys(found)]
    names = [n for n in names if n != "clips" and not n.endswith(("_low", "_high", "_failed"))]
    order = [n for n in _HELD_OUT if n in names] + [n for n in names if n not in _HELD_OUT]
    cards = "".join(_card(name, rows) for name in order)
    clips = [value for _, value in _series(rows, "valid/clips")]
    aside = f"mean difference on {clips[-1]:g} clips [95 %]" if clips else "mean difference [95 %]"
    grid = f'<div class="grid">{cards}</div>' if cards else ""
    return html.section("Held out: gain over the base", grid, aside=aside)


def _card(name: str, rows: Sequence[Row]) -> str:
    key = f"valid/{name}"
    points = _series(rows, key)
    if not points:
        return ""
    title, unit, decimals = _HELD_OUT.get(name, (name.replace("_", " "), "", 3))
    ends = {step: _ends(row, key) for row in rows for step, _ in _series([row], key)}
    band = [(step, *ends[step]) for step, _ in points if ends[step]]
    step, value = points[-1]
    look = told = ""
    if ends[step] and name in _HELD_OUT:  # of others it is not known whether more is better
        look = "better" if min(ends[step]) > 0 else "worse" if max(ends[step]) < 0 else ""
        told = look or "no clear difference"
    first = f"at step {points[0][0]:g}: {_gain(points[0][1], ends[points[0][0]], decimals)}"
    lost = dict(_series(rows, f"{key}_failed")).get(step, 0.0)
    missing = f"; {lost:g} clips without it" if lost else ""
    interval = _gain(value, ends[step], decimals).partition(" ")[2]
    return (
        f'<figure class="{look}">'
        f'<p class="name">{escape(title)} <small>{escape(unit)}</small></p>'
        f'<p class="big">{_gain(value, (), decimals)}</p>'
        f'<p class="verdict">{interval} {told}</p>'
        f'<p class="then small">{first}{missing}</p>'
        f"{charts.trace(points, title, band=band)}</figure>"
    )


def _ends(row: Row, key: str) -> tuple[()] | tuple[float, float]:
    """Of the interval; empty where there is none."""
    low, high = _number(row.get(f"{key}_low")), _number(row.get(f"{key}_high"))
    return () if low is None or high is None else (low, high)


def _gain(value: float, ends: Sequence[float], decimals: int) -> str:
    """Signed, with its interval: "+0.50 [+0.25, +0.75]"; a rounded zero has no minus."""
    shown = [f"{round(v, decimals) + 0.0:+.{decimals}f}" for v in (value, *ends)]
    return _minus(f"{shown[0]} [{', '.join(shown[1:])}]" if ends else shown[0])


def _minus(number: str) -> str:
    """A minus as wide as its plus."""
    return number.replace("-", "\N{MINUS SIGN}")


def _each_step(rows: Sequence[Row]) -> str:
    figures = []
    for key, (title, about) in _EACH_STEP.items():
        points = _series(rows, key)
        if not points:
            continue
        window = _window(len(points))
        means = running_mean([v for _, v in points], window)
        smooth = [(step, mean) for (step, _), mean in zip(points, means, strict=True)]
        svg = charts.trace(points, title, smooth=smooth, zero=key != "anchor/si_snr_db")
        figures.append(
            f'<figure><p class="name last">{title}<b>{_minus(f"{means[-1]:.3g}")}</b></p>{svg}'
            f"<figcaption><code>{key}</code> {about}</figcaption></figure>"
        )
    grid = f'<div class="grid">{"".join(figures)}</div>' if figures else ""
    return html.section("Every step", grid, aside="pale: as logged; dark: running mean")


def _window(count: int) -> int:
    """An odd width of about a tenth of the run, at most 101 points."""
    return min(101, count // 10) // 2 * 2 + 1


def _stages(rows: Sequence[Row]) -> str:
    timed = [row for row in rows if any(_number(row.get(key)) is not None for key in _STAGES)]
    if not timed:
        return ""
    parts = {
        name: sum(v for _, v in _series(timed, key)) / len(timed) for key, name in _STAGES.items()
    }
    step_s = sum(v for _, v in _series(timed, "time/step_s")) / len(timed)
    parts["the rest"] = max(0.0, step_s - sum(parts.values()))
    bar = charts.shares({n: v for n, v in parts.items() if v > 0}, "s")
    whole_s = max(step_s, sum(parts.values()))
    return html.section(
        "Where the time goes", f'<div class="bar">{bar}</div>', aside=f"{whole_s:.2g} s a step"
    )


def _answers(rows: Sequence[Row]) -> str:
    """The latest raw answers side by side, and what the critic says again and again."""
    asked = [row for row in rows if isinstance(row.get("critic/raw"), str)]
    if not asked:
        return ""
    texts = [_words(str(row["critic/raw"])) for row in asked]
    common = Counter(s for text in texts for s in set(re.split(r"(?<=[.!?])\s+", text)) if s)
    stock = "".join(
        f"<li><b>{count / len(texts):.0%}</b><span>{escape(sentence)}</span></li>"
        for sentence, count in common.most_common(_STOCK)
    )
    lines = "".join(_answer(row) for row in reversed(asked[-_QUOTED:]))
    return html.section(
        "What the critic says",
        f'<p class="small">Commonest sentences, and the share of answers that hold them:</p>'
        f'<ul class="stock">{stock}</ul>'
        '<table class="log"><thead><tr><th scope="col">step</th><th scope="col">of the base</th>'
        f'<th scope="col">of a rollout</th></tr></thead><tbody>{lines}</tbody></table>',
        aside=f"{len(set(texts))} different texts in {len(texts)} answers on rollouts",
    )


def _answer(row: Row) -> str:
    raws = [row.get("critic/raw_base"), row.get("critic/raw")]
    cells = [
        f'<td><details><summary class="words">{escape(_words(raw)[:_RAW_MAX])}</summary>'
        f"<pre>{escape(raw[:_RAW_MAX])}</pre></details></td>"
        if isinstance(raw, str)
        else '<td class="small">no answer</td>'
        for raw in raws
    ]
    return f'<tr><th scope="row">{_number(row["step"]):g}</th>{"".join(cells)}</tr>'


def _words(raw: str) -> str:
    """The free words of a raw answer; all of it where it does not say where they begin."""
    return re.split(r"^words:", raw, maxsplit=1, flags=re.MULTILINE)[-1].strip()


def _series(rows: Sequence[Row], key: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have the number."""
    return list(_pairs(rows, key))


def _pairs(rows: Sequence[Row], key: str) -> Iterator[tuple[float, float]]:
    for row in rows:
        step, value = _number(row.get("step")), _number(row.get(key))
        if step is not None and value is not None:
            yield step, value


def _number(value: object) -> float | None:
    """A finite number; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _duration(seconds: float) -> str:
    """As a person says it.

    >>> _duration(5400), _duration(75)
    ('1 h 30 min', '1 min 15 s')
    """
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"
