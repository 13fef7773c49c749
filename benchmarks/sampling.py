"""Samples per second of a model's own layers, the zoo, and the best known implementation; accuracy of bfloat16.

    python benchmarks/sampling.py [--rounds 7] [--seconds 0.5] [--only WORD]

Draws batches of 64 on the CPU. All competitors run in one process and take turns, and noisy rounds are discarded;
compare ratios. Prints a Markdown table:

- own: the model's own layers, from precomputed latents.
- hand: the best known implementation for such a model: oneDNN's packed linear layers with their activations; BatchNorm
  folded into the weights, channels last; x2 upsampling and a 3 x 3 convolution as one transposed convolution.
- zoo: the function that `sample` calls, from the same latents; sample: all of `sample`, from a seed to 256 pictures in
  [0, 1], in batches of its own choice.
- of the peak: the arithmetic of the model's own layers divided by the rate of torch.mm in that type, measured in the
  same run. More than 100% is possible if merged layers take fewer operations.
- off, largest: the fraction of 8-bit values that differ by more than one step from the float32 reference, and the
  largest difference in steps.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measuring import peak, peak_memory, rates
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode
from zoo_dcgan.model import DCGANConfig, DCGANGenerator

import zoo_core as zoo
from zoo_core.kinds.pictures import to_uint8
from zoo_core.sampling.batches import sample_batches
from zoo_core.sampling.inference import prepared
from zoo_core.streams import draw_labels

BATCH, SAMPLES = 64, 256
BUNDLED = ("vanilla-gan-mnist", "dcgan-mnist", "dcgan-mnist-conditional", "cnn-gan-mnist", "vae-mnist")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Forward = Callable[[Tensor], Tensor]


class UpsamplingDCGAN(zoo.Generator):
    """The generator of many tutorials: nearest upsampling and 3 x 3 convolutions, 64 x 64 in colour."""

    latent_shape, sample_shape = (100,), (3, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(100, 512 * 4 * 4)
        layers: list[nn.Module] = []
        for width_in, width in ((512, 256), (256, 128), (128, 64), (64, 64)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width_in, width, 3, padding=1)]
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
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


def by_hand(model: zoo.Generator) -> Forward | None:
    """A hand-written function for the model; None if there is none."""
    if isinstance(model, DCGANGenerator) and model.num_classes is None:
        layers = _folded(model.layers).to(memory_format=torch.channels_last)
        return lambda z: layers(z[:, :, None, None])
    if isinstance(model, UpsamplingDCGAN):
        layers, dense = _folded(model.layers).to(memory_format=torch.channels_last), model.dense
        return lambda z: layers(dense(z).unflatten(1, (512, 4, 4)).contiguous(memory_format=torch.channels_last))
    if type(model).__name__ == "VanillaGANGenerator":
        return _packed_mlp(model)
    return None


def _packed_mlp(model: zoo.Generator) -> Forward:
    operations = torch.ops.mkldnn
    names = {nn.LeakyReLU: ("leaky_relu", [0.2], ""), nn.Tanh: ("tanh", [], "")}
    layers = list(model.layers)
    packed = [
        (operations._reorder_linear_weight(linear.weight, BATCH), linear.bias, *names[type(activation)])
        for linear, activation in zip(layers[::2], layers[1::2], strict=True)
    ]

    def forward(z: Tensor) -> Tensor:
        for arguments in packed:
            z = operations._linear_pointwise(z, *arguments)
        return z.view(-1, *model.sample_shape)

    return forward


def _folded(chain: nn.Sequential) -> nn.Sequential:
    layers = list(copy.deepcopy(chain))
    dtype = next(chain.parameters()).dtype
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            before = layers[index - 1].float()
            transposed = isinstance(before, nn.ConvTranspose2d)
            layers[index - 1] = fuse_conv_bn_eval(before, layer.float(), transpose=transposed).to(dtype)
    kept: list[nn.Module] = []
    for layer in (layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)):
        if kept and isinstance(kept[-1], nn.Upsample):
            kept[-1] = _doubling(layer)
        else:
            kept.append(layer)
    for layer in kept:
        if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
            layer.inplace = True
    return nn.Sequential(*kept)


def _doubling(layer: nn.Module) -> nn.ConvTranspose2d:
    doubling = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1)
    axis = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    doubling.weight.data = torch.einsum("tk,ul,oikl->iotu", axis, axis, layer.weight.float())
    doubling.bias.data = layer.bias.data
    return doubling.to(layer.weight.dtype).requires_grad_(False)


@torch.no_grad()
def report(name: str, model: zoo.Generator, rounds: int, seconds: float, peaks: dict[str, float]) -> None:
    """Print the rows of one model."""
    z = model.latents(0, 0, BATCH)
    labels = None if model.num_classes is None else draw_labels(0, 0, BATCH, model.num_classes)
    of_type = {kind: model if kind == "float32" else copy.deepcopy(model).to(dtype) for kind, dtype in TYPES.items()}
    competitors: dict[str, Callable[[], object]] = {}
    for kind, typed in of_type.items():
        inputs, fast, hand = z.to(TYPES[kind]), prepared(typed), by_hand(typed)
        competitors[f"own {kind}"] = lambda typed=typed, inputs=inputs: typed(inputs, labels)
        if hand is not None:
            _check(hand(inputs), typed(inputs, labels), name)
            competitors[f"hand {kind}"] = lambda hand=hand, inputs=inputs: hand(inputs)
        competitors[f"zoo {kind}"] = lambda fast=fast, inputs=inputs: fast(inputs, labels)
        competitors[f"sample {kind}"] = lambda typed=typed: typed.sample(SAMPLES)
    found = rates(competitors, rounds, seconds)
    for kind in TYPES:
        found[f"sample {kind}"] *= SAMPLES / BATCH
    with FlopCounterMode(display=False) as counter:
        model(z, labels)
    flops = counter.get_total_flops()
    for what, rate in found.items():
        who, kind = what.split()
        hand_rate = found.get(f"hand {kind}")
        to_hand = f"{rate / hand_rate:.2f}" if hand_rate and who in ("zoo", "sample") else ""
        share = f"{rate * flops / peaks[kind]:.0%}"
        off = distance(model, of_type[kind]) if what == "sample bfloat16" else " | "
        ratio = f"{rate / found['own float32']:.2f}"
        print(f"| {name} | {what} | {rate * BATCH:,.0f} | {ratio} | {to_hand} | {share} | {off} |", flush=True)


def _check(found: Tensor, expected: Tensor, name: str) -> None:
    limit = 0.1 if expected.dtype == torch.bfloat16 else 1e-5
    if (found - expected).abs().max() > limit:
        raise SystemExit(f"{name}: what is written by hand computes something else")


def distance(model: zoo.Generator, coarse: zoo.Generator) -> str:
    """Two cells of the table: how far the 8-bit pictures of `coarse` are from the model's."""
    reference = to_uint8(model.sample(256)).astype(int)
    steps = abs(to_uint8(coarse.sample(256)).astype(int) - reference)
    return f"{(steps > 1).mean():.2%} | {steps.max()}"


