"""Every tensor of a loaded model has its value, its dtype and its ties, and what is saved can be loaded."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo_core import modelfolder
from zoo_core.errors import DeviceError, InterfaceError, ModelFolderError, OutputError, PluginError
from zoo_core.plugins import PluginManager

PLUGIN = """
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="odd", summary="Keeps tensors everywhere", config="zoo_odd.model:OddConfig",
                             generator="zoo_odd.model:Odd")]
"""
MODEL = """
    import torch
    from torch import nn
    from zoo_core import Discriminator, Generator, ModelConfig

    class OddConfig(ModelConfig, frozen=True):
        width: int = 4
        part: str = "plain"

    class Talkative(nn.Linear):
        def get_extra_state(self):
            return "text"

        def set_extra_state(self, state):
            pass

    class Odd(Generator):
        kind = "tensor"

        def __init__(self, config):
            super().__init__(config)
            width = config.width
            self.latent_shape = self.sample_shape = (width,)
            self.layer = nn.Linear(width, width)
            getattr(self, "add_" + config.part)(width)

        def add_plain(self, width):
            pass

        def add_tables(self, width):
            self.listed = [torch.arange(width).float(), "text"]
            self.named = {"count": torch.arange(width)}
            self.pair = (torch.ones(width), 1)

        def add_aliases(self, width):
            self.weights = [self.layer.weight]
            self.table = torch.arange(width).float()

        def add_twice(self, width):
            self.second = self.layer

        def add_tied_buffers(self, width):
            self.register_buffer("one", torch.ones(width))
            self.register_buffer("other", self.one)

        def add_view(self, width):
            self.register_buffer("row", self.layer.weight.data[0])

        def add_normed(self, width):
            self.layer = torch.nn.utils.parametrizations.weight_norm(self.layer)

        def add_double(self, width):
            self.precise = nn.Linear(width, width).double()

        def add_scalar(self, width):
            self.gain, self.nothing = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.zeros(0, 3))

        def add_state(self, width):
            self.layer = Talkative(width, width)

        def add_lazy(self, width):
            self.lazy = nn.LazyLinear(3)

        def forward(self, z, labels=None):
            return self.layer(z)

    class OddDiscriminator(Discriminator):
        def __init__(self, config):
            super().__init__(config)
            self.layer = nn.Linear(config.width, 1)

        def forward(self, x, labels=None):
            return self.layer(x)[:, 0]
