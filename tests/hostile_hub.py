"""A Hub that answers as it likes, byte by byte: what `tests.hub`, which speaks the protocol rightly, cannot be.

It has one model. A test replaces the answer to a request with a function that writes to the connection itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPO = "alice/digits"
COMMIT = "c" * 40
ENOUGH = 64 * 2**20  # bytes after which an endless body ends, so that a test of it fails instead of hanging


@dataclass
class Request:
    """One that came: header names are in lower case, `sent` counts the bytes of the body that went out."""

    method: str
    path: str
    headers: dict[str, str]
    sent: int = 0


Answer = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """A connection with a request to answer."""

    request: Request
    handler: BaseHTTPRequestHandler
    server: HostileHub

    def write(self, data: bytes) -> None:
        self.handler.wfile.write(data)

    def start(self, status: int = 200, **headers: object) -> None:
        """The status and the headers; an underscore in a name stands for a hyphen."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.write("\r\n".join([f"HTTP/1.1 {status} X", *lines, "Connection: close", "", ""]).encode("latin-1"))

    def body(self, *pieces: bytes, times: int = 1) -> None:
        for _ in range(times):
            for piece in pieces:
                self.write(piece)
                self.request.sent += len(piece)

    def answer(self, content: bytes, status: int = 200, **headers: object) -> None:
        self.start(status, Content_Length=len(content), **headers)
        if self.request.method != "HEAD":
            self.body(content)

    def endless(self, piece: bytes, status: int = 200, **headers: object) -> None:
        """A body that goes on until the client hangs up."""
        self.start(status, **headers)
        self.body(piece, times=ENOUGH // len(piece))

    def json(self, value: Any, **headers: object) -> None:
        self.answer(json.dumps(value).encode(), Content_Type="application/json", **headers)


class HostileHub:
    """The server: `files` are those of its model, `answers` what it does instead, by method and path as fnmatch has them."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.answers: dict[tuple[str, str], Answer] = {}
        self.requests: list[Request] = []
        self.ended = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def on(self, method: str, path: str, answer: Answer) -> None:
        """Answer so from now on."""
        self.answers.pop((method, path), None)
        self.answers[method, path] = answer

    def asked(self, path: str = "*") -> list[Request]:
        return [request for request in self.requests if fnmatchcase(request.path, path)]

    # what a Hub does

    def info(self, **changes: object) -> dict[str, object]:
        """What the API says of the model."""
        siblings = [{"rfilename": name, "size": len(c), "blobId": git_sha1(c)} for name, c in self.files.items()]
        return {"id": REPO, "sha": COMMIT, "siblings": siblings, "private": False, **changes}

    def tree(self) -> list[dict[str, object]]:
        return [{"type": "file", "path": n, "size": len(c), "oid": git_sha1(c)} for n, c in self.files.items()]

    def file_headers(self, name: str) -> dict[str, object]:
        return {"X_Repo_Commit": COMMIT, "ETag": f'"{git_sha1(self.files[name])}"'}

    def usual(self, exchange: Exchange) -> None:
        path = exchange.request.path.partition("?")[0]
        if path.startswith(f"/api/models/{REPO}/tree/"):
            exchange.json(self.tree())
        elif path.startswith(f"/api/models/{REPO}"):
            exchange.json(self.info())
        elif "/resolve/" in path and (name := path.rpartition("/")[2]) in self.files:
            exchange.answer(self.files[name], **self.file_headers(name))
        else:
            exchange.answer(b"{}", 404)

    def answer_to(self, request: Request) -> Answer:
        """The last that was set for such a request."""
        path = request.path.partition("?")[0]
        for (method, pattern), answer in reversed(self.answers.items()):
            if fnmatchcase(request.method, method) and fnmatchcase(path, pattern):
                return answer
        return self.usual

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers)
                hub.requests.append(request)
                self.rfile.read(int(headers.get("content-length", 0)))
                self.close_connection = True
                with contextlib.suppress(OSError):  # the client hung up
                    hub.answer_to(request)(Exchange(request, self, hub))

            do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
