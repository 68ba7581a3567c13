"""Fold what `benchmarks/measure.sh` wrote into one dated result page.

    python benchmarks/collect.py OUT [--reason FILE] [--finetune words=RUN ...]

Writes benchmarks/results/<date>-<hardware>.json: a list of {figure, value, low, high, bar,
count, command}. No number is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from hearken.loops.enhancer_finetune import Config
from hearken.run.track import provenance

RESULTS = Path(__file__).parent / "results"
Cell = dict[str, Any]


def cell(folder: Path, title: str, row: str, column: str) -> Any:
    """One cell of an evaluation's table.json: a number, or {value, low, high, count}."""
    tables = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    for table in tables:
        if table["title"] == title:
            for found in table["rows"]:
                if row in found.values():
                    return found[column]
    raise SystemExit(f"{folder}/table.json: no row {row!r} in {title!r}")


def figure(name: str, value: Any, bar: str, command: str, unit: str = "") -> Cell:
    """One line of the README's table."""
    interval = value if isinstance(value, dict) else {"value": value}
    keys = ("value", "low", "high", "count")
    return {"figure": name, **{k: interval.get(k) for k in keys},
            "unit": unit, "bar": bar, "command": command}  # fmt: skip


def critic(folder: Path) -> list[Cell]:
    """Scores, faults and the share that parses."""
    run = "hearken eval critic --faults FAULTS"
    total = "The critic against the truth"
    rows = [
        figure(f"critic, {d.replace('_', ' ')}: PCC with the truth",
               cell(folder, "Scores", d, "PCC"), bar, run)
        for d, bar in (("noise", ""), ("speed", ""), ("overall", ">= 0.9"))
    ]  # fmt: skip
    wanted = [
        ("mean PCC", "critic, mean PCC over the dimensions", ">= 0.85"),
        ("share parsed", "critic, share of greedy answers that parse", "1"),
        ("fault type macro recall", "critic, fault type, macro recall", "> commonest"),
        ("fault type micro recall", "critic, fault type, micro recall", "> commonest"),
        ("fault type macro f1", "critic, fault type, macro F1", ">= 0.75"),
        (
            "faults with their own times: F1 at IoU 0.5",
            "critic, timed faults, F1 at IoU 0.5",
            ">= 0.65",
        ),
        (
            "faults with their own times: median onset error of hits, s",
            "critic, timed faults, median onset error of hits, s",
            "<= 0.15",
        ),
        ("ROUGE-L of the words", "critic, ROUGE-L of its words", ""),
    ]
    rows += [figure(name, cell(folder, total, row, "value"), bar, run) for row, name, bar in wanted]
    tables = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    for row in tables[0]["rows"]:
        if "recall of always" in row["measure"]:
            rows.append(
                figure(f"always the commonest type: {row['measure']}", row["value"], "", run)
            )
    return rows


def enhancer(out: Path) -> list[Cell]:
    """Gains over doing nothing, what the lips are worth, and the audio-only enhancers beside it."""
    rows = []
    gain, other = "Gain over unprocessed, scene by scene", "Gain over video other, scene by scene"
    for group, (words, bars) in GROUPS.items():
        folder = out / f"enhancer_{group}"
        run = f"hearken eval enhancer --scenes {group}"
        where = f"enhancer, {words}"
        for metric, bar in zip(("si_sdr_db", "pesq_wb", "estoi"), bars, strict=True):
            value, unit = cell(folder, gain, "video right", metric), UNIT[metric]
            rows.append(figure(f"{where}: gain in {LABEL[metric]}", value, bar, run, unit))
        right_over_other = cell(folder, other, "video right", "si_sdr_db")
        worse = cell(folder, "All scenes", "video right", "share worse (si_sdr_db)")
        rows += [
            figure(f"{where}: right video over someone else's, SI-SDR", right_over_other,
                   ">= +4" if group == "speech_unseen" else "> 0", run, "dB"),
            figure(f"{where}: without a picture, gain in SI-SDR",
                   cell(folder, gain, "video none", "si_sdr_db"), "", run, "dB"),
            figure(f"RNNoise, {words}: gain in SI-SDR",
                   cell(folder, gain, "rnnoise", "si_sdr_db"), "", run, "dB"),
            figure(f"{where}: share of scenes made worse", worse, "", run),
        ]  # fmt: skip
    return rows


GROUPS = {
    "noise_known": ("noise, known face", (">= +10", ">= +0.40", "")),
    "noise_unseen": ("noise, unseen face", (">= +10", ">= +0.40", "")),
    "speech_known": ("competing talker, known face", (">= +8", ">= +0.35", ">= +0.15")),
    "speech_unseen": ("competing talker, unseen face", (">= +5", ">= +0.20", ">= +0.05")),
    "same_known": ("his own voice against him, known face", (">= +5", "", "")),
}
"""Folders of `measure.sh`: what the scenes are, and the bars of SI-SDR, PESQ-WB and ESTOI."""
UNIT = {"si_sdr_db": "dB", "pesq_wb": "", "estoi": ""}
LABEL = {"si_sdr_db": "SI-SDR", "pesq_wb": "PESQ-WB", "estoi": "ESTOI"}


STAGES = (
    ("sound", "decoding the sound", ""),
    ("picture", "decoding the picture", ""),
    ("face", "finding face and mouth", ""),
    ("lips", "reading the lips", ""),
    ("network", "STFT, network and synthesis", "<= 0.04"),
    ("mux", "writing the new sound beside the picture", ""),
)


