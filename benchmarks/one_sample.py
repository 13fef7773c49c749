"""What a single sample costs: its time next to one forward pass, and the memory of `--batch-size 1`.

    python benchmarks/one_sample.py [--rounds 5]

Until batches stopped being filled up, a single sample took the time and the memory of sixteen: that is the row
"sixteen at once". Every competitor takes its turn in every round, in one process, and the fastest of its rounds counts;
memory is the peak of a process of its own above that of the loaded model. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from measuring import peak_memory
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

import zoo_core as zoo
from zoo_core.sampling.whole_blocks import BLOCK


class Upsampling(zoo.Generator):
    """Colour pictures of 256 x 256 from six steps of upsampling, each with two convolutions and GroupNorm."""

    latent_shape, sample_shape = (128,), (3, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        widths = (256, 128, 128, 64, 64, 32, 32)
        self.dense = nn.Linear(128, widths[0] * 16)
        self.first = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths[1:])
        self.second = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths[1:])
        self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.dense(z).unflatten(1, (-1, 4, 4))
        for first, norm, second in zip(self.first, self.norms, self.second, strict=True):
            x = second(silu(norm(first(interpolate(x, scale_factor=2)))))
        return torch.tanh(self.last(silu(x)))


class Steps(zoo.Generator):
    """Colour pictures of 32 x 32 in 20 steps of one network with attention, as a diffusion model makes them."""

    latent_shape = sample_shape = (3, 32, 32)

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.down, self.up = nn.Conv2d(width, width, 4, 2, 1), nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        for step in range(20):
            time = self.time(z.new_full((len(z), 1), step / 20))
            x = silu(self.first(z) + time[:, :, None, None])
            small = silu(self.down(x))
            tokens = small.flatten(2).transpose(1, 2)
            q, k, v = (part.unflatten(2, (4, -1)).transpose(1, 2) for part in self.qkv(tokens).chunk(3, 2))
            seen = self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            z = z - self.last(silu(x + self.up(small + seen.transpose(1, 2).unflatten(2, small.shape[2:])))) / 20
        return torch.tanh(z)


def models() -> dict[str, zoo.Generator]:
    torch.manual_seed(0)
    made: dict[str, zoo.Generator] = {"256 x 256, upsampling": Upsampling(), "32 x 32, 20 steps": Steps()}
    return {name: model.eval().requires_grad_(False) for name, model in made.items()}


@torch.no_grad()
def report(name: str, model: zoo.Generator, rounds: int) -> None:
    """Print the rows of one model."""
    z = model.latents(0, 0, BLOCK)
    competitors: dict[str, Callable[[], object]] = {
        "its forward pass alone": lambda: model(z[:1]),
        "sample(1)": lambda: model.sample(1),
        "sixteen at once": lambda: model(z),
        "sample(16)": lambda: model.sample(BLOCK),
    }
    seconds = dict.fromkeys(competitors, float("inf"))
    for _ in range(rounds + 1):  # the first one warms up
        for what, call in competitors.items():
            began = time.perf_counter()
            call()
            seconds[what] = min(seconds[what], time.perf_counter() - began)
    for what, taken in seconds.items():
        ratio = taken / seconds["its forward pass alone"]
        size = {"sample(1)": "1", "sixteen at once": str(BLOCK)}.get(what)
        memory = f"{memory_of(name, size) / 1e6:,.0f}" if size else ""
        print(f"| {name} | {what} | {taken * 1e3:,.0f} | {ratio:.2f} | {memory} |", flush=True)


def memory_of(name: str, size: str) -> int:
    """The bytes by which a process rises that samples with a batch of this size."""
    command = [sys.executable, __file__, "--memory", name, "--size", size]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_memory(name: str, size: int) -> None:
    """Print the rise in this process."""
    model = models()[name]
    before = peak_memory()
    model.sample(size, batch_size=size)
    print(peak_memory() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each model (default: %(default)s)")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.memory, options.size)
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| model | what | ms | to its forward pass | memory, MB |")
    print("|---|---|---|---|---|")
    for name, model in models().items():
        report(name, model, options.rounds)


if __name__ == "__main__":
    main()
