"""Sounds (channels, length), with samples in [-1, 1] wherever a user meets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.data.source import DataSource
from zoo_core.errors import InterfaceError, OutputError, printable
from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.arrays import write_npz
from zoo_core.kinds.formats import exactly
from zoo_core.kinds.layout import Layout
from zoo_core.kinds.pictures import grid
from zoo_core.kinds.recordings import problem_with_recording, write_flac, write_wav, write_wav_folder

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator

_MOST_CHANNELS = 64  # more are an axis of time in the wrong place
_WINDOW = 512  # samples of a spectrum that is compared
_FLOOR = 0.01  # added to magnitudes before their logarithm: what is fainter is silence
_DRAWN_LARGE = 4  # sounds, at most, are drawn twice as large


class AudioKind(Kind):
    """Sounds: written as recordings of 16 bits, or as an array, and shown as waveforms above spectrograms.

    The generator states its `sample_rate`, an attribute, a property or a field of its configuration.
    """

    name, noun = "audio", ("sound", "sounds")
    pipeline_tag = None  # the Hub has no task for sounds that are made of nothing: text-to-audio needs a text
    suffixes = MappingProxyType(
        {
            ".wav": "one after the other, a quarter of a second apart",
            ".flac": "the same, compressed without loss",
            ".npz": "an array",
            "/": "WAV files",
        }
    )

    def write(self, batches: Iterable[Tensor], n: int, generator: Generator, path: Path, *, start: int = 0) -> Path:
        """Write sounds with 16 bits a sample, or, in an .npz, float32 `arr_0` (N, channels, length) and `sample_rate`.

        Args:
            start: index of the first sample, from which the files of a folder are numbered.
        """
        channels, length = generator.sample_shape
        rate, suffix = sample_rate_of(generator), path.suffix.lower()
        sounds = (batch.float().numpy() for batch in exactly(n, batches))
        if suffix == ".npz":
            import numpy as np

            layout = Layout(self.name, (channels, length), n)
            write_npz(sounds, layout, path, beside={"sample_rate": np.array(rate)})
        elif suffix in (".wav", ".flac"):
            problem = problem_with_recording(suffix, n, channels, length, rate)
            if problem is not None:
                raise OutputError(
                    f"{printable(path, 200)} cannot be written: {problem}; use a name in .npz, or of a folder"
                )
            (write_wav if suffix == ".wav" else write_flac)(sounds, rate, channels, path)
        else:
            write_wav_folder(sounds, rate, channels, path, names=_numbers(start, n))
        return path

    def problem_with_output(self, suffix: str, n: int, sample_shape: tuple[int, ...] | None) -> str | None:
        if suffix not in (".wav", ".flac") or sample_shape is None or len(sample_shape) != 2:
            return None
        return problem_with_recording(suffix, n, *sample_shape, rate=None)

    def picture(self, samples: Tensor, generator: Generator, *, columns: int | None = None) -> np.ndarray | None:
        """Show the waveform and the spectrogram of each sound, in a grid. Contrast is never stretched."""
        import numpy as np

        from zoo_core.kinds.spectrogram import draw_sound

        rate, scale = sample_rate_of(generator), 2 if len(samples) <= _DRAWN_LARGE else 1
        return grid(np.stack([draw_sound(sound, rate, scale) for sound in samples.float().cpu().numpy()]), columns)

    def open(self, source: str | Path, **how: Any) -> DataSource:
        """Open sounds of one rate, number of channels and length, which `values` or the data decide."""
        from zoo_core.data.sound_source import open_sounds

        known = ("values", "split", "column", "label_column", "skip_damaged")
        return open_sounds(source, **{name: how[name] for name in known if how.get(name) is not None})

    def to_public(self, output: Tensor, generator: Generator) -> Tensor:
        return output.float().clamp(-1, 1)

    def comparable(self, samples: Tensor) -> Tensor:
        """Return the logarithms of the magnitudes of short-time spectra, (N, channels, frequencies, frames)."""
        import torch

        sounds = torch.nn.functional.pad(samples.float(), (0, max(0, _WINDOW - samples.shape[-1])))
        window = torch.hann_window(_WINDOW)
        spectra = torch.stft(sounds.flatten(0, 1), _WINDOW, _WINDOW // 2, window=window, return_complex=True)
        return torch.log(spectra.abs() + _FLOOR).reshape(*sounds.shape[:2], *spectra.shape[1:])

    def problem_with(self, sample_shape: tuple[int, ...]) -> str | None:
        if len(sample_shape) == 2 and sample_shape[0] <= _MOST_CHANNELS:
            return None
        return "sounds are (channels, length)"


def sample_rate_of(generator: Generator) -> int:
    """Return the samples a second of a generator's sounds: its `sample_rate`, or that of its configuration.

    Raises:
        InterfaceError: if it states none, or something else than a whole number.
    """
    rate = getattr(generator, "sample_rate", None)
    if rate is None:
        rate = getattr(vars(generator).get("config"), "sample_rate", None)
    where = type(generator).__qualname__
    if rate is None:
        raise InterfaceError(
            f"{where} has no sample_rate: set self.sample_rate in __init__, or give its configuration a field of that "
            "name"
        )
    if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
        raise InterfaceError(f"{where}.sample_rate is {printable(repr(rate), 40)}; it must be a whole number above 0")
    return rate


def _numbers(start: int, n: int) -> Iterator[str]:
    digits = max(6, len(str(start + n - 1)))
    return (f"{index:0{digits}d}" for index in range(start, start + n))
