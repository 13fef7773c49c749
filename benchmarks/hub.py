"""Push and pull compared with huggingface_hub's own upload_folder and snapshot_download: time and memory.

    python benchmarks/hub.py [--megabytes 500] [--rounds 5]

Starts the tests' Hub server on the loopback. Both competitors publish and fetch one model, taking turns, each time in a
process of its own, to a new repository and into an empty cache. Only the call itself is timed, not the start of Python
and its imports. The time of `zoo` includes checking the folder as strictly as a load would, every sha256, and asking
the Hub which files it has. Memory is the peak of the whole process minus that of a bare interpreter.

Prints the median of each, and of their ratio in each round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEAK = """
def peak():
    import resource
    from pathlib import Path
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""
START = "import sys, time\n" + PEAK + "bare = peak()\n"
END = "\nprint(time.perf_counter() - begin, peak() - bare)\n"

CALLS = {
    "upload_folder": """
from huggingface_hub import HfApi
api = HfApi()
begin = time.perf_counter()
api.create_repo(sys.argv[2], exist_ok=True)
api.upload_folder(repo_id=sys.argv[2], folder_path=sys.argv[1])
""",
    "zoo push": """
import torch, huggingface_hub.hf_api, zoo_vanilla_gan.model
import zoo_core as zoo
push = zoo.push
begin = time.perf_counter()
push(sys.argv[1], sys.argv[2])
""",
    "snapshot_download": """
from huggingface_hub import snapshot_download
begin = time.perf_counter()
snapshot_download(sys.argv[1], revision=sys.argv[2])
""",
    "zoo pull": """
import huggingface_hub.hf_api, huggingface_hub.file_download
import zoo_core as zoo
pull, models = zoo.pull, zoo.registry()
begin = time.perf_counter()
pull("measured")
""",
}


def run(call: str, environment: dict[str, str], *arguments: object) -> tuple[float, float]:
    """Seconds and bytes that a call takes in a process of its own."""
    if hasattr(os, "sync"):
        os.sync()  # pending writes of the previous call would slow this one down
    command = [sys.executable, "-c", START + CALLS[call] + END, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def make_model(folder: Path, megabytes: int) -> None:
    """A model whose weights have about this many megabytes."""
    from zoo_vanilla_gan.model import VanillaGANConfig, VanillaGANGenerator

    widths = (4096,) * (1 + round(megabytes * 1e6 / 4 / 4096**2))
    VanillaGANGenerator(VanillaGANConfig(generator_widths=widths)).save(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500, help="size of the model (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="pushes and pulls of each (default: %(default)s)")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.hub import Hub

    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        make_model(place / "model", options.megabytes)
        size = sum(path.stat().st_size for path in (place / "model").iterdir())
        print(f"{size / 1e6:.0f} MB, {options.rounds} rounds, {os.cpu_count()} cores")
        hub = Hub(place / "hub")
        hub.start()
        try:
            measure(hub, place, options.rounds, size)
        finally:
            hub.stop()


def measure(hub: object, place: Path, rounds: int, size: int) -> None:
    """Measure both directions with both competitors, in turns."""
    from tests.hub import Hub

    assert isinstance(hub, Hub)
    found: dict[str, list[tuple[float, float]]] = {call: [] for call in CALLS}
    for number in range(rounds):
        repositories = {call: f"alice/{call.replace(' ', '-')}-{number}" for call in CALLS}
        uploads = ["upload_folder", "zoo push"]
        for call in uploads if number % 2 else reversed(uploads):
            # The official client asks for Xet and does not fall back to LFS; `zoo push` detects what the Hub supports.
            switch = {"HF_HUB_DISABLE_XET": "1"} if call == "upload_folder" else {}
            environment = hub.environment(place / f"home-{number}-{call}", **switch)
            found[call].append(run(call, environment, place / "model", repositories[call]))
        pulls(hub, place, number, repositories["zoo push"], found)
        for call in uploads:
            hub.api().delete_repo(repositories[call])
    for ours, theirs in (("zoo push", "upload_folder"), ("zoo pull", "snapshot_download")):
        report(ours, theirs, found, size)


def pulls(hub: object, place: Path, number: int, repo: str, found: dict[str, list[tuple[float, float]]]) -> None:
    """Measure fetching the model that was pushed."""
    import shutil

    from msgspec.structs import replace

    from tests.hub import Hub
    from zoo_core.files.digests import file_sha256
    from zoo_core.registries import FileFacts, HubLocation, ModelEntry
    from zoo_core.registries.editing import write_entry

    assert isinstance(hub, Hub)
    commit = hub.api().model_info(repo).sha
    facts = {
        path.name: FileFacts(sha256=file_sha256(path), size=path.stat().st_size) for path in (place / "model").iterdir()
    }
    registry = place / f"registry-{number}.yaml"
    entry = ModelEntry(name="measured", architecture="vanilla_gan", files=facts)
    write_entry(registry, replace(entry, hub=HubLocation(repo=repo, revision=str(commit))))
    downloads = ["snapshot_download", "zoo pull"]
    warm_up = hub.environment(place / "warm-up")
    run("snapshot_download", warm_up, repo, commit)  # the Hub reads the weights from the disk only once
    shutil.rmtree(place / "warm-up")
    for call in downloads if number % 2 else reversed(downloads):
        home = place / f"home-{number}-{call}"
        environment = hub.environment(home, ZOO_REGISTRY=str(registry))
        found[call].append(run(call, environment, repo, commit))
        shutil.rmtree(home)


def report(ours: str, theirs: str, found: dict[str, list[tuple[float, float]]], size: int) -> None:
    for call in (theirs, ours):
        seconds = statistics.median(time for time, _ in found[call])
        memory = max(peak for _, peak in found[call])
        print(f"{call:18} {size / 1e6 / seconds:6.0f} MB/s  {seconds:6.2f} s  {memory / 1e6:5.0f} MB of memory")
    ratios = [theirs_[0] / ours_[0] for ours_, theirs_ in zip(found[ours], found[theirs], strict=True)]
    print(
        f"{ours} reaches {statistics.median(ratios):.2f} of {theirs} (rounds: {', '.join(f'{r:.2f}' for r in ratios)})"
    )


if __name__ == "__main__":
    main()
