"""Decoding in worker processes, ahead of the process that needs the pixels.

A process that runs the threads of torch must not be forked: a lock that another thread holds at that moment stays
locked in the child for ever. The ways in which multiprocessing starts a process afresh would run the user's own script
again in every worker. Here a server is started that imports what decoding needs (no torch), and forks the workers,
which share its memory. Each is connected with this process by a socket of its own, and ends when the socket is closed,
which happens even where this process is killed.

    this process ──starts──> server ──forks──> worker 0, worker 1, …
          └───────────── a socket to each ──────────┘
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from zoo_core.errors import DataError, printable

_Read = TypeVar("_Read")
_Read_co = TypeVar("_Read_co", covariant=True)
MOST_WORKERS = 16  # with more, the process that gathers what they decode is the slowest
_SERVER = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from zoo_core.data.decoding_workers import serve
serve([*map(int, sys.argv[2:])])
"""


def available_workers() -> int:
    """Return how many processes may decode at once on this machine; 0 where this one has to decode by itself.

    Workers are forked from their server, which only Linux does safely.
    """
    if sys.platform != "linux" or not sys.executable:
        return 0
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


class Reader(Protocol[_Read_co]):
    """What reads pictures, a PictureDecoder for one. It is sent to the workers, so it must survive pickling."""

    @property
    def name(self) -> str: ...

    def __getitem__(self, chosen: Sequence[int]) -> _Read_co: ...


def decode(decoder: Reader[_Read], order: Iterable[Sequence[int]], workers: int) -> Iterator[_Read]:
    """Yield what `decoder` makes of each list of numbers in `order`, in that order.

    Args:
        workers: how many processes decode ahead, about twice as many lists as there are processes; 0: this process
            decodes each list when it is needed.

    Raises:
        DataError: for a picture that cannot be decoded, with its number, or where a worker was killed.
    """
    if not workers:
        yield from (decoder[chosen] for chosen in order)
        return
    coming: deque[Future[_Read]] = deque()
    # A thread for each worker waits for what it decodes: the pixels are read from the socket as soon as they are there.
    with ExitStack() as stack:
        # Batches that nobody stopped are stopped before the interpreter takes its modules apart.
        atexit.register(stack.close)
        stack.callback(atexit.unregister, stack.close)
        idle = stack.enter_context(_start_workers(decoder, workers))
        threads = ThreadPoolExecutor(workers)
        stack.callback(threads.shutdown, cancel_futures=True)
        for chosen in order:
            coming.append(threads.submit(_let_decode, idle, list(chosen), decoder.name))
            if len(coming) > 2 * workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


@contextmanager
def _start_workers(decoder: Reader[Any], count: int) -> Iterator[SimpleQueue[Connection]]:
    """Start workers for the block; yields the connections to those that have nothing to do."""
    pairs = [Pipe() for _ in range(count)]
    theirs = [there.fileno() for _, there in pairs]
    # -P keeps a module in the working folder from taking the place of json; the path is then that of this process.
    command = [sys.executable, "-P", "-c", _SERVER, json.dumps([*map(str, sys.path)]), *map(str, theirs)]
    # In a session of its own, it does not get the Ctrl-C of the terminal.
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=theirs, start_new_session=True
    )
    for _, there in pairs:
        there.close()  # so that the end of a worker closes its socket
    try:
        assert server.stdin is not None
        try:
            with server.stdin as stream:
                pickle.dump(decoder, stream)
        except BrokenPipeError as error:
            raise _killed(decoder.name) from error
        idle = SimpleQueue[Connection]()
        for here, _ in pairs:
            idle.put(here)
        yield idle
    finally:
        for here, _ in pairs:
            here.close()
        server.wait()


def _let_decode(idle: SimpleQueue[Connection], chosen: list[int], name: str) -> Any:
    """Let a worker decode these pictures, and wait for them."""
    worker = idle.get()
    try:
        worker.send(chosen)
        answer = worker.recv()
    except (EOFError, OSError) as error:
        raise _killed(name) from error
    finally:
        idle.put(worker)  # a dead one too: whoever takes it next must not wait
    if isinstance(answer, DataError):
        raise answer
    return answer


def _killed(name: str) -> DataError:
    return DataError(f"{name}: a process that decodes pictures was killed; the machine may have run out of memory")


# What follows runs in the server and its workers.


def serve(descriptors: Sequence[int]) -> None:
    """Read a decoder from stdin, fork a worker for each socket, and wait for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its step first, and needs the workers for it
    decoder: Reader[Any] = pickle.load(sys.stdin.buffer)  # from the process that started this one
    for own in descriptors:
        if os.fork() == 0:
            try:
                for other in descriptors:
                    if other != own:
                        os.close(other)
                _work(Connection(own), decoder)
            finally:
                os._exit(0)  # whatever the server would do at its end is not the worker's to do
    for descriptor in descriptors:
        os.close(descriptor)
    for _ in descriptors:
        os.wait()


def _work(connection: Connection, decoder: Reader[Any]) -> None:
    """Decode what is asked for until the socket is closed."""
    while True:
        try:
            chosen = connection.recv()
        except (EOFError, OSError):
            return
        answer: Any
        try:
            answer = decoder[chosen]
        except DataError as error:
            answer = error
        except Exception as error:  # which exception a library of a source raises is not known here
            answer = DataError(
                f"{decoder.name}: rows {chosen[0]} to {chosen[-1]} cannot be read: "
                f"{type(error).__name__}: {printable(error, 120)}"
            )
        try:
            connection.send(answer)
        except OSError:  # the main process has ended
            return
