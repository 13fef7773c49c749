"""Walks, traversals and reconstructions: what they go through, and what they show."""

import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.builtin import architecture
from zoo_core import Encoder, Generator
from zoo_core.cli import main
from zoo_core.errors import SamplingError
from zoo_core.sampling.batches import render
from zoo_core.sampling.latent_space import interpolate, reconstruct, spherical_interpolation, traverse

SIZE = 8


def gan(**options):
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=SIZE, latent_size=4, generator_widths=(8,), discriminator_widths=(8,), **options)
    torch.manual_seed(0)
    return gan.generator_class()(config).eval()


def vae(**options):
    vae = architecture("vae")
    torch.manual_seed(0)
    return vae.generator_class()(vae.config_class()(size=SIZE, latent_size=3, widths=(16,), **options)).eval()


class Identity(Generator):
    """Shows its latent."""

    kind = "tensor"
    latent_shape = sample_shape = (3,)

    def forward(self, z, labels=None):
        return z


# arcs


def test_a_quarter_of_a_circle_is_cut_into_equal_angles():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    for third in range(4):
        angle = math.pi / 6 * third
        expected = torch.tensor([[math.cos(angle), math.sin(angle)]])
        torch.testing.assert_close(spherical_interpolation(a, b, third / 3), expected)


@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0.01, 100))
def test_an_arc_keeps_the_length_that_its_ends_share(seed, fraction, length):
    ends = torch.nn.functional.normalize(torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(seed)), dim=2)
    between = spherical_interpolation(*(ends * length), fraction)
    assert between.norm().item() == pytest.approx(length, rel=1e-4)


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_where_no_arc_is_defined_the_line_is_taken(factor):
    a = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(spherical_interpolation(a, a * factor, 0.25), a * (0.75 + 0.25 * factor))


# walks


def test_a_walk_goes_through_its_samples_and_back_to_the_first():
    frames = list(interpolate(Identity(), 2, through=3, frames=5, seed=7))
    assert len(frames) == 15
    samples = Identity().sample(6, seed=7)
    for stop in range(3):
        torch.testing.assert_close(frames[5 * stop], samples[2 * stop : 2 * stop + 2])
    torch.testing.assert_close(
        frames[14], spherical_interpolation(samples[4:6], samples[0:2], 0.8), msg="the last leg leads home"
    )


def test_truncation_holds_at_the_stops():
    frames = list(interpolate(Identity(), 50, through=2, frames=1, truncation=0.5))
    assert torch.cat(frames).abs().max() <= 0.5
    assert torch.cat(list(interpolate(Identity(), 50, through=2, frames=1))).abs().max() > 0.5


def test_a_conditional_walk_keeps_its_class():
    generator = gan(conditional=True, num_classes=3)
    frames = list(interpolate(generator, 4, through=2, frames=2, seed=1))
    assert torch.equal(frames[0], generator.sample(4, seed=1))
    of_class = list(interpolate(generator, 4, through=2, frames=2, seed=1, label=2))
    assert torch.equal(of_class[0], generator.sample(4, seed=1, labels=2))


@pytest.mark.parametrize("numbers", [{"walks": 0}, {"through": 1}, {"frames": 0}])
def test_a_walk_without_steps_is_refused(numbers):
    with pytest.raises(SamplingError):
        next(interpolate(Identity(), **{"walks": 1} | numbers))


# latents that are given


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_the_latents_of_samples_give_the_samples(count, batch_size):
    generator = gan()
    rendered = torch.cat(list(render(generator, generator.latents(3, 0, count), batch_size=batch_size)))
    expected = generator.sample(count, seed=3)
    assert torch.equal((rendered * 255).round(), (expected * 255).round())


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 5), (2, 4, 1)])
def test_latents_of_another_shape_are_refused(shape):
    with pytest.raises(SamplingError, match=r"\(N, 4\)"):
        list(render(gan(), torch.zeros(shape)))


def test_labels_are_asked_for_and_refused():
    with pytest.raises(SamplingError, match="needs a label"):
        list(render(gan(conditional=True), torch.zeros(2, 4)))
    with pytest.raises(SamplingError, match="takes no label"):
        list(render(gan(), torch.zeros(2, 4), 1))


# traversals


def test_a_traversal_moves_one_dimension_and_shows_the_most_effective_first():
    class Scaled(Identity):
        def forward(self, z, labels=None):
            return z * torch.tensor([1.0, 10.0, 0.1])

    z = torch.tensor([0.5, -1.0, 2.0])
    samples, order = traverse(Scaled(), z, steps=5, span=2.0)
    assert order == [1, 0, 2]
    moved = samples / torch.tensor([1.0, 10.0, 0.1])
    for row, dimension in enumerate(order):
        torch.testing.assert_close(moved[row, :, dimension], torch.linspace(-2, 2, 5))
        others = [index for index in range(3) if index != dimension]
        torch.testing.assert_close(moved[row][:, others], z[others].expand(5, 2))


def test_a_latent_that_is_a_picture_has_no_dimensions_to_traverse():
    class Spatial(Identity):
        latent_shape = sample_shape = (1, 2, 2)

    with pytest.raises(SamplingError, match="vector"):
        traverse(Spatial(), torch.zeros(1, 2, 2))
    for numbers in ({"steps": 1}, {"span": 0.0}, {"span": math.inf}):
        with pytest.raises(SamplingError, match="traversal"):
            traverse(Identity(), torch.zeros(3), **numbers)


