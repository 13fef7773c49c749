"""A model on disk: saved whole, loaded strictly, and nothing a stranger puts there does harm."""

import json
import pickle
import struct
import zipfile

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core import modelfolder
from zoo_core.errors import DigestError, ModelFolderError, OutputError, UnknownArchitectureError, ZooError
from zoo_core.files.digests import file_sha256
from zoo_core.modelfolder.weights_header import read_header
from zoo_core.plugins import PluginManager, manager
from zoo_core.registries import FileFacts

PLUGIN = """
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="probe", summary="A probe", config="zoo_probe.model:ProbeConfig",
                             generator="zoo_probe.model:Probe")]
"""
MODEL = """
    import torch
    from torch import nn
    from zoo_core import Generator, ModelConfig

    class ProbeConfig(ModelConfig, frozen=True):
        width: int = 4
        tied: bool = False
        table: bool = False

    class Probe(Generator):
        kind = "tensor"

        def __init__(self, config):
            super().__init__(config)
            self.latent_shape = self.sample_shape = (config.width,)
            self.first = nn.Linear(config.width, config.width)
            self.second = nn.Linear(config.width, config.width)
            self.norm = nn.BatchNorm1d(config.width)
            if config.tied:
                self.second.weight = self.first.weight
            if config.table:
                self.register_buffer("positions", torch.arange(config.width).float(), persistent=False)
                self.scale = torch.full((config.width,), 3.0)

        def forward(self, z, labels=None):
            x = self.norm(self.second(self.first(z)))
            return x * self.scale + self.positions if self.config.table else x
"""


@pytest.fixture
def probe(site, monkeypatch):
    """Make a Probe of the plugin that this fixture installs, so that folders of it load."""
    site.add("zoo-probe", PLUGIN, model=MODEL)
    found = PluginManager([*site.entry_points().values()], disabled=(), owners={})
    monkeypatch.setattr("zoo_core.plugins.manager", lambda: found)
    architecture = found.architecture("probe")

    def make(**config):
        torch.manual_seed(0)
        return architecture.generator_class()(architecture.config_class()(**config)).eval()

    return make


@pytest.fixture
def folder(probe, tmp_path):
    return probe().save(tmp_path / "model")


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_saved_is_what_is_loaded(probe, tmp_path):
    generator = probe(width=5)
    loaded = modelfolder.load(generator.save(tmp_path / "model"))
    assert loaded.config == generator.config
    assert torch.equal(loaded.sample(4), generator.sample(4))


def test_config_json_holds_every_field_and_names_the_plugin(folder):
    assert json.loads((folder / "config.json").read_text()) == {
        "format": 1,
        "architecture": "probe",
        "config": {"width": 4, "tied": False, "table": False},
        "sample_shape": [4],
        "plugin": "zoo-probe",
        "plugin_version": "1.0",
    }


def test_saving_is_the_same_byte_for_byte(probe, tmp_path):
    folders = [probe().save(tmp_path / name) for name in "ab"]
    for name in ("config.json", "model.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_saving_over_a_model_replaces_it_and_leaves_other_files(probe, folder):
    (folder / "log.jsonl").write_text("kept")
    probe(width=6).save(folder)
    assert modelfolder.load(folder).config.width == 6
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "log.jsonl", "model.safetensors"]


