"""`zoo sample`: every kind of output, and every refusal before anything is written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo_core as zoo_package
from tests import forkserver
from tests.builtin import architecture
from zoo_core.cli import main


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small model on disk, ./mine, in the working folder."""
    monkeypatch.chdir(tmp_path)
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=8, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    return gan.generator_class()(config).save(tmp_path / "mine")


def sample(*arguments):
    return CliRunner().invoke(main, ["sample", *map(str, arguments)])


def fails(result, *parts):
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def array(path):
    with np.load(path) as archive:
        return archive["arr_0"]


def test_a_grid_is_written_and_its_path_printed(model, tmp_path):
    result = sample("./mine", "-n", 4, "-o", "grid.png")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "grid.png\n", "")
    with Image.open("grid.png") as picture:
        assert picture.size == (22, 22)


def test_the_default_is_a_grid_of_64_under_the_models_name(model):
    assert sample("./mine").stdout == "mine.png\n"
    with Image.open("mine.png") as picture:
        assert picture.size == (82, 82)


@pytest.mark.plugins("zoo-vae")
def test_a_registered_model_is_sampled_by_its_name(model):
    assert sample("vae-mnist", "-n", 1).stdout == "vae-mnist.png\n"


def test_an_npz_holds_what_fid_tools_expect(model):
    assert sample("./mine", "-n", 5, "-o", "a.npz").exit_code == 0
    pictures = array("a.npz")
    assert (pictures.shape, pictures.dtype) == ((5, 8, 8, 1), np.uint8)
    expected = zoo_package.load("./mine").sample(5, seed=0)
    assert np.array_equal(pictures[:, :, :, 0], (expected[:, 0].numpy() * 255 + 0.5).astype(np.uint8))


def test_a_folder_holds_numbered_pictures(model, tmp_path):
    assert sample("./mine", "-n", 3, "-o", "out.v1/").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out.v1").iterdir()) == ["000000.png", "000001.png", "000002.png"]


def test_batch_sizes_change_no_sample_and_seeds_do(model):
    for size in (1, 7, 64):
        sample("./mine", "-n", 20, "-o", f"{size}.npz", "--batch-size", size)
    sample("./mine", "-n", 20, "-o", "other.npz", "--seed", 1)
    assert np.array_equal(array("1.npz"), array("7.npz"))
    assert np.array_equal(array("1.npz"), array("64.npz"))
    assert not np.array_equal(array("1.npz"), array("other.npz"))


