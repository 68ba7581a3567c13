from __future__ import annotations

import base64
import io
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import soundfile

from hearken.errors import GrammarError, HearkenError, JudgeError, RemoteError, UsageError
from hearken.feedback.guard import Judge
from hearken.feedback.remote import KEY, RemoteCritic, description_of, wav
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score

PROBS = (0.1, 0.2, 0.3, 0.25, 0.15)
RECORD: dict[str, Any] = {
    "scores": {d: {"value": 3.15, "probs": list(PROBS)} for d in DIMENSIONS},
    "faults": [
        {"start": 0.02, "end": 1 / 3, "type": "dropout", "dimension": "continuity", "severity": 3,
         "detail": "", "confidence": 0.123456789}
    ],
    "text": "It breaks off once.",
    "raw": "noise: 3",
    "model": {"id": "tiny", "revision": "abc", "sha256": None},
    "error": None,
}  # fmt: skip


def parse(text: str) -> Description:
    """A grammar of one word."""
    if text != "good":
        raise GrammarError("not the word", text=text, line=1)
    return Description({d: Score.point(5) for d in DIMENSIONS}, (), text)


def said(text: str, **more: object) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, **more}
    return json.dumps({"model": "m", "choices": [choice]}).encode()


class Fake:
    """A server that does what it is told, request by request; the last thing for ever."""

    def __init__(self, *deeds: Callable[[Any], None]) -> None:
        self.deeds = list(deeds)
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.asked = json.loads(body)
                with outer.lock:
                    outer.requests.append(self.asked)
                    outer.times.append(time.monotonic())
                    outer.keys.append(self.headers["Authorization"])
                    deed = outer.deeds.pop(0) if len(outer.deeds) > 1 else outer.deeds[0]
                deed(self)

            do_GET = lambda self: outer.deeds[0](self)  # noqa: E731

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


def level(asked: dict[str, Any]) -> str:
    """The first sample of the clip in a request."""
    data = base64.b64decode(asked["messages"][0]["content"][0]["input_audio"]["data"])
    return str(soundfile.read(io.BytesIO(data))[0][0])


def reply(status: int, body: bytes, **headers: str) -> Callable[[Any], None]:
    def do(handler: Any) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return do


def cut_short(handler: Any) -> None:
    reply(200, b"{", Content_Length="1000")(handler)


def hang(handler: Any) -> None:
    time.sleep(1.0)


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    made: list[Fake] = []

    def make(*deeds: Callable[[Any], None]) -> Fake:
        made.append(Fake(*deeds))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def critic(url: str, **options: Any) -> RemoteCritic:
    return RemoteCritic(url, parse, **{"backoff_s": 0.01, "retries": 2, "read_s": 5.0, **options})


def sounds(*levels: float) -> list[Audio]:
    return [np.full(400, level, np.float32) for level in levels]


GOOD, BUSY = reply(200, said("good")), reply(503, b"busy")


# --- what is said --------------------------------------------------------------------------


def test_a_record_is_read_to_the_bit() -> None:
    found = description_of(json.loads(json.dumps(RECORD)))
    assert found.scores["noise"].probs == PROBS
    assert found.scores["noise"].value == sum((i + 1) * p for i, p in enumerate(PROBS))
    assert found.faults == (Fault("dropout", 0.02, 1 / 3, 3, "", 0.123456789),)
    assert (found.words, found.raw) == ("It breaks off once.", "noise: 3")
    assert (found.model, found.revision) == ("tiny", "abc")


@pytest.mark.parametrize(
    "changes",
    [
        {"error": "the critic's answer cannot be read"},
        {"scores": {"noise": {"value": 3.0}}},
        {"scores": {"noise": {"probs": [0.5, 0.5]}}},
        {"scores": None},
        {"text": None},
        {"model": None},
        {"faults": [{**RECORD["faults"][0], "type": "boredom"}]},
        {"faults": [{**RECORD["faults"][0], "confidence": float("nan")}]},
        {"faults": [{**RECORD["faults"][0], "start": "soon"}]},
        {"faults": ["dropout"]},
    ],
)
def test_a_record_that_is_none_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        description_of({**RECORD, **changes})