def report_memory() -> None:
    """Print the peak memory of this process before and after many more samples."""
    model = zoo.load("vanilla-gan-mnist", device="cpu")
    held = []
    for count in (2_000, 200_000):
        for _ in sample_batches(model, count):
            pass
        held.append(peak_memory() / 1e6)
    print(f"\nPeak memory {held[0]:,.0f} MB; {held[1] - held[0]:,.1f} MB more after 200,000 more samples.")


def report_start(rounds: int) -> None:
    """Print the time from Enter to the file, relative to importing torch; bytecode is cached, as in an installation."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": f"{folder}/compiled", "PYTHONDONTWRITEBYTECODE": ""}
        sampling = ["-m", "zoo_core", "sample", "dcgan-mnist", "-n", "64", "-o", str(Path(folder, "grid.png"))]

        def seconds(*arguments: str) -> float:
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
            return time.perf_counter() - began

        seconds(*sampling)
        pairs = [(seconds("-c", "import torch"), seconds(*sampling)) for _ in range(rounds)]
    ratio = statistics.median(sampled / imported for imported, sampled in pairs)
    print(f"`zoo sample dcgan-mnist -n 64`, from Enter to the file: {ratio:.2f} times `python -c 'import torch'`.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each model (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="time of each competitor in each round (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="measure only models with WORD in their names", metavar="WORD")
    options = parser.parse_args()
    peaks = {name: peak(dtype) for name, dtype in TYPES.items()}
    print(", ".join(f"{name} matrices {rate / 1e9:,.0f} GFLOP/s" for name, rate in peaks.items()))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| model | what | images/s | to own float32 | to hand | of the peak | off | largest |")
    print("|---|---|---|---|---|---|---|---|")
    for name, model in models().items():
        if options.only in name:
            report(name, model, options.rounds, options.seconds, peaks)
    report_memory()
    report_start(options.rounds)


if __name__ == "__main__":
    main()
