"""`hearken serve`: the critic behind an address, in the form of OpenAI's chat completions.

    GET  /health               that it is there, and how busy
    GET  /v1/models            the one critic
    POST /v1/chat/completions  one clip as an `input_audio` part -> what the critic wrote of it

The answer's message is the critic's raw text; beside it, under "hearken", stands the record that
`hearken listen -f jsonl` prints, unrounded and with the probabilities of the digits. Other parts
of the request (text, temperature) change nothing: a critic has its own question, and is greedy.
With the variable HEARKEN_JUDGE_KEY set, only requests that bear it are answered.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import os
import signal
import socket
import socketserver
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hearken.app import listen
from hearken.app.batcher import Batcher, Stopped
from hearken.app.inputs import Input
from hearken.errors import HearkenError, LimitError, UsageError
from hearken.feedback.remote import KEY

if TYPE_CHECKING:
    from types import FrameType

    from hearken.nouns import Clip

__all__ = ["Options", "Refused", "Server", "run", "sound_of"]

MIB = 2**20
_PIECE = 64 * 1024  # bytes of a body that are read, or thrown away, at a time
_IDLE_S = 60.0  # a connection on which nothing moves for so long is closed
_FAREWELL_S = 30.0  # how long a stopping server waits for the answers that are on their way
_LONGEST_RETRY_S = 60


@dataclass(frozen=True)
class Options:
    """What `hearken serve` was asked; the defaults of the command line."""

    host: str = "127.0.0.1"
    port: int = 8077
    model: str | None = None
    revision: str | None = None
    device: str = "auto"
    seed: int = 0
    batch_size: int = 16
    queue: int = 64
    max_bytes: int = 16 * MIB
    max_seconds: float = 600.0


class Refused(Exception):
    """A request that gets an error: its HTTP status, why, and when to come again."""

    def __init__(self, status: int, message: str, *, retry_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_s = retry_s


def run(options: Options, load: Callable[[listen.Options], listen.Ear] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; prints the address on standard output once it answers.

    At the first signal the batch that is being heard is finished and answered, and what waits is
    told to come back later.

    Raises:
        UsageError: options that cannot work, or an address that is taken.
    """
    with Server(options, load or listen.load_critic) as server:
        stop = threading.Event()

        def ask(signum: int, frame: FrameType | None) -> None:
            stop.set()

        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        server.start()
        try:
            print(server.url, flush=True)
            while not stop.wait(0.5):  # in short turns: on Windows a wait hears no Ctrl-C
                pass
        finally:
            server.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        print(f"hearken: stopped after {server.batcher.heard} clips", file=sys.stderr)
    return 0


def sound_of(body: bytes, model: str) -> bytes:
    """The sound file in the body of a request.

    Args:
        body: JSON, as OpenAI's chat completions have it.
        model: the name that the request may ask for.

    Raises:
        Refused: no such JSON, another model, or not exactly one sound.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise Refused(400, "the body is not a JSON object")
    if asked.get("model") not in (None, "", model):
        raise Refused(404, f"no model {str(asked['model'])[:80]!r} here, only {model!r}")
    if asked.get("stream") or asked.get("n") not in (None, 1):
        raise Refused(400, "one whole answer is given: leave out 'stream' and 'n'")
    found = [p["input_audio"] for p in _parts(asked) if "input_audio" in p]
    if len(found) != 1:
        raise Refused(400, f"expected one 'input_audio' part in the messages, found {len(found)}")
    data = found[0].get("data") if isinstance(found[0], dict) else None
    if not isinstance(data, str):
        raise Refused(400, "'input_audio' has no 'data' in base64")
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise Refused(400, f"'data' is not base64: {error}") from error


def _parts(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All content parts of all messages."""
    messages = asked.get("messages")
    if not isinstance(messages, list):
        raise Refused(400, "'messages' is not a list")
    contents = [m.get("content") for m in messages if isinstance(m, dict)]
    return [p for c in contents if isinstance(c, list) for p in c if isinstance(p, dict)]