def test_the_record_goes_before_the_text_and_text_alone_is_parsed(
    fake: Callable[..., Fake],
) -> None:
    whole = {**json.loads(said("nonsense")), "hearken": RECORD}
    server = fake(reply(200, json.dumps(whole).encode()), GOOD)
    listen = critic(server.url, in_flight=1, model="m", prompt="Listen.")
    first, second = listen(sounds(0.1, 0.2))
    assert isinstance(first, Description)
    assert isinstance(second, Description)
    assert first.words == "It breaks off once."
    assert (second.words, second.raw, second.model) == ("good", "good", "m")
    asked = server.requests[0]
    assert (asked["model"], asked["temperature"]) == ("m", 0)
    assert asked["messages"][0]["content"][1] == {"type": "text", "text": "Listen."}


@pytest.mark.parametrize(
    "answer",
    [
        said("bad"),
        said("good", finish_reason="length"),
        json.dumps({"choices": []}).encode(),
        json.dumps({"choices": [{"message": {"content": None}}]}).encode(),
        json.dumps({"hearken": None}).encode(),
        b"[1]",
        b"3",
        b"null",
        b'"hearken"',
        b"not json",
        b"\xff",
        b"",
        b"[" * 100_000,
    ],
)
def test_a_malformed_answer_is_an_error_in_its_place(
    fake: Callable[..., Fake], answer: bytes
) -> None:
    server = fake(GOOD, reply(200, answer), GOOD)
    listen = critic(server.url, in_flight=1)
    kinds = [isinstance(a, HearkenError) for a in listen(sounds(0.1, 0.2, 0.3))]
    assert kinds == [False, True, False]
    assert (listen.asked, listen.retried, listen.failed) == (3, 0, 1)  # asking again is no help


def test_an_answer_without_end_is_cut_off(fake: Callable[..., Fake]) -> None:
    listen = critic(fake(reply(200, bytes(5 * 2**20))).url, retries=0)
    (answer,) = listen(sounds(0.1))
    assert "more than" in str(answer)


# --- what is sent --------------------------------------------------------------------------


@pytest.mark.parametrize(("peak", "scale"), [(0.3, 1.0), (1.0, 1.0), (1.5, 0.5), (9.0, 1 / 16)])
def test_the_wave_file_has_every_bit(rng: np.random.Generator, peak: float, scale: float) -> None:
    clip = rng.standard_normal(1000).astype(np.float32)
    clip *= np.float32(peak) / np.abs(clip).max()
    clip[0] = peak
    found, rate = soundfile.read(io.BytesIO(wav(clip)), dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(found, clip * np.float32(scale))


def test_answers_keep_the_order_and_requests_in_flight_are_bounded(
    fake: Callable[..., Fake],
) -> None:
    """The server answers nobody until three are there, so three there are; a fourth never."""
    together = threading.Barrier(3, timeout=10)
    now, most, lock = 0, 0, threading.Lock()

    def count(handler: Any) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        time.sleep(0.02)
        with lock:
            now -= 1
        record = {**RECORD, "text": level(handler.asked)}
        reply(200, json.dumps({"hearken": record}).encode())(handler)

    levels = [k / 16 for k in range(9)]
    answers = critic(fake(count).url, in_flight=3)(sounds(*levels))
    assert [isinstance(a, Description) and a.words for a in answers] == list(map(str, levels))
    assert most == 3


def test_no_clips_no_request() -> None:
    assert critic("http://127.0.0.1:9/v1")([]) == []


def test_the_key_goes_along(fake: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake(GOOD)
    critic(server.url)(sounds(0.1))
    monkeypatch.setenv(KEY, "secret")
    critic(server.url)(sounds(0.1))
    assert server.keys == [None, "Bearer secret"]


# --- what goes wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_pass_is_asked_again(fake: Callable[..., Fake], status: int) -> None:
    server = fake(reply(status, b"?"), cut_short, GOOD)
    state = random.getstate()
    listen = critic(server.url)
    assert isinstance(listen(sounds(0.1))[0], Description)
    assert (listen.asked, listen.retried, listen.failed) == (1, 2, 0)
    assert random.getstate() == state


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413])
def test_what_cannot_pass_is_not(fake: Callable[..., Fake], status: int) -> None:
    server = fake(reply(status, b"no such thing"), GOOD)
    listen = critic(server.url, in_flight=1)
    bad, good = listen(sounds(0.1, 0.2))
    assert f"status {status}: no such thing" in str(bad)
    assert isinstance(good, Description)
    assert (listen.retried, listen.failed, len(server.requests)) == (0, 1, 2)


