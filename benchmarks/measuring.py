"""Rates of competitors on a shared machine: they take turns, ratios are compared, and noisy rounds are discarded."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

QUIET = 0.85  # a round counts if the machine reached at least this fraction of the best matrix rate seen


def matrix_rate(dtype: torch.dtype, size: int = 1024, seconds: float = 0.15) -> float:
    """Floating-point operations per second of torch.mm on square matrices of this type, on the CPU."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    torch.mm(a, b)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        torch.mm(a, b)
        done += 1
    return done * 2 * size**3 / (time.perf_counter() - began)


def peak(dtype: torch.dtype) -> float:
    """The best matrix rate over several tries and sizes, which is the most that this machine can do."""
    return max(matrix_rate(dtype, size) for size in (1024, 2048) for _ in range(3))


def rates(competitors: dict[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, float]:
    """Calls per second of each competitor: medians over the quiet rounds, in each of which all take a turn."""
    for call in competitors.values():
        call()
        call()
    measured: list[tuple[float, dict[str, float]]] = []
    for number in range(rounds):
        before = matrix_rate(torch.float32)
        order = list(competitors.items())
        found = {name: _rate(call, seconds) for name, call in (order if number % 2 == 0 else order[::-1])}
        measured.append((min(before, matrix_rate(torch.float32)), found))
    best = max(speed for speed, _ in measured)
    quiet = [found for speed, found in measured if speed >= QUIET * best] or [
        max(measured, key=lambda pair: pair[0])[1]
    ]
    return {name: statistics.median(found[name] for found in quiet) for name in competitors}


def _rate(call: Callable[[], object], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds or done < 2:
        call()
        done += 1
    return done / (time.perf_counter() - began)


def peak_memory() -> int:
    """The peak memory of this process, in bytes (Linux)."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
