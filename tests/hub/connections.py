"""The TCP connection under a request, so that a fault can break it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class TrackedProtocol(H11Protocol):
    """uvicorn's own protocol, which besides remembers its transports."""

    transports: ClassVar[dict[Any, asyncio.Transport]] = {}

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.transports[self.client, self.server] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transports.pop((self.client, self.server), None)
        super().connection_lost(exc)


def close(scope: dict[str, Any]) -> None:
    """An orderly end (FIN), after what has been sent."""
    transport = TrackedProtocol.transports.get((scope["client"], scope["server"]))
    if transport is not None:
        transport.close()


async def reset(scope: dict[str, Any]) -> None:
    """A reset (RST), when what has been sent is on its way."""
    transport = TrackedProtocol.transports.get((scope["client"], scope["server"]))
    if transport is None:
        return
    while transport.get_write_buffer_size():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