def test_a_failed_save_leaves_nothing_behind(probe, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="model cannot be written: No space left on device"):
        probe().save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_failed_save_leaves_the_old_model_whole(probe, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        probe(width=9).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_tied_weights_are_stored_once_and_stay_tied(probe, tmp_path):
    folder = probe(tied=True).save(tmp_path / "model")
    assert "second.weight" not in load_file(folder / "model.safetensors")
    loaded = modelfolder.load(folder)
    assert loaded.first.weight is loaded.second.weight
    assert torch.equal(loaded.sample(3), probe(tied=True).sample(3))


def test_tables_that_are_not_stored_have_their_values_and_no_random_state_is_used(probe, tmp_path):
    folder = probe(table=True).save(tmp_path / "model")
    state = torch.get_rng_state()
    loaded = modelfolder.load(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.positions.tolist() == [0, 1, 2, 3]
    assert loaded.scale.tolist() == [3, 3, 3, 3]
    assert torch.equal(loaded.sample(3), probe(table=True).sample(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_disk_is_widened(probe, folder, dtype):
    # Copies: safetensors before 0.8 saves into the very file that loaded tensors are mapped from.
    weights = {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}
    half = {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}
    save_file(half, folder / "model.safetensors")
    loaded = modelfolder.load(folder)
    assert loaded.first.weight.dtype == torch.float32
    assert torch.equal(loaded.first.weight, weights["first.weight"].to(dtype).float())


def test_other_files_are_ignored_and_links_into_a_cache_are_followed(folder, tmp_path):
    (folder / "model.bin").write_bytes(pickle.dumps("never opened"))
    (folder / "code.py").write_text("raise SystemExit")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in folder.iterdir():
        (snapshot / path.name).symlink_to(path)
    assert modelfolder.load(snapshot).config.width == 4


def test_a_mismatch_names_what_is_missing_unexpected_and_misshapen(folder):
    weights = load_file(folder / "model.safetensors")
    weights["third.weight"] = weights.pop("first.weight")
    weights["second.bias"] = torch.zeros(7)
    weights["norm.num_batches_tracked"] = torch.zeros(())
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelFolderError) as caught:
        modelfolder.load(folder)
    assert caught.value.problem == (
        "the weights do not fit the configuration: missing first.weight; unexpected third.weight; misshapen "
        "norm.num_batches_tracked (F32 [], not I64 []), second.bias (F32 [7], not F32 [4])"
    )


def test_an_unknown_architecture_names_the_plugin_without_vouching_for_it(folder):
    rewrite(folder, architecture="other", plugin="zoo-other")
    with pytest.raises(UnknownArchitectureError) as caught:
        modelfolder.load(folder)
    assert "the folder names the plugin zoo-other" in str(caught.value)
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "Invalid enum value 2"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"config": {"width": "4"}}, "Expected `int`, got `str`"),
        ({"config": {"widht": 4}}, "unknown field `widht`"),
        ({"config": {"width": -1}}, "cannot be built"),
        ({"config": {"width": 5}}, r"states samples of \(4,\), but the model makes \(5,\)"),
        ({"sample_shape": [8]}, r"states samples of \(8,\), but the model makes \(4,\)"),
        ({"config": {"width": 10**9}, "sample_shape": [10**9]}, "the weights do not fit the configuration"),
        ({"config": {"width": 2**62}, "sample_shape": [2**62]}, "cannot be built"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder, changes, problem):
    rewrite(folder, **changes)
    with pytest.raises(ModelFolderError, match=problem):
        modelfolder.load(folder)


def stated_files(folder):
    return {path.name: FileFacts(sha256=file_sha256(path), size=path.stat().st_size) for path in folder.iterdir()}


def test_files_are_held_to_their_digests(folder):
    files = stated_files(folder)
    modelfolder.load(folder, files=files)
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestError) as caught:
        modelfolder.load(folder, files=files)
    assert caught.value.expected == files[path.name].sha256
    assert caught.value.found == file_sha256(path)


def test_another_size_a_missing_file_and_one_of_which_nothing_is_stated_are_refused(folder):
    files = stated_files(folder)
    longer = files | {"config.json": msgspec.structs.replace(files["config.json"], size=1)}
    with pytest.raises(ModelFolderError, match="bytes, but the registry states 1"):
        modelfolder.verify_files(folder, longer)
    with pytest.raises(ModelFolderError, match="is missing, but the registry lists it"):
        modelfolder.verify_files(folder, files | {"gone": files["config.json"]})
    with pytest.raises(ModelFolderError, match=r"the registry states no sha256 of config\.json"):
        modelfolder.verify_files(folder, {"model.safetensors": files["model.safetensors"]})


def header(text, data=b""):
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