@pytest.mark.parametrize("asked", ["0.3", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "nan"])
def test_it_comes_back_when_it_was_told_to(fake: Callable[..., Fake], asked: str) -> None:
    server = fake(reply(503, b"busy", Retry_After=asked), GOOD)
    assert isinstance(critic(server.url)(sounds(0.1))[0], Description)
    assert server.times[1] - server.times[0] >= (0.3 if asked == "0.3" else 0.0)


def test_a_server_that_hangs_is_given_up_and_later_believed_again(
    fake: Callable[..., Fake],
) -> None:
    server = fake(hang, hang, hang, hang, GOOD, BUSY, GOOD)
    listen = critic(server.url, read_s=0.1, in_flight=1)
    answers = listen(sounds(0.1, 0.2, 0.3, 0.4))
    assert "TimeoutError" in str(answers[0])
    assert "attempt 3 of 3" in str(answers[0])
    assert "attempt 1 of 1" in str(answers[1])  # nobody was there: one attempt
    assert isinstance(answers[2], Description)  # somebody is
    assert isinstance(answers[3], Description)  # and so there are three again
    assert (listen.asked, listen.retried, listen.failed) == (4, 3, 2)


def test_a_server_that_is_gone_fails_each_clip_and_stops_the_run(
    fake: Callable[..., Fake],
) -> None:
    server = fake(GOOD)
    listen = critic(server.url)
    judge = Judge(listen, max_failed_frac=0.25, patience=8)
    assert None not in judge.hear([*sounds(0.1, 0.2), sounds(0.3)[0]])
    judge.enforce(0, 3)
    server.server.shutdown()
    server.server.server_close()
    assert judge.hear(sounds(0.1, 0.2, 0.3, 0.4, 0.5)) == [None] * 5
    assert (judge.heard, judge.failed, listen.failed) == (8, 5, 5)
    assert listen.retried >= 2
    with pytest.raises(JudgeError, match=r"62% of the last 8 .*ConnectionRefused"):
        judge.enforce(5, 5)


def test_a_busy_server_masks_a_clip_only_when_patience_ends(fake: Callable[..., Fake]) -> None:
    server = fake(BUSY, BUSY, BUSY, GOOD)
    listen = critic(server.url, in_flight=1)
    judge = Judge(listen)
    heard = judge.hear(sounds(0.1, 0.2))
    assert [h is None for h in heard] == [True, False]
    assert (judge.failed, listen.retried) == (1, 2)
    assert "status 503: busy" in judge.last_error


def test_an_interruption_starts_no_other_attempt(
    fake: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fake(BUSY)
    listen = critic(server.url, backoff_s=60.0)
    exchange = listen._exchange

    def interrupted(*args: Any) -> Any:
        if args[2] == first:
            raise KeyboardInterrupt
        return exchange(*args)

    clips = sounds(0.1, 0.2)
    first = listen._ask(clips[0])
    monkeypatch.setattr(listen, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        listen(clips)
    assert len(server.requests) <= 1


# --- who is there --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:80", "ftp://a/v1", "http://", "http://a:port/v1", "http://a/v1?b=c"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="--judge-url"):
        critic(url)


def test_a_key_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        critic("http://user:secret@a/v1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("names", "asked", "found"),
    [(["a"], "", "a"), (["a", "b"], "b", "b"), (["a", "b"], "", None), (["a"], "c", None)],
)
def test_the_model_is_chosen(
    fake: Callable[..., Fake], names: Sequence[str], asked: str, found: str | None
) -> None:
    listed = json.dumps({"object": "list", "data": [{"id": n} for n in names]}).encode()
    url = fake(reply(200, listed)).url + "/"
    if found is None:
        with pytest.raises(UsageError, match=", ".join(names)):
            RemoteCritic.connect(url, parse, model=asked)
    else:
        assert RemoteCritic.connect(url, parse, model=asked).model == found


@pytest.mark.parametrize(
    "answer", [reply(200, b"[]"), reply(404, b"?"), reply(200, b'{"data": 1}')]
)
def test_nobody_who_judges_is_there(fake: Callable[..., Fake], answer: Any) -> None:
    with pytest.raises(UsageError, match="hearken serve"):
        RemoteCritic.connect(fake(answer).url, parse, retries=0)
