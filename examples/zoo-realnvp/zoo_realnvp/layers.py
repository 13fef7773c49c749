"""Affine coupling layers: invertible, with a triangular Jacobian (arXiv 1605.08803, sections 3.2 to 3.6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CouplingNetwork(nn.Module):
    """Network of two convolutional residual blocks, from (N, C, H, W) to a log scale and a shift, each (N, C, H, W).

    The last layer is initialised to zero, so that an untrained flow is the identity.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
            )
            for _ in range(2)
        )
        self.last = nn.Conv2d(width, 2 * channels, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        self.bound = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.first(x)
        for block in self.blocks:
            features = features + block(features)
        log_scale, shift = self.last(torch.relu(features)).chunk(2, dim=1)
        # tanh and a learnt factor bound the log scale (section 4.1).
        return self.bound * torch.tanh(log_scale), shift


class Coupling(nn.Module):
    """Coupling layer: one half of the values is unchanged and determines the scale and the shift of the other half.

    Args:
        pattern: which half is unchanged: checkerboard, or channel for the first half of the channels.
        flipped: exchange the two halves.
    """

    def __init__(self, channels: int, width: int, pattern: str, flipped: bool) -> None:
        super().__init__()
        self.pattern, self.flipped = pattern, flipped
        self.network = CouplingNetwork(channels, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x one layer from data towards latents; return the result (N, C, H, W) and log |det J| (N,)."""
        log_scale, shift = self._terms(x)
        return x * torch.exp(log_scale) + shift, log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """Map z one layer from latents towards data: (N, C, H, W)."""
        log_scale, shift = self._terms(z)
        return (z - shift) * torch.exp(-log_scale)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mask = self._mask(x)
        log_scale, shift = self.network(x * mask)
        return log_scale * (1 - mask), shift * (1 - mask)

    def _mask(self, x: Tensor) -> Tensor:
        """Return a mask that broadcasts to x: 1 where x is unchanged, 0 where it is scaled and shifted."""
        _, channels, height, width = x.shape
        if self.pattern == "channel":
            index = torch.arange(channels, device=x.device)[:, None, None]
            stays = index < channels // 2
        else:
            rows = torch.arange(height, device=x.device)[:, None]
            columns = torch.arange(width, device=x.device)
            stays = ((rows + columns) % 2 == 0)[None]
        return (stays != self.flipped).to(x.dtype)


def squeeze(x: Tensor) -> Tensor:
    """Reshape (N, C, H, W) to (N, 4C, H/2, W/2): every 2 x 2 square becomes four channels (section 3.6)."""
    return nn.functional.pixel_unshuffle(x, 2)


def unsqueeze(x: Tensor) -> Tensor:
    """Undo `squeeze`: reshape (N, 4C, H/2, W/2) to (N, C, H, W)."""
    return nn.functional.pixel_shuffle(x, 2)
