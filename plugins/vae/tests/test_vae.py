"""The VAE: the contract, likelihoods, what β does, and the ELBO in nats."""

import math

import pytest
import torch
from zoo_vae.model import VAE, VAEConfig
from zoo_vae.trainer import VAESettings, VAETrainer

from zoo_core import Batch
from zoo_core.data.training_data import TrainingData
from zoo_core.testing import ArchitectureContract
from zoo_core.training.loop import prepare

MLP = VAEConfig(size=8, latent_size=3, widths=(16,))
CONVOLUTIONAL = VAEConfig(size=8, latent_size=3, network="convolutional", widths=(4, 6))


def pictures(count=64, size=8):
    """Two kinds of picture that can be told apart: a bright left or a bright right half."""
    x = torch.full((count, 1, size, size), 0.05)
    x[: count // 2, :, :, : size // 2] = 0.95
    x[count // 2 :, :, :, size // 2 :] = 0.95
    return x


def trained(steps=150, config=MLP, **settings):
    torch.manual_seed(0)
    trainer = VAETrainer(config, VAESettings(learning_rate=5e-3, batch_size=64, **settings), (1, 8, 8))
    trainer.device = torch.device("cpu")
    prepare(trainer)
    for _ in range(steps):
        figures = trainer.training_step(Batch(pictures()))
    return trainer.modules["generator"].eval(), figures


class TestVAE(ArchitectureContract):
    architecture = "vae"
    config = {"size": 8, "latent_size": 3, "widths": (16,)}
    refused = [{"size": 0}, {"widths": ()}, {"sigma": 0.0}, {"likelihood": "laplace"}]


class TestConditionalVAE(TestVAE):
    config = TestVAE.config | {"conditional": True, "num_classes": 3}


class TestConvolutionalVAE(TestVAE):
    config = TestVAE.config | {"network": "convolutional", "widths": (4, 6)}


class TestGaussianVAE(TestVAE):
    config = TestVAE.config | {"likelihood": "gaussian"}


def test_colour_and_depth_are_mirrored_by_the_decoder():
    config = VAEConfig(size=32, channels=3, network="convolutional", widths=(4, 6, 8), latent_size=5)
    assert VAE(config)(torch.randn(2, 5)).shape == (2, 3, 32, 32)


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        VAEConfig(size=28, network="convolutional", widths=(4, 4, 4))


def test_the_elbo_of_an_ignorant_model_is_log_two_a_pixel():
    vae = VAE(MLP)
    for parameter in vae.parameters():
        torch.nn.init.zeros_(parameter)  # q(z|x) is the prior and every pixel has logit 0
    torch.testing.assert_close(vae.elbo(torch.bernoulli(pictures(4))), torch.full((4,), -64 * math.log(2)))


def test_09_the_gaussian_elbo_has_its_constant():
    vae = VAE(VAEConfig(size=8, latent_size=3, widths=(16,), likelihood="gaussian", sigma=0.1))
    for parameter in vae.parameters():
        torch.nn.init.zeros_(parameter)
    expected = -32 * math.log(2 * math.pi * 0.01)
    torch.testing.assert_close(vae.elbo(torch.zeros(2, 1, 8, 8)), torch.full((2,), expected))


@pytest.mark.parametrize("config", [MLP, CONVOLUTIONAL])
def test_training_raises_the_elbo_and_reconstructs(config):
    torch.manual_seed(0)
    before = VAE(config).elbo(pictures()).mean()
    vae, _ = trained(config=config)
    assert vae.elbo(pictures()).mean() > before + 10
    assert (vae.reconstruct(pictures()) - pictures()).abs().mean() < 0.1


def test_08_beta_acts_a_heavy_one_empties_the_latent():
    _, light = trained(beta=0.01)
    _, heavy = trained(beta=100.0)
    assert light["kl"] > 1
    assert heavy["kl"] < 0.1
    assert heavy["reconstruction"] > light["reconstruction"] + 1


def test_09_dynamic_binarisation_trains_on_drawn_pixels():
    vae = VAE(MLP)
    seen = []
    vae.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer = VAETrainer(MLP, VAESettings(binarize="dynamic"), (1, 8, 8))
    trainer.device = torch.device("cpu")
    prepare(trainer)
    trainer.modules["generator"] = vae
    trainer.optimizers["generator"] = trainer.adam(vae)
    for _ in range(2):
        trainer.training_step(Batch(torch.full((8, 1, 8, 8), 0.5)))
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [4, 4, 4, 4, 4]), ("linear", [0, 1, 2, 3, 4]), ("cyclical", [0, 2, 4, 4, 0])],
)
def test_beta_follows_its_schedule(schedule, expected):
    settings = VAESettings(beta=4.0, beta_schedule=schedule, beta_steps=4)
    assert [settings.beta_at(step) for step in range(5)] == expected
    assert settings.beta_at(10**6) in (0.0, 4.0)


