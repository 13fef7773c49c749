"""The GAN step: games, penalties, augmentation, several steps of D, simultaneous updates, labels."""

import math

import msgspec
import pytest
import torch
from torch import nn

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core import Batch, Discriminator, GANSettings, GANTrainer, Generator, ModelConfig, SamplingOptions
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, InterfaceError, SettingsError
from zoo_core.losses import ADVERSARIAL_LOSSES
from zoo_core.training.loop import prepare

SHAPE = (1, 16, 16)


def mlp(dropout=0.0, conditional=False, device="cpu", **settings):
    gan = architecture("vanilla_gan")
    config = gan.config_class()(
        size=16,
        latent_size=4,
        generator_widths=(8,),
        discriminator_widths=(8,),
        dropout=dropout,
        conditional=conditional,
        num_classes=3,
    )
    return built(gan.trainer_class()(config, GANSettings(batch_size=8, **settings), SHAPE), device)


def dcgan(conditional=False, norm="batch", device="cpu", **settings):
    gan = architecture("dcgan")
    config = gan.config_class()(
        size=16, channels=1, width=4, latent_size=4, conditional=conditional, num_classes=3, discriminator_norm=norm
    )
    return built(gan.trainer_class()(config, GANSettings(batch_size=8, **settings), SHAPE), device)


def built(trainer, device):
    trainer.device = torch.device(device)
    prepare(trainer)
    return trainer


def batch(count=8, labels=False, device="cpu"):
    generator = torch.Generator().manual_seed(5)
    samples = torch.rand(count, *SHAPE, generator=generator) * 2 - 1
    return Batch(samples.to(device), torch.arange(count, device=device) % 3 if labels else None)


def parameters(trainer, name):
    return torch.cat([p.detach().flatten() for p in trainer.modules[name].parameters()])


EVERY_KIND = [
    {"loss": name} for name in ADVERSARIAL_LOSSES
] + [
    {"r1_gamma": 1.0},
    {"spectral_norm": True},
    {"augment": ("color", "translation", "cutout")},
    {"discriminator_steps": 3},
    {"updates": "simultaneous"},
    {"updates": "simultaneous", "loss": "hinge"},
    {"gradient_clip": 0.1},
    {"schedule": "cosine", "warmup_steps": 10},
]  # fmt: skip


@pytest.mark.parametrize("settings", EVERY_KIND, ids=str)
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("conditional", [False, True])
def test_every_kind_of_step_runs_and_moves_both_networks(settings, device, conditional):
    """On the meta device, which refuses tensors that were made elsewhere, there are no values to compare."""
    trainer = dcgan(norm="none", conditional=conditional, device=device, **settings)
    before = {name: parameters(trainer, name) for name in trainer.modules}
    figures = trainer.training_step(batch(8 * trainer.batches_per_step, labels=conditional, device=device))
    assert {value.device.type for value in figures.values()} == {device}
    if device == "cpu":
        assert all(math.isfinite(value) for value in figures.values())
        assert all(not torch.equal(before[name], parameters(trainer, name)) for name in before)


def test_spectral_norm_holds_every_layer_of_the_discriminator_to_one():
    trainer = dcgan(norm="none", spectral_norm=True)
    for _ in range(60):  # the power iteration takes a step with every pass
        trainer.training_step(batch())
    layers = [
        layer for layer in trainer.modules["discriminator"].modules() if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in layers]
    assert norms
    assert norms == pytest.approx([1] * len(norms), rel=0.15)


def test_a_saved_discriminator_has_the_weights_of_its_class_whatever_it_was_trained_with(tmp_path):
    data = TrainingData.from_tensors(torch.randint(0, 256, (16, *SHAPE), dtype=torch.uint8))
    settings = GANSettings(steps=2, batch_size=8, spectral_norm=True, sample_every=0)
    gan = architecture("dcgan")
    trainer = gan.trainer_class()(gan.config_class()(size=16, channels=1, width=4), settings, SHAPE)
    folder = trainer.fit(data, out=tmp_path / "run")
    from safetensors.torch import load_file

    plain = gan.discriminator_class()(trainer.config)
    plain.load_state_dict(load_file(folder / "discriminator.safetensors"))
    x = batch().samples
    torch.testing.assert_close(plain.eval()(x), trainer.modules["discriminator"].eval()(x))


