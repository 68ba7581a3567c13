"""Fit the shipped rater: descriptions with a known overall score -> words to 1-5.

The pairs are made here: from the corpus's own sentence maker, with faults and scores drawn at
random; as paraphrases on the subjects of the audit; and as plain and negated verdicts. A .csv or
.jsonl with `text` and `rating` adds real ones. Held-out pairs use the same phrases in unseen
combinations; the audit (625 texts that training never sees) tells whether a worse word always
rates lower.

Left out: no pretrained embeddings, no subword vocabulary; 146 k parameters are enough for the
small language that the shipped critic writes. For free prose use a Hugging Face star classifier.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hearken.data.words import describe
from hearken.feedback.audit import AuditResult, audit, paraphrase
from hearken.feedback.rating import Pair, Rater, fit, read_pairs
from hearken.media import atomic
from hearken.nouns import FAULT_TYPES, Fault
from hearken.run import config as configs
from hearken.run.device import seed_all, set_threads
from hearken.run.track import provenance

__all__ = ["Config", "described", "main", "verdict"]

_DETAILS = {
    "background_noise": ("rain", "street", "wind", "kitchen", "babble", ""),
    "noise_event": ("dog bark", "sneeze", "door knock", "crying baby", "clock tick", ""),
    "codec": ("opus", "gsm", "mp3", "amr", ""),
    "speed_change": ("fast", "slow"),
    "gain_jump": ("louder", "quieter"),
    "band_limiting": ("", "no bass"),
}
_VERDICTS = {
    "excellent": (5.0, 3.0), "very good": (4.6, 2.6), "good": (4.0, 2.2), "fine": (3.8, 2.2),
    "clear": (4.3, 2.2), "clean": (4.5, 2.3), "natural": (4.3, 2.3), "pleasant": (4.2, 2.2),
    "fair": (3.0, 2.0), "acceptable": (3.0, 1.6), "poor": (2.0, 3.4), "bad": (1.2, 3.3),
    "terrible": (1.0, 2.8), "unpleasant": (1.8, 3.6), "noisy": (2.2, 4.4),
    "distorted": (2.0, 4.4), "muffled": (2.4, 4.3), "robotic": (2.2, 4.3), "harsh": (2.2, 4.3),
}  # fmt: skip
"""Each word's rating as said, and as denied: "not bad" is no praise, "not good" no ruin."""


@dataclass(frozen=True)
class Config:
    """Settings of the rating fit."""

    out: Path = Path("")
    """Folder for config.json, model.safetensors and fit.json."""
    data: Path | None = None
    """More pairs: a .csv or .jsonl with text and rating; optional."""
    pairs: int = 16_000
    """Pairs that are made: 45 % described, 45 % paraphrases, 10 % verdicts."""
    held_out: float = 0.1
    """Share of the pairs kept for measuring."""
    epochs: int = 6
    """Passes over the pairs."""
    lr: float = 3e-3
    """Peak learning rate."""
    seed: int = 0
    """Of pairs, weights and order."""
    threads: int = 1
    """CPU threads of torch; 0 leaves them alone."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """A fit of seconds."""
        return configs.smoke_of(cls, {"pairs": 400, "epochs": 1}, changes)


def described(rng: np.random.Generator) -> Pair:
    """A description of invented faults and the overall score that it was written from.

    The rating is the score rounded as the words are: a text that says "good" cannot tell 3.6
    from 4.4. The severity of the worst faults moves it by up to .4, which the words do tell.
    """
    overall = float(rng.uniform(1, 5))
    names = list(FAULT_TYPES)
    count = int(min(3, rng.poisson((5 - overall) * 0.6)))
    faults = []
    for name in rng.choice(names, size=count, replace=False):
        start_s = float(rng.uniform(0, 3)) if FAULT_TYPES[name].localised else 0.0
        end_s = start_s + float(rng.uniform(0.2, 2)) if FAULT_TYPES[name].localised else 5.0
        severity = int(np.clip(round(rng.normal(6 - overall, 1.0)), 1, 5))
        detail = str(rng.choice(_DETAILS.get(str(name), ("",))))
        faults.append(Fault(str(name), start_s, end_s, severity, detail))
    scores = {"overall": overall, "speed": float(rng.uniform(2.5, 3.5))}
    scores["listening_effort"] = float(np.clip(overall + rng.normal(0, 0.4), 1, 5))
    text = describe(scores, faults, rng, seconds=5.0)
    burden = sum(f.severity for f in faults) / 5 if faults else 0.0
    said = float(np.floor(overall + 0.5))
    return text, float(np.clip(said + 0.4 - 0.4 * min(burden, 2.0), 1, 5))


def verdict(rng: np.random.Generator) -> Pair:
    """A short plain or negated statement, such as "The clip does not sound good."."""
    word = str(rng.choice(list(_VERDICTS)))
    said, denied = _VERDICTS[word]
    thing = str(rng.choice(["recording", "clip", "voice", "sound", "speech"]))
    if rng.random() < 0.5:
        plain = (f"the {thing} is {word}", f"it sounds {word}", f"this {thing} is {word}")
        return str(rng.choice(plain)).capitalize() + ".", said
    forms = (
        f"the {thing} is not {word}",
        f"it does not sound {word}",
        f"this is not a {word} {thing}",
        f"this {thing} isn't {word}",
        f"the {thing} never sounds {word}",
    )
    return str(rng.choice(forms)).capitalize() + ".", denied


def main(config: Config) -> dict[str, float]:
    """Make the pairs, fit, measure on held-out pairs and the audit, and save."""
    configs.needs(config, "out")
    set_threads(config.threads)
    seed_all(config.seed)
    rng = np.random.default_rng(config.seed)
    makers = rng.choice(3, size=config.pairs, p=[0.45, 0.45, 0.10])
    made = [(described, paraphrase, verdict)[i](rng) for i in makers]
    real = read_pairs(config.data) if config.data is not None else []
    held = max(1, round(config.held_out * len(made)))
    known = {text for text, _ in made[held:]}
    unseen = [pair for pair in made[:held] if pair[0] not in known]
    rater = fit(
        [*made[held:], *real], config.out, epochs=config.epochs, lr=config.lr, seed=config.seed
    )
    found = audit(rater)
    numbers = {**_agreement(rater, unseen), **_audited(found)}
    facts, _ = provenance(config.seed)
    report = {"numbers": numbers, "examples": found.examples, "provenance": facts}
    with atomic(config.out / "fit.json") as part:
        part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return numbers


def _agreement(rater: Rater, pairs: list[Pair]) -> dict[str, float]:
    if len(pairs) < 3:
        return {}
    said: NDArray[np.float64] = np.array(rater([text for text, _ in pairs]))
    truth = np.array([rating for _, rating in pairs])
    return {
        "held_out/pcc": float(np.corrcoef(said, truth)[0, 1]),
        "held_out/mean_abs_error": float(np.abs(said - truth).mean()),
        "held_out/pairs": float(len(pairs)),
    }


def _audited(found: AuditResult) -> dict[str, float]:
    return {
        "audit/violations": found.total,
        "audit/worst": found.worst,
        "audit/best": found.best,
        **{f"audit/{name}": share for name, share in found.violations.items()},
    }
