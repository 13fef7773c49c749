"""`zoo eval`: figures on stdout, messages on stderr, and every refusal in one line."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.builtin import architecture
from zoo_core.cli import main

MNIST = Path(__file__).parent / "data" / "mnist"


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small model of 28 x 28 on disk, ./mine, in the working folder."""
    monkeypatch.chdir(tmp_path)
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=28, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    return gan.generator_class()(config).save(tmp_path / "mine")


def run(*arguments, data=MNIST):
    return CliRunner().invoke(main, ["eval", "./mine", "--data", str(data), *map(str, arguments)])


def test_figures_are_lines_on_stdout_and_messages_are_not(model):
    result = run("-n", 60, "--repeats", 2)
    assert result.exit_code == 0, result.stderr
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["fid", "kid", "kid_deviation", "precision", "recall", "density", "coverage"]
    assert " ± " in result.stdout.splitlines()[0]
    assert "(mnist train, 60 samples, seed 0, digits version 1, " in result.stdout
    assert result.stderr.splitlines() == [
        f"512 pictures in 10 classes (0, 1, 2, 3, 4, 5, 6, 7, …) from the folder {MNIST}; split train of train, test",
        "512 grey pictures of 28 x 28",
    ]


def test_json_holds_every_condition(model):
    figures = json.loads(run("-n", 60, "--metric", "fid, kid", "--seed", 3, "--split", "test", "--json").stdout)
    assert [figure["metric"] for figure in figures] == ["fid", "kid", "kid_deviation"]
    assert (figures[0]["seed"], figures[0]["split"], figures[0]["samples"]) == (3, "test", 60)
    assert len(figures[0]["fingerprint"]) == len(figures[0]["weights"]) == 64


def test_what_makes_a_figure_unreliable_is_said_in_the_figure_itself(model):
    few = run("-n", 40)
    lines = {line.split()[0]: line for line in few.stdout.splitlines()}
    assert lines["fid"].endswith(
        "; warning: biased: 40 samples are too few for features of 64 dimensions, whose covariance they leave singular"
    )
    for name in ("kid", "kid_deviation"):
        assert (
            "; warning: not averaged: with no more than 1,000 of each, all 100 subsets are the same 40" in lines[name]
        )
    for name in ("precision", "recall", "density", "coverage"):
        assert "; warning: coarse: the 5 nearest of only 40 are far apart" in lines[name]
    figures = json.loads(run("-n", 65, "--metric", "fid,prdc", "--json").stdout)
    assert {figure["warning"] for figure in figures} == {None}


def test_the_neighbours_are_a_picture(model):
    result = run("--metric", "neighbours", "-o", "near.png")
    assert (result.exit_code, result.stdout) == (0, "near.png\n"), result.stderr
    with Image.open("near.png") as picture:
        assert picture.size == (8 * 30 + 2, 10 * 30 + 2)


def test_statistics_are_shared_as_a_file(model):
    first = run("-n", 60, "--save-statistics", "mnist.safetensors")
    assert first.exit_code == 0, first.stderr
    assert run("-n", 60, data="mnist.safetensors").stdout == first.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--metric", "fit"], "there is no metric 'fit'"),
        (["--metric", ","], "name at least one metric of fid, kid"),
        (["--metric", "neighbours"], "use -o neighbours.png to say where"),
        (["-o", "a.png"], "--metric fid,kid,prdc,neighbours"),
        (["--metric", "neighbours", "-o", "a.npz"], "use a name in .png"),
        (["--metric", "elbo"], "does not encode"),
        (["--extractor", "digit"], "did you mean digits"),
        (["--extractor", "inception-v3"], "needs a file of weights"),
        (["--extractor", "inception-v3", "--extractor-weights", "none.pth"], "there is no file none.pth"),
        (["--split", "validation"], "validation"),
        (["-n", 4], "more than 5 of the data"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(model, tmp_path, arguments, reason, monkeypatch):
    monkeypatch.delenv("ZOO_INCEPTION_WEIGHTS", raising=False)
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    line = result.stderr.splitlines()[-1]
    assert line.startswith("zoo: ")
    assert reason in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_data_that_is_not_there_is_said(model):
    result = run(data="./nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no file or folder ./nowhere" in result.stderr


@pytest.mark.plugins("zoo-vae")
def test_help_list_and_info_import_no_torch(zoo, tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemError('torch was imported')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    for arguments in (["--help"], ["list"], ["info", "vae-mnist"], ["eval", "--help"], ["verify", "--help"]):
        result = zoo(*arguments, env=environment)
        assert (result.returncode, result.stderr) == (0, "")
    wrong = zoo("eval", "vae-mnist", "--data", "x", "--metric", "neighbours", env=environment)
    assert wrong.returncode == 1
    assert "torch was imported" not in wrong.stderr
