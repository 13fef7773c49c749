"""Choices at sampling time: options, states and noise, checked, recorded, and the same samples for any batch."""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from msgspec import Meta
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from tests import diffusion
from tests.diffusion.model import DiffusionConfig, DiffusionGenerator, DiffusionOptions, NetConfig
from tests.forkserver import torchrun
from zoo_core import Encoder, Generator, ModelConfig, SamplingOptions
from zoo_core.cli import main
from zoo_core.cli.messages import figure_line
from zoo_core.errors import InterfaceError, MetricError, SamplingError, SettingsError, VerificationError
from zoo_core.interfaces.assignments import assign, completed
from zoo_core.interfaces.option_facts import described
from zoo_core.interfaces.options import recorded
from zoo_core.metrics.figures import Figure
from zoo_core.metrics.golden import check_golden, write_golden
from zoo_core.sampling.batches import render, sample_batches
from zoo_core.sampling.forward import Forward
from zoo_core.sampling.latent_space import interpolate, reconstruct, traverse
from zoo_core.sampling.states import sample_states
from zoo_core.sampling.whole_blocks import WholeBlocks
from zoo_core.streams import IndexedNoise, latents, noise


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(kind="mlp", **config):
    torch.manual_seed(0)
    return DiffusionGenerator(DiffusionConfig(kind=kind, **config)).eval()


class Plain(Generator):
    kind = "tensor"
    latent_shape = sample_shape = (2,)

    def forward(self, z, labels=None):
        return z


class Stepped(Plain):
    def states(self, z, labels=None):
        for step in range(1, 151):
            yield z * step


@pytest.mark.parametrize("kind", ["mlp", "unet"])
def test_samples_with_options_and_noise_are_the_same_for_any_batch_size_and_start(kind):
    generator, how = model(kind), {"seed": 3, "options": {"steps": 3, "guidance": 2.0}}
    expected = generator.sample(70, **how)
    for size in (1, 7, 64):
        got = torch.cat(list(sample_batches(generator, 23, start=40, batch_size=size, **how)))
        assert torch.equal(got, expected[40:63]), size
    states = sample_states(generator, 23, start=40, batch_size=7, **how)
    assert len(states) == 3
    assert torch.equal(states[-1], expected[40:63])
    assert not torch.equal(generator.sample(70, seed=3), expected)
    z = latents(3, 40, 5, generator.latent_shape)
    labels = torch.tensor([0, 1, 2, 0, 1])
    again = torch.cat(list(render(generator, z, labels, start=40, batch_size=2, **how)))
    assert torch.equal(again, generator.sample(5, start=40, labels=labels, **how))


def test_options_are_the_models_own_until_others_are_given():
    generator = model()
    generator.options = DiffusionOptions(steps=2)
    expected = generator.sample(3, options=DiffusionOptions(steps=2))
    assert torch.equal(generator.sample(3), expected)
    assert torch.equal(generator.sample(3, options={"guidance": 1.0}), expected)  # over the model's, not the class's
    with pytest.raises(InterfaceError, match="must be a DiffusionOptions, not a SamplingOptions"):
        generator.options = SamplingOptions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stepz": 1}, "options.stepz: DiffusionGenerator has no such option; did you mean steps?"),
        ({"steps": 0}, "options.steps: Expected `int` >= 1; choose 1 to 1000"),
        ({"steps": 2.5}, "options.steps: Expected `int`, got `float`; choose 1 to 1000"),
        ({"guidance": float("nan")}, "options.guidance: Expected `float` >= 0.0; choose 0 to 100"),
        (SamplingOptions(), "options: DiffusionGenerator takes DiffusionOptions, not SamplingOptions"),
        (7, "options must be a dictionary or a DiffusionOptions, not int"),
    ],
)
def test_options_that_are_not_possible_are_refused_in_one_line(options, message):
    with pytest.raises(SamplingError) as refused:
        model().sample(1, options=options)
    assert str(refused.value) == message


def test_a_model_without_options_is_given_none_and_refuses_them():
    assert torch.equal(Plain().sample(2, options={}), Plain().sample(2))
    with pytest.raises(SamplingError, match=r"^options: Plain has no options, so that steps cannot be chosen$"):
        Plain().sample(2, options={"steps": 1})


def test_options_of_a_class_need_defaults():
    class Required(SamplingOptions, frozen=True):
        steps: int

    with pytest.raises(InterfaceError, match=r"Required.steps has no default"):
        type("Model", (Plain,), {"Options": Required})
    with pytest.raises(InterfaceError, match="must be a subclass of SamplingOptions"):
        type("Model", (Plain,), {"Options": dict})


