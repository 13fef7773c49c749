"""`python -m tests.hub --port N --data FOLDER`: prints the Hub's address once it listens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
from pathlib import Path

import uvicorn

from .connections import TrackedProtocol
from .server import application


def listener(port: int) -> socket.socket:
    """On the loopback interface only; 0 takes a free port."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(2048)
    return made


async def serve(port: int, folder: Path) -> None:
    """The Hub on `port`, and its CDN on another one, by the same application."""
    hub, cdn = listener(port), listener(0)
    app = application(folder, cdn.getsockname()[1])
    config = uvicorn.Config(
        app, http=TrackedProtocol, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    print(f"http://127.0.0.1:{hub.getsockname()[1]}", flush=True)
    await uvicorn.Server(config).serve(sockets=[hub, cdn])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description="A Hub on the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the repositories")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.data))


if __name__ == "__main__":
    main()
