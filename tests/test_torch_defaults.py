"""What a program has set in torch for its own tensors changes neither a model nor a sample, and stays set."""

import contextlib
import threading

import pytest
import torch

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core import Generator
from zoo_core.errors import InterfaceError, SamplingError
from zoo_core.runtime.torch_defaults import torch_defaults
from zoo_core.sampling.latent_space import interpolate, reconstruct, traverse


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float16": lambda: default_dtype(torch.float16),
    "float64": lambda: default_dtype(torch.float64),
    "meta": lambda: torch.device("meta"),
    "set_device": default_device,
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def state():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small VAE on disk."""
    vae = architecture("vae")
    torch.manual_seed(0)
    return vae.generator_class()(vae.config_class()(size=8, widths=(8,), latent_size=3)).save(
        tmp_path_factory.mktemp("defaults") / "vae"
    )


@each_setting
def test_a_model_loads_and_samples_as_without(setting, folder):
    expected = zoo.load(folder, device="cpu").sample(5, seed=2)
    with setting():
        before = state()
        model = zoo.load(folder, device="cpu")
        inside = model.sample(5, seed=2)
        assert state() == before
    assert torch.equal(inside, expected)
    assert torch.equal(model.sample(5, seed=2), expected)
    assert (inside.dtype, inside.device.type, inside.is_inference()) == (torch.float32, "cpu", False)


@pytest.mark.plugins("zoo-dcgan")
@each_setting
def test_a_bundled_model_loads_and_samples_as_without(setting):
    expected = zoo.load("dcgan-mnist-conditional", device="cpu").sample(2)
    with setting():
        assert torch.equal(zoo.load("dcgan-mnist-conditional", device="cpu").sample(2), expected)


@each_setting
def test_what_was_loaded_can_be_trained_further(setting, folder):
    with setting():
        model = zoo.load(folder, device="cpu")
    model.requires_grad_(True)(torch.zeros(1, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.from_latent.parameters())


@each_setting
def test_walks_reconstructions_and_saving_are_as_without(setting, folder, tmp_path):
    model = zoo.load(folder, device="cpu")
    z, x = model.latents(0, 0, 1)[0], model.sample(2)
    loops = {
        "interpolate": lambda: torch.cat(list(interpolate(model, 1, through=2, frames=2))),
        "traverse": lambda: traverse(model, z, steps=2)[0],
        "reconstruct": lambda: reconstruct(model, x),
        "reconstruct alone": lambda: model.reconstruct(x).detach(),
        "saved": lambda: zoo.load(model.save(tmp_path / "again"), device="cpu").sample(2),
    }
    for name, compute in loops.items():
        expected = compute()
        with setting():
            assert torch.equal(compute(), expected), name


@each_setting
def test_a_run_ends_with_the_same_bytes_as_without(setting, tmp_path):
    def run(out):
        vae = architecture("vae")
        settings = vae.trainer_class().Settings(steps=2, batch_size=4, device="cpu", sample_every=1)
        trainer = vae.trainer_class()(vae.config_class()(size=8, widths=(8,), latent_size=3), settings, (1, 8, 8))
        samples = torch.arange(512, dtype=torch.uint8, device="cpu").reshape(8, 1, 8, 8)
        return (trainer.fit(samples, out=out) / "model.safetensors").read_bytes()

    expected = run(tmp_path / "without")
    with setting():
        assert run(tmp_path / "within") == expected


@each_setting
def test_a_forward_pass_that_makes_tensors_of_its_own_samples_as_without(setting):
    class Shifting(Generator):
        kind, latent_shape, sample_shape = "tensor", (2,), (2,)

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, z, labels=None):
            return self.layer(torch.cat([z[:, :1], torch.ones(len(z), 1)], dim=1)) + torch.arange(2)

    model = Shifting()
    expected = model.sample(3)
    with setting():
        assert torch.equal(model.sample(3), expected)


def test_what_was_built_on_the_meta_device_says_why_it_cannot_be_sampled_or_saved(tmp_path):
    vae = architecture("vae")
    with torch.device("meta"):
        model = vae.generator_class()(vae.config_class()(size=8, widths=(8,)))
    with pytest.raises(SamplingError, match="VAE was built on the meta device and has no weights to sample"):
        model.sample(1)
    with pytest.raises(InterfaceError, match="has no value"):
        model.save(tmp_path / "vae")


def test_a_model_in_double_precision_says_how_it_can_be_saved(tmp_path, folder):
    model = zoo.load(folder, device="cpu").double()
    with pytest.raises(InterfaceError, match=r"F64 .*; save generator.float\(\)$"):
        model.save(tmp_path / "vae")
    model.float().save(tmp_path / "vae")


def test_threads_restore_the_default_type_together():
    entered, leave = threading.Barrier(2), threading.Event()

    def hold():
        with torch_defaults():
            entered.wait(10)
            leave.wait(10)

    with default_dtype(torch.float64):
        thread = threading.Thread(target=hold)
        with torch_defaults():
            thread.start()
            entered.wait(10)
        assert torch.get_default_dtype() == torch.float32  # the other thread is still inside
        leave.set()
        thread.join()
        assert torch.get_default_dtype() == torch.float64
