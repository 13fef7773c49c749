"""Samples a second: the model's own layers, the zoo's `sample`, and how far bfloat16 is from the reference.

    python benchmarks/sampling.py [--rounds 7] [--seconds 1.0]

Batches of 64 on the CPU, in one process, in turn, noisy rounds left out; prints markdown tables. `forward` is the
function alone, from latents that are there; `sample` is all of it, from a seed to pictures in [0, 1].
"""

from __future__ import annotations

import argparse
import copy

import torch
from measuring import peak, peak_memory, rates
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from zoo_dcgan.model import DCGANConfig, DCGANGenerator

import zoo_core as zoo
from zoo_core.images import to_uint8
from zoo_core.inference import prepared
from zoo_core.sampling import sample_batches

BATCH = 64
BUNDLED = ("vanilla-gan-mnist", "dcgan-mnist", "cnn-gan-mnist", "vae-mnist")


class UpsamplingDCGAN(zoo.Generator):
    """The generator that many tutorials use: nearest upsampling and 3 x 3 convolutions, 64 x 64 in colour."""

    latent_shape, sample_shape = (100,), (3, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(100, 512 * 4 * 4)
        layers: list[nn.Module] = []
        for width_in, width in ((512, 256), (256, 128), (128, 64), (64, 64)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width_in, width, 3, padding=1)]
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.layers(self.dense(z).unflatten(1, (512, 4, 4)))


def models() -> dict[str, zoo.Generator]:
    torch.manual_seed(0)
    fresh = {
        "DCGAN 64, transposed convolutions": DCGANGenerator(DCGANConfig()),
        "DCGAN 64, upsampling": UpsamplingDCGAN(),
    }
    for model in fresh.values():
        model.eval().requires_grad_(False)
    return {name: zoo.load(name, device="cpu") for name in BUNDLED} | fresh


def in_bfloat16(model: zoo.Generator) -> zoo.Generator:
    return copy.deepcopy(model).to(torch.bfloat16)


@torch.no_grad()
def report(name: str, model: zoo.Generator, rounds: int, seconds: float, peaks: dict[str, float]) -> None:
    coarse = in_bfloat16(model)
    z = model.latents(0, 0, BATCH)
    z16 = z.to(torch.bfloat16)
    fast, fast16 = prepared(model), prepared(coarse)
    found = rates(
        {
            "forward, float32, own layers": lambda: model(z),
            "forward, float32, zoo": lambda: fast(z),
            "forward, bfloat16, own layers": lambda: coarse(z16),
            "forward, bfloat16, zoo": lambda: fast16(z16),
            "sample, float32": lambda: model.sample(BATCH),
            "sample, bfloat16": lambda: coarse.sample(BATCH),
        },
        rounds,
        seconds,
    )
    with FlopCounterMode(display=False) as counter:
        model(z)
    flops = counter.get_total_flops() / BATCH
    own = found["forward, float32, own layers"]
    for what, rate in found.items():
        limit = peaks["bfloat16" if "bfloat16" in what else "float32"]
        print(
            f"| {name} | {what} | {rate * BATCH:,.0f} | {rate / own:.2f} | {rate * BATCH * flops / limit:.0%} |",
            flush=True,
        )


def report_distance(name: str, model: zoo.Generator) -> None:
    """How far the 8-bit pictures in bfloat16 are from those in float32."""
    reference = to_uint8(model.sample(256)).astype(int)
    difference = abs(to_uint8(in_bfloat16(model).sample(256)).astype(int) - reference)
    print(f"| {name} | {(difference > 1).mean():.2%} | {difference.max()} |")


def report_memory() -> None:
    """The peak after ten thousand more samples than before."""
    model = zoo.load("dcgan-mnist", device="cpu")
    held = []
    for count in (2_000, 20_000):
        for _ in sample_batches(model, count):
            pass
        held.append(peak_memory())
    print(f"\nPeak memory after 2,000 samples {held[0] / 1e6:,.0f} MB, after 20,000 more {held[1] / 1e6:,.0f} MB.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    print(", ".join(f"{name} matrices {rate / 1e9:,.0f} GFLOP/s" for name, rate in peaks.items()))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| model | what | images/s | to its own layers in float32 | of the matrix peak |\n|---|---|---|---|---|")
    for name, model in models().items():
        report(name, model, options.rounds, options.seconds, peaks)
    print("\n| model | pixels beyond one step | largest step |\n|---|---|---|")
    for name in BUNDLED:
        report_distance(name, zoo.load(name, device="cpu"))
    report_memory()


if __name__ == "__main__":
    main()
