"""RealNVP (Dinh et al., 2016, arXiv 1605.08803): exact sampling, exact encoding, exact likelihood."""

from __future__ import annotations

import math
from typing import Annotated, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor, nn
from zoo_core import Encoder, Generator, ModelConfig

from zoo_realnvp.layers import Coupling, squeeze, unsqueeze

LEVELS = 256  # number of values of an 8-bit pixel


class RealNVPConfig(ModelConfig, frozen=True):
    """Configuration of a RealNVP with two scales, for square pictures.

    Args:
        size: height and width in pixels, a multiple of 4.
        channels: 1 for grey, 3 for colour.
        width: channels inside the networks of the coupling layers.
        couplings: coupling layers in each of the three groups.
        margin: distance of pixels from 0 and 1 before the logit, which is infinite there; alpha in the paper.
    """

    size: Annotated[int, Meta(ge=8, le=256, multiple_of=4)] = 32
    channels: Literal[1, 3] = 1
    width: Annotated[int, Meta(ge=1, le=1024)] = 32
    couplings: Annotated[int, Meta(ge=2, le=32)] = 4
    margin: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05


class RealNVP(Generator, Encoder):
    """Flow from z (N, channels, size, size) to pictures of the same shape in [0, 1], and back without loss.

    From pictures to z: couplings with checkerboard masks, a squeeze, and couplings with channel masks. Half of the
    channels are then latents; the other half passes through more couplings with checkerboard masks (section 3.6).
    """

    config: RealNVPConfig

    def __init__(self, config: RealNVPConfig) -> None:
        super().__init__(config)
        self.latent_shape = self.sample_shape = (config.channels, config.size, config.size)
        self.fine = self._group(config.channels, "checkerboard")
        self.squeezed = self._group(4 * config.channels, "channel")
        self.coarse = self._group(2 * config.channels, "checkerboard")

    def _group(self, channels: int, pattern: str) -> nn.ModuleList:
        return nn.ModuleList(
            Coupling(channels, self.config.width, pattern, flipped=bool(number % 2))
            for number in range(self.config.couplings)
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        early, x = squeeze(z).chunk(2, dim=1)
        x = torch.cat([early, _back(self.coarse, x)], dim=1)
        x = _back(self.fine, unsqueeze(_back(self.squeezed, x)))
        # This can leave [0, 1] by at most margin / (1 - 2 margin), where there is no data.
        return (torch.sigmoid(x) - self.config.margin) / (1 - 2 * self.config.margin)

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        return self.flow(x)[0], None

    def flow(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z (N, channels, size, size) for x in [0, 1], and log |det dz/dx| (N,)."""
        inner = self.config.margin + (1 - 2 * self.config.margin) * x
        of_logit = math.log(1 - 2 * self.config.margin) - inner.log() - torch.log1p(-inner)
        x, of_fine = _forth(self.fine, torch.logit(inner))
        x, of_squeezed = _forth(self.squeezed, squeeze(x))
        early, x = x.chunk(2, dim=1)
        x, of_coarse = _forth(self.coarse, x)
        determinant = of_logit.flatten(1).sum(1) + of_fine + of_squeezed + of_coarse
        return unsqueeze(torch.cat([early, x], dim=1)), determinant

    def log_density(self, x: Tensor) -> Tensor:
        """Return the exact log density log p(x) on [0, 1] (equation 3): (N,), in nats.

        Args:
            x: (N, *sample_shape), continuous values; dequantise 8-bit values first.
        """
        z, determinant = self.flow(x)
        of_prior = -(z.square() + math.log(2 * math.pi)) / 2
        return of_prior.flatten(1).sum(1) + determinant

    def bits_per_dimension(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return -log2 p of 8-bit pictures, per pixel and channel: (N,).

        The density of (255 x + noise) / 256 gives a bound on the probability of the 8-bit picture (Theis et al., 2015,
        arXiv 1511.01844, section 3.1).

        Args:
            x: (N, *sample_shape) in [0, 1].
            noise: (N, *sample_shape), uniform in [0, 1).
        """
        nats = self.log_density(dequantised(x, noise))
        return math.log2(LEVELS) - nats / (math.prod(self.sample_shape) * math.log(2))

    def to_unit(self, x: Tensor) -> Tensor:
        return x

    def from_unit(self, x: Tensor) -> Tensor:
        return x


def dequantised(x: Tensor, noise: Tensor) -> Tensor:
    """Dequantise 8-bit values in [0, 1]: spread each evenly over the interval up to the next, within [0, 1)."""
    return ((LEVELS - 1) * x + noise) / LEVELS


def _forth(couplings: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    determinant = x.new_zeros(len(x))
    for coupling in couplings:
        x, of_coupling = coupling(x)
        determinant = determinant + of_coupling
    return x, determinant


def _back(couplings: nn.ModuleList, z: Tensor) -> Tensor:
    for coupling in reversed(couplings):
        z = cast("Coupling", coupling).inverse(z)
    return z