def speed(file: Path) -> list[Cell]:
    """Seconds, real-time factors and memory."""
    found = json.loads(file.read_text(encoding="utf-8"))
    run = "python benchmarks/speed.py"
    wanted = [
        ("help_s", "`hearken --help`", "< 0.5", "s"),
        ("missing_file_s", "`hearken listen missing.wav`", "< 0.5", "s"),
        ("listen_5s_s", "`listen`, 5 s clip, one thread, after load", "<= 0.4", "s"),
        ("listen_batch16_x_real_time", "`listen`, batch of 16, one thread", ">= 25", "x real time"),
        ("enhance_rtf", "`enhance`, real-time factor without face search", "<= 0.1", ""),
        ("enhance_with_face_rtf", "`enhance`, real-time factor with decoding and face search",
         "<= 0.4", ""),
        ("listen_10min_gib", "`listen`, 10 minutes of sound, peak memory", "< 1.5", "GiB"),
        ("enhance_10min_gib", "`enhance`, 10 minutes of sound, peak memory", "< 1.5", "GiB"),
        ("enhance_10min_video_gib", "`enhance`, 10 minutes of video, peak memory", "< 1", "GiB"),
        ("enhance_60min_video_gib", "`enhance`, an hour of video, peak memory", "< 1", "GiB"),
        *((f"stage_{name}_rtf", f"`enhance` of 720p video, {words}: real-time factor", bar, "")
          for name, words, bar in STAGES),
    ]  # fmt: skip
    return [figure(name, found[k], bar, run, unit) for k, name, bar, unit in wanted if k in found]


def reason(run: Path) -> list[Cell]:
    """What GRPO changed on held-out clips."""
    found = json.loads(run.read_text(encoding="utf-8"))
    command = "python benchmarks/reason_heldout.py BEFORE AFTER CORPUS"
    return [
        figure(f"reasoning (GRPO), tried and not shipped: change of {name}",
               found["greedy"][name], bar, command)
        for name, bar in (("text agreement", "> 0"), ("type F1", "> 0"), ("mean PCC", "> -0.01"))
    ]  # fmt: skip


def checked(file: Path) -> list[Cell]:
    """What `--verify` does to the timed faults."""
    found = json.loads(file.read_text(encoding="utf-8"))["faults"]
    return [
        figure(f"`listen{flag}`, timed faults: {what}", found[which]["timed"][what], bar,
               "python benchmarks/verify.py --faults FAULTS")
        for which, flag in (("said", ""), ("signal", " --verify"), ("full", " --verify=full"))
        for what, bar in (("precision", "" if which == "said" else "higher"),
                          ("recall", "" if which == "said" else "not 0.05 lower"))
    ]  # fmt: skip


def ranked(file: Path) -> list[Cell]:
    """Order of the versions of a sentence: the critic and two blind metrics."""
    found = json.loads(file.read_text(encoding="utf-8"))["ranks"]
    names = {"critic": "critic", "dnsmos": "DNSMOS", "distillmos": "DistillMOS"}
    return [
        figure(f"{name}, rank correlation within a sentence: {task}", row[judge],
               "> DNSMOS" if judge == "critic" else "", "python benchmarks/ranks.py")
        for task, row in found.items()
        for judge, name in names.items()
    ]  # fmt: skip


def finetune(name: str, run: Path) -> list[Cell]:
    """What PPO changed on held-out scenes, against the frozen base."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = [row for row in map(json.loads, lines) if "valid/words" in row][-1]
    asked = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    default = asdict(Config())
    told = ("steps", "rollouts", "sigma", "lr")
    flags = [f"--{k} {asked[k]:g}" for k in told if asked[k] != default[k]]
    command = " ".join(["hearken train enhancer-finetune --reward", name, *flags])
    rows = []
    for key, words, unit in (("words", "rated words", ""), ("si_sdr_db", "SI-SDR", "dB")):
        change = {"value": last[f"valid/{key}"], "low": last[f"valid/{key}_low"],
                  "high": last[f"valid/{key}_high"], "count": int(last["valid/clips"])}  # fmt: skip
        what = f"enhancer_finetune, reward `{name}`: held-out gain in {words} over the base"
        rows.append(figure(what, change, "> 0" if name == "words" else "control", command, unit))
    return rows


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="what measure.sh wrote")
    parser.add_argument("--reason", type=Path, help="what reason_heldout.py wrote")
    parser.add_argument("--finetune", nargs="*", default=[], metavar="REWARD=RUN")
    args = parser.parse_args()
    rows = critic(args.out / "critic") + enhancer(args.out)
    rows += reason(args.reason) if args.reason else []
    for name, read in (("verify.json", checked), ("ranks.json", ranked)):
        rows += read(args.out / name) if (args.out / name).exists() else []
    for pair in args.finetune:
        name, _, run = pair.partition("=")
        rows += finetune(name, Path(run))
    robust = args.out / "robustness.json"
    rows += json.loads(robust.read_text(encoding="utf-8"))["rows"] if robust.exists() else []
    rows += speed(args.out / "speed.json")
    facts, _ = provenance()
    date = time.strftime("%Y-%m-%d")
    slug = re.sub(r"[^a-z0-9]+", "-", str(facts["hardware"]).lower()).strip("-")
    page = {"date": date, "hardware": facts["hardware"], "commit": facts["commit"],
            "versions": facts["versions"], "rows": rows}  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{date}-{slug}.json"
    target.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