WEIGHTS = {
    "empty": (b"", "is empty"),
    "a few bytes": (b"abc", "is cut off: 3 bytes are not a safetensors file"),
    "a header that never ends": (struct.pack("<Q", 10**6) + b"{}", "its header claims 1,000,000 bytes of 10"),
    "a terabyte of header": (struct.pack("<Q", 2**40) + b"{}", "its header claims 1,099,511,627,776 bytes"),
    "the largest number": (b"\xff" * 8 + b"{}", "its header claims 18,446,744,073,709,551,615 bytes"),
    "a terabyte of weights": (
        header({"a": tensor(shape=(2**38,), offsets=(0, 2**40))}),
        "its tensors need 1,099,511,627,776 bytes, the file has 0",
    ),
    "a product that overflows": (header({"a": tensor(shape=(2**62, 2**62), offsets=(0, 0))}), "is not at the offsets"),
    "a negative size": (header({"a": tensor(shape=(-1,))}, b"1234"), "damaged header"),
    "overlapping tensors": (header({"a": tensor(), "b": tensor()}, b"1234"), "is not at the offsets"),
    "a hole": (header({"a": tensor(offsets=(4, 8))}, b"12345678"), "is not at the offsets"),
    "trailing data": (header({"a": tensor()}, b"12345678"), "need 4 bytes, the file has 8"),
    "an unknown dtype": (header({"a": tensor(dtype="OBJECT")}, b"1234"), "unknown dtype 'OBJECT'"),
    "a repeated name": (header(b'{"a": {}, "a": {}}'), "has the key 'a' twice"),
    "a list": (header([1, 2]), "does not begin with a brace"),
    "deep nesting": (header(b'{"a":' * 100_000), "nested too deeply"),
    "no text": (header(b'{"\xff\xfe": 1}'), "is not UTF-8"),
    "a pickle": (pickle.dumps({"weight": [1, 2, 3]}), "is a pickle under another name; it is not opened"),
    "a torch zip": (b"PK\x03\x04" + b"\0" * 60, "is a pickle under another name"),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_not_whole_safetensors_are_refused(folder, kind):
    content, problem = WEIGHTS[kind]
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelFolderError) as caught:
        modelfolder.load(folder)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_large_header_is_not_read(folder):
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**30))
        file.truncate(2**31)
    with pytest.raises(ModelFolderError, match="has a header of 1,073,741,824 bytes; at most"):
        modelfolder.load(folder)


def test_truncated_weights_are_refused_at_every_length(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFolderError):
            read_header(path)


def test_a_real_torch_file_is_not_unpickled(folder, tmp_path):
    bomb = tmp_path / "opened"

    class Bomb:
        def __reduce__(self):
            return (open, (str(bomb), "w"))

    torch.save(Bomb(), folder / "model.safetensors")
    assert zipfile.is_zipfile(folder / "model.safetensors")
    with pytest.raises(ModelFolderError, match="is a pickle"):
        modelfolder.load(folder)
    assert not bomb.exists()


