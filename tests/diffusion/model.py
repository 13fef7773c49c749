"""A denoiser of a few convolutions or linear layers, sampled by ancestral steps with guidance."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Generator, ModelConfig, SamplingOptions, Trainer


class NetConfig(ModelConfig, frozen=True):
    width: Annotated[int, Meta(ge=1, le=64)] = 4
    depth: Annotated[int, Meta(ge=1, le=8)] = 1


class DiffusionConfig(ModelConfig, frozen=True):
    size: Annotated[int, Meta(ge=2, le=64)] = 8
    channels: Literal[1, 3] = 1
    num_classes: Annotated[int, Meta(ge=1, le=100)] = 3
    kind: Literal["unet", "mlp"] = "unet"
    net: NetConfig = NetConfig(width=8)


class DiffusionOptions(SamplingOptions, frozen=True):
    """How samples are drawn.

    Args:
        steps: number of steps; more of them take longer.
        guidance: strength of the class. 1: as trained.
        noisy: whether steps add noise.
    """

    steps: Annotated[int, Meta(ge=1, le=1000)] = 5
    guidance: Annotated[float, Meta(ge=0, le=100)] = 1.0
    noisy: bool = True


class UNet(nn.Module):
    """One level down and up, with a skip connection, group norms and attention in the middle."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        width = config.net.width
        self.label = nn.Embedding(config.num_classes + 1, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.Conv2d(config.channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 2 * width)
        self.attention = nn.MultiheadAttention(2 * width, 2, batch_first=True)
        self.up = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.last = nn.Conv2d(2 * width, config.channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        width = self.label.embedding_dim
        waves = torch.exp(torch.arange(width // 2, device=x.device) * (-math.log(1000) / (width // 2))).to(x.dtype)
        angles = time[:, None] * waves
        given = self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(labels)
        fine = nn.functional.silu(self.first(x) + given[:, :, None, None])
        coarse = nn.functional.silu(self.norm(self.down(fine)))
        rows = coarse.flatten(2).transpose(1, 2)
        rows = rows + self.attention(rows, rows, rows, need_weights=False)[0]
        coarse = rows.transpose(1, 2).reshape(coarse.shape)
        return self.last(torch.cat([fine, self.up(coarse)], 1))


class MLP(nn.Module):
    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        size, width = config.channels * config.size**2, 8 * config.net.width
        self.label = nn.Embedding(config.num_classes + 1, width)
        self.inner = nn.Linear(size + 1, width)
        self.deep = nn.Sequential(*[nn.Linear(width, width) for _ in range(config.net.depth)])
        self.outer = nn.Linear(width, size)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        hidden = self.inner(torch.cat([x.flatten(1), time[:, None]], 1)) + self.label(labels)
        return self.outer(torch.tanh(self.deep(hidden))).reshape(x.shape)


class DiffusionGenerator(Generator):
    Options = DiffusionOptions
    stochastic = True

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__(config)
        self.num_classes = config.num_classes
        self.latent_shape = self.sample_shape = (config.channels, config.size, config.size)
        self.net = {"unet": UNet, "mlp": MLP}[config.kind](config)

    def states(self, z, labels=None, *, options, noise) -> Iterator[Tensor]:
        x = z
        nobody = torch.full_like(labels, self.num_classes)
        for step in range(options.steps):
            left = 1 - step / options.steps
            time = torch.full((len(x),), left, device=x.device, dtype=x.dtype)
            error = self.net(x, time, labels)
            if options.guidance != 1:
                anyone = self.net(x, time, nobody)
                error = anyone + options.guidance * (error - anyone)
            x = x - error / options.steps
            if options.noisy:
                x = x + left * 0.1 * noise(step, self.sample_shape)
            yield torch.tanh(x)


class DiffusionTrainer(Trainer):
    def build(self) -> None:
        self.modules["generator"] = DiffusionGenerator(self.config)
        self.optimizers["generator"] = self.adam(self.modules["generator"])

    def training_step(self, batch):
        count = len(batch)
        noise = self.draw(torch.randn, count, *self.sample_shape)
        time = self.draw(torch.rand, count)
        noised = batch.samples + time[:, None, None, None] * (noise - batch.samples)
        error = self.modules["generator"].net(noised, time, batch.labels) - (noise - batch.samples)
        loss = error.square().mean()
        self.update("generator", loss)
        return {"loss": loss.detach()}