# reconstructions


def test_a_reconstruction_is_the_decoded_mean_of_the_posterior():
    model, x = vae(), torch.rand(20, 1, SIZE, SIZE)
    with torch.no_grad():
        expected = model(model.encode(x)[0])
    torch.testing.assert_close(reconstruct(model, x), expected)


class Normalised(Identity, Encoder):
    """Encodes by a BatchNorm, whose result depends on the mode and which in training mode learns from what it sees."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)

    def encode(self, x):
        return self.norm(x), None


def test_a_model_in_training_mode_reconstructs_as_in_eval_mode_and_learns_nothing():
    x, model = torch.rand(20, 3), Normalised().train()
    expected = reconstruct(Normalised().eval(), x)
    assert torch.equal(reconstruct(model, x), expected)
    assert model.norm.training
    assert model.norm.num_batches_tracked == 0


def test_what_does_not_encode_cannot_reconstruct_and_a_conditional_model_needs_the_class():
    with pytest.raises(SamplingError, match="does not encode"):
        reconstruct(gan(), torch.zeros(1, 1, SIZE, SIZE))
    with pytest.raises(SamplingError, match="needs a label"):
        reconstruct(vae(conditional=True), torch.zeros(1, 1, SIZE, SIZE))
    x = torch.rand(1, 1, SIZE, SIZE)
    model = vae(conditional=True)
    assert not torch.equal(reconstruct(model, x, 1), reconstruct(model, x, 2))


# the commands


@pytest.fixture
def models(tmp_path, monkeypatch):
    """./gan and ./vae in the working folder."""
    monkeypatch.chdir(tmp_path)
    gan().save(tmp_path / "gan")
    vae().save(tmp_path / "vae")


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def fails(result, part):
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr


def test_interpolate_writes_a_film_or_rows(models):
    assert run("interpolate", "./gan", "-n", 4, "--through", 3, "--frames", 5).stdout == "gan.gif\n"
    with Image.open("gan.gif") as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (15, (22, 22), 0)
    assert run("interpolate", "./gan", "-n", 4, "--through", 3, "-o", "rows.png").stdout == "rows.png\n"
    with Image.open("rows.png") as rows:
        assert rows.size == (12 * 10 + 2, 4 * 10 + 2)
        first = np.asarray(rows)[2:10, 2:10]
    assert run("sample", "./gan", "-n", 1, "-o", "one.png").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("one.png"))[2:10, 2:10], first)


def test_traverse_writes_a_row_for_each_dimension(models):
    assert run("traverse", "./gan", "--steps", 5).stdout == "gan-traversal.png\n"
    with Image.open("gan-traversal.png") as picture:
        assert picture.size == (5 * 10 + 2, 4 * 10 + 2)
    assert run("traverse", "./gan", "-n", 2, "-o", "two.png").exit_code == 0
    with Image.open("two.png") as picture:
        assert picture.size == (11 * 10 + 2, 2 * 10 + 2)


def test_reconstruct_puts_each_picture_beside_what_became_of_it(models):
    Image.new("RGB", (20, 10), "white").save("wide.png")
    Image.new("L", (SIZE, SIZE), 77).save("grey.png")
    result = run("reconstruct", "./vae", "wide.png", "grey.png")
    assert result.stdout == "vae-reconstructed.png\n"
    assert result.stderr.startswith("1 was not square and was cropped about their centre\n1 was resized to 8 x 8")
    shown = np.asarray(Image.open("vae-reconstructed.png"))
    assert shown.shape == (12, 4 * 10 + 2)
    assert (shown[2:10, 2:10] == 255).all()
    assert (shown[2:10, 22:30] == 77).all()
    assert (shown[2:10, 32:40] != 77).any()


def test_reconstruct_turns_a_photo_upright_as_its_exif_says(models):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held with its right side down: its left edge is the top of the photo
    photo = Image.new("L", (12, SIZE), 0)
    photo.paste(255, (0, 0, 6, SIZE))
    photo.save("photo.png", exif=exif)
    assert "1 was turned upright" in run("reconstruct", "./vae", "photo.png").stderr
    shown = np.asarray(Image.open("vae-reconstructed.png"))[2:10, 2:10]
    assert (shown[:4] == 255).all()
    assert (shown[4:] == 0).all()


def test_what_cannot_be_shown_is_one_line_and_writes_nothing(models, tmp_path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    before = sorted(tmp_path.rglob("*"))
    fails(run("interpolate", "./gan", "-o", "x.jpg"), "use a name in .gif, .webp or .png")
    fails(run("traverse", "./gan", "-o", "nowhere/x.png"), "there is no folder nowhere")
    fails(run("reconstruct", "./gan", "no.png"), "no.png: the picture cannot be decoded: it is no picture")
    fails(run("reconstruct", "./vae", "no.png"), "no.png: the picture cannot be decoded: it is no picture")
    fails(run("reconstruct", "./vae", "absent.png"), "absent.png: the picture cannot be decoded: No such file")
    fails(run("interpolate", "./gan", "--label", 1), "takes no label")
    assert sorted(tmp_path.rglob("*")) == before