def test_13_penalties_are_computed_in_float32_whatever_the_precision():
    """R1 and the gradient penalty under an autocast around them."""
    for penalty, settings in (
        (lambda trainer: trainer._penalise_real_gradient(batch()), {"r1_gamma": 1.0}),
        (lambda trainer: trainer._gradient_penalty(batch(), batch().samples.flip(0)), {"loss": "wasserstein"}),
    ):
        torch.manual_seed(0)
        expected = penalty(mlp(**settings))
        torch.manual_seed(0)
        trainer = mlp(**settings)
        with torch.autocast("cpu", torch.bfloat16):
            assert penalty(trainer).item() == pytest.approx(expected.item(), rel=1e-6)


def test_batchnorm_and_a_gradient_penalty_do_not_go_together():
    with pytest.raises(SettingsError, match="discriminator_norm=none"):
        dcgan(loss="wasserstein")
    dcgan(loss="wasserstein", gradient_penalty=0.0)
    dcgan(loss="wasserstein", norm="none")


def test_every_step_of_the_discriminator_sees_a_batch_of_its_own():
    trainer = mlp(discriminator_steps=2)
    seen = []
    trainer.modules["discriminator"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    whole = batch(16)
    trainer.training_step(whole)
    assert torch.equal(seen[0], whole.samples[:8])
    assert torch.equal(seen[2], whole.samples[8:])
    assert not torch.equal(seen[1], seen[3])


@pytest.mark.parametrize("loss", ["non-saturating", "minimax", "wasserstein"])
@pytest.mark.parametrize("augment", [(), ("translation",)])
def test_one_pass_over_real_and_fake_gives_the_gradients_of_two(loss, augment, monkeypatch):
    """The simultaneous game has one result, whether D runs once over [real; fake] or apart for each loss."""
    results = []
    for shared in (True, False):
        trainer = mlp(updates="simultaneous", loss=loss, augment=augment, gradient_penalty=0.0, seed=3)
        if not shared:
            monkeypatch.setattr(type(trainer), "_one_pass_serves_both", lambda self: False)
        if augment:  # the two ways draw augmentations in another order: give both the same
            monkeypatch.setattr(trainer, "draw", drawn_by_size())
        passes = []
        trainer.modules["discriminator"].register_forward_pre_hook(lambda *_, passes=passes: passes.append(1))
        torch.manual_seed(7)
        trainer.training_step(batch())
        assert len(passes) == (1 if shared else 3)
        gradients = [p.grad for module in trainer.modules.values() for p in module.parameters()]
        results.append(torch.cat([gradient.flatten() for gradient in gradients]))
        monkeypatch.undo()
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-7)


def test_what_is_no_picture_is_not_augmented(monkeypatch):
    generator_class = architecture("vanilla_gan").generator_class()
    monkeypatch.setattr(generator_class, "kind", "tensor")
    mlp(augment=("translation",))  # of three dimensions, as pictures with more channels
    monkeypatch.setattr(generator_class, "kind", "audio")
    with pytest.raises(SettingsError, match="augment: only pictures can be augmented, and samples of kind 'audio'"):
        mlp(augment=("translation",))
    mlp()


def drawn_by_size():
    return lambda sampler, count, *shape: sampler(
        count, *shape, generator=torch.Generator().manual_seed(count * sum(shape))
    )


@pytest.mark.parametrize(
    ("build", "settings", "passes"),
    [(mlp, {}, 1), (mlp, {"dropout": 0.3}, 3), (dcgan, {}, 3), (mlp, {"loss": "hinge"}, 3)],
)
def test_a_discriminator_that_mixes_samples_is_not_run_over_real_and_fake_at_once(build, settings, passes):
    trainer, seen = build(updates="simultaneous", **settings), []
    trainer.modules["discriminator"].register_forward_pre_hook(lambda *_: seen.append(1))
    trainer.training_step(batch())
    assert len(seen) == passes


def test_simultaneous_updates_answer_the_discriminator_before_its_step():
    """In the alternating game G answers the D that was just updated."""
    alternating, simultaneous = mlp(seed=1), mlp(seed=1, updates="simultaneous")
    for trainer in (alternating, simultaneous):
        torch.manual_seed(2)
        trainer.training_step(batch())
    for name, same in (("discriminator", True), ("generator", False)):
        a, b = parameters(alternating, name), parameters(simultaneous, name)
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7) is same, name


def test_simultaneous_updates_take_one_step_of_the_discriminator():
    with pytest.raises(ValueError, match="discriminator_steps must be 1"):
        GANSettings(updates="simultaneous", discriminator_steps=2)


