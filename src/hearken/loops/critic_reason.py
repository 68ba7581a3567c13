"""Stage 2 of the critic: reasoning. GRPO on its own sampled answers, graded against planted truth.

    clip -> G sampled answers -> grade: 13 parts in [0, 1] -> advantage in the group -> policy step

Kostenok et al. 2026 (Calibration-Reasoning): group 4, batch 4, 200 iterations, a KL term to the
frozen start, a reward for each dimension. Here the judge of the answers is `critic.grade`, which
knows the truth because the faults were planted; an answer that breaks the grammar scores 0. What
changes in greedy answers to held-out clips is reported with its interval, gain or not.

Left out of the textbook: reuse of rollouts (the ratio is 1, nothing is clipped), a learning-rate
schedule, an LLM judge. More processes (accelerate launch) mean more clips a step.

A run folder holds, besides the usual (see `hearken.run.track`), `trainer/checkpoint-N`,
`rollouts.jsonl` (raw answers with their grades), `summary.json` and the trained `model/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hearken.errors import CheckpointError, GrammarError, ManifestError, UsageError, require
from hearken.media import atomic, load_audio
from hearken.metrics.agreement import bootstrap_ci
from hearken.nouns import SAMPLE_RATE, Description
from hearken.run import config as configs
from hearken.run.device import pick, seed_all, set_threads
from hearken.run.track import Run

__all__ = ["Config", "main"]


@dataclass(frozen=True)
class Config:
    """Teaches a calibrated critic to say what it hears, by GRPO."""

    out: Path = Path()
    """Folder of this run."""
    data: Path = Path()
    """Corpus of planted faults to train on (hearken data faults)."""
    valid: Path = Path()
    """Corpus to measure on, of other talkers and other noise."""
    model: str = ""
    """Critic to start from: a folder or a hub name; empty for the shipped one."""
    revision: str = ""
    """Hub commit of the model."""
    steps: int = 200
    """Updates of the policy."""
    clips: int = 4
    """Clips in one step (P), in each process."""
    group: int = 4
    """Sampled answers to each clip (G)."""
    accumulate: int = 1
    """Parts that a step's answers are split into, to fit in memory."""
    lr: float = 5e-6
    """Learning rate (AdamW, constant after the warm-up)."""
    warmup: int = 0
    """Steps in which the learning rate rises from 0."""
    beta: float = 0.04
    """Weight of the KL term to the model that was started from."""
    temperature: float = 1.0
    """Of the sampled answers."""
    max_new_tokens: int = 160
    """Longest answer; one that is cut off scores 0."""
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "grpo"
    """How the tokens of a batch are weighed: see TRL's loss_type."""
    scale: Literal["group", "batch", "none"] = "group"
    """Spread that advantages are divided by."""
    aggregate: Literal["normalize_then_sum", "sum_then_normalize"] = "normalize_then_sum"
    """Bring each part to the same spread before they are summed, or not."""
    unified: bool = False
    """One reward, the total; the same as summing the parts as they are."""
    credit: Literal["answer", "line"] = "answer"
    """Who is paid: the whole answer, or each line for the parts it earned (`critic.credit`)."""
    score_weight: float = 1.0
    """With credit by line: weight of the lines of scores, against 1 of faults and of words."""
    lora_rank: int = 0
    """Rank of adapters on the attention and feed-forward layers; 0 trains all weights."""
    freeze_encoder: bool = True
    """Leave the audio encoder as calibration made it."""
    bf16: bool = False
    """Train in bfloat16 (GPUs)."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    valid_clips: int = 200
    """Held-out clips, the first of the corpus; 0 for all."""
    valid_every: int = 0
    """Measure also every so many steps; 0 for only before and after."""
    batch_size: int = 16
    """Held-out clips that are answered together."""
    keep_rollouts: int = 4
    """Answers of each step that are written to rollouts.jsonl."""
    save_every: int = 50
    """Steps between checkpoints."""
    seed: int = 0
    """Of the order of clips, the sampling, and adapters."""
    device: str = "cpu"
    """cpu, cuda or auto."""
    threads: int = 0
    """Threads of torch; 0 leaves it alone."""
    resume: bool = False
    """Continue the run in `out`."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """Two steps on a few clips: does it run at all?"""
        tiny = {"steps": 2, "clips": 2, "group": 2, "valid_clips": 4, "save_every": 1}
        return configs.smoke_of(cls, tiny, changes)


@dataclass(frozen=True)
class Lesson:
    """A clip and what is true of it; `path` is its prompt."""

    path: str
    truth: Description


def read_lessons(corpus: Path, longest_s: float, count: int = 0) -> tuple[list[Lesson], int]:
    """Clips that fit in the critic's window (ManifestError: none), and how many do not."""
    from hearken.data.corpus import read_corpus

    found = read_corpus(corpus)
    kept = [Lesson(str(p.path), p.description) for p in found if p.seconds <= longest_s]
    if not kept:
        raise ManifestError(
            f"{corpus}: none of {len(found)} clips fits the critic's window of {longest_s:g} s; "
            "plant shorter ones"
        )
    return kept[: count or None], len(found) - len(kept)


