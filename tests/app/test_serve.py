from __future__ import annotations

import base64
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from hearken.app.record import Record
from hearken.app.serve import Options, Server, run
from hearken.critic import Critic, parse
from hearken.errors import HearkenError, JudgeError, UsageError
from hearken.feedback.guard import Judge, fingerprint
from hearken.feedback.rating import Rater
from hearken.feedback.remote import KEY, RemoteCritic
from hearken.feedback.reward import REWARDS, Rewards, Variant
from hearken.loops.enhancer_finetune import Config, main
from hearken.loops.enhancer_finetune_judge import worth
from hearken.media import write_audio
from hearken.nouns import SAMPLE_RATE, Audio, Description

LONG = 30.0


@pytest.fixture
def serve(ear: Any) -> Iterator[Callable[..., Server]]:
    """Servers of the ear that scores by level, each on a free port."""
    made: list[Server] = []

    def make(its: Any = ear, **options: Any) -> Server:
        made.append(Server(Options(port=0, **options), lambda asked: its))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()
        one.server_close()


def send(
    server: Server, body: bytes | None, path: str = "/v1/chat/completions", **headers: str
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=LONG)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), response.headers
    finally:
        connection.close()


def request(data: bytes, **more: object) -> bytes:
    sound = {"data": base64.b64encode(data).decode(), "format": "wav"}
    content = [{"type": "text", "text": "?"}, {"type": "input_audio", "input_audio": sound}]
    return json.dumps({"messages": [{"role": "user", "content": content}], **more}).encode()


def sound_file(
    clip: Audio, rate: int = SAMPLE_RATE, kind: str = "WAV", sub: str = "FLOAT"
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, clip, rate, format=kind, subtype=sub)
    return file.getvalue()


# --- what it answers -----------------------------------------------------------------------


def test_it_tells_who_it_is(serve: Callable[..., Server]) -> None:
    server = serve()
    status, models, _ = send(server, None, "/v1/models")
    assert (status, [m["id"] for m in models["data"]]) == (200, ["fake-critic"])
    status, health, _ = send(server, None, "/health")
    assert (status, health["status"], health["heard"]) == (200, "ok", 0)


def test_a_chat_completion_with_the_whole_record(
    serve: Callable[..., Server], ear: Any, speechlike: Audio
) -> None:
    body = request(sound_file(speechlike), model="fake-critic", temperature=0)
    status, answer, _ = send(serve(), body)
    assert (status, answer["object"], answer["model"]) == (200, "chat.completion", "fake-critic")
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "raw text"}
    assert choice["finish_reason"] == "stop"
    record = Record.model_validate(answer["hearken"])
    (said,) = ear.listen([speechlike])
    assert record.scores["noise"].probs == said.scores["noise"].probs
    assert record.scores["noise"].value == said.scores["noise"].value  # all its digits
    assert [f.end for f in record.faults] == [f.end_s for f in said.faults]
    assert (record.text, record.duration, record.sr_in) == (said.words, 3.0, 16000)


@pytest.mark.parametrize(
    ("rate", "kind", "sub", "channels"),
    [
        (8_000, "WAV", "PCM_16", 1),
        (44_100, "WAV", "PCM_24", 2),
        (48_000, "WAV", "DOUBLE", 1),
        (16_000, "WAV", "PCM_U8", 1),
        (16_000, "FLAC", "PCM_16", 1),
        (16_000, "OGG", "VORBIS", 1),
    ],
)
def test_any_rate_depth_and_format(
    serve: Callable[..., Server], speechlike: Audio, rate: int, kind: str, sub: str, channels: int
) -> None:
    clip = np.repeat(speechlike[:, None], channels, axis=1)
    status, answer, _ = send(serve(), request(sound_file(clip, rate, kind, sub)))
    assert status == 200
    assert answer["hearken"]["sr_in"] == rate
    assert answer["hearken"]["duration"] == pytest.approx(3 * 16_000 / rate, abs=0.01)


def test_an_unreadable_answer_of_the_critic_is_told_as_one(
    serve: Callable[..., Server], speechlike: Audio
) -> None:
    loud = speechlike.copy()
    loud[0] = 1.0
    server = serve()
    status, answer, _ = send(server, request(sound_file(loud)))
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "noise: seven"
    (said,) = RemoteCritic(server.url, parse)([loud])
    assert "line 1: not a digit" in str(said)


