"""audio-gan: the contract, and spectra of sounds against their definition."""

from typing import ClassVar

import pytest
import torch
from zoo_core.testing import ArchitectureContract

from zoo_audio_gan.model import AudioGANConfig, AudioGANGenerator
from zoo_audio_gan.spectrum import BINS, FLOOR, HOP, WINDOW, Spectrum

LENGTH = 4096
SMALL = {"length": LENGTH, "sample_rate": 8000, "latent_size": 4, "width": 2}


class TestAudioGAN(ArchitectureContract):
    architecture = "audio-gan"
    config: ClassVar = SMALL
    options: ClassVar = {"iterations": 2}
    refused: ClassVar = [{"length": 5000}, {"channels": 3}, {"width": 0}, {"sample_rate": 0}]


class TestConditionalAudioGAN(ArchitectureContract):
    architecture = "audio-gan"
    config: ClassVar = SMALL | {"num_classes": 3, "channels": 2}
    options: ClassVar = {"iterations": 2}


def tones(*frequencies):
    """Sines (N, 1, LENGTH) of these numbers of periods per window, which fade in and out."""
    time = torch.arange(LENGTH) / WINDOW
    envelope = torch.hann_window(LENGTH)
    return torch.stack([0.5 * envelope * torch.sin(2 * torch.pi * f * time) for f in frequencies])[:, None]


def test_the_magnitudes_of_a_frame_are_those_of_its_fourier_sum():
    x = torch.randn(1, 1, LENGTH, generator=torch.Generator().manual_seed(0)).double()
    frame = 7
    window = torch.hann_window(WINDOW).double()
    part = x[0, 0, frame * HOP - WINDOW // 2 :][:WINDOW] * window
    angles = 2 * torch.pi * torch.outer(torch.arange(BINS), torch.arange(WINDOW)).double() / WINDOW
    expected = torch.complex((angles.cos() * part).sum(1), -(angles.sin() * part).sum(1)).abs()
    found = Spectrum(LENGTH).log_magnitudes(x)
    assert found.shape == (1, 1, BINS, LENGTH // HOP)
    torch.testing.assert_close(found[0, 0, :, frame].exp().double() - FLOOR, expected, rtol=1e-3, atol=1e-3)


def test_a_sound_comes_back_from_its_magnitudes_the_better_the_more_iterations():
    spectrum, x = Spectrum(LENGTH), tones(10, 33.3, 70)
    wanted = spectrum.log_magnitudes(x)
    errors = [
        (spectrum.log_magnitudes(spectrum.sounds(wanted, iterations)).exp() - wanted.exp()).norm() / wanted.exp().norm()
        for iterations in (0, 4, 32)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_silence_stays_silent():
    spectrum = Spectrum(LENGTH)
    silence = spectrum.log_magnitudes(torch.zeros(1, 1, LENGTH))
    assert spectrum.sounds(silence, 4).abs().max() < 1e-6


def test_gradients_of_the_sound_reach_the_magnitudes():
    spectrum = Spectrum(LENGTH)
    wanted = spectrum.log_magnitudes(tones(20)).requires_grad_()
    spectrum.sounds(wanted, 2).square().sum().backward()
    assert wanted.grad.isfinite().all()
    assert wanted.grad[0, 0, 20].sum() > 0, "a louder tone makes a louder sound"


def test_more_iterations_are_an_option_that_changes_the_sound_and_not_its_class():
    torch.manual_seed(0)
    generator = AudioGANGenerator(AudioGANConfig(**SMALL)).eval()
    few, many = (generator.sample(2, options={"iterations": count}) for count in (1, 64))
    assert few.shape == many.shape == (2, 1, LENGTH)
    assert not torch.equal(few, many)
    with torch.no_grad():
        wanted = generator.log_magnitudes(generator.latents(0, 0, 2)).exp()
    distances = [(generator.spectrum.log_magnitudes(x).exp() - wanted).norm() for x in (few, many)]
    assert distances[1] < distances[0]


@pytest.mark.parametrize("length", [4096, 8192, 12288])
def test_a_generator_makes_sounds_of_its_length(length):
    generator = AudioGANGenerator(AudioGANConfig(**SMALL | {"length": length}))
    assert generator.sample(1).shape == (1, 1, length)
