"""The record: one JSON line for each clip that was listened to, with a published schema.

`docs/record.schema.json` is this file's `schema()`; a test holds the two equal. Fields are
added, never renamed, within one major `SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hearken.app.failure import SCHEMA_VERSION, as_unicode

if TYPE_CHECKING:
    from hearken.critic.verify import Checked
    from hearken.nouns import Clip, Description, Fault, Score

__all__ = [
    "SCHEMA_VERSION",
    "DroppedRecord",
    "Enhancement",
    "FaceRecord",
    "FaultRecord",
    "ModelRecord",
    "Record",
    "ScoreRecord",
    "about",
    "failed",
    "heard",
    "schema",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreRecord(_Frozen):
    """One dimension: the expectation over the digits 1..5, and its shortest 90 % interval."""

    value: float = Field(description="expectation over the five digits", ge=1, le=5)
    lo: float = Field(description="lower end of the 90 % interval of the digit distribution")
    hi: float = Field(description="upper end of the 90 % interval of the digit distribution")
    scale: tuple[int, int] = Field((1, 5), description="lowest and highest possible value")
    higher_is_better: bool | None = Field(
        True, description="null for speed, where 3 is normal, 1 slow and 5 fast"
    )
    probs: tuple[float, float, float, float, float] | None = Field(
        None, description="of the digits 1..5, from hearken serve; else not there"
    )


class FaultRecord(_Frozen):
    """One timed fault."""

    start: float = Field(description="onset, seconds from the start of the clip", ge=0)
    end: float = Field(description="end, seconds")
    type: str = Field(description="a key of hearken.nouns.FAULT_TYPES")
    dimension: str = Field(description="the dimension that it lowers first")
    severity: int = Field(description="1 (barely audible) to 5 (ruins the clip)", ge=1, le=5)
    detail: str = Field("", description="free words, such as 'dog bark'")
    confidence: float | None = Field(None, description="0-1, null where the critic gives none")
    verified: str | None = Field(
        None,
        description="with --verify, what bears it out: signal, repair, signal+repair, or "
        "abstained where nothing could be asked",
    )


class DroppedRecord(FaultRecord):
    """A fault that --verify took out of the timeline."""

    reason: Literal["signal", "repair"] = Field(
        description="signal: a detector contradicts it; repair: mending the span does not raise "
        "the score more than mending another"
    )


class ModelRecord(_Frozen):
    """The critic that listened."""

    id: str = Field(description="name or folder of the checkpoint")
    revision: str = Field("", description="pinned revision, or the hash of the weights")
    sha256: str | None = Field(None, description="of the weight file, null where it is unknown")


class Record(_Frozen):
    """What one clip is, what the critic said of it, and how it was asked."""

    schema_version: str = SCHEMA_VERSION
    key: str = Field(description="names the row; unique within one call")
    path: str = Field(description="as it was given; '-' for standard input")
    sha256: str | None = Field(None, description="of the file's bytes")
    duration: float | None = Field(None, description="seconds of decoded sound")
    sr_in: int | None = Field(None, description="the file's own sample rate, Hz")
    channels_in: int | None = Field(None, description="the file's number of channels")
    channel: int | str | None = Field(None, description="the channel heard, or 'mix'")
    effective_bandwidth_hz: float | None = Field(None, description="highest frequency in use")
    scores: dict[str, ScoreRecord] = Field(default_factory=dict)
    text: str | None = Field(None, description="the critic's free sentences")
    raw: str | None = Field(None, description="its whole answer, as it wrote it")
    faults: list[FaultRecord] = Field(default_factory=list)
    dropped: list[DroppedRecord] | None = Field(
        None, description="with --verify, the faults named that did not pass; else not there"
    )
    metrics: dict[str, float | None] | None = Field(
        None, description="against the reference, where --ref gave one; null where one failed"
    )
    model: ModelRecord | None = None
    decode: dict[str, float | int | str | bool | None] | None = Field(
        None, description="how the text was decoded: strategy, seed, window"
    )
    warnings: list[str] = Field(default_factory=list)
    error: str | None = Field(None, description="why there are no scores; null where there are")

    def line(self) -> str:
        """The record as one line of JSON, without the newline."""
        unasked: dict[str, Any] = {}
        if self.dropped is None:
            unasked |= {"dropped": True, "faults": {"__all__": {"verified"}}}
        if all(score.probs is None for score in self.scores.values()):
            unasked["scores"] = {"__all__": {"probs"}}
        return self.model_dump_json(exclude=unasked)


class FaceRecord(_Frozen):
    """One face that the sound was enhanced for."""

    face: int | str = Field(description="largest, all where none is there, or its number")
    found: float = Field(description="part of the sound during which it is seen, 0-1")
    unseen: list[tuple[float, float]] = Field(
        description="where the sound alone was used: start and end, seconds"
    )
    outputs: list[str] = Field(description="what was written for it")


class Enhancement(_Frozen):
    """What `hearken enhance` did with one input."""

    schema_version: str = SCHEMA_VERSION
    key: str = Field(description="names the row; unique within one call")
    path: str = Field(description="as it was given; '-' for standard input")
    outputs: list[str] = Field(default_factory=list, description="what was written; video first")
    sha256: str | None = Field(None, description="of the input file's bytes")
    duration: float | None = Field(None, description="seconds of sound, in and out")
    sr_in: int | None = Field(None, description="the file's own sample rate, Hz; out is 16000")
    channel: int | str | None = Field(None, description="the channel used, 'mix', or 'both'")
    face_found: float | None = Field(
        None,
        description="part of the sound during which the face is seen (of several, the most), "
        "0-1; null where no picture was looked at",
    )
    faces: list[FaceRecord] = Field(
        default_factory=list, description="each face: which, when unseen, and its outputs"
    )
    model: ModelRecord | None = None
    warnings: list[str] = Field(default_factory=list)
    error: str | None = Field(None, description="why nothing was written; null where it was")


def failed(key: str, path: str, why: str, **known: Any) -> Record:
    """The row of an input that could not be heard."""
    return Record(key=key, path=as_unicode(path), error=as_unicode(why), **known)


def heard(
    key: str,
    path: str,
    clip: Clip,
    said: Description,
    *,
    checked: Checked | None = None,
    model: ModelRecord,
    decode: Mapping[str, float | int | str | bool | None],
    warnings: list[str],
    metrics: dict[str, float | None] | None = None,
    exact: bool = False,
) -> Record:
    """The row of a clip that was heard. Dimensions and faults are in the critic's own order.

    With `checked`, the faults are those that passed, each with what bears it out. With `exact`,
    nothing that the critic said is rounded, and scores come with their probabilities: a program
    that reads the row has the whole description.
    """
    from hearken.nouns import DIMENSIONS

    if checked is None:
        faults = [FaultRecord(**_fault(f, exact)) for f in said.faults]
        dropped = None
    else:
        passed = zip(checked.said.faults, checked.verified, strict=True)
        faults = [FaultRecord(**_fault(f, exact), verified=by) for f, by in passed]
        dropped = [
            DroppedRecord(**_fault(d.fault, exact), reason=d.reason) for d in checked.dropped
        ]
    return Record(
        key=key,
        path=as_unicode(path),
        **about(clip),
        scores={d: _score(d, said.scores[d], exact) for d in DIMENSIONS if d in said.scores},
        text=said.words,
        raw=said.raw,
        faults=faults,
        dropped=dropped,
        metrics=metrics,
        model=model,
        decode=dict(decode),
        warnings=warnings,
    )


def _fault(fault: Fault, exact: bool) -> dict[str, Any]:
    from hearken.nouns import FAULT_TYPES

    return {
        "start": fault.start_s if exact else round(fault.start_s, 3),
        "end": fault.end_s if exact else round(fault.end_s, 3),
        "type": fault.type,
        "dimension": FAULT_TYPES[fault.type].dimension,
        "severity": fault.severity,
        "detail": fault.detail,
        "confidence": (
            fault.confidence if exact or fault.confidence is None else round(fault.confidence, 4)
        ),
    }


def about(clip: Clip) -> dict[str, Any]:
    """The fields of a record that the file itself decides."""
    source = clip.source
    return {
        "sha256": source.sha256 or None,
        "duration": round(clip.duration_s, 4),
        "sr_in": source.sr_in,
        "channels_in": source.channels_in,
        "channel": source.channel,
        "effective_bandwidth_hz": round(float(source.effective_bandwidth_hz), 1),
    }


def _score(dimension: str, score: Score, exact: bool) -> ScoreRecord:
    from hearken.critic.interval import interval

    lo, hi = interval(score.probs)
    value = min(5.0, max(1.0, float(score.value)))
    return ScoreRecord(
        value=value if exact else round(value, 4),
        lo=round(lo, 4),
        hi=round(hi, 4),
        scale=(1, 5),
        higher_is_better=None if dimension == "speed" else True,
        probs=score.probs if exact else None,
    )


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record."""
    out = Record.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"schema_version {SCHEMA_VERSION}; generated: python -m hearken.app.docs",
        **out,
    }