# --- what it refuses -----------------------------------------------------------------------

TONE = sound_file(np.sin(np.arange(8000) / 9).astype(np.float32) / 2)
PART = {"type": "input_audio", "input_audio": {"data": "AAAA"}}


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"[]", 400, "not a JSON object"),
        (b"{}", 400, "'messages' is not a list"),
        (b'{"messages": [3, {"content": 4}, {"content": [5]}]}', 400, "found 0"),
        (json.dumps({"messages": [{"content": [PART, PART]}]}).encode(), 400, "found 2"),
        (json.dumps({"messages": [{"content": [{"input_audio": 3}]}]}).encode(), 400, "no 'data'"),
        (json.dumps({"messages": [{"content": [PART]}]}).encode(), 400, "3 bytes"),
        (request(TONE).replace(b'"data": "', b'"data": "*'), 400, "not base64"),
        (request(TONE, model="other"), 404, "only 'fake-critic'"),
        (request(TONE, stream=True), 400, "'stream'"),
        (request(TONE, n=2), 400, "'n'"),
        (request(b""), 400, "empty"),
        (request(b"this is not sound"), 400, "bytes>"),
        (request(TONE[:2000]), 400, "cut short"),
        (request(TONE[:44]), 400, ""),
        (request(sound_file(np.full(99, np.nan, np.float32))), 400, "NaN"),
        (request(sound_file(np.full(99, 5.0, np.float32))), 400, "reach 5"),
        (request(sound_file(np.ones(33_000, np.float32))), 413, "--max-seconds"),
        (b" " * 200_000, 413, "--max-bytes"),
    ],
)
def test_a_bad_request_is_told_why_and_ends_nothing(
    serve: Callable[..., Server], body: bytes, status: int, why: str
) -> None:
    server = serve(max_bytes=180_000, max_seconds=2.0)
    got, answer, _ = send(server, body)
    assert (got, answer["error"]["code"]) == (status, status)
    assert why in answer["error"]["message"]
    assert send(server, request(TONE))[0] == 200


def test_silence_is_heard(serve: Callable[..., Server]) -> None:
    assert send(serve(), request(sound_file(np.zeros(8000, np.float32))))[0] == 200


def test_wrong_ways_in(serve: Callable[..., Server]) -> None:
    server = serve()
    assert send(server, None, "/v2/models")[0] == 404
    assert send(server, b"{}", "/v1/completions")[0] == 404
    assert send(server, b"", **{"Content-Length": "many"})[0] == 411
    assert send(server, b"", **{"Content-Length": "9" * 5000})[0] == 411


