"""Ctrl-C, SIGTERM and SIGHUP during a run: the step in progress ends, and its result is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C, SIGTERM or SIGHUP sets; a second Ctrl-C or SIGTERM raises KeyboardInterrupt at once.

    A terminal that is closed often sends SIGHUP twice, so a second one changes nothing. A process that ignores SIGHUP,
    as under nohup, goes on ignoring it.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals; there the caller's own handling stays
        return
    received: set[int] = set()

    def handle(number: int, frame: FrameType | None) -> None:
        if number in received and number != getattr(signal, "SIGHUP", None):
            signal.default_int_handler(number, frame)
        received.add(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in _signals()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> list[signal.Signals]:
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
    ignored = hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored or hang_up is None else [hang_up])]