def test_a_schedule_reaches_the_loss():
    trainer = VAETrainer(MLP, VAESettings(beta=4.0, beta_schedule="linear", beta_steps=10), (1, 8, 8))
    prepare(trainer)
    for step in (0, 5, 20):
        trainer.step = step
        figures = trainer.training_step(Batch(pictures()))
        expected = figures["reconstruction"] + min(step / 10, 1) * 4 * figures["kl"]
        assert figures["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_09_static_binarisation_draws_every_pixel_once_as_likely_white_as_it_is_bright():
    """Static and dynamic binarisation are not the same data."""
    grey = torch.full((2000, 1, 8, 8), 64, dtype=torch.uint8)
    trainer = VAETrainer(MLP, VAESettings(binarize="static"), (1, 8, 8))
    data = trainer.prepare_data(TrainingData.from_tensors(grey))
    assert set(data.samples.unique().tolist()) == {0, 255}
    assert (data.samples == 255).float().mean().item() == pytest.approx(64 / 255, abs=0.01)
    again = trainer.prepare_data(TrainingData.from_tensors(grey))
    assert data.fingerprint == again.fingerprint
    other = VAETrainer(MLP, VAESettings(binarize="static", seed=1), (1, 8, 8))
    assert other.prepare_data(TrainingData.from_tensors(grey)).fingerprint != data.fingerprint
    assert VAETrainer(MLP, VAESettings(), (1, 8, 8)).prepare_data(data) is data


@pytest.mark.parametrize("network", ["mlp", "convolutional"])
def test_a_conditional_vae_decodes_the_class_and_need_not_encode_it(network):
    config = VAEConfig(size=8, latent_size=3, widths=(16,), network=network, conditional=True, num_classes=2)
    trainer = VAETrainer(config, VAESettings(learning_rate=5e-3, batch_size=64, beta=4), (1, 8, 8))
    prepare(trainer)
    labels = torch.arange(64) // 32
    for _ in range(300):
        figures = trainer.training_step(Batch(pictures(), labels))
    vae = trainer.modules["generator"].eval()
    assert figures["kl"] < 0.5
    for label, half in ((0, slice(0, 4)), (1, slice(4, 8))):
        picture = vae(torch.zeros(1, 3), torch.tensor([label]))
        assert picture[..., half].mean() > 0.7
    again = vae.reconstruct(pictures(), labels)
    assert (again - pictures()).abs().mean() < 0.1
    mean, _ = vae.encode(pictures(), labels)
    assert mean.shape == (64, 3)


def test_noise_that_is_given_is_the_noise_that_is_used():
    vae, x = VAE(MLP), pictures(4)
    mean, logvar = vae.encode(x)
    noise = torch.randn(4, 3)
    reconstruction, _ = vae.elbo_terms(x, noise=noise)
    decoded = vae.decode(mean + noise * (logvar / 2).exp())
    torch.testing.assert_close(reconstruction, vae.negative_log_likelihood(decoded, x))