def test_truncation_and_precision_act(model):
    sample("./mine", "-n", 20, "-o", "plain.npz")
    assert sample("./mine", "-n", 20, "-o", "cut.npz", "--truncation", 0.1).exit_code == 0
    assert sample("./mine", "-n", 20, "-o", "bf16.npz", "--precision", "bf16").exit_code == 0
    plain, cut, half = (array(f"{name}.npz").astype(int) for name in ("plain", "cut", "bf16"))
    assert cut.std(axis=0).mean() < plain.std(axis=0).mean() / 2
    assert 0 < np.abs(half - plain).max() < 8


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["./mine", "-o", "a.jpg"], "a name in .png"),
        (["./mine", "-o", "no/such/a.png"], "there is no folder"),
        (["./mine", "-o", "a.png", "-n", 10_001], "too many for one grid"),
        (["./mine", "-o", "mine"], "not an empty folder"),
        (["./none"], "there is no such folder"),
        (["./mine", "--label", 3], "takes no label"),
        (["./mine", "--device", "tpu9"], "there is no device 'tpu9'"),
        (["hf://a"], "is not an address on the Hub"),
        (["vae-mnst"], "vae-mnist"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(model, tmp_path, arguments, reason):
    fails(sample(*arguments), reason)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.plugins("zoo-vae")
def test_a_wrong_output_is_told_before_torch_is_imported(zoo, tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemError('torch was imported')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    for arguments in (["-o", "a.jpg"], ["-o", "no/a.png"], ["-n", 20_000, "-o", "a.png"]):
        result = zoo("sample", "vae-mnist", *arguments, env=environment)
        assert result.returncode == 1
        assert "torch was imported" not in result.stderr


RING = """
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="ring", summary="Points on a ring", config="zoo_ring.model:RingConfig",
                             generator="zoo_ring.model:Ring")]
"""
RING_MODEL = """
    import torch
    from zoo_core import Generator, ModelConfig

    class RingConfig(ModelConfig, frozen=True):
        fails: bool = False

    class Ring(Generator):
        kind = "tensor"
        latent_shape = (2,)
        sample_shape = (2,)

        def __init__(self, config):
            super().__init__(config)
            self.radius = torch.nn.Parameter(torch.ones(()))

        def forward(self, z, labels=None):
            if self.config.fails:
                raise RuntimeError("the model's own fault")
            return self.radius * z / z.norm(dim=1, keepdim=True)
"""
SAVE = "from zoo_ring.model import *; Ring(RingConfig(fails={fails})).save('ring')"


def saved_ring(site, tmp_path, fails=False):
    site.add("zoo-ring", RING, model=RING_MODEL)
    environment = site.environment()
    forkserver.run("-c", SAVE.format(fails=fails), env=environment, cwd=tmp_path, check=True)
    return environment


def test_a_model_that_makes_no_pictures_is_sampled_to_an_array(zoo, site, tmp_path):
    environment = saved_ring(site, tmp_path)
    assert zoo("sample", "./ring", "-n", 10, env=environment).stdout == "ring.npz\n"
    points = array(tmp_path / "ring.npz")
    assert (points.shape, points.dtype) == ((10, 2), np.float32)
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    result = zoo("sample", "./ring", "-o", "ring.png", env=environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert "this model makes tensors; use a name in .npz" in result.stderr


def test_a_model_that_fails_is_one_line_and_leaves_no_file(zoo, site, tmp_path):
    environment = saved_ring(site, tmp_path, fails=True)
    before = set(tmp_path.iterdir())
    result = zoo("sample", "./ring", "-o", "a.npz", env=environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "zoo: RuntimeError: the model's own fault (use zoo --debug COMMAND to see where)\n"
    assert set(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_is_one_line_and_leaves_no_file(model, tmp_path):
    command = [sys.executable, "-m", "zoo_core", "sample", "./mine", "-n", "100000000", "-o", "a.npz"]
    # Tests that a shell runs in the background ignore SIGINT, and so would the command that they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".a.npz.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()  # a failed test must not leave a command that samples on for hours
    assert (process.returncode, stdout, stderr) == (1, "", "zoo: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_part_of_a_run_is_that_part_of_a_larger_one_file_by_file(model, tmp_path):
    assert sample("./mine", "-n", 40, "-o", "all").exit_code == 0
    assert sample("./mine", "-n", 7, "--start", 30, "-o", "part").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "part").iterdir())
    assert names == [f"{index:06d}.png" for index in range(30, 37)]
    assert all((tmp_path / "all" / name).read_bytes() == (tmp_path / "part" / name).read_bytes() for name in names)
    assert sample("./mine", "-n", 2, "--start", 10**6 - 1, "-o", "late").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "late").iterdir()) == ["0999999.png", "1000000.png"]


@pytest.mark.parametrize("start", [-1, 2**64, "x"])
def test_a_start_that_is_none_is_wrong_usage(model, start):
    assert sample("./mine", "--start", start).exit_code == 2


def test_a_start_too_near_the_end_of_the_stream_is_one_line(model):
    fails(sample("./mine", "--start", 2**64 - 10), "start")


def test_samples_go_to_stdout_as_they_go_to_a_file(model, tmp_path):
    assert sample("./mine", "-n", 4, "-o", "a.png").exit_code == 0
    result = sample("./mine", "-n", 4, "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == (tmp_path / "a.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "mine"]


def test_a_file_may_be_called_like_stdout(model, tmp_path):
    assert sample("./mine", "-n", 1, "-o", "./-").stdout == "-\n"
    assert [path.name for path in (tmp_path / "-").iterdir()] == ["000000.png"]


def test_pictures_too_many_for_stdout_are_told_before_the_model_is_loaded(model, monkeypatch):
    monkeypatch.setattr("zoo_core.models.load", lambda *arguments, **how: pytest.fail("the model was loaded"))
    fails(sample("./mine", "-n", 10_001, "-o", "-"), "too many for one grid")


def with_stdout(stream, tmp_path, *arguments):
    """The exit code and what is on stderr, with stdout on an open file."""
    words = ["-m", "zoo_core", "sample", *arguments]
    with (tmp_path / "errors").open("w+") as errors, Path(os.devnull).open() as nothing:
        with forkserver.Process(words, [nothing, stream, errors], cwd=tmp_path) as process:
            code = process.wait(60)
        errors.seek(0)
        return code, errors.read()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_a_terminal_is_no_place_for_a_picture(model, tmp_path):
    controller, terminal = os.openpty()
    code, errors = with_stdout(terminal, tmp_path, "./mine", "-o", "-")
    os.close(terminal)
    os.close(controller)
    assert code == 1
    assert errors == "zoo: -o - writes a file to stdout, which is a terminal here; redirect it, or use -o NAME\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_leaves_ends_the_command_quietly(model, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    code, errors = with_stdout(writer, tmp_path, "./mine", "-n", "4", "-o", "-")
    os.close(writer)
    assert (code, errors) == (1, "")
