"""Processes that need not import torch: each is forked from one that has done so, in milliseconds instead of a second.

They are real processes, with a working directory, environment, arguments, standard streams and exit code of their own, and
nothing of the zoo has been called in the one they come from. A process that differs in what Python or a library reads
only once, at its start, is started from scratch instead; so is every process where the system cannot fork safely.

    run("-m", "zoo_core", "list", cwd=folder)      as subprocess.run([sys.executable, "-m", "zoo_core", "list"], …)
    run("-c", "print(1)")                          likewise

A test of what is imported, of memory, of signals or of a terminal starts its process by `subprocess`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

# Nothing here may start a thread or read what tests set: huggingface_hub keeps the environment of its import.
PRELOADED = ["torch", "numpy", "click", "jinja2", "msgspec", "pluggy", "rich.console", "ruamel.yaml", "yaml"]
PRELOADED += ["PIL.Image", "safetensors.torch", "zoo_core.cli"]
READ_AT_THE_START = ("PYTHON", "OMP_", "MKL_", "LD_", "LC_", "LANG", "TORCH", "COVERAGE_")


def run(
    *arguments: object,
    cwd: Path | str | None = None,
    env: dict[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    timeout: float = 240,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run Python with `-m MODULE …` or `-c CODE …`, as subprocess.run does, with its output captured as text."""
    words, environment = list(map(str, arguments)), dict(os.environ if env is None else env)
    if not _forks(environment):
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environment, stdin=stdin, timeout=timeout, check=check,
            capture_output=True, text=True,
        )  # fmt: skip
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
        source = stack.enter_context(Path(os.devnull).open("rb")) if stdin == subprocess.DEVNULL else stdin
        with Process(words, [source, *outputs], cwd=cwd, env=environment) as process:
            code = process.wait(timeout)
        for output in outputs:
            output.seek(0)
        said = [output.read().decode(errors="replace").replace("\r\n", "\n") for output in outputs]
    done = subprocess.CompletedProcess([sys.executable, *words], code, *said)
    if check:
        done.check_returncode()
    return done


def torchrun(*arguments: object, cwd: Path, processes: int = 2, **variables: str) -> subprocess.CompletedProcess[str]:
    """Let torchrun start so many processes with those arguments, each on one thread."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes]
    return run(*launcher, *arguments, cwd=cwd, env=os.environ | {"OMP_NUM_THREADS": "1"} | variables)


def write_program(file: Path, module: str, environment: dict[str, str]) -> None:
    """A program that a shell with that environment can call, as an installer would have written it for `-m MODULE`."""
    line = f"exec {sys.executable} -m {module}"
    if _forks(environment):
        line = f"exec {sys.executable} -SI {__file__} ask {_server()} -m {module}"
    file.write_text(f'#!/bin/sh\n{line} "$@"\n')
    file.chmod(0o755)


class Process:
    """A forked process at work, which ends with its `with` block at the latest."""

    def __init__(
        self,
        words: list[str],
        streams: Sequence[int | IO[Any]],
        *,
        cwd: Path | str | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        request = {"arguments": words, "environment": dict(os.environ if env is None else env)}
        message = json.dumps(request | {"folder": str(cwd or Path.cwd())}).encode()
        descriptors = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
        self._words = words
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_server())
        socket.send_fds(self._connection, [len(message).to_bytes(4, "big")], descriptors)
        self._connection.sendall(message)
        self._answers = self._connection.makefile("r")
        self.pid = int(self._answers.readline())
        self._code: int | None = None

    def wait(self, timeout: float) -> int:
        """The exit code, negative where it was a signal."""
        if self._code is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._words, timeout)
            self._code = os.waitstatus_to_exitcode(int(self._answers.readline()))
        return self._code

    def kill(self) -> None:
        """SIGKILL, unless it has ended: its id may be another's by now."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._answers.close()
        self._connection.close()


def _forks(environment: dict[str, str]) -> bool:
    """Whether a process with that environment may be forked."""
    return sys.platform == "linux" and _at_the_start(environment) == _at_the_start(os.environ)


def _at_the_start(environment: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in environment.items() if name.startswith(READ_AT_THE_START)}
    return {name: value for name, value in ours.items() if name != "PYTHONPATH"}


# The side of the tests

_address: str | None = None


def _server() -> str:
    """The address of this process's server, which ends with it."""
    global _address
    if _address is None:
        folder = tempfile.TemporaryDirectory(prefix="zoo-forks-")
        address = str(Path(folder.name) / "socket")
        process = subprocess.Popen(
            [sys.executable, __file__, "serve", address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"  # type: ignore[union-attr]
        atexit.register(lambda: (process.stdin.close(), process.wait(), folder.cleanup()))  # type: ignore[union-attr]
        _address = address
    return _address


# The side of the server


def _serve(address: str) -> dict[str, object]:
    """Fork for every connection, until standard input ends; returns in the forked process alone, with its request."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has answered is gone
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if listener not in readable:
            raise SystemExit
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return _fork(connection)
        connection.close()


def _fork(connection: socket.socket) -> dict[str, object]:
    """Start the process that was asked for, and tell its id and how it ended."""
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as file:
        request: dict[str, object] = json.loads(file.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        # New objects, because those of the server know what their files could do, which may have been others.
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        return request
    for number in range(3):
        os.close(number)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{status}\n".encode())
    os._exit(0)


def _become(request: dict[str, object], search_path: list[str]) -> NoReturn:
    """Be what `python -m …` or `python -c …` is in that folder and environment, up to its exit."""
    code: object = None
    try:
        _execute(request, search_path)
    except SystemExit as error:
        code = error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    # What the interpreter does at its end, but for taking torch apart, module by module: that takes half a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120
    os._exit(code if isinstance(code, int) else int(code is not None))


def _execute(request: dict[str, object], search_path: list[str]) -> None:
    (kind, what, *rest), folder, environment = request["arguments"], request["folder"], request["environment"]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    added = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [folder if kind == "-m" else "", *added, *search_path]
    importlib.invalidate_caches()
    if kind == "-m":
        sys.argv = [what, *rest]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *rest]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), sys.modules["__main__"].__dict__)


def _main(role: str, address: str, words: list[str]) -> None:
    global _address
    if role == "ask":
        _address = address
        with Process(words, [0, 1, 2]) as process:
            sys.exit(process.wait(600))
    here, own = str(Path(__file__).parent), os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path.remove(here)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a forked process would copy every page
    _become(_serve(address), [path for path in sys.path if path not in own])


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