"""


@pytest.fixture
def odd(site, monkeypatch):
    """Make an Odd of the plugin that this fixture installs."""
    site.add("zoo-odd", PLUGIN, model=MODEL)
    found = PluginManager([*site.entry_points().values()], disabled=(), owners={})
    monkeypatch.setattr("zoo_core.plugins.manager", lambda: found)
    architecture = found.architecture("odd")

    def make(part="plain", width=4):
        torch.manual_seed(0)
        return architecture.generator_class()(architecture.config_class()(part=part, width=width)).eval()

    return make


PARTS = ["plain", "tables", "aliases", "twice", "tied_buffers", "view", "normed", "double", "scalar"]


@pytest.mark.parametrize("part", PARTS)
def test_every_kind_of_model_samples_the_same_after_loading(odd, tmp_path, part):
    generator = odd(part)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.5)  # so that what only the constructor made would differ
    loaded = modelfolder.load(generator.save(tmp_path / "model"))
    assert torch.equal(loaded.sample(5), generator.sample(5))
    for name, value in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
        assert loaded.state_dict()[name].dtype == value.dtype


@pytest.mark.parametrize("part", PARTS)
def test_a_loaded_model_can_be_saved_again_to_the_same_bytes(odd, tmp_path, part):
    first = odd(part).save(tmp_path / "first")
    second = modelfolder.load(first).save(tmp_path / "second")
    for name in ("config.json", "model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_tensors_in_lists_tuples_and_dictionaries_have_values_in_the_dtype_asked_for(odd, tmp_path):
    folder = odd("tables").save(tmp_path / "model")
    loaded = modelfolder.load(folder)
    assert loaded.listed[0].tolist() == [0, 1, 2, 3]
    assert loaded.listed[1] == "text"
    assert loaded.named["count"].tolist() == [0, 1, 2, 3]
    half = modelfolder.load(folder, dtype=torch.bfloat16)
    assert (half.listed[0].dtype, half.pair[0].dtype) == (torch.bfloat16, torch.bfloat16)
    assert half.named["count"].dtype == torch.int64


def test_a_weight_that_a_list_refers_to_is_the_loaded_one(odd, tmp_path):
    generator = odd("aliases")
    with torch.no_grad():
        generator.layer.weight.fill_(7)
    loaded = modelfolder.load(generator.save(tmp_path / "model"))
    assert loaded.weights[0].data_ptr() == loaded.layer.weight.data_ptr()
    assert bool((loaded.weights[0] == 7).all())


def test_buffers_and_modules_with_two_names_stay_one(odd, tmp_path):
    buffers = modelfolder.load(odd("tied_buffers").save(tmp_path / "buffers"))
    assert buffers.one is buffers.other
    modules = modelfolder.load(odd("twice").save(tmp_path / "modules"))
    assert modules.second.weight is modules.layer.weight


def test_what_has_no_place_in_a_file_is_refused_when_it_is_saved(odd, tmp_path):
    with pytest.raises(InterfaceError, match=r"Odd keeps layer\._extra_state in its state, which is not a tensor"):
        odd("state").save(tmp_path / "model")
    with pytest.raises(InterfaceError, match=r"Odd keeps lazy\.weight in its state, which is not a tensor of a shape"):
        odd("lazy").save(tmp_path / "model")
    with pytest.raises(InterfaceError, match=r"Odd cannot be saved: layer\.weight has no value"):
        odd().to("meta").save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_that_the_configuration_does_not_describe_are_not_saved(odd, tmp_path):
    generator = odd()
    generator.extra = nn.Linear(2, 2)
    with pytest.raises(InterfaceError, match=r"other weights than its configuration describes: unexpected extra\.bias"):
        generator.save(tmp_path / "model")
    with pytest.raises(InterfaceError, match=r"misshapen layer\.bias \(F64 \[4\], not F32 \[4\]\)"):
        odd().double().save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_unregistered_class_and_a_foreign_configuration_are_not_saved(odd, tmp_path):
    generator = odd()
    generator.config = None
    with pytest.raises(InterfaceError, match=r"Odd\.config is a NoneType, not the zoo_odd\.model:OddConfig"):
        generator.save(tmp_path / "model")
    with pytest.raises(PluginError, match="Unregistered is registered by no installed plugin"):
        type("Unregistered", (type(generator),), {})(odd().config).save(tmp_path / "model")


@pytest.mark.parametrize(
    ("built", "stored", "fits"),
    [
        (torch.float32, torch.bfloat16, True),
        (torch.float64, torch.float32, True),
        (torch.float64, torch.float16, True),
        (torch.float32, torch.float64, False),
        (torch.float32, torch.int32, False),
    ],
)
def test_only_a_narrower_floating_type_stands_for_a_wider_one(odd, tmp_path, built, stored, fits):
    name, part = ("precise.bias", "double") if built == torch.float64 else ("layer.bias", "plain")
    folder = odd(part).save(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights[name] = weights[name].to(stored)
    save_file(weights, folder / "model.safetensors")
    if fits:
        loaded = modelfolder.load(folder).state_dict()[name]
        assert loaded.dtype == built
        assert torch.equal(loaded, weights[name].to(built))
    else:
        with pytest.raises(ModelFolderError, match=f"misshapen {name}"):
            modelfolder.load(folder)


def test_large_tensors_are_cast_piece_by_piece_without_a_seam(odd, tmp_path):
    generator = odd(width=1500)  # 2,250,000 numbers: more than a piece
    loaded = modelfolder.load(generator.save(tmp_path / "model"), dtype=torch.bfloat16)
    assert torch.equal(loaded.layer.weight, generator.layer.weight.bfloat16())
    assert torch.equal(loaded.layer.bias, generator.layer.bias.bfloat16())


def test_changing_a_loaded_weight_does_not_change_the_file(odd, tmp_path):
    folder = odd().save(tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()
    loaded = modelfolder.load(folder)
    loaded.layer.weight.fill_(9)
    assert bool((loaded.layer.weight == 9).all())
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_strange_dtype_or_device_is_refused(odd, tmp_path):
    folder = odd().save(tmp_path / "model")
    with pytest.raises(DeviceError, match=r"weights cannot have the dtype torch\.int8"):
        modelfolder.load(folder, dtype=torch.int8)
    with pytest.raises(DeviceError, match="there is no device 'toaster'"):
        modelfolder.load(folder, device="toaster")


@pytest.mark.cuda
def test_everything_is_put_on_the_device(odd, tmp_path):
    generator = odd("tables")
    loaded = modelfolder.load(generator.save(tmp_path / "model"), device="cuda")
    tensors = [*loaded.parameters(), loaded.listed[0], loaded.named["count"], loaded.pair[0]]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    torch.testing.assert_close(loaded.sample(4), generator.sample(4))


def test_a_discriminator_is_written_beside_the_model(odd, tmp_path):
    import zoo_odd.model

    generator = odd()
    folder = generator.save(tmp_path / "model")
    discriminator = zoo_odd.model.OddDiscriminator(generator.config)
    assert modelfolder.save_discriminator(discriminator, folder) == folder
    assert torch.equal(load_file(folder / "discriminator.safetensors")["layer.bias"], discriminator.layer.bias)
    assert modelfolder.load(folder).config == generator.config


def test_at_every_moment_of_saving_over_a_model_the_old_or_the_new_one_loads(odd, tmp_path, monkeypatch):
    """The folder is copied before and after every change of a name in it: what a kill at that moment would leave."""
    folder = odd().save(tmp_path / "model")
    old, newer = modelfolder.load(folder).sample(2), odd("scalar")
    with torch.no_grad():
        newer.layer.weight.fill_(1)
    moments = []

    def keep():
        moments.append(shutil.copytree(folder, tmp_path / f"moment-{len(moments)}"))

    def watched(change):
        def wrapper(path, *arguments, **options):
            keep()
            result = change(path, *arguments, **options)
            keep()
            return result

        return wrapper

    with monkeypatch.context() as watching:
        for name in ("replace", "rename", "unlink"):
            watching.setattr(Path, name, watched(getattr(Path, name)))
        newer.save(folder)

    loaded = set()
    for moment in moments:
        samples = modelfolder.load(moment).sample(2)
        loaded.add("old" if torch.equal(samples, old) else "new" if torch.equal(samples, newer.sample(2)) else "both")
    assert loaded == {"old", "new"}


def test_weights_that_cannot_be_replaced_leave_the_old_model(odd, tmp_path, monkeypatch):
    """As on Windows while a loaded model maps them."""
    folder = odd().save(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    replace = Path.replace

    def replace_no_weights(path, target):
        if target.name == "model.safetensors":
            raise PermissionError(13, "Permission denied")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_no_weights)
    with pytest.raises(OutputError, match="model cannot be written: Permission denied"):
        odd(width=6).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


MEASURED = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
import zoo_core.runtime.meta_device, zoo_core.modelfolder.weight_loading
from zoo_core import modelfolder
from zoo_core.plugins import manager

manager().architecture("odd").generator_class()
before = peak_memory()
modelfolder.load(sys.argv[2], dtype=getattr(torch, sys.argv[3]))
print(peak_memory() - before)
"""


@pytest.mark.parametrize(
    ("part", "stored", "wanted", "megabytes"),
    [
        ("plain", torch.float32, "float32", 0),  # mapped: not even the weights
        ("plain", torch.float32, "bfloat16", 72),
        ("plain", torch.bfloat16, "float32", 144),
        ("tables", torch.bfloat16, "float32", 144),  # built twice, never in memory twice
    ],
)
def test_loading_needs_no_more_memory_than_the_weights_it_makes(
    odd, site, tmp_path, run_python, part, stored, wanted, megabytes
):
    folder = odd(part, width=6144).to(stored).save(tmp_path / "model")
    (rise,) = run_python(MEASURED, site.folder, folder, wanted)
    assert int(rise) < (megabytes + 64) * 2**20