class Server(ThreadingHTTPServer):
    """The critic, its batcher, and one thread for each connection.

    Attributes:
        model: the critic's name.
        batcher: what hears.
        places: one for each request that may be read, wait or be heard at once.
        refused: requests turned away so far because no place was free.
    """

    daemon_threads = True  # a caller that keeps its connection open must not keep us
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = os.name != "nt"  # there it would let two servers share a port
    allow_reuse_port = False

    def __init__(self, options: Options, load: Callable[[listen.Options], listen.Ear]) -> None:
        """Take the address, then load the critic; nobody is answered before `start`."""
        _check(options)
        self.options = options
        self.refused = 0
        self.places = threading.BoundedSemaphore(options.queue)
        self._key = os.environ.get(KEY, "")
        if ":" in options.host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((options.host, options.port), _Handler, bind_and_activate=False)
            self.server_bind()
        except OSError as error:
            raise self._taken(error) from error
        try:
            asked = listen.Options(
                model=options.model,
                revision=options.revision,
                device=options.device,
                batch_size=options.batch_size,
                seed=options.seed,
            )
            self._hearer = listen.Hearer(asked, load, exact=True)
            self.model = self._hearer.ready().id
            self.batcher = Batcher(self._hear, options.batch_size)
        except BaseException:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Without the look-up of the host's full name, which can ask the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    @property
    def url(self) -> str:
        """What a client is given as --judge-url."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}/v1"

    def start(self) -> None:
        """Answer from now on, on threads of its own."""
        try:
            self.server_activate()
        except OSError as error:
            raise self._taken(error) from error
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Take no more, finish the batch that is heard, and see its answers out."""
        self.shutdown()
        self.batcher.close()
        until = time.monotonic() + _FAREWELL_S
        for _ in range(self.options.queue):
            self.places.acquire(timeout=max(0.0, until - time.monotonic()))

    def complete(self, body: bytes) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            Refused: the request, its sound, or the critic is at fault.
        """
        clip = self._decoded(sound_of(body, self.model))
        try:
            row = self.batcher.submit(clip).result()
        except Stopped:
            raise Refused(503, "the server is stopping", retry_s=1) from None
        except Exception as error:  # of the model: a full GPU, say
            raise Refused(500, f"the critic failed: {type(error).__name__}: {error}") from error
        message = {"role": "assistant", "content": row.raw or ""}
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "hearken": json.loads(row.line()),
        }

    def retry_s(self) -> int:
        """Seconds after which a place is likely to be free."""
        batch_s = self.batcher.clip_s * min(self.options.queue, self.options.batch_size)
        return min(_LONGEST_RETRY_S, max(1, math.ceil(batch_s)))

    def knows(self, header: str | None) -> bool:
        """Whether the Authorization header bears the key, where one is asked for."""
        given = (header or "").encode("utf-8", "replace")
        return not self._key or hmac.compare_digest(given, f"Bearer {self._key}".encode())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no news; anything else is, in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"hearken: error: {type(error).__name__}: {error}", file=sys.stderr)

    def _taken(self, error: OSError) -> UsageError:
        self.server_close()
        return UsageError(
            f"--host {self.options.host} --port {self.options.port}: cannot listen there: "
            f"{error.strerror or error}; --port 0 takes any free one"
        )

    def _decoded(self, data: bytes) -> Clip:
        from hearken import media

        limits = media.Limits(
            max_bytes=self.options.max_bytes, max_seconds=self.options.max_seconds
        )
        try:
            # Silence is let through: what an enhancer makes can be silent, and is to be judged.
            return media.load(data, limits=limits, allow_silent=True)
        except LimitError as error:
            raise Refused(413, str(error)) from error
        except HearkenError as error:
            raise Refused(400, str(error)) from error
        except MemoryError:
            raise Refused(413, "not enough memory to decode it") from None
        except Exception as error:  # the wall: a decoder's own error is the sound's fault
            raise Refused(400, f"cannot be decoded ({type(error).__name__}: {error})") from error

    def _hear(self, clips: Sequence[Clip]) -> list[listen.Row]:
        named = [(Input(key="clip", path="-"), clip) for clip in clips]
        return [row for row, _ in self._hearer.rows(named)]


def _check(options: Options) -> None:
    for name in ("batch_size", "queue", "max_bytes", "max_seconds"):
        if getattr(options, name) < 1:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {getattr(options, name)}: must be 1 or more")
    if not 0 <= options.port < 65536:
        raise UsageError(f"--port {options.port}: must be 0-65535")


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept open from request to request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    _unread = 0  # bytes of the body that the caller still sends
    _has_place = False

    def do_GET(self) -> None:
        """Health, and the list of models."""
        self._respond(self._get)

    def do_POST(self) -> None:
        """One chat completion."""
        self._respond(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a run asks thousands of times."""

    def _get(self) -> dict[str, Any]:
        server = self.server
        path = urlsplit(self.path).path
        if path == "/health":
            done, model = server.batcher.heard, server.model
            return {"status": "ok", "model": model, "heard": done, "refused": server.refused}
        if path != "/v1/models":
            raise Refused(404, f"no {path!r} here: /health, /v1/models, /v1/chat/completions")
        self._let_in()
        own = {"id": server.model, "object": "model", "created": 0, "owned_by": "hearken"}
        return {"object": "list", "data": [own]}

    def _post(self) -> dict[str, Any]:
        path, length = urlsplit(self.path).path, self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            self.close_connection = True
            raise Refused(411, "the request has no Content-Length that can be read")
        self._unread = int(length)
        if path != "/v1/chat/completions":
            raise Refused(404, f"no {path!r} here: POST to /v1/chat/completions")
        self._let_in()
        if self._unread > self.server.options.max_bytes:
            limit = self.server.options.max_bytes
            raise Refused(413, f"{self._unread} bytes, above --max-bytes {limit}")
        self._has_place = self.server.places.acquire(blocking=False)
        if not self._has_place:
            self.server.refused += 1
            limit = self.server.options.queue
            raise Refused(503, f"{limit} requests wait already", retry_s=self.server.retry_s())
        body = self.rfile.read(self._unread)
        self._unread = 0
        return self.server.complete(body)

    def _let_in(self) -> None:
        if not self.server.knows(self.headers.get("Authorization")):
            raise Refused(401, f"the key is missing or wrong: set {KEY}")

    def _respond(self, work: Callable[[], dict[str, Any]]) -> None:
        self._unread = 0
        try:
            self._send(200, work())
        except Refused as refusal:
            self._discard()
            kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
            error = {"message": str(refusal), "type": kind, "code": refusal.status}
            self._send(refusal.status, {"error": error}, refusal.retry_s)
        finally:  # not before it is answered: a stopping server waits for all places
            if self._has_place:
                self._has_place = False
                self.server.places.release()

    def _discard(self) -> None:
        """Read on to the end of the body: a caller that is still sending would not hear us."""
        left = min(self._unread, 4 * self.server.options.max_bytes)
        self.close_connection |= left < self._unread
        while left > 0 and (piece := self.rfile.read(min(left, _PIECE))):
            left -= len(piece)

    def _send(self, status: int, answer: Mapping[str, Any], retry_s: int | None = None) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_s is not None:
            self.send_header("Retry-After", str(retry_s))
        if self.close_connection:
            self.send_header("Connection", "close")
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(body)
