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
from pathlib import Path
from typing import NoReturn

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
    if sys.platform != "linux" or _at_the_start(environment) != _at_the_start(os.environ):
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environment, stdin=stdin, timeout=timeout, check=check,
            capture_output=True, text=True,
        )  # fmt: skip
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
        source = stack.enter_context(Path(os.devnull).open("rb")) if stdin == subprocess.DEVNULL else stdin
        request = {"arguments": words, "environment": environment, "folder": str(cwd or Path.cwd())}
        code = _ask(request, [source, *outputs], timeout)
        for output in outputs:
            output.seek(0)
        said = [output.read().decode(errors="replace").replace("\r\n", "\n") for output in outputs]
    done = subprocess.CompletedProcess([sys.executable, *words], code, *said)
    if check:
        done.check_returncode()
    return done


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
        process = subprocess.Popen([sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"  # type: ignore[union-attr]
        atexit.register(lambda: (process.stdin.close(), process.wait(), folder.cleanup()))  # type: ignore[union-attr]
        _address = address
    return _address


def _ask(request: dict[str, object], streams: list[object], timeout: float) -> int:
    """Let the server fork; returns the exit code, negative where it was a signal."""
    address = _server()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        message = json.dumps(request).encode()
        socket.send_fds(connection, [len(message).to_bytes(4, "big")], [_descriptor(stream) for stream in streams])
        connection.sendall(message)
        answers = connection.makefile("r")
        pid = int(answers.readline())
        connection.settimeout(timeout)
        try:
            return os.waitstatus_to_exitcode(int(answers.readline()))
        except TimeoutError:
            raise subprocess.TimeoutExpired(str(request["arguments"]), timeout) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descriptor(stream: object) -> int:
    return stream if isinstance(stream, int) else stream.fileno()  # type: ignore[attr-defined, no-any-return]


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


if __name__ == "__main__":
    _own = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    _search_path = [path for path in sys.path if path not in _own]
    sys.path.remove(_own[0])
    for _name in PRELOADED:
        importlib.import_module(_name)
    gc.freeze()  # a collection in a forked process would copy every page
    _become(_serve(sys.argv[1]), _search_path)
