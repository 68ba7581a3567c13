"""A critic behind an address, as judge: OpenAI's chat completions, one clip a request.

`hearken serve` answers with its whole record beside the text, and then nothing is lost on the way:
scores with their probabilities, faults with their confidence. Any other server (vLLM, transformers
serve) answers with text alone; it is read by the critic's grammar, scores are the digits that were
written, and faults have no confidence.

What goes wrong on the way is an error in the clip's place, never a stop: `Judge` masks it, counts
it, and ends the run when there is too much of it.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from hearken.errors import HearkenError, RemoteError, UsageError
from hearken.nouns import FAULT_TYPES, SAMPLE_RATE, Audio, Description, Fault, Score

__all__ = ["KEY", "RemoteCritic", "description_of", "wav"]

KEY = "HEARKEN_JUDGE_KEY"
"""The variable with the key that a server may ask for."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_ANSWER = 4 * 2**20  # bytes
_LONGEST_WAIT_S = 60.0  # between two attempts, whatever the server asks for
_MAX_TOKENS = 256


class RemoteCritic:
    """Clips [T] at 16 kHz -> a description each, or the error in its place (`guard.Listen`).

    Attributes:
        asked: clips sent so far.
        retried: attempts beyond the first so far.
        failed: clips without an answer so far, after all attempts.
    """

    def __init__(
        self,
        url: str,
        parse: Callable[[str], Description],
        *,
        prompt: str = "",
        model: str = "",
        in_flight: int = 8,
        connect_s: float = 5.0,
        read_s: float = 60.0,
        retries: int = 7,
        backoff_s: float = 0.5,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: "http://host:port/v1", or https.
            parse: reads a critic's text (`hearken.critic.grammar.parse`).
            prompt: the question that goes with the sound; `hearken serve` has its own.
            model: the name to ask for; needed where the server has several.
            in_flight: requests at once.
            connect_s: patience for a connection, seconds.
            read_s: patience for an answer.
            retries: attempts after the first, where another may help: 429, 5xx, no connection,
                no answer in time. Once a clip has used them up, those after it have one attempt
                each until one is answered: a server that is gone must not hold a run for hours.
            backoff_s: the wait before the first of them; it doubles each time, is shortened at
                random by up to half, and is added to what Retry-After asks for.

        Raises:
            UsageError: not such an address.
        """
        self.url = url.rstrip("/")
        self._host, self._port, self._path, self._secure = _address(self.url)
        self._parse = parse
        self._prompt = prompt
        self.model = model
        self._in_flight = max(1, in_flight)
        self._connect_s, self._read_s = connect_s, read_s
        self._retries, self._backoff_s = retries, backoff_s
        self._jitter = random.Random()  # its own: a run's random state is none of its business
        self._gone = False
        self._counting = threading.Lock()
        self.asked = self.retried = self.failed = 0

    @classmethod
    def connect(cls, url: str, parse: Callable[[str], Description], **options: Any) -> RemoteCritic:
        """As the constructor, after a look at who is there; the name of a lone model is taken.

        Raises:
            UsageError: nobody answers there, or which of several models is not said.
        """
        found = cls(url, parse, **options)
        try:
            listed = found._exchange("GET", "/models", None, threading.Event())
            names = [str(model["id"]) for model in listed["data"]]
        except (RemoteError, KeyError, TypeError) as error:
            raise UsageError(
                f"--judge-url {url}: no critic answers there: {error}; "
                "'hearken serve' starts one and prints its URL"
            ) from error
        if not found.model and len(names) == 1:
            found.model = names[0]
        if found.model not in names:
            known = ", ".join(names) or "none"
            raise UsageError(f"--judge-url {url}: --critic must name one of its models: {known}")
        return found

    def __call__(self, clips: Sequence[Audio]) -> list[Description | HearkenError]:
        """Hear all clips, `in_flight` at once; answers are in the order of the clips."""
        if not clips:
            return []
        stop = threading.Event()
        pool = ThreadPoolExecutor(min(self._in_flight, len(clips)), "judge")
        try:
            return list(pool.map(lambda clip: self._hear(clip, stop), clips))
        finally:  # also on Ctrl-C: then nobody starts another attempt
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _hear(self, clip: Audio, stop: threading.Event) -> Description | HearkenError:
        with self._counting:
            self.asked += 1
        try:
            return self._read(self._exchange("POST", "/chat/completions", self._ask(clip), stop))
        except HearkenError as error:
            failure = error
        except Exception as error:  # the per-clip wall: no answer, however odd, ends a run
            failure = RemoteError(f"{self.url}: {type(error).__name__}: {error}")
        with self._counting:
            self.failed += 1
        return failure

    def _ask(self, clip: Audio) -> bytes:
        sound = {"data": base64.b64encode(wav(clip)).decode("ascii"), "format": "wav"}
        content: list[dict[str, Any]] = [{"type": "input_audio", "input_audio": sound}]
        if self._prompt:
            content.append({"type": "text", "text": self._prompt})
        asked: dict[str, Any] = {
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
        }
        return json.dumps(asked | ({"model": self.model} if self.model else {})).encode()

    def _read(self, answer: Any) -> Description:
        """The description in an answer: the record where there is one, else the text.

        Raises:
            RemoteError: it is no chat completion.
            GrammarError: text that breaks the grammar.
        """
        try:
            if "hearken" in answer:
                return description_of(answer["hearken"])
            choice = answer["choices"][0]
            text = choice["message"]["content"]
            unfinished = choice.get("finish_reason") == "length"
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise RemoteError(f"{self.url}: not a chat completion: {_short(answer)}") from error
        if unfinished or not isinstance(text, str):
            raise RemoteError(f"{self.url}: the text does not end within {_MAX_TOKENS} tokens")
        said = self._parse(text)
        model = str(answer.get("model") or self.model)
        return Description(said.scores, said.faults, said.words, raw=text, model=model)

    def _exchange(self, method: str, path: str, body: bytes | None, stop: threading.Event) -> Any:
        """The JSON that answers a request, after as many attempts as it takes.

        Raises:
            RemoteError: the last attempt failed, or no other could help.
        """
        attempts = 1 if self._gone else self._retries + 1
        for attempt in range(1, attempts + 1):
            asked_s = 0.0
            try:
                status, retry_after, answer = self._once(method, path, body)
            except (OSError, HTTPException) as error:
                why = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                self._gone = self._gone and status in _AGAIN
                if status == 200:
                    return _json(answer, self.url)
                why = f"status {status}: {_short(answer.decode('utf-8', 'replace'))}"
                if status not in _AGAIN:
                    break
                asked_s = min(_LONGEST_WAIT_S, _seconds(retry_after))
            if attempt == attempts:
                self._gone = True
                break
            own_s = min(_LONGEST_WAIT_S, self._backoff_s * 2 ** (attempt - 1))
            if stop.wait(asked_s + own_s * self._jitter.uniform(0.5, 1.0)):
                break
            with self._counting:
                self.retried += 1
        raise RemoteError(f"{self.url}: {why} (attempt {attempt} of {attempts})")

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, str, bytes]:
        """Status, Retry-After and body of one attempt, on a connection of its own."""
        kind = HTTPSConnection if self._secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._connect_s)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if key := os.environ.get(KEY, ""):
            headers["Authorization"] = f"Bearer {key}"
        try:
            connection.connect()
            connection.sock.settimeout(self._read_s)
            connection.request(method, self._path + path, body, headers)
            response = connection.getresponse()
            answer = response.read(_LONGEST_ANSWER + 1)
        finally:
            connection.close()
        if len(answer) > _LONGEST_ANSWER:
            raise HTTPException(f"an answer of more than {_LONGEST_ANSWER} bytes")
        if response.length:  # `read` with a size does not tell
            raise HTTPException(f"the answer was cut off, {response.length} bytes before its end")
        return response.status, response.getheader("Retry-After") or "", answer


def wav(clip: Audio) -> bytes:
    """A clip [T] as a WAV file of 32-bit floats at 16 kHz: every bit of it.

    Sound beyond full scale is halved until it fits. A critic that brings clips to one level hears
    the same bits then, for a power of two rounds nothing.
    """
    import soundfile

    peak = float(np.abs(clip).max(initial=0.0))
    samples = np.ldexp(clip, -math.frexp(peak)[1]) if peak > 1 else clip
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def description_of(record: Mapping[str, Any]) -> Description:
    """What an unrounded record of `hearken serve` says.

    Raises:
        RemoteError: the record is that of a failure, or lacks something.
    """
    try:
        if record.get("error") is not None:
            raise RemoteError(str(record["error"]))
        return Description(
            scores={str(d): _score(s["probs"]) for d, s in record["scores"].items()},
            faults=tuple(_fault(f) for f in record["faults"]),
            words=_text(record["text"]),
            raw=_text(record["raw"]),
            model=_text(record["model"]["id"]),
            revision=_text(record["model"]["revision"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RemoteError(f"not a record of 'hearken serve': {error!r}") from error


def _score(probs: Sequence[float]) -> Score:
    """The same sum as `Score.of`, without dividing again: to the bit what was sent."""
    a, b, c, d, e = (float(p) for p in probs)
    return Score(sum((i + 1) * p for i, p in enumerate((a, b, c, d, e))), (a, b, c, d, e))


def _text(told: object) -> str:
    if not isinstance(told, str):
        raise TypeError(f"{told!r} is not text")
    return told


def _fault(told: Mapping[str, Any]) -> Fault:
    confidence = told["confidence"]
    if told["type"] not in FAULT_TYPES or not (confidence is None or 0 <= confidence <= 1):
        raise ValueError(f"no fault {told['type']!r} of confidence {confidence}")
    return Fault(
        type=told["type"],
        start_s=float(told["start"]),
        end_s=float(told["end"]),
        severity=int(told["severity"]),
        detail=_text(told["detail"]),
        confidence=None if confidence is None else float(confidence),
    )


def _address(url: str) -> tuple[str, int | None, str, bool]:
    """Host, port, path and whether it is https."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--judge-url {url}: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise UsageError(f"--judge-url {url}: give an address such as http://127.0.0.1:8077/v1")
    if parts.username is not None:
        raise UsageError(f"--judge-url: leave the key out of the address; set {KEY} instead")
    return host, port, parts.path, parts.scheme == "https"


def _json(answer: bytes, url: str) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"{url}: the answer is not JSON: {error}") from error


def _seconds(header: str) -> float:
    """What Retry-After asks for, in seconds: a number, or a date; 0 where it says neither."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _short(told: object) -> str:
    return " ".join(str(told).split())[:200]
