"""Sounds from the magnitudes of their short-time Fourier transform, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOW, HOP = 512, 128  # samples: 32 and 8 milliseconds at 16 kHz
BINS = WINDOW // 2  # frequencies that are modelled; the highest one is left out
FLOOR = 1e-2  # added to magnitudes before their logarithm


class Spectrum(nn.Module):
    """The short-time Fourier transform of sounds of one length, a multiple of HOP. T is that many frames.

    Args:
        length: samples in a sound.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def log_magnitudes(self, x: Tensor) -> Tensor:
        """Return the natural logarithms (N, C, BINS, T) of the magnitudes of sounds x (N, C, length)."""
        return torch.log(self._transform(x)[..., :-1, :-1].abs() + FLOOR)

    def sounds(self, log_magnitudes: Tensor, iterations: int) -> Tensor:
        """Return sounds (N, C, length) whose spectra have these log magnitudes (N, C, BINS, T), as far as any has.

        Phases are found by the algorithm of Griffin and Lim (1984) with momentum (Perraudin et al., 2013). Gradients
        flow through the magnitudes alone.

        Args:
            iterations: more of them bring the magnitudes closer to the requested ones.
        """
        magnitudes = nn.functional.pad((log_magnitudes.float().exp() - FLOOR).clamp(min=0), (0, 1, 0, 1))
        with torch.no_grad():
            phases = self._phases(magnitudes, iterations)
        return self._inverse(magnitudes * phases)

    def _phases(self, magnitudes: Tensor, iterations: int) -> Tensor:
        # Without momentum the first guess would be kept for long: a phase that advances as each frequency does.
        bins, frames = magnitudes.shape[-2:]
        turns = torch.arange(bins, device=magnitudes.device)[:, None] * torch.arange(frames, device=magnitudes.device)
        guess = torch.polar(torch.ones_like(magnitudes), (turns * HOP % WINDOW) * (2 * torch.pi / WINDOW) + self._jitter(magnitudes))
        before = guess
        for _ in range(iterations):
            consistent = self._transform(self._inverse(magnitudes * guess))
            accelerated = consistent + 0.99 * (consistent - before)
            guess, before = accelerated / (accelerated.abs() + 1e-8), consistent
        return guess

    def _jitter(self, magnitudes: Tensor) -> Tensor:
        """Fixed offsets of the phases, so that the energy of a frame does not gather in one click."""
        bins = torch.arange(magnitudes.shape[-2], device=magnitudes.device)[:, None]
        return (bins * bins * 0.6180339887 % 1) * (2 * torch.pi)

    def _transform(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x.float().flatten(0, 1), WINDOW, HOP, window=self.window, return_complex=True)
        return spectrum.unflatten(0, x.shape[:2])

    def _inverse(self, spectrum: Tensor) -> Tensor:
        x = torch.istft(spectrum.flatten(0, 1), WINDOW, HOP, window=self.window, length=self.length)
        return x.unflatten(0, spectrum.shape[:2])