def test_a_forward_with_options_gets_them_and_a_stochastic_one_its_noise():
    class Scaled(Plain):
        class Options(SamplingOptions, frozen=True):
            scale: float = 2.0

        def forward(self, z, labels=None, *, options):
            return z * options.scale

    class Noisy(Plain):
        stochastic = True

        def forward(self, z, labels=None, *, noise):
            return noise(4, (2,))

    z = latents(1, 0, 3, (2,))
    assert torch.equal(Scaled().sample(3, seed=1, options={"scale": 3}), 3 * z)
    assert torch.equal(Noisy().sample(3, seed=1, start=5), noise(1, 4, 5, 3, (2,)))


def test_a_subclass_decides_anew_what_makes_its_samples():
    class OneStep(Stepped):
        def forward(self, z, labels=None):
            return -z

    class SteppedAgain(OneStep):
        def states(self, z, labels=None):
            yield 7 * z

    z = latents(0, 0, 2, (2,))
    assert torch.equal(Stepped().sample(2), 150 * z)
    assert torch.equal(OneStep().sample(2), -z)
    assert torch.equal(SteppedAgain().sample(2), 7 * z)
    with pytest.raises(SamplingError, match="OneStep makes its samples in one step: it has no states to show"):
        sample_states(OneStep(), 2)


def test_states_are_thinned_evenly_and_end_with_the_samples():
    states = sample_states(Stepped(), 3, most=60)
    z = latents(0, 0, 3, (2,))
    factors = [round(float((state / z).mean())) for state in states]
    assert factors[0] == 1
    assert factors[-1] == 150
    assert 30 <= len(factors) <= 60
    assert len(set(np.diff(factors[:-1]).tolist())) == 1
    assert len(sample_states(Stepped(), 3, most=2)) == 2


def test_a_model_whose_states_yield_nothing_says_so():
    class Silent(Stepped):
        def states(self, z, labels=None):
            yield from ()

    for make in (lambda: Silent().sample(1), lambda: sample_states(Silent(), 1)):
        with pytest.raises(InterfaceError, match=r"Silent.states yielded nothing"):
            make()


def test_between_two_states_no_mode_of_the_forward_pass_holds():
    modes = []

    class Watched(Stepped):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def states(self, z, labels=None):
            for _ in range(3):
                modes.append((self.layer.training, torch.is_grad_enabled(), _watching()))
                yield self.layer(z)

    watched = Watched()
    states = Forward(watched, watched.options).states(latents(0, 0, 2, (2,)), None, 0)
    for _ in range(3):
        next(states)
        assert watched.layer.training
        assert torch.is_grad_enabled()
        assert not _watching()
    assert modes == [(False, False, True)] * 3


def _watching():
    return any(
        isinstance(mode, WholeBlocks) for mode in torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    )


def test_steps_are_reported_within_a_batch():
    seen = []
    list(sample_batches(model(), 4, batch_size=2, options={"steps": 3}, on_step=lambda *step: seen.append(step)))
    assert [(step, steps) for step, steps, _ in seen] == [(1, 3), (2, 3), (3, 3)] * 2


def test_noise_depends_on_seed_index_and_step_alone_and_is_independent_of_every_other_stream():
    shape = (1000,)
    base = noise(5, 1, 0, 4, shape)
    assert torch.equal(noise(5, 1, 2, 2, shape), base[2:])
    others = {
        "step": noise(5, 2, 0, 4, shape),
        "next step": noise(5, 1 << 8, 0, 4, shape),
        "seed": noise(6, 1, 0, 4, shape),
        "latents": latents(5, 0, 4, shape),
        "size": noise(5, 1, 0, 4, (1004,))[:, :1000],
        "first step": noise(5, 0, 0, 4, shape),
    }
    for name, other in others.items():
        assert abs(float(torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1])) < 0.06, name
    assert abs(float(base.mean())) < 0.06
    assert abs(float(base.std()) - 1) < 0.06
    assert torch.equal(noise(0, 2**31 - 1, 2**63 - 1, 1, (2,)), noise(0, 2**31 - 1, 2**63 - 1, 1, (2,)))
    for step in (-1, 2**31, 0.5, True):
        with pytest.raises(SamplingError, match="step must be a whole number from 0 to 2147483647"):
            noise(0, step, 0, 1, (2,))


def test_noise_of_a_batch_fills_up_rows_and_follows_the_latents():
    z = torch.zeros(16, 2, dtype=torch.bfloat16)
    filled = IndexedNoise(0, 3, z, count=5)(0, (2, 2))
    assert filled.dtype == torch.bfloat16
    assert torch.equal(filled[:5], noise(0, 0, 3, 5, (2, 2)).bfloat16())
    assert torch.equal(filled[5:], filled[4:5].expand(11, 2, 2))
    assert torch.equal(IndexedNoise(0, 3, z, same=True)(0, (2,)), noise(0, 0, 3, 1, (2,)).bfloat16().expand(16, 2))
    assert IndexedNoise(0, 0, torch.zeros(3, 2, device="meta"))(0, (4,)).shape == (3, 4)