def heard(critic: Any, paths: Sequence[str]) -> dict[str, Any]:
    """The model's inputs for some clips; each is read and prepared once, however often it comes."""
    longest = round(critic.window_s * SAMPLE_RATE)
    row = {path: k for k, path in enumerate(dict.fromkeys(paths))}
    made = critic.inputs([load_audio(p)[:longest] for p in row])
    return {name: value[[row[p] for p in paths]] for name, value in made.items()}


def order(clips: int, count: int, seed: int) -> list[int]:
    """`count` indices: one shuffled pass after the other.

    The whole run is one pass of the trainer over this list, so that a resumed run skips to its
    place exactly; a longer run begins with the same list.

    >>> order(3, 7, 0)[:3] == order(3, 3, 0), sorted(order(3, 3, 0))
    (True, [0, 1, 2])
    """
    rng = np.random.default_rng(seed)
    passes = [rng.permutation(clips) for _ in range(-(-count // clips))]
    return [int(i) for i in np.concatenate(passes)[:count]]


def measure(critic: Any, lessons: Sequence[Lesson], config: Config) -> list[dict[str, float]]:
    """Grade of the greedy answer to each lesson: {"total", parts...}; shared among processes."""
    from accelerate import PartialState
    from accelerate.utils import gather_object

    from hearken.critic.answer import Written
    from hearken.critic.grade import grade

    def graded(said: Written, truth: Description) -> dict[str, float]:
        cut = GrammarError("the answer does not end", text=said.text, line=1)
        judged = grade(said.text if said.finished else cut, truth)
        return {"total": judged.total, **judged.parts}

    place, was_training = PartialState(), critic.model.training
    mine = lessons[place.process_index :: place.num_processes]
    critic.model.eval()
    rows = []
    for first in range(0, len(mine), config.batch_size):
        batch = mine[first : first + config.batch_size]
        inputs = heard(critic, [lesson.path for lesson in batch])
        answers = critic.write(inputs, max_new_tokens=config.max_new_tokens)
        rows += [
            (lesson.path, graded(said, lesson.truth))
            for lesson, said in zip(batch, answers, strict=True)
        ]
    critic.model.train(was_training)
    found = dict(gather_object(rows))
    return [found[lesson.path] for lesson in lessons]


def change(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, float | None]]:
    """For each part: means, and the paired change with its 95 % bootstrap interval over clips."""
    found = {}
    for name in before[0]:
        a = np.array([row[name] for row in before])
        b = np.array([row[name] for row in after])
        span = bootstrap_ci(b - a)
        low, high = (None if np.isnan(v) else v for v in (span.low, span.high))
        means = {"before": float(a.mean()), "after": float(b.mean())}
        found[name] = {**means, "change": span.value, "low": low, "high": high}
    return found


def verdict(total: Mapping[str, float | None]) -> str:
    """The held-out total in one plain sentence.

    >>> verdict({"before": 0.5, "after": 0.6, "change": 0.1, "low": 0.05, "high": 0.15})
    'rose: 0.500 -> 0.600, change +0.100 [+0.050, +0.150]'
    """
    low, high = total["low"], total["high"]
    numbers = f"{total['before']:.3f} -> {total['after']:.3f}, change {total['change']:+.3f}"
    if low is None or high is None:
        return f"too few clips to tell: {numbers}"
    word = "rose" if low > 0 else "fell" if high < 0 else "did not change clearly"
    return f"{word}: {numbers} [{low:+.3f}, {high:+.3f}]"


def main(config: Config) -> dict[str, Any]:
    """Trains; returns what it wrote to summary.json, or where it was stopped.

    Raises:
        UsageError: a missing folder option, sizes that do not divide, or TRL is not installed.
        CheckpointError: `out` holds a run and `resume` is False.
        ManifestError: no clip of a corpus fits the critic's window.
    """
    _check(config)
    set_threads(config.threads)
    device = pick(config.device).type
    arguments = _arguments(config, device)
    main_process = arguments.process_index == 0
    with Run.open(config.out, config, resume=config.resume, main=main_process) as run:
        seed_all(config.seed)
        critic = _critic(config, device)
        train, too_long = read_lessons(config.data, critic.window_s)
        valid, _ = read_lessons(config.valid, critic.window_s, config.valid_clips)
        before = _before(critic, valid, config, run)
        trainer = _trainer(config, arguments, critic, train, valid, run)
        step, last = _last_checkpoint(config.out) if config.resume else (0, None)
        _rewind(run, step + 1)
        trainer.train(resume_from_checkpoint=last)
        done = int(trainer.state.global_step)
        if done < config.steps:
            return {"verdict": f"stopped after step {done}: continue with --resume", "steps": done}
        parts = change(before, measure(critic, valid, config))
        summary: dict[str, Any] = {
            "verdict": verdict(parts["total"]),
            "rose": (parts["total"]["low"] or 0.0) > 0,
            "steps": done,
            "valid_clips": len(valid),
            "train_clips": len(train),
            "train_clips_too_long": too_long,
            "valid": parts,
        }
        if run.main:
            run.log(done, {f"valid/{n}": p["after"] for n, p in parts.items()})
            from hearken.critic.grpo import export

            export(trainer, critic, config.out / "model")
            _write(config.out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _check(config: Config) -> None:
    configs.needs(config, "out", "data", "valid")
    answers = config.clips * config.group
    if config.group < 2 or config.accumulate < 1 or answers % config.accumulate:
        raise UsageError(
            f"--group {config.group} must be at least 2, and --accumulate {config.accumulate} "
            f"must divide --clips x --group = {answers}"
        )


def _arguments(config: Config, device: str) -> Any:
    """TRL's arguments. Making them also joins the other processes, where there are any."""
    try:
        from trl.trainer.grpo_config import GRPOConfig
    except ModuleNotFoundError as error:
        raise require(error.name or "trl", "train") from error
    return GRPOConfig(
        output_dir=str(config.out / "trainer"),
        per_device_train_batch_size=config.clips * config.group // config.accumulate,
        gradient_accumulation_steps=config.accumulate,
        num_generations=config.group,
        max_steps=config.steps,
        learning_rate=config.lr,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup,
        beta=config.beta,
        temperature=config.temperature,
        max_completion_length=config.max_new_tokens,
        loss_type=config.loss,
        scale_rewards=config.scale,
        multi_objective_aggregation=config.aggregate,
        model_init_kwargs={"revision": config.revision} if config.revision else None,
        use_cpu=device == "cpu",
        bf16=config.bf16,
        gradient_checkpointing=config.gradient_checkpointing,
        save_steps=config.save_every,
        save_total_limit=2,
        logging_steps=1,
        shuffle_dataset=False,  # `order` shuffles
        dataloader_pin_memory=device != "cpu",
        disable_tqdm=True,
        report_to="none",
        seed=config.seed,
    )


def _critic(config: Config, device: str) -> Any:
    from hearken.critic.model import Critic

    critic = Critic.from_pretrained(
        config.model or None, revision=config.revision or None, device=device
    )
    for name, parameter in critic.model.named_parameters():
        if "audio_tower" in name and config.freeze_encoder:
            parameter.requires_grad_(False)
    return critic


def _trainer(
    config: Config, arguments: Any, critic: Any, train: list[Lesson], valid: list[Lesson], run: Run
) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback

    from hearken.critic.grpo import AudioGRPOTrainer, Bridge, Rewards, adapters

    count = config.steps * config.clips * arguments.world_size
    rewards = Rewards(
        critic,
        {lesson.path: lesson.truth for lesson in train},
        group=config.group,
        unified=config.unified,
        score_weight=config.score_weight,
        file=run.folder / "rollouts.jsonl" if run.main else None,
        keep=config.keep_rollouts,
    )
    bridge = Bridge(
        run, config.steps, config.valid_every, lambda: _means(measure(critic, valid, config))
    )
    trainer = AudioGRPOTrainer(
        critic.model,
        encode=lambda paths: heard(critic, paths),
        credit=rewards.credit if config.credit == "line" else None,
        reward_funcs=rewards.functions(),
        args=arguments,
        train_dataset=Dataset.from_dict(
            {"prompt": [train[i].path for i in order(len(train), count, config.seed)]}
        ),
        processing_class=critic.processor,
        peft_config=adapters(config.lora_rank, encoder=not config.freeze_encoder),
        callbacks=[bridge],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _before(
    critic: Any, valid: Sequence[Lesson], config: Config, run: Run
) -> list[dict[str, float]]:
    """Grades before the first step; a resumed run reads those that were kept."""
    file = config.out / "valid_start.json"
    if config.resume and file.exists():
        kept = json.loads(file.read_text("utf-8"))
        if [lesson.path for lesson in valid] != kept["clips"]:
            raise CheckpointError(
                f"{file}: holds other clips: resume with the same --valid and --valid-clips"
            )
        return list(kept["rows"])
    rows = measure(critic, valid, config)
    if run.main:
        run.log(0, {f"valid/{n}": v for n, v in _means(rows).items()})
        kept = {"clips": [lesson.path for lesson in valid], "rows": rows}
        _write(file, json.dumps(kept) + "\n")
    return rows


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {n: float(np.mean([row[n] for row in rows])) for n in rows[0]}


def _last_checkpoint(out: Path) -> tuple[int, str | None]:
    """Step and folder of the newest whole one: trainer_state.json is written last."""
    found = [f.parent for f in (out / "trainer").glob("checkpoint-*/trainer_state.json")]
    return max(((int(f.name.rpartition("-")[2]), str(f)) for f in found), default=(0, None))


def _rewind(run: Run, step: int) -> None:
    run.rewind(step)
    file = run.folder / "rollouts.jsonl"
    if run.main and file.exists():
        lines = file.read_text("utf-8").splitlines(keepends=True)
        _write(file, "".join(line for line in lines if json.loads(line)["step"] < step))


def _write(path: Path, text: str) -> None:
    with atomic(path) as part:
        part.write_text(text, "utf-8")