CONFIGS = {
    "empty": (b"", "is not JSON"),
    "no JSON": (b"architecture: dcgan", "is not JSON"),
    "a list": (b"[]", "Expected `object`"),
    "deep nesting": (b"[" * 200_000, "is nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "is nested too deeply"),
    "no text": (b'{"format": "\xff"}', "is not UTF-8: byte 12 is 0xff"),
    "a repeated key": (b'{"format": 1, "format": 1}', "has the key 'format' twice"),
    "not a number": (b'{"format": NaN}', "holds NaN, which is not JSON"),
    "too large": (b" " * (2**20 + 1), "is larger than 1,048,576 bytes"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_is_not_what_it_should_be_is_refused(folder, kind):
    content, problem = CONFIGS[kind]
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelFolderError) as caught:
        modelfolder.load(folder)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_model_folder_is_said(tmp_path, folder):
    with pytest.raises(ModelFolderError, match="is not a folder"):
        modelfolder.load(tmp_path / "nowhere")
    with pytest.raises(ModelFolderError, match=r"is not a model folder: it has no config\.json"):
        modelfolder.load(tmp_path)
    (folder / "model.safetensors").rename(folder / "renamed.safetensors")
    with pytest.raises(ModelFolderError, match=r"model\.safetensors: cannot be read: No such file"):
        modelfolder.load(folder)
    (folder / "model.safetensors").mkdir()
    with pytest.raises(ModelFolderError, match="is not a regular file"):
        modelfolder.load(folder)


def test_foreign_text_is_printed_without_control_characters(folder):
    rewrite(folder, architecture="\x1b[31mred\u202e\n", plugin="zoo\r\nevil")
    with pytest.raises(UnknownArchitectureError) as caught:
        modelfolder.load(folder)
    assert not set("\x1b\n\r\u202e") & set(str(caught.value))


@given(position=st.integers(0, 10**6), what=st.one_of(st.integers(1, 255), st.binary(max_size=9), st.integers(-60, -1)))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_any_damage_is_noticed_or_harmless(folder, name, position, what):
    """A flipped byte, inserted bytes or a cut: a load succeeds or raises a ZooError, nothing else."""
    path = folder / name
    whole = path.read_bytes()
    position %= len(whole)
    if isinstance(what, bytes):
        damaged = whole[:position] + what + whole[position:]
    elif what < 0:
        damaged = whole[:position] + whole[position - what :]
    else:
        damaged = whole[:position] + bytes([whole[position] ^ what]) + whole[position + 1 :]
    path.write_bytes(damaged)
    try:
        modelfolder.load(folder)
    except ZooError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - a load may also succeed
    finally:
        path.write_bytes(whole)


LOAD = """
import sys
import safetensors.torch
import zoo_core.modelfolder.weight_loading, zoo_core.runtime.meta_device
from zoo_core import modelfolder
from zoo_core.errors import ZooError
from zoo_core.plugins import manager

for architecture, _ in manager().architectures.values():
    architecture.generator_class()
before = peak_memory()
try:
    modelfolder.load(sys.argv[1])
    print("loaded")
except ZooError as error:
    print(error)
print(peak_memory() - before)
"""


@pytest.fixture
def load_apart(run_python):
    """Load in a process of its own: what it said, and how far its memory rose."""

    def load(folder):
        said, memory = run_python(LOAD, folder)
        return said, int(memory)

    return load


@pytest.mark.plugins("zoo-vae")
def test_a_config_that_asks_for_a_billion_channels_takes_no_memory(tmp_path, load_apart):
    folder = tmp_path / "huge"
    folder.mkdir()
    bundled = zoo_core.pull("vae-mnist")
    (folder / "model.safetensors").write_bytes((bundled / "model.safetensors").read_bytes())
    config = json.loads((bundled / "config.json").read_text())
    for widths, problem in (([10**9], "Expected `int` <= 16384"), ([16384] * 8, "multiple of 256")):
        config["config"]["widths"] = widths
        (folder / "config.json").write_text(json.dumps(config))
        said, memory = load_apart(folder)
        assert problem in said
        assert memory < 64 * 2**20
    config["config"] |= {"network": "mlp", "widths": [16384] * 8}  # within bounds, and 7.5 GB
    (folder / "config.json").write_text(json.dumps(config))
    said, memory = load_apart(folder)
    assert "the weights do not fit the configuration" in said
    assert memory < 64 * 2**20


@pytest.mark.plugins("zoo-vanilla-gan")
def test_loading_needs_no_more_memory_than_the_weights_and_64_mb(tmp_path, load_apart):
    architecture = manager().architecture("vanilla_gan")
    config = architecture.config_class()(generator_widths=(4096, 4096, 4096))
    folder = architecture.generator_class()(config).save(tmp_path / "large")
    weights = (folder / "model.safetensors").stat().st_size
    assert weights > 140 * 2**20
    said, memory = load_apart(folder)
    assert said == "loaded"
    assert memory < weights + 64 * 2**20


@pytest.mark.plugins("zoo-dcgan")
def test_loading_does_not_import_torchs_compiler(run_python):
    assert run_python("import sys, zoo_core; zoo_core.load('dcgan-mnist'); print('torch._dynamo' in sys.modules)") == [
        "False"
    ]


def test_a_damaged_file_is_told_before_torch_is_imported(tmp_path, run_python):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    script = """
        import sys, zoo_core
        from zoo_core.errors import ZooError
        try:
            zoo_core.load("./model")
        except ZooError:
            print("torch" in sys.modules)
    """
    assert run_python(script) == ["False"]
