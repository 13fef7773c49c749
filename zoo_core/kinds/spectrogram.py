"""Sounds to look at: the waveform of each above its spectrogram, and the colours of both."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

WIDTH, WAVE_HEIGHT, SPECTROGRAM_HEIGHT = 160, 40, 80  # pixels
QUIETEST = -80.0  # decibels below a sine at full scale, which is black
_WINDOW = 0.032  # seconds: long enough for the harmonics of a voice, short enough for its syllables
_FINER = 4  # times: the spectrum is interpolated, as low bands of the mel scale are narrower than a line of it
_MOST_WINDOWS = 8  # that one column of pixels is the mean of
_LANES = 8  # channels whose waveforms are shown
_LANE_HEIGHT = 16  # pixels, at least
_BACKGROUND, _LINE, _WAVE = (17, 17, 23), (58, 58, 70), (134, 199, 243)


def draw_sound(sound: np.ndarray, rate: int, scale: int = 1) -> np.ndarray:
    """Draw one sound: its waveforms, a lane for each channel, above the spectrogram of all channels together.

    Args:
        sound: (channels, length), in [-1, 1].
        rate: samples a second.
        scale: 2 draws it twice as large.

    Returns:
        (H, W, 3) uint8.

    Example:
        >>> draw_sound(np.zeros((1, 8192), np.float32), 16000).shape
        (121, 160, 3)
    """
    width = WIDTH * scale
    shown = np.nan_to_num(sound[:_LANES].astype(np.float64)).clip(-1, 1)
    lane = max(WAVE_HEIGHT // len(shown), _LANE_HEIGHT) * scale
    gap = np.full((scale, width, 3), _BACKGROUND, np.uint8)
    waves = [draw_wave(channel, width, lane) for channel in shown]
    return np.concatenate([*waves, gap, draw_spectrogram(sound, rate, width, SPECTROGRAM_HEIGHT * scale)])


def draw_wave(samples: np.ndarray, width: int, height: int) -> np.ndarray:
    """Draw the waveform of one channel (length,), in [-1, 1]: from the lowest to the highest sample of each column.

    Returns:
        (height, width, 3) uint8.
    """
    points = max(len(samples), 4 * width)  # of few samples, the line between them is drawn
    line = np.interp(np.linspace(0, len(samples) - 1, points), np.arange(len(samples)), samples)
    edges = np.linspace(0, points, width + 1).astype(int)
    # With the first sample of the next column, so that a steep line has no gaps.
    parts = [line[first : last + 1] for first, last in itertools.pairwise(edges)]
    rows = (1 - np.array([[part.max(), part.min()] for part in parts])) / 2 * (height - 1)
    top, bottom = np.rint(rows).astype(int).T
    picture = np.full((height, width, 3), _BACKGROUND, np.uint8)
    picture[(height - 1) // 2] = _LINE
    row = np.arange(height)[:, None]
    picture[(row >= top) & (row <= bottom)] = _WAVE
    return picture


def draw_spectrogram(sound: np.ndarray, rate: int, width: int, height: int) -> np.ndarray:
    """Draw the power of a sound (channels, length) by time, to the right, and pitch, upwards, on the mel scale.

    Black is 80 dB below a sine at full scale, and white that sine: contrast is not stretched, sounds can be compared.

    Returns:
        (height, width, 3) uint8.
    """
    power = mel_power(sound, rate, width, height)
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    level = (decibels / -QUIETEST + 1).clip(0, 1)
    pixels: np.ndarray = colours()[np.rint(level * 255).astype(int)]
    return pixels[::-1]


def mel_power(sound: np.ndarray, rate: int, columns: int, bands: int) -> np.ndarray:
    """Return the power of a sound (channels, length) in bands of the mel scale, from 0 to half of its rate.

    Windows are Hann's, evenly spaced; channels are added as powers, so that opposite ones do not cancel out. A sine at
    full scale has 1 in its band.

    Returns:
        (bands, columns).

    Reference: Stevens, Volkmann and Newman, A Scale for the Measurement of the Psychological Magnitude Pitch, 1937.
    """
    size = 2 ** max(4, round(math.log2(rate * _WINDOW)))
    length = sound.shape[1]
    windows = min(_MOST_WINDOWS, math.ceil(length / columns / (size / 2)))
    centres = ((np.arange(columns * windows) + 0.5) * length / (columns * windows)).astype(int)
    padded = np.pad(np.nan_to_num(sound.astype(np.float64)), ((0, 0), (size // 2, size)))
    window = np.hanning(size + 1)[:-1]
    weights = _mel_bands(rate, size * _FINER, bands)
    power = np.zeros((len(weights), columns))
    for channel in padded:
        frames = channel[centres[:, None] + np.arange(size)] * window
        spectrum = np.abs(np.fft.rfft(frames, size * _FINER)) ** 2 / (window.sum() / 2) ** 2
        power += (spectrum @ weights.T).reshape(columns, windows, bands).mean(1).T
    mean: np.ndarray = power / len(sound)
    return mean


@functools.lru_cache(4)
def _mel_bands(rate: int, size: int, bands: int) -> np.ndarray:
    """Triangles over the lines of a spectrum, (bands, size // 2 + 1), of which each takes the largest weight as 1."""
    mel = np.linspace(0, 2595 * math.log10(1 + rate / 2 / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    lines = np.fft.rfftfreq(size, 1 / rate)
    rising = (lines - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - lines) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.minimum(rising, falling).clip(0, None)
    # A sine lights up some lines beside its own: a band that takes all of them has the power of it.
    lit = 1.5 * _FINER
    weights: np.ndarray = triangles / np.maximum(triangles.sum(1, keepdims=True), lit)
    return weights


@functools.cache
def colours() -> np.ndarray:
    """The 256 colours from silence to full scale, (256, 3) uint8: black, violet, red, orange, pale yellow.

    Lightness rises by equal steps, and the hue turns with it, in OKLab, a colour space that is made so that equal
    distances look equal: what is twice as far apart in decibels looks twice as different.

    Reference: Ottosson, A perceptual color space for image processing, 2020.

    Example:
        >>> colours()[0].tolist()
        [0, 0, 0]
    """
    step = np.linspace(0, 1, 256)
    hue = np.radians(285 + 190 * step)
    chroma = 0.19 * np.sin(np.pi * step**0.9) ** 0.9 + 0.03 * step
    lab = np.stack([0.98 * step, chroma * np.cos(hue), chroma * np.sin(hue)], 1)
    while True:  # what a screen cannot show becomes paler, and keeps its lightness
        linear = _oklab_to_linear(lab)
        outside = ((linear < -1e-9) | (linear > 1 + 1e-9)).any(1)
        if not outside.any():
            break
        lab[outside, 1:] *= 0.98
        lab[np.abs(lab[:, 1:]).max(1) < 1e-3, 1:] = 0
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    table: np.ndarray = np.rint(srgb.clip(0, 1) * 255).astype(np.uint8)
    return table


def _oklab_to_linear(lab: np.ndarray) -> np.ndarray:
    """Convert OKLab (N, 3) to linear sRGB."""
    cones = lab @ np.array([[1, 1, 1], [0.3963377774, -0.1055613458, -0.0894841775],
                            [0.2158037573, -0.0638541728, -1.2914855480]])  # fmt: skip
    linear = cones**3 @ np.array([[4.0767416621, -1.2684380046, -0.0041960863],
                                              [-3.3077115913, 2.6097574011, -0.7034186147],
                                              [0.2309699292, -0.3413193965, 1.7076147010]])  # fmt: skip
    result: np.ndarray = linear
    return result
