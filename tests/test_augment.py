"""DiffAugment: what each change does to known pictures, and that gradients pass."""

import pytest
import torch

from zoo_core.training.augmentation import CUTOUT, TRANSLATION, augment


def numbers(value, seed=None):
    """Uniform numbers that are all the same, or drawn from a seed."""
    if seed is None:
        return lambda count: torch.full((pictures().shape[0], count), value)
    generator = torch.Generator().manual_seed(seed)
    return lambda count: torch.rand(pictures().shape[0], count, generator=generator)


def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(64, 3, 16, 16, generator=generator) * 2 - 1


def test_the_middle_of_every_range_changes_no_colour():
    torch.testing.assert_close(augment(pictures(), ["color"], numbers(0.5)), pictures())


def test_colour_changes_brightness_saturation_and_contrast():
    x = pictures()
    darkest = augment(x, ["color"], numbers(0.0))
    grey = (x - 0.5).mean(1, keepdim=True).expand_as(x)  # saturation 0 of the picture made darker by half
    mean = grey.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(darkest, mean + (grey - mean) / 2)


def test_grey_pictures_have_no_saturation_to_change():
    grey = pictures()[:, :1]
    torch.testing.assert_close(augment(grey, ["color"], numbers(0.5)), grey)


def test_translation_shifts_by_whole_pixels_up_to_an_eighth_and_fills_with_zero():
    x, most = pictures(), round(16 * TRANSLATION)
    assert torch.equal(augment(x, ["translation"], numbers(0.5)), x)
    up_and_left = augment(x, ["translation"], numbers(0.0))
    assert torch.equal(up_and_left[:, :, :-most, :-most], x[:, :, most:, most:])
    assert up_and_left[:, :, -most:].abs().max() == 0
    down_and_right = augment(x, ["translation"], numbers(0.9999))
    assert torch.equal(down_and_right[:, :, most:, most:], x[:, :, :-most, :-most])


def test_every_shift_is_equally_likely():
    x = torch.zeros(64, 3, 16, 16)
    x[:, :, 8, 8] = 1
    uniform = numbers(0, seed=1)
    rows = torch.cat([augment(x, ["translation"], uniform)[:, 0].amax(2).argmax(1) for _ in range(100)])
    counts = rows.bincount(minlength=16)[6:11]
    assert counts.sum() == len(rows)
    assert (counts - 1280).abs().max() < 200  # 6 standard deviations are 192


def test_cutout_hides_a_square_of_half_the_side_inside_or_over_the_edge():
    x = torch.ones(64, 3, 16, 16)
    hidden = (augment(x, ["cutout"], numbers(0.5))[:, 0] == 0).sum((1, 2))
    assert (hidden == (16 * CUTOUT) ** 2).all()
    at_the_corner = (augment(x, ["cutout"], numbers(0.0))[:, 0] == 0).sum((1, 2))
    assert (at_the_corner == (16 * CUTOUT / 2) ** 2).all()


@pytest.mark.parametrize("policy", [["color"], ["translation"], ["cutout"], ["color", "translation", "cutout"]])
def test_gradients_flow_through_every_change(policy):
    x = pictures().requires_grad_()
    augment(x, policy, numbers(0, seed=2)).sum().backward()
    assert x.grad.abs().sum() > 0


def test_augmentation_runs_on_the_meta_device():
    x = torch.empty(4, 3, 8, 8, device="meta")
    out = augment(x, ["color", "translation", "cutout"], lambda count: torch.empty(4, count, device="meta"))
    assert out.shape == x.shape
