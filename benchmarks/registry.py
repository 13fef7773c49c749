"""Look-ups in a large registry, compared with a small one, and with a dict of the same size as timm keeps one.

    python benchmarks/registry.py [--models 100000] [--runs 9]

Prints how long a registry takes to be compiled; how long `zoo list GLOB`, `zoo list --search`, `zoo info` and a wrong
name take with eight models and with many, as whole processes that take turns; the same look-ups in one process beside
those of timm's way (a module that fills a dict when it is imported, globs by fnmatch over all names); and how long it
takes to register one more model. timm itself is not used: the number of its models is what it is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

DATASETS = ("faces", "mnist", "birds", "cars", "emoji")
ARCHITECTURES = ("dcgan", "vae", "vanilla_gan", "cnn-gan")
COMMANDS = {
    "zoo list GLOB, by its beginning": ["list", "dcgan-faces-00000*"],
    "zoo list GLOB, by its middle": ["list", "*-faces-00000*"],
    "zoo list --search": ["list", "--search", "number 0 faces dcgan-faces-000000"],
    "zoo info": ["info", "dcgan-faces-000000"],
    "zoo info, a wrong name": ["info", "dcgan-fces-000000"],
}
TIMM = """\
import fnmatch, time
began = time.perf_counter()
import as_timm
print("import", time.perf_counter() - began)
def measure(name, call):
    began = time.perf_counter()
    call()
    print(name, time.perf_counter() - began)
measure("get", lambda: as_timm.ENTRIES["dcgan-faces-000000"])
measure("glob", lambda: sorted(fnmatch.filter(as_timm.ENTRIES, "*-faces-00000*")))
"""
ZOO = """\
import time
from pathlib import Path
began = time.perf_counter()
import zoo_core as zoo
models = zoo.Registry.from_file("many.yaml")
print("import", time.perf_counter() - began)
def measure(name, call):
    began = time.perf_counter()
    call()
    print(name, time.perf_counter() - began)
measure("get", lambda: models["dcgan-faces-000000"])
measure("glob", lambda: models.find("*-faces-00000*"))
"""
REGISTER = """\
import sys, time
from pathlib import Path
from zoo_core import ModelEntry
from zoo_core.registries.editing import write_entry
began = time.perf_counter()
write_entry(Path(sys.argv[1]), ModelEntry(name="one-more", architecture="vae"))
print("register", time.perf_counter() - began)
"""


def entries(count: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Names and fields of models that differ in all that is looked up."""
    for number in range(count):
        digest = [hashlib.sha256(f"{number} {part}".encode()).hexdigest() for part in range(3)]
        architecture, dataset = ARCHITECTURES[number % 4], DATASETS[number % 5]
        yield (
            f"{architecture.replace('_', '-')}-{dataset}-{number:06d}",
            {
                "architecture": architecture,
                "plugin": f"zoo-{architecture}",
                "summary": f"Model number {number} of many",
                "license": "cc-by-4.0",
                "dataset": dataset,
                "tags": ["gan", "colour"],
                "sample_shape": [3, 64, 64],
                "parameters": 1_000_000 + number,
                "files": {
                    "config.json": {"sha256": digest[0], "size": 300},
                    "model.safetensors": {"sha256": digest[1], "size": 4_000_000 + number},
                },
                "hub": {"repo": f"team/model-{number}", "revision": digest[2][:40]},
            },
        )


def write_registry(file: Path, count: int) -> None:
    """Write a registry.yaml as a person or a tool would: blocks, with what is short in one line."""
    with file.open("w", encoding="utf-8") as text:
        text.write("version: 1\nmodels:\n")
        for name, fields in entries(count):
            lines = "".join(f"    {key}: {_flow(value)}\n" for key, value in fields.items())
            text.write(f"  {name}:\n{lines}")


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def run(command: list[str], registry: Path, cache: Path) -> tuple[float, int]:
    """The wall time of a command in seconds, and its peak memory in bytes."""
    environment = os.environ | {"ZOO_REGISTRY": str(registry), "ZOO_CACHE": str(cache)}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=registry.parent
    )
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.perf_counter() - began, used.ru_maxrss * 1024


def compare_commands(few: Path, many: Path, cache: Path, runs: int) -> None:
    print(f"{'':<34}{'8 models':>12}{many.stem:>12}{'ratio':>8}{'memory':>20}")
    for name, arguments in COMMANDS.items():
        command = [sys.executable, "-m", "zoo_core", *arguments]
        taken: dict[Path, list[tuple[float, int]]] = {few: [], many: []}
        for _ in range(runs):
            for registry in (few, many):
                taken[registry].append(run(command, registry, cache))
        small, large = (statistics.median(seconds for seconds, _ in taken[registry]) for registry in (few, many))
        memory = [max(used for _, used in taken[registry]) / 1e6 for registry in (few, many)]
        print(
            f"{name:<34}{small * 1000:>9.0f} ms{large * 1000:>9.0f} ms{large / small:>8.2f}"
            f"{memory[0]:>9.0f} and {memory[1]:.0f} MB"
        )


def in_process(script: str, folder: Path, cache: Path, runs: int, *arguments: str) -> dict[str, float]:
    """The medians of what a script prints, in seconds by name."""
    taken: dict[str, list[float]] = {}
    environment = os.environ | {"ZOO_CACHE": str(cache), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            name, seconds = line.split()
            taken.setdefault(name, []).append(float(seconds))
    return {name: statistics.median(values) for name, values in taken.items()}


def compare_with_timm(folder: Path, count: int, cache: Path, runs: int) -> None:
    with (folder / "as_timm.py").open("w", encoding="utf-8") as module:
        module.write("ENTRIES = {}\n")
        for name, fields in entries(count):
            module.write(f"ENTRIES[{name!r}] = {fields!r}\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", "as_timm.py"], cwd=folder, check=True)
    ours, theirs = (in_process(script, folder, cache, runs) for script in (ZOO, TIMM))
    print(f"\n{'in one process':<34}{'zoo':>12}{'as timm':>12}")
    for what, label in (("import", "import and open"), ("get", "one name"), ("glob", "a glob by its middle")):
        print(f"{label:<34}{ours[what] * 1000:>9.1f} ms{theirs[what] * 1000:>9.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=9)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        few, many = folder / "few.yaml", folder / "many.yaml"
        write_registry(few, 8)
        write_registry(many, chosen.models)
        seconds, memory = run([sys.executable, "-m", "zoo_core", "list", "no-such-model"], many, cache)
        size = sum(file.stat().st_size for file in cache.rglob("*.sqlite"))
        print(
            f"compiling {chosen.models:,} models, {many.stat().st_size / 1e6:.0f} MB of YAML: {seconds:.1f} s, "
            f"{memory / 1e6:.0f} MB of memory, an index of {size / 1e6:.0f} MB\n"
        )
        compare_commands(few, many, cache, chosen.runs)
        compare_with_timm(folder, chosen.models, cache, max(3, chosen.runs // 3))
        print()
        for count in (1_000, 5_000):
            write_registry(folder / "team.yaml", count)
            taken = in_process(REGISTER, folder, cache, 1, "team.yaml")
            print(f"registering one model into {count:,}: {taken['register']:.1f} s")


if __name__ == "__main__":
    main()
