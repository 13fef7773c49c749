"""Train the models of well-known tutorials, which the bundled models are compared with.

    python benchmarks/baselines.py --data path/to/mnist --out runs/baselines [--steps N] [NAME...]

Trains each with the batch size of its bundled counterpart, for the number of steps given below (or N), measures it in
the same way, and prints rows for the table of docs/quality.md. Pictures and weights are written to the folder, and a
run that was stopped, or is to be longer, is continued.

Networks, losses and optimisers are those of the tutorials (the DCGAN tutorial and the VAE example of PyTorch, and the
MLP GAN of the most copied collection of GANs), implemented independently. The only difference is that the data comes
from memory instead of a DataLoader, which changes no value.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from quality import row
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_core import Generator
from zoo_core.data.opening import open_images
from zoo_core.kinds.pictures import grid, save_png, to_uint8
from zoo_core.metrics import evaluate

CHECKPOINT_EVERY = 2000
REPEATS = 5


class TutorialMLPGenerator(Generator):
    """100 normal numbers through layers of 128, 256, 512 and 1024. BatchNorm's 0.8 is an epsilon, as often copied."""

    latent_shape, sample_shape = (100,), (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(100, 128), nn.LeakyReLU(0.2)]
        for before, after in ((128, 256), (256, 512), (512, 1024)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after, 0.8), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(z)


def tutorial_mlp_discriminator() -> nn.Module:
    """784 pixels through layers of 512 and 256 to a probability."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2),
        nn.Linear(256, 1), nn.Sigmoid(), nn.Flatten(0),
    )  # fmt: skip


class TutorialDCGANGenerator(Generator):
    """The DCGAN tutorial's generator, of base width 64, with one stage less because digits are 32 x 32, not 64 x 64."""

    latent_shape, sample_shape = (100,), (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1))]
        for before, after, stride, padding in ((100, 256, 1, 0), (256, 128, 2, 1), (128, 64, 2, 1)):
            layers += [nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False), nn.BatchNorm2d(after)]
            layers.append(nn.ReLU(True))
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False), nn.Tanh())
        self.apply(_dcgan_weights)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(z)


def tutorial_dcgan_discriminator() -> nn.Module:
    """The DCGAN tutorial's discriminator, with one stage less."""
    layers: list[nn.Module] = [nn.Conv2d(1, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in ((64, 128), (128, 256)):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    network = nn.Sequential(*layers, nn.Conv2d(256, 1, 4, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(0))
    return network.apply(_dcgan_weights)


def _dcgan_weights(layer: nn.Module) -> None:
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


class TutorialVAE(Generator):
    """The VAE example's model: 784, 400, 20 and back; grey values are the targets of the cross-entropy."""

    latent_shape, sample_shape = (20,), (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))
        self.decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.decoder(z).unflatten(1, self.sample_shape)

    def to_unit(self, x: Tensor) -> Tensor:
        return x

    def from_unit(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class Baseline:
    """A tutorial's model. `batch_size` is that of its bundled counterpart."""

    title: str
    generator: Callable[[], Generator]
    discriminator: Callable[[], nn.Module] | None
    steps: int
    batch_size: int


BASELINES = {
    "mlp-gan": Baseline("tutorial MLP GAN", TutorialMLPGenerator, tutorial_mlp_discriminator, 40_000, 128),
    "dcgan": Baseline("tutorial DCGAN", TutorialDCGANGenerator, tutorial_dcgan_discriminator, 18_000, 64),
    "vae": Baseline("tutorial VAE", TutorialVAE, None, 100_000, 128),
}


class Run:
    """The training of one baseline: networks, optimisers, position."""

    def __init__(self, baseline: Baseline) -> None:
        torch.manual_seed(0)
        self.baseline, self.generator, self.step = baseline, baseline.generator(), 0
        self.discriminator = baseline.discriminator() if baseline.discriminator else None
        rate, betas = (2e-4, (0.5, 0.999)) if self.discriminator else (1e-3, (0.9, 0.999))
        networks = [network for network in (self.generator, self.discriminator) if network is not None]
        self.optimizers = [torch.optim.Adam(network.parameters(), rate, betas) for network in networks]
        self.parts = [*networks, *self.optimizers]

    def train(self, pixels: Tensor, folder: Path, steps: int) -> None:
        """Train up to `steps` steps in total, starting from the checkpoint in the folder if there is one."""
        checkpoint = folder / "checkpoint.pt"
        if checkpoint.is_file():
            saved = torch.load(checkpoint, weights_only=True)
            self.step = saved["step"]
            for part, state in zip(self.parts, saved["parts"], strict=True):
                part.load_state_dict(state)
        if self.step > steps:
            raise SystemExit(f"{checkpoint} is of step {self.step:,}, past the {steps:,} asked for; name another --out")
        batches = self._batches(pixels)
        update = self._update_vae if self.discriminator is None else self._update_gan
        while self.step < steps:
            update(next(batches))
            self.step += 1
            if self.step % CHECKPOINT_EVERY == 0 or self.step == steps:
                state = {"step": self.step, "parts": [part.state_dict() for part in self.parts]}
                unfinished = folder / "checkpoint.new"
                torch.save(state, unfinished)
                unfinished.replace(checkpoint)
                print(f"{self.baseline.title}: step {self.step:,}", file=sys.stderr, flush=True)

    def _batches(self, pixels: Tensor) -> Iterator[Tensor]:
        torch.manual_seed(self.step)
        while True:
            for chosen in torch.randperm(len(pixels)).split(self.baseline.batch_size)[:-1]:
                yield self.generator.from_unit(pixels[chosen].float() / 255)

    def _update_gan(self, real: Tensor) -> None:
        assert self.discriminator is not None
        of_generator, of_discriminator = self.optimizers
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        of_discriminator.zero_grad()
        fake = self.generator(torch.randn(len(real), 100))
        F.binary_cross_entropy(self.discriminator(real), ones).backward()
        F.binary_cross_entropy(self.discriminator(fake.detach()), zeros).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        F.binary_cross_entropy(self.discriminator(fake), ones).backward()
        of_generator.step()

    def _update_vae(self, x: Tensor) -> None:
        (optimizer,) = self.optimizers
        optimizer.zero_grad()
        assert isinstance(self.generator, TutorialVAE)
        mean, logvar = self.generator.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        error = F.binary_cross_entropy(self.generator(z), x, reduction="sum")
        (error - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())).backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BASELINES))
    parser.add_argument("--data", required=True, help="MNIST, in any form that `zoo train` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and pictures")
    parser.add_argument("--steps", type=int, help="training steps (default: as many as the bundled counterpart had)")
    options = parser.parse_args()
    for name in options.names or BASELINES:
        run, folder = Run(BASELINES[name]), options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        data = open_images(options.data).decode(run.generator.sample_shape)
        steps = options.steps or run.baseline.steps
        run.train(data.samples, folder, steps)
        generator = run.generator.eval()
        save_png(grid(to_uint8(generator.sample(64))), folder / "samples.png")
        figures = evaluate(generator, data, repeats=REPEATS)
        print(
            row(f"{run.baseline.title}, {steps:,} steps", {figure.metric: figure.to_metric() for figure in figures}),
            flush=True,
        )


if __name__ == "__main__":
    main()
