"""A run that starts from a model on the Hub: pulled with its discriminator, and named in what is pushed afterwards."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, hf_hub_download

from tests.builtin import architecture
from tests.hub import ALICE, Hub
from tests.hub_models import fails, succeeds
from tests.test_training_start import assert_same, mlp, pictures, weights
from zoo_core.modelfolder.run_record import read_run_record

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
MNIST = Path(__file__).parent / "data" / "mnist"


@pytest.fixture
def on_the_hub(hub: Hub, without_xet, tmp_path, command):
    architecture("vanilla_gan")
    folder = mlp(seed=7).fit(pictures(), out=tmp_path / "parent")
    succeeds(command("push", folder, "alice/base"))
    return folder


def tune(command, out, *more):
    return command(
        "train", "vanilla_gan", "--data", MNIST, "--from", "hf://alice/base", "--out", out, "--steps", 1, "--device", "cpu",
        "--set", "batch_size=16", "--set", "sample_every=0", "--set", "learning_rate=1e-30", *more,
    )  # fmt: skip


def test_a_parent_on_the_hub_comes_with_its_discriminator_and_is_the_base_model(
    on_the_hub, hub: Hub, tmp_path, command
):
    run = tmp_path / "tuned"
    succeeds(tune(command, run))
    for file in ("model", "discriminator"):
        assert_same(weights(run, file), weights(on_the_hub, file))
    commit = hub.api().model_info("alice/base").sha
    parent = read_run_record(run)["parent"]
    assert (parent["name"], parent["repository"], parent["revision"]) == ("hf://alice/base", "alice/base", commit)
    succeeds(command("push", run, "alice/tuned"))
    readme = hf_hub_download("alice/tuned", "README.md", endpoint=hub.url, token=ALICE, cache_dir=tmp_path / "reading")
    card = ModelCard.load(readme)
    assert (card.data.base_model, card.data.get("base_model_relation")) == ("alice/base", "finetune")
    assert f"from the weights of `hf://alice/base` (commit {commit}, sha256 {parent['sha256']})" in card.text


@pytest.mark.slow
def test_a_parent_that_changed_on_the_hub_is_refused_on_resume(on_the_hub, tmp_path, command):
    run = tmp_path / "tuned"
    succeeds(tune(command, run))
    other = mlp(seed=8).fit(pictures(), out=tmp_path / "other")
    succeeds(command("push", other, "alice/base"))
    fails(
        tune(command, run, "--resume"),
        "was started from hf://alice/base (sha256 ",
        "and not from hf://alice/base (sha256 ",
    )
    record = json.loads((run / "run.json").read_text())
    assert record["finished"]
