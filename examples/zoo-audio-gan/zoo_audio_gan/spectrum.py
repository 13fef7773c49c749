"""Sounds from the magnitudes of their short-time Fourier transform, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOW, HOP = 512, 128  # samples: 32 and 8 milliseconds at 16 kHz
BINS = WINDOW // 2  # frequencies that are modelled; the highest one is left out
FLOOR = 0.01  # added to magnitudes before their logarithm
MOMENTUM = 0.99


class Spectrum(nn.Module):
    """The short-time Fourier transform of sounds of one length, a multiple of HOP. T is length / HOP, the frames.

    Args:
        length: samples in a sound.
    """

    window: Tensor
    sum_of_windows: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        squares = self.window.square()[None, :, None].expand(1, WINDOW, length // HOP + 1)
        self.register_buffer("sum_of_windows", self._overlapping(squares)[0], persistent=False)

    def log_magnitudes(self, x: Tensor) -> Tensor:
        """Return the natural logarithms (N, C, BINS, T) of the magnitudes of sounds x (N, C, length)."""
        return torch.log(self._transform(x)[..., :-1, :-1].abs() + FLOOR)

    def sounds(self, log_magnitudes: Tensor, iterations: int) -> Tensor:
        """Return sounds (N, C, length) whose spectra have these log magnitudes (N, C, BINS, T), as nearly as any has.

        Phases are found by the algorithm of Griffin and Lim (1984), with the momentum of Perraudin et al. (2013).
        Gradients flow through the magnitudes alone.

        Args:
            iterations: more of them bring the magnitudes closer to the requested ones.
        """
        magnitudes = nn.functional.pad((log_magnitudes.float().exp() - FLOOR).clamp(min=0), (0, 1, 0, 1))
        with torch.no_grad():
            phases = self._phases(magnitudes, iterations)
        return self._inverse(magnitudes * phases)

    def _phases(self, magnitudes: Tensor, iterations: int) -> Tensor:
        guess = before = self._first_phases(magnitudes)
        for _ in range(iterations):
            consistent = self._transform(self._inverse(magnitudes * guess))
            accelerated = consistent + MOMENTUM * (consistent - before)
            guess, before = accelerated / (accelerated.abs() + 1e-8), consistent
        return guess

    def _first_phases(self, magnitudes: Tensor) -> Tensor:
        """Phases that advance from frame to frame as those of steady tones do, each from an angle of its own."""
        bins = torch.arange(magnitudes.shape[-2], device=magnitudes.device, dtype=torch.float32)[:, None]
        frames = torch.arange(magnitudes.shape[-1], device=magnitudes.device, dtype=torch.float32)
        offsets = bins.square() * 0.618034 % 1  # so that the energy of a frame does not gather in one click
        turns = bins * frames * HOP / WINDOW % 1 + offsets
        return torch.polar(torch.ones_like(magnitudes), turns * (2 * torch.pi))

    def _transform(self, x: Tensor) -> Tensor:
        flat = x.float().flatten(0, 1)
        spectrum = torch.stft(flat, WINDOW, HOP, window=self.window.float(), return_complex=True)
        return spectrum.reshape(*x.shape[:2], *spectrum.shape[1:])

    def _inverse(self, spectrum: Tensor) -> Tensor:
        # torch.istft reads the sum of the windows to check it, for which a GPU would have to wait.
        frames = torch.fft.irfft(spectrum.flatten(0, 1), WINDOW, dim=1) * self.window.float()[:, None]
        x = self._overlapping(frames) / self.sum_of_windows.float()
        return x.reshape(*spectrum.shape[:2], self.length)

    def _overlapping(self, frames: Tensor) -> Tensor:
        """The sum (N, length) of frames (N, WINDOW, T + 1), each HOP samples after the one before."""
        size = (1, self.length + WINDOW)
        return nn.functional.fold(frames, size, (1, WINDOW), stride=(1, HOP))[:, 0, 0, WINDOW // 2 : -WINDOW // 2]