def test_a_connection_is_kept_after_a_refusal(serve: Callable[..., Server]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", serve().server_port, timeout=LONG)
    for path, status in (("/nowhere", 404), ("/v1/chat/completions", 200)):
        connection.request("POST", path, request(TONE))
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_a_key_is_asked_for(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, speechlike: Audio
) -> None:
    monkeypatch.setenv(KEY, "secret")
    server = serve()
    assert send(server, None, "/health")[0] == 200
    assert send(server, None, "/v1/models")[0] == 401
    assert send(server, request(TONE), Authorization="Bearer wrong")[0] == 401
    found = RemoteCritic.connect(server.url, parse)
    assert isinstance(found([speechlike])[0], Description)


class Held:
    """An ear that hears nothing before it may."""

    id, revision, window_s = "held", "", 5.0

    def __init__(self, ear: Any) -> None:
        self.ear = ear
        self.busy, self.go = threading.Event(), threading.Event()

    def listen(self, clips: Sequence[Audio], *, batch_size: int = 16) -> Any:
        self.busy.set()
        assert self.go.wait(LONG)
        if len(clips[0]) < 100:
            raise RuntimeError("out of memory")
        return self.ear.listen(clips)


def test_beyond_the_queue_it_is_busy(serve: Callable[..., Server], ear: Any) -> None:
    held = Held(ear)
    server = serve(held, queue=2)
    got: list[int] = []
    waiting = [
        threading.Thread(target=lambda: got.append(send(server, request(TONE))[0]))
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
    while server.places._value:
        assert held.busy.wait(LONG)
    status, answer, headers = send(server, request(TONE))
    assert (status, answer["error"]["type"]) == (503, "server_error")
    assert int(headers["Retry-After"]) >= 1
    assert send(server, None, "/health")[1]["refused"] == 1
    listen = RemoteCritic(server.url, parse, retries=1, backoff_s=0.0)
    (said,) = listen([np.ones(800, np.float32) / 2])
    assert "2 requests wait already" in str(said)
    assert (listen.retried, listen.failed) == (1, 1)
    held.go.set()
    for thread in waiting:
        thread.join(LONG)
    assert got == [200, 200]
    assert send(server, request(TONE))[0] == 200


def test_a_critic_that_breaks_is_told_and_goes_on(serve: Callable[..., Server], ear: Any) -> None:
    held = Held(ear)
    held.go.set()
    server = serve(held)
    status, answer, _ = send(server, request(sound_file(np.ones(50, np.float32) / 2)))
    assert status == 500
    assert "out of memory" in answer["error"]["message"]
    assert send(server, request(TONE))[0] == 200


def test_stopping_answers_what_is_heard_and_sends_the_rest_away(ear: Any) -> None:
    held = Held(ear)
    got: dict[str, int] = {}
    with Server(Options(port=0, batch_size=1), lambda asked: held) as server:
        server.start()

        def ask(name: str) -> None:
            got[name] = send(server, request(TONE))[0]

        first = threading.Thread(target=ask, args=("heard",))
        first.start()
        assert held.busy.wait(LONG)
        second = threading.Thread(target=ask, args=("waiting",))
        second.start()
        while not server.batcher._waiting:
            assert second.is_alive()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        second.join(LONG)
        assert got == {"waiting": 503}
        held.go.set()
        stopping.join(LONG)
        first.join(LONG)
    assert got == {"waiting": 503, "heard": 200}


def test_calls_that_cannot_work(serve: Callable[..., Server], ear: Any) -> None:
    port = serve().server_port
    with pytest.raises(UsageError, match=f"--port {port}: cannot listen there"):
        run(Options(port=port), lambda asked: ear)
    for wrong in (Options(queue=0), Options(batch_size=0), Options(port=70_000)):
        with pytest.raises(UsageError, match="must be"):
            run(wrong, lambda asked: ear)


def test_a_run_is_judged_through_the_address(
    serve: Callable[..., Server], ear: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in ("mono_mix", "target_mono", "interferer_mono"):
        noise = rng.standard_normal(8000).astype(np.float32)
        write_audio(tmp_path / "data" / "scenes" / f"S00001_{name}.wav", 0.05 * noise)
    out = tmp_path / "out"
    main(Config.smoke(data=tmp_path / "data", out=out, judge_url=serve().url, reward="scores",
                      steps=1, clips=1, anchor=0, seconds=0.5))  # fmt: skip
    (row,) = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert (row["reward/valid_frac"], row["critic/failed_frac"], row["critic/retried"]) == (1, 0, 0)
    assert row["critic/raw"] == "raw text"
    assert sum(ear.batches) == 3  # two rollouts and the base


# --- the shipped critic in a process of its own --------------------------------------------


class Process:
    """`hearken serve` on a free port."""

    def __init__(self, *code: str) -> None:
        call = [sys.executable, *(code or ("-m", "hearken", "serve", "--port", "0"))]
        self.process = subprocess.Popen(
            call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert urlsplit(line).hostname == "127.0.0.1", self.process.communicate()
        return line


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: int) -> None:
    fake = (
        "import sys; from types import SimpleNamespace; from hearken.app.serve import *\n"
        "ear = SimpleNamespace(id='fake', revision='', window_s=5.0)\n"
        "sys.exit(run(Options(port=0), lambda asked: ear))"
    )
    server = Process("-c", fake)
    server.url()
    server.process.send_signal(number)
    _, told = server.process.communicate(timeout=LONG)
    assert server.process.returncode == 0
    assert told == "hearken: stopped after 0 clips\n"


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    started = Process()
    yield started
    started.process.kill()
    started.process.communicate()


@pytest.fixture(scope="module")
def critic() -> Critic:
    return Critic.from_pretrained()


class Remembered:
    """Asks of each sound once: four rewards of the same sounds need no more."""

    def __init__(self, listen: Callable[..., Sequence[Description | HearkenError]]) -> None:
        self.listen = listen
        self.known: dict[str, Description | HearkenError] = {}

    def __call__(self, clips: Sequence[Audio]) -> list[Description | HearkenError]:
        new = [c for c in clips if fingerprint(c) not in self.known]
        for clip, said in zip(new, self.listen(new) if new else (), strict=True):
            self.known[fingerprint(clip)] = said
        return [self.known[fingerprint(c)] for c in clips]


@pytest.fixture(scope="module")
def takes() -> tuple[list[list[Audio]], list[Audio]]:
    """Two clips of a hissing voice, two rollouts each and their bases; one is beyond full scale."""
    rng = np.random.default_rng(3)
    t = np.arange(16_000) / SAMPLE_RATE
    waves = [np.exp(-(((130 * k - 600) / 500) ** 2)) * np.sin(2 * np.pi * 130 * k * t + k)
             for k in range(1, 20)]  # fmt: skip
    voice = 0.15 * sum(waves) * np.clip(np.sin(2 * np.pi * 2 * t), 0, None) ** 0.5

    def take(hiss: float) -> Audio:
        return np.asarray(voice + hiss * rng.standard_normal(16_000), dtype=np.float32)

    gap, loud = take(0.003), take(0.01)
    gap[6000:8000] = 0
    return [[take(0.0003), take(0.01)], [gap, take(0.1)]], [take(0.003), loud * np.float32(9)]


@pytest.fixture(scope="module")
def judges(process: Process, critic: Critic) -> tuple[Remembered, Remembered]:
    """The critic in this process, and the same one in another, which batches as it likes."""
    return Remembered(critic.listen), Remembered(RemoteCritic.connect(process.url(), parse))


@pytest.mark.parametrize("variant", [r for r in REWARDS if r not in ("none", "dnsmos")])
def test_rewards_are_those_of_a_critic_in_this_process(
    judges: tuple[Remembered, Remembered],
    takes: tuple[list[list[Audio]], list[Audio]],
    variant: Variant,
) -> None:
    rate = Rater.from_pretrained()

    def judged(listen: Remembered) -> tuple[Rewards, dict[str, object]]:
        judge, (rollouts, base) = Judge(listen), takes
        told = judge.hear([sound for group in rollouts for sound in group])
        said = [judge.hear_once(sound) for sound in base]
        assert judge.failed == 0
        return worth(variant, rate, told, said, frames=63, frame_s=0.016)

    (here, log), (there, log_there) = (judged(listen) for listen in judges)
    assert log["critic/raw"] == log_there["critic/raw"]
    # Words are the same to the letter. Batches of other sizes round otherwise in the last bits.
    tolerance = 0.0 if variant in ("words", "shuffled") else 1e-5
    np.testing.assert_allclose(there.total_PG, here.total_PG, rtol=0, atol=tolerance)
    assert np.ptp(here.total_PG) > 0.01
    if here.frames_PGF is not None:
        assert there.frames_PGF is not None
        np.testing.assert_allclose(there.frames_PGF, here.frames_PGF, atol=1e-5)


def test_heard_alone_a_clip_is_described_the_same_to_the_bit(
    judges: tuple[Remembered, Remembered], takes: tuple[list[list[Audio]], list[Audio]]
) -> None:
    """As the bases are. Also beyond full scale, where it is sent at a fraction of its level."""
    here, there = judges
    for clip in takes[1]:
        (said,) = there([clip])
        assert isinstance(said, Description)
        assert [said] == here([clip])


def test_a_killed_server_is_masked_counted_and_ends_the_run(
    process: Process, judges: tuple[Remembered, Remembered], takes: tuple[Any, list[Audio]]
) -> None:
    remote = judges[1].listen
    assert isinstance(remote, RemoteCritic)
    alone = RemoteCritic(remote.url, parse, retries=2, backoff_s=0.01)
    judge = Judge(alone, patience=4)
    process.process.kill()
    process.process.wait()
    assert judge.hear([*takes[1], None, *takes[1]]) == [None] * 5
    assert (judge.failed, alone.failed) == (4, 4)
    assert alone.retried >= 2
    with pytest.raises(JudgeError, match="100% of the last 4"):
        judge.enforce(4, 4)