def test_walks_and_traversals_keep_the_noise_of_a_sample():
    class Noisy(Plain):
        stochastic = True

        def forward(self, z, labels=None, *, noise):
            return noise(0, (2,))

    for frame in interpolate(Noisy(), 3, through=2, frames=2, seed=9):
        assert torch.equal(frame, noise(9, 0, 0, 3, (2,)))
    samples, _ = traverse(Noisy(), torch.zeros(2), steps=3, seed=9)
    assert torch.equal(samples, noise(9, 0, 0, 1, (2,)).expand(2, 3, 2))


def test_reconstruct_takes_options_and_gives_each_sample_its_noise():
    class Coder(Plain, Encoder):
        class Options(SamplingOptions, frozen=True):
            scale: Annotated[float, Meta(ge=0, le=9)] = 1.0

        stochastic = True

        def forward(self, z, labels=None, *, options, noise):
            return options.scale * z + noise(0, (2,))

        def encode(self, x):
            return x, None

    x = torch.ones(300, 2)
    expected = 3 * x + noise(0, 0, 0, 300, (2,))
    assert torch.equal(Coder().reconstruct(x, options={"scale": 3}), expected)
    assert torch.equal(reconstruct(Coder(), x, options={"scale": 3}), expected)  # in several batches
    with pytest.raises(SamplingError, match=r"options.scale: Expected `float` <= 9.0; choose 0 to 9"):
        Coder().reconstruct(x, options={"scale": 10})


def test_assignments_reach_nested_configurations_and_keep_the_rest():
    class Optional(ModelConfig, frozen=True):
        net: NetConfig | None = None

    values = {}
    assign(DiffusionConfig, values, "net.depth", "2")
    assert msgspec.convert(completed(DiffusionConfig, values), DiffusionConfig).net == NetConfig(width=8, depth=2)
    assign(DiffusionConfig, values, "net.width", "3")
    assert msgspec.convert(completed(DiffusionConfig, values), DiffusionConfig).net == NetConfig(width=3, depth=2)
    values = {}
    assign(Optional, values, "net.width", "3")
    assert msgspec.convert(completed(Optional, values), Optional).net == NetConfig(width=3)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("net.widht", "1", "model.net.widht: there is no such field; did you mean width?"),
        ("net.width", "0", "model.net.width: Expected `int` >= 1; choose 1 to 64"),
        ("net", "5", "model.net: it has fields of its own; set one of them, as model.net.width=…"),
        ("size.width", "5", "model.size.width: size has no fields of its own"),
    ],
)
def test_errors_about_nested_fields_name_the_whole_key(key, text, message):
    with pytest.raises(SettingsError) as refused:
        assign(DiffusionConfig, {}, key, text, key=f"model.{key}")
    assert str(refused.value) == message


def test_options_are_described_from_their_types_and_docstring():
    steps, guidance, noisy = described(DiffusionOptions, {"steps": 9})
    assert (steps.value, steps.bounds, steps.about) == (9, "1 to 1000", "number of steps; more of them take longer.")
    assert (guidance.bounds, guidance.about) == ("0 to 100", "strength of the class. 1: as trained.")
    assert noisy.bounds == "true or false"


def test_recorded_options_are_read_back_from_text():
    assert recorded(DiffusionOptions(), {"steps": "9", "guidance": "1.0"}, "fid") == {"steps": 9}
    for values in ({"stepz": 1}, {"steps": 0}):
        with pytest.raises(VerificationError, match=r"^fid: "):
            recorded(DiffusionOptions(), values, "fid")


def test_golden_samples_and_figures_name_the_options_that_are_not_the_models_own(tmp_path):
    generator = model()
    file = write_golden(generator, tmp_path, options={"steps": 2, "guidance": 1.0})
    assert check_golden(generator, tmp_path) == 16
    with safe_open(file, "pt") as golden:
        assert golden.metadata() == {"options": '{"steps": 2}'}
        samples = golden.get_tensor("samples")
    save_file({"samples": samples}, file, {"options": '{"steps": 3}'})
    with pytest.raises(VerificationError, match="could not be reproduced"):
        check_golden(generator, tmp_path)
    write_golden(generator, tmp_path)
    with safe_open(file, "pt") as golden:
        assert golden.metadata() is None

    facts = {"error": None, "repeats": 1, "dataset": "mnist", "split": "train", "fingerprint": "a" * 64}
    figure = Figure(metric="fid", value=7.0, samples=10, seed=0, options={"steps": 2}, **facts)
    assert figure_line(figure.to_metric()) == "7 (mnist train, 10 samples, seed 0, options steps 2)"
    with pytest.raises(MetricError, match="options is"):
        figure.difference(msgspec.structs.replace(figure, options={}))


