"""Start-up time of the command, compared with the imports that it cannot do without.

    python benchmarks/cli_start.py [RUNS]

Runs whole processes, taking turns so that a noisy machine slows all of them alike. Prints medians and their ratios to
`python -c "import click, pluggy, msgspec, yaml"`, or to `python -c "import torch"` for `zoo sample`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

ZOO = [sys.executable, "-m", "zoo_core"]
LIGHT = "import click, pluggy, msgspec, yaml"
TORCH = "import torch"


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    """The median wall time of each command, in seconds; the first round is discarded."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
                if number:
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def table(commands: dict[str, list[str]], runs: int) -> None:
    medians = measure(commands, runs)
    reference = next(iter(medians))
    for name, median in medians.items():
        print(f"{name:<48} {median * 1000:8.0f} ms  {median / medians[reference]:5.2f} x")


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    light = {f'python -c "{LIGHT}"': [sys.executable, "-c", LIGHT]}
    table(
        light | {"zoo " + " ".join(rest): [*ZOO, *rest] for rest in (["--help"], ["list"], ["info", "dcgan-mnist"])},
        runs,
    )
    heavy = {f'python -c "{TORCH}"': [sys.executable, "-c", TORCH]}
    table(
        heavy | {"zoo sample dcgan-mnist": [*ZOO, "sample", "dcgan-mnist", "-n", "64", "-o", "a.png"]},
        max(3, runs // 3),
    )