def test_clipping_shortens_a_long_gradient_to_its_bound():
    trainer = mlp(gradient_clip=1e-3)
    trainer.training_step(batch())
    for module in trainer.modules.values():
        norm = torch.cat([p.grad.flatten() for p in module.parameters()]).norm().item()
        assert norm == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_the_learning_rate_follows_its_closed_form(schedule, expected):
    trainer = mlp(schedule=schedule, warmup_steps=2, steps=6, learning_rate=0.01)
    rates = []
    for step in range(6):
        trainer.step = step
        trainer.training_step(batch())
        rates.append(trainer.optimizers["generator"].param_groups[0]["lr"] / 0.01)
    assert rates == pytest.approx(expected, rel=1e-5)


def test_the_discriminator_is_told_the_labels_of_real_and_fake():
    trainer = dcgan(conditional=True)
    seen = []
    trainer.modules["discriminator"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    labelled = batch(labels=True)
    trainer.training_step(labelled)
    assert len(seen) == 3  # of the real, the fake, and the fake that the generator answers for
    assert all(torch.equal(labels, labelled.labels) for labels in seen)


def test_an_unconditional_model_leaves_labels_aside():
    with_labels, without = mlp(), mlp()
    for trainer, given in ((with_labels, batch(labels=True)), (without, batch())):
        torch.manual_seed(0)
        trainer.training_step(given)
    assert torch.equal(parameters(with_labels, "generator"), parameters(without, "generator"))


@pytest.mark.parametrize("build", [mlp, dcgan])
def test_a_conditional_model_asks_for_labels(build):
    with pytest.raises(InterfaceError, match="needs labels"):
        build(conditional=True).training_step(batch())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "no labels for a conditional model; --label-column"),
        (torch.arange(16) % 5, "has 5 classes, but the model knows 3"),
    ],
)
def test_data_that_does_not_fit_a_conditional_model_is_refused(labels, message, tmp_path):
    data = TrainingData.from_tensors(torch.zeros(16, *SHAPE, dtype=torch.uint8), labels)
    trainer = mlp(conditional=True)
    with pytest.raises(DataError, match=message):
        type(trainer)(trainer.config, GANSettings(batch_size=8), SHAPE).fit(data, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_conditional_gan_learns_to_draw_the_class_it_is_asked_for(tmp_path):
    """Dark and bright pictures: after a short training the label decides which."""
    labels = torch.arange(128) % 2
    shades = torch.where(labels == 0, 40, 215)[:, None, None, None]
    noise = torch.randint(-20, 20, (128, *SHAPE), generator=torch.Generator().manual_seed(0))
    data = TrainingData.from_tensors((shades + noise).to(torch.uint8), labels)
    gan = architecture("dcgan")
    config = gan.config_class()(size=16, channels=1, width=8, latent_size=8, conditional=True, num_classes=2)
    settings = GANSettings(steps=400, batch_size=32, sample_every=0, ema_decay=0.9, learning_rate=1e-3)
    generator = zoo.load(gan.trainer_class()(config, settings, SHAPE).fit(data, out=tmp_path / "run"))
    dark, bright = (generator.sample(16, labels=label).mean().item() for label in (0, 1))
    assert dark < 0.35
    assert bright > 0.65


def test_a_silent_discriminator_loss_is_pointed_out():
    trainer = mlp()
    assert "r1_gamma" in trainer.advice({"loss_d": 1e-5})
    assert trainer.advice({"loss_d": 0.5}) is None
    assert mlp(loss="wasserstein").advice({"loss_d": -3.0}) is None


def test_the_settings_survive_json():
    settings = GANSettings(loss="hinge", augment=("color", "cutout"), r1_gamma=0.5)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=GANSettings) == settings


class ScaleOptions(SamplingOptions, frozen=True):
    scale: float = 3.0


class NoisyLine(Generator):
    kind, Options, stochastic = "tensor", ScaleOptions, True
    latent_shape = sample_shape = (1,)

    def __init__(self):
        super().__init__()
        self.layer, self.given = nn.Linear(1, 1), []

    def forward(self, z, labels=None, *, options, noise):
        self.given.append((options, noise))
        return self.layer(z) * options.scale + noise(0, self.sample_shape)


class LineJudge(Discriminator):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x, labels=None):
        return self.layer(x).flatten()


class NoisyLineTrainer(GANTrainer):
    def build(self):
        self.set_networks(NoisyLine(), LineJudge())


def test_a_generator_with_options_and_noise_is_trained_with_its_own_options_and_new_noise():
    trainer = NoisyLineTrainer(ModelConfig(), GANSettings(), (1,))
    trainer.build()
    assert trainer.training_step(Batch(torch.randn(8, 1)))["loss_g"].isfinite()
    ((options, noise),) = trainer.modules["generator"].given
    assert options == ScaleOptions()
    first, second = noise(0, (1,)), noise(0, (1,))
    assert first.shape == (8, 1)
    assert not torch.equal(first, second)
