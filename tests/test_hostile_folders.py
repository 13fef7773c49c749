"""Folders made to do harm, or damaged: refused in one line, in little memory, and before anything is opened.

The commoner kinds of damage are in test_modelfolder.py.
"""

import json
import os
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core import modelfolder
from zoo_core.errors import DigestError, ModelFolderError, ZooError
from zoo_core.files.digests import file_sha256
from zoo_core.modelfolder.weights_header import MAX_HEADER_BYTES, read_header
from zoo_core.registries import FileFacts

pytestmark = pytest.mark.plugins("zoo-vae")


# A real model: a copy of one that the plugins bundle.
MODEL = "vae-mnist"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(zoo_core.pull(MODEL), tmp_path / "model")


def refused(folder):
    """Load, and return the one line with which it is refused."""
    with pytest.raises(ModelFolderError) as caught:
        modelfolder.load(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 3000
    return str(caught.value)


def safetensors(header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path, length):
    header = json.dumps({"weight": tensor()}).encode().ljust(length)
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(header, b"1234"))
    assert path.read_bytes()[0] == 0x80
    assert list(read_header(path)) == ["weight"]


HEADERS = {
    "no header at all": (safetensors(b"", b"{" + b" " * 50), "does not begin with a brace"),
    "a header of one byte": (safetensors(b"{", b"}"), "does not begin with a brace"),
    "a header that begins with a blank": (safetensors(b" {}"), "does not begin with a brace"),
    "text after the header": (safetensors(b"{} {}"), "is not JSON: Extra data"),
    "a number of 5,000 digits": (safetensors(b'{"a": ' + b"1" * 5000 + b"}"), "is not JSON: Exceeds the limit"),
    "an offset of 400 digits": (
        safetensors({"a": tensor(offsets=(0, 10**400))}, b"1234"),
        "has a damaged header",
    ),
    "a size that is a fraction": (safetensors({"a": tensor(shape=(1.0,))}, b"1234"), "Expected `int`, got `float`"),
    "a size that is true": (safetensors({"a": tensor(shape=(True,))}, b"1234"), "Expected `int`, got `bool`"),
    "a million dimensions": (safetensors({"a": tensor(shape=(2**62,) * 10**5)}), "Expected `array` of length <= 64"),
    "offsets that run backwards": (safetensors({"a": tensor(offsets=(4, 0))}, b"1234"), "is not at the offsets"),
    "an unknown field": (safetensors({"a": tensor() | {"code": "x"}}, b"1234"), "unknown field `code`"),
    "metadata that is not text": (safetensors({"__metadata__": {"a": [1]}}), "Expected `str`, got `array`"),
    "half a surrogate pair": (safetensors(b'{"\\ud800": 1}'), "surrogates not allowed"),
    "objects 33 deep": (safetensors(b'{"a":' * 33 + b"1" + b"}" * 33), "is nested too deeply"),
    "names with control characters": (
        safetensors({"\x1b[2J\u202ename": tensor(dtype="\x07")}, b"1234"),
        "tensor '[2Jname' has the unknown dtype ''",
    ),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_no_writer_makes_is_refused(folder, kind):
    content, problem = HEADERS[kind]
    (folder / "model.safetensors").write_bytes(content)
    assert problem in refused(folder)


CONFIGS = {
    "a number of 5,000 digits": (lambda c: {"format": int("1" + "0" * 4000)}, "Invalid enum value"),
    "true as its format": (lambda c: {"format": True}, "Expected `int`, got `bool`"),
    "a size of 400 digits": (lambda c: {"sample_shape": [10**400, 32, 32]}, "states samples of (1000"),
    "a negative size": (lambda c: {"sample_shape": [-1, 32, 32]}, "states samples of (-1, 32, 32)"),
    "an infinite number": (lambda c: {"config": c["config"] | {"sigma": float("inf")}}, "holds Infinity"),
    "a null": (lambda c: {"config": None}, "Expected `object`, got `null`"),
    "a name that is a list": (lambda c: {"architecture": ["vae"]}, "Expected `str`, got `array`"),
    "a setting with a foreign key": (
        lambda c: {"config": c["config"] | {"__class__": "os.system"}},
        "unknown field `__class__`",
    ),
    "classes of which one has a hidden name": (
        lambda c: {"class_names": ["cat", "c\u2060at"]},
        "the class 'cat' has U+2060 WORD JOINER in its name, which shows nothing",
    ),
    "a billion channels": (lambda c: {"config": c["config"] | {"channels": 10**9}}, "the configuration does not fit"),
    "settings 40 deep": (lambda c: {"config": {"a": json.loads("[" * 40 + "]" * 40)}}, "is nested too deeply"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_no_writer_makes_is_refused(folder, kind):
    change, problem = CONFIGS[kind]
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | change(config)))
    assert problem in refused(folder)


def test_a_number_beyond_doubles_is_no_setting(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"sigma": 0.1', '"sigma": 1e999'))
    assert "Expected `float` <= 10.0 - at `$.sigma`" in refused(folder)


def stated_files(folder):
    return {
        name: FileFacts(sha256=file_sha256(folder / name), size=(folder / name).stat().st_size)
        for name in ("config.json", "model.safetensors")
    }


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_one_flipped_bit_anywhere_is_another_digest(folder, name, place):
    files, path = stated_files(folder), folder / name
    content = bytearray(path.read_bytes())
    content[{"start": 0, "middle": len(content) // 2, "end": len(content) - 1}[place]] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestError, match=f"{name}: sha256 is [0-9a-f]{{64}}, but the registry states [0-9a-f]{{64}};"):
        modelfolder.load(folder, files=files)


def test_exchanged_weights_of_the_same_form_are_another_digest(folder):
    files, path = stated_files(folder), folder / "model.safetensors"
    save_file({name: torch.zeros_like(value) for name, value in load_file(path).items()}, path)
    assert modelfolder.load(folder) is not None
    with pytest.raises(ZooError, match=r"model\.safetensors"):
        modelfolder.load(folder, files=files)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "C:secret", "", ".", "..", "a\nb"]
)
def test_a_stated_file_that_leaves_the_folder_is_not_looked_at(folder, name):
    (folder.parent / "secret").write_text("secret")
    files = stated_files(folder)
    with pytest.raises(ModelFolderError, match="leaves the folder"):
        modelfolder.verify_files(folder, files | {name: files["config.json"]})


def test_a_registry_that_states_nothing_verifies_nothing(folder):
    with pytest.raises(ModelFolderError, match=r"states no sha256 of config\.json and model\.safetensors"):
        modelfolder.load(folder, files={})


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path):
    assert "File name too long" in refused(tmp_path / ("a" * 5000))


def test_a_link_to_itself_and_a_link_to_nothing_are_refused(folder):
    path = folder / "model.safetensors"
    path.unlink()
    path.symlink_to(path)
    refused(folder)
    path.unlink()
    path.symlink_to(folder / "nowhere")
    assert "No such file" in refused(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    ("name", "problem"), [("config.json", "it has no config.json"), ("model.safetensors", "is not a regular file")]
)
def test_a_pipe_is_not_waited_for(folder, name, problem):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert problem in refused(folder)


MEASURED = """
import sys
from pathlib import Path
import zoo_core.runtime.meta_device, zoo_core.modelfolder.weight_loading
from zoo_core import modelfolder
from zoo_core.errors import ZooError
from zoo_core.plugins import manager

manager().architecture("vae").generator_class()
weights = Path(sys.argv[1]) / "model.safetensors"
for hostile in sorted(Path(sys.argv[2]).iterdir()):
    weights.unlink()
    weights.symlink_to(hostile)
    before = peak_memory()
    try:
        modelfolder.load(sys.argv[1])
    except ZooError as error:
        assert len(str(error).splitlines()) == 1
        print(hostile.name, peak_memory() - before)
"""


def test_hostile_weights_take_little_memory(folder, tmp_path, run_python):
    names = list(load_file(folder / "model.safetensors"))
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    files = {
        "a terabyte of header": safetensors(b"{}", length=2**40),
        "a terabyte of weights": safetensors({"a": tensor(shape=(2**38,), offsets=(0, 2**40))}),
        "a terabyte for a name of the model": safetensors({names[0]: tensor(shape=(2**38,), offsets=(0, 2**40))}),
        "a million dimensions": safetensors({"a": tensor(shape=(2**62,) * 10**5)}),
        "as many empty lists as a header holds": safetensors(
            b'{"a": [' + b"[]," * ((MAX_HEADER_BYTES - 20) // 3) + b"[]]}"
        ),
        "nested lists": safetensors(b'{"a":' + b"[" * 200_000),
    }
    for name, content in files.items():
        (hostile / name).write_bytes(content)
    with (hostile / "a gigabyte of nothing").open("wb") as file:
        file.write(safetensors({"a": tensor(dtype="U8", shape=(2**30,), offsets=(0, 2**30))}))
        file.truncate(file.tell() + 2**30)
    said = dict(line.rsplit(" ", 1) for line in run_python(MEASURED, folder, hostile))
    assert said.keys() == files.keys() | {"a gigabyte of nothing"}
    assert max(int(memory) for memory in said.values()) < 128 * 2**20


def test_no_more_names_are_spelled_out_than_one_can_read(folder):
    weights = {f"layer{index}.{'x' * 500}": torch.zeros(1) for index in range(1000)}
    save_file(weights, folder / "model.safetensors")
    assert "and 992 more" in refused(folder)