@pytest.mark.plugins("zoo-vanilla-gan")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "steps=5"), "--set steps: VanillaGANGenerator has no options for sampling"),
        (("--set", "steps"), "--set steps: write key=value"),
        (("--states", "film.mp4"), "film.mp4 cannot be written"),
        (("--states", "film.gif"), "VanillaGANGenerator makes its samples in one step: it has no states to show"),
    ],
)
def test_what_a_model_does_not_have_is_refused_in_one_line_and_nothing_is_written(
    words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["sample", "vanilla-gan-mnist", *words])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"zoo: {message}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def environment(site):
    source = Path(diffusion.__file__)
    site.add("zoo-diffusion", source.read_text(), model=source.with_name("model.py").read_text())
    return site.environment(OMP_NUM_THREADS="1")


@pytest.fixture
def trained(zoo, environment, tmp_path):
    """A run of two steps, with options and a nested field of its own."""
    pictures = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", arr_0=pictures, labels=np.arange(12) % 3)
    (tmp_path / "file.yaml").write_text("model: {net: {depth: 2}}\noptions: {guidance: 2}\n")
    words = ("train", "diffusion", "--data", "data.npz", "--out", "run", "--config", "file.yaml", "--device", "cpu")
    settings = ("batch_size=4", "steps=2", "model.net.width=4", "model.kind=mlp", "options.steps=4")

    def train(*more):
        chosen = [word for setting in settings for word in ("--set", setting)]
        return zoo(*words, *chosen, *more, env=environment)

    return train


@pytest.mark.slow
def test_options_go_with_a_model_from_training_to_its_samples(trained, zoo, environment, tmp_path):
    done = trained()
    assert done.returncode == 0, done.stderr
    stated = json.loads((tmp_path / "run/config.json").read_text())
    assert stated["options"] == {"steps": 4, "guidance": 2.0, "noisy": True}
    assert stated["config"]["net"] == {"width": 4, "depth": 2}
    assert json.loads((tmp_path / "run/run.json").read_text())["options"] == stated["options"]
    assert "| steps | 4 | 1 to 1000 |" in (tmp_path / "run/README.md").read_text()

    info = zoo("info", "./run", env=environment).stdout
    assert "option steps" in info
    assert "4; choose 1 to 1000: number of steps; more of them take longer." in info
    done = zoo("sample", "./run", "-n", 5, "--states", "film.gif", "-o", "a.npz", "--set", "steps=3", env=environment)
    assert (done.returncode, done.stdout) == (0, "film.gif\na.npz\n"), done.stderr
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
    refused = zoo("sample", "./run", "--set", "stepz=3", env=environment)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "zoo: --set stepz: there is no such field; did you mean steps?\n"


@pytest.mark.slow
def test_options_of_a_run_are_held_to_when_it_is_resumed(trained, zoo, environment, tmp_path):
    assert trained().returncode == 0
    refused = trained("--resume", "--set", "model.net.width=5")
    assert "model.net.width was 4 and is now 5" in refused.stderr
    words = ("train", "diffusion", "--data", "data.npz", "--out", "run", "--config", "file.yaml", "--device", "cpu")
    fewer = ("--set", "batch_size=4", "--set", "model.net.width=4", "--set", "model.kind=mlp", "--set", "steps=3")
    refused = zoo(*words, *fewer, "--resume", env=environment)
    assert "options.steps was 4 and is now 5; to change it from here on, say so with --set" in refused.stderr
    done = zoo(*words, *fewer, "--resume", "--set", "options.steps=7", env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/config.json").read_text())["options"]["steps"] == 7


@pytest.mark.slow
def test_a_folder_states_options_that_fit_or_is_refused(trained, zoo, environment, tmp_path):
    assert trained().returncode == 0
    config = tmp_path / "run/config.json"
    stated = json.loads(config.read_text())
    for options, problem in (({"steps": 0}, "Expected `int` >= 1"), ({"stepz": 1}, "unknown field `stepz`")):
        config.write_text(json.dumps(stated | {"options": options}))
        refused = zoo("sample", "./run", env=environment)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "the options do not fit the architecture diffusion" in refused.stderr
        assert problem in refused.stderr
    del stated["options"]
    config.write_text(json.dumps(stated))
    assert zoo("sample", "./run", "-n", 2, "--set", "steps=2", "-o", "b.npz", env=environment).returncode == 0


@pytest.mark.slow
def test_two_processes_make_the_samples_of_one(trained, zoo, environment, tmp_path):
    assert trained().returncode == 0
    words = ("sample", "./run", "-n", 40, "--seed", 3, "--set", "steps=3")
    assert zoo(*words, "-o", "one.npz", env=environment).returncode == 0
    done = torchrun("-m", "zoo_core", *words, "-o", "two.npz", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
