"""Where code for GANs and VAEs goes wrong, each point with tests that are named after its number.

Every one of these was found in public code that is widely copied, or reported by those who used it. What needs pictures
on disk, several processes or a long run is proved where such tests are, under names of the same kind.

Models and losses
 1. A generator ends at another size than its data has: "same" padding at stride 2 needs output_padding.
 2. The minimax loss of the generator saturates where the discriminator wins: non-saturating is the default.
 3. Discriminators return logits: log(sigmoid(x) + epsilon) has lost its gradient at x = -25.
 4. Logits (N, 1) beside targets (N,) broadcast to (N, N); targets of the wrong batch's size fail on a short one.
 5. Fakes are detached in the discriminator's step; in the generator's the discriminator is frozen, in train mode; old
    gradients are cleared.
 6. BatchNorm of the generator follows the generator's own steps alone; all processes share the statistics of a batch.
 7. The average of the weights has the buffers too, ramps up, and is sampled in eval mode.
 8. The ELBO sums over pixels and latents and averages over the batch, or beta means something else; beta acts.
 9. A Bernoulli likelihood is one on binary pixels only; a Gaussian one needs its log 2 pi sigma^2.
10. BatchNorm2d(128, 0.8) sets epsilon, not the momentum.
11. A reconstruction decodes the mean of q(z|x); drawing z is an option.
12. Pictures are rounded and clamped to 8 bits, never stretched in contrast.

Training
13. Losses and gradient penalties are computed in float32 under autocast; fp16's scale is updated once a step, however
    often a network is, and saved.
14. The seed is set before the networks are built; noise differs between processes; a checkpoint holds every state, so
    that 2N steps equal N, a resumption and N more, from the newest checkpoint and not the best.
15. Settings that changed are refused on resumption, and shown.
16. Lazy R1 comes every k steps, k times as strong, at a learning rate and betas for k + 1 updates in k steps.
17. Grey and colour, transparency, palettes, pictures that are not square or tiny, a short last batch: stated behaviour.
18. Every epoch has another order, and processes share it without overlap.
"""

import random
import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_core import Batch, Encoder, losses
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import TrainingError
from zoo_core.kinds.pictures import to_uint8
from zoo_core.plugins import manager
from zoo_core.runtime.meta_device import on_meta
from zoo_core.runtime.precision import autocast
from zoo_core.runtime.processes import Processes
from zoo_core.training import loop
from zoo_core.training.checkpoints import newest_checkpoint, restore_checkpoint, save_checkpoint
from zoo_core.training.ema import ExponentialMovingAverage
from zoo_core.training.loop import prepare
from zoo_core.training.run_folder import RunFolder, describe_run
from zoo_core.training.setup import prepare_training
from zoo_core.training.synchronised_layers import synchronise_layers

MNIST = Path(__file__).parent / "data" / "mnist"
CLASSES = 3

# Every registered architecture that can be trained, and its conditional form where it has one.
KINDS = [
    (architecture, values)
    for architecture, _ in manager().architectures.values()
    if architecture.trainer
    for values in ({}, {"conditional": True})
    if set(values) <= set(architecture.config_class().__struct_fields__)
]
ADVERSARIAL = [kind for kind in KINDS if kind[0].discriminator]
ENCODERS = [kind for kind in KINDS if issubclass(kind[0].generator_class(), Encoder)]
GAMES = losses.ADVERSARIAL_LOSSES


def name_of(kind):
    architecture, values = kind
    return "-".join([architecture.name, *values])


def each(kinds):
    return pytest.mark.parametrize("kind", kinds, ids=name_of)


def trainer_of(kind, data_shape=(1, 16, 16), **settings):
    """A trainer for data of this shape, as `zoo train` makes it."""
    architecture, values = kind
    trainer_class, config_class = architecture.trainer_class(), architecture.config_class()
    config = config_class(**trainer_class.config_for(config_class, values, data_shape, CLASSES))
    with on_meta():
        sample_shape = architecture.generator_class()(config).sample_shape
    settings = {"batch_size": 8, "device": "cpu", "precision": "fp32", "sample_every": 0} | settings
    return trainer_class(config, trainer_class.Settings(**settings), sample_shape)


def built(kind, data_shape=(1, 16, 16), **settings):
    trainer = trainer_of(kind, data_shape, **settings)
    prepare(trainer)
    return trainer


def batch_for(trainer, count=8):
    """Pictures in the model's range; labels, which an unconditional model leaves aside."""
    count *= trainer.batches_per_step
    pictures = torch.rand(count, *trainer.sample_shape, generator=torch.Generator().manual_seed(5))
    return Batch(trainer.modules["generator"].from_unit(pictures), torch.arange(count) % CLASSES)


def data_for(trainer, count=24):
    random_bytes = torch.Generator().manual_seed(1)
    samples = torch.randint(0, 256, (count, *trainer.sample_shape), dtype=torch.uint8, generator=random_bytes)
    return TrainingData.from_tensors(samples, torch.arange(count) % CLASSES)


def samples_of(generator, count=4):
    """What the generator's own forward makes, in its own range."""
    return generator(generator.latents(0, 0, count), labels_for(generator, count))


def labels_for(network, count):
    """Of a conditional network; None otherwise."""
    return torch.arange(count) % CLASSES if getattr(network, "num_classes", None) else None


def with_batch_norm(kinds, network):
    """Those whose network of this name has BatchNorm."""
    found = []
    for kind in kinds:
        with on_meta():
            module = getattr(kind[0], f"{network}_class")()(trainer_of(kind).config)
        if any(isinstance(layer, _BatchNorm) for layer in module.modules()):
            found.append(kind)
    return found


def batches_followed(module):
    return {int(layer.num_batches_tracked) for layer in module.modules() if isinstance(layer, _BatchNorm)}


def gradients(module):
    return [None if parameter.grad is None else parameter.grad.clone() for parameter in module.parameters()]


def same(some, others):
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(some, others, strict=True)
    )


def test_every_point_has_a_test_that_is_named_after_it():
    points = [int(number) for number in re.findall(r"^ ?(\d+)\. ", __doc__, re.MULTILINE)]
    assert points == list(range(1, 19))
    root = Path(__file__).parent.parent
    files = [*root.glob("tests/test_*.py"), *root.glob("plugins/*/tests/test_*.py")]
    tested = {int(n) for file in files for n in re.findall(r"^def test_(\d\d)_", file.read_text("utf-8"), re.MULTILINE)}
    assert tested == set(points)


# Models and losses


@pytest.mark.parametrize("data_shape", [(1, 28, 28), (3, 64, 64)], ids=str)
@each(KINDS)
def test_01_the_generator_ends_at_the_size_of_its_data(kind, data_shape):
    trainer = built(kind, data_shape)
    assert trainer.sample_shape[0] == data_shape[0]
    assert samples_of(trainer.modules["generator"]).shape[1:] == trainer.sample_shape
    trainer.training_step(batch_for(trainer, 4))  # and the rest of the networks take it


@pytest.mark.parametrize("name", sorted({kind[0].name for kind in KINDS}))
def test_01_data_is_brought_to_the_size_that_the_generator_makes(name):
    trainer, data = prepare_training(name, MNIST, assignments=["device=cpu"])
    prepare(trainer)
    assert samples_of(trainer.modules["generator"]).shape[1:] == data.sample_shape


@pytest.mark.parametrize(
    ("asked", "formula"),
    [({}, lambda logits: F.softplus(-logits).mean()), ({"loss": "minimax"}, lambda logits: -F.softplus(logits).mean())],
    ids=["default", "minimax"],
)
@each(ADVERSARIAL)
def test_02_the_generators_loss_is_non_saturating_unless_minimax_is_asked_for(kind, asked, formula):
    trainer, seen = built(kind, **asked), []
    trainer.modules["discriminator"].register_forward_hook(lambda _, __, logits: seen.append(logits.detach()))
    figures = trainer.training_step(batch_for(trainer))
    assert figures["loss_g"].item() == pytest.approx(formula(seen[-1]).item(), rel=1e-5)


@each(ADVERSARIAL)
def test_03_discriminators_return_logits_and_losses_keep_their_gradient(kind):
    trainer = built(kind)
    discriminator, batch = trainer.modules["discriminator"], batch_for(trainer, 64)
    logits = discriminator(batch.samples, labels_for(discriminator, 64))
    assert ((logits < 0) | (logits > 1)).any()  # probabilities are never there
    seen = []

    def sure(_, __, logits):
        """A discriminator that knows every fake."""
        seen.append(logits - 25)
        seen[-1].retain_grad()
        return seen[-1]

    discriminator.register_forward_hook(sure)
    trainer.training_step(batch_for(trainer))
    torch.testing.assert_close(seen[-1].grad, torch.full((8,), -1 / 8))


@pytest.mark.parametrize("count", [1, 2, 5])
@each(ADVERSARIAL)
def test_04_there_is_one_logit_for_each_sample(kind, count):
    trainer = built(kind)
    discriminator = trainer.modules["discriminator"].eval()
    logits = discriminator(batch_for(trainer, count).samples, labels_for(discriminator, count))
    assert logits.shape == (count,)


@pytest.mark.parametrize("name", GAMES)
def test_04_unequal_batches_of_real_and_fake_are_averaged_apart(name):
    """The loss of unequal batches is the mean over every pair of one real and one fake."""
    real, fake = torch.tensor([1.0, -0.5, 2.0, 0.25, 3.0]), torch.tensor([-2.0, 0.5])
    pairs = [GAMES[name].discriminator(a[None], b[None]) for a in real for b in fake]
    torch.testing.assert_close(GAMES[name].discriminator(real, fake), torch.stack(pairs).mean())


@pytest.mark.parametrize("settings", [{}, {"updates": "simultaneous"}, {"discriminator_steps": 2}], ids=str)
@each(ADVERSARIAL)
def test_05_each_step_gives_gradients_to_its_own_network_alone_and_new_ones(kind, settings):
    """Fakes are detached in D's step, D is frozen in G's, both are in train mode, and nothing old is added to."""
    trainer, updated = built(kind, **settings), []
    backward = trainer.backward

    def watched(name, *loss):
        own = trainer.modules[name]
        other = next(module for key, module in trainer.modules.items() if key != name)
        for parameter in own.parameters():
            parameter.grad = torch.full_like(parameter, float("nan"))  # as of an older step
        before = gradients(other)
        backward(name, *loss)
        assert same(before, gradients(other))
        assert all(torch.isfinite(gradient).all() for gradient in gradients(own))
        assert all(module.training for module in trainer.modules.values())
        updated.append(name)

    trainer.backward = watched
    trainer.training_step(batch_for(trainer))
    assert set(updated) == {"generator", "discriminator"}
    assert all(parameter.requires_grad for module in trainer.modules.values() for parameter in module.parameters())


@pytest.mark.parametrize("settings", [{}, {"updates": "simultaneous"}, {"discriminator_steps": 3}], ids=str)
@each(with_batch_norm(ADVERSARIAL, "generator"))
def test_06_batchnorm_of_the_generator_follows_its_own_steps_alone(kind, settings):
    trainer = built(kind, **settings)
    trainer.training_step(batch_for(trainer))
    assert batches_followed(trainer.modules["generator"]) == {1}


@each(with_batch_norm(ADVERSARIAL, "discriminator"))
def test_06_real_and_fake_pass_the_discriminators_batchnorm_apart(kind):
    """One batch of both would let it tell them apart by their share of the statistics."""
    trainer = built(kind)
    trainer.training_step(batch_for(trainer))
    assert batches_followed(trainer.modules["discriminator"]) == {3}  # real, fake, and the generator's step


class Counter(nn.Module):
    """A parameter, a buffer and a whole-number buffer of one value."""

    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), float(value)))
        self.register_buffer("mean", torch.full((2,), float(value)))
        self.register_buffer("count", torch.tensor(int(value)))


def test_07_the_average_follows_its_closed_form_ramps_up_and_takes_buffers_with_it():
    average = ExponentialMovingAverage(Counter(0), decay=0.9)
    expected = 0.0
    for step in range(1, 120):  # the decay reaches 0.9 at step 80
        average.update(Counter(step), step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(average.module.weight, torch.full((2,), expected))
        torch.testing.assert_close(average.module.mean, torch.full((2,), expected))
        assert average.module.count == step


@each(KINDS)
def test_07_samples_are_drawn_in_eval_mode_and_leave_the_model_as_it_is(kind):
    """In train mode BatchNorm would mix the samples of a batch, and follow them."""
    generator = built(kind).modules["generator"]
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    labels = torch.zeros(20, dtype=torch.int64) if generator.num_classes else None
    together = generator.sample(20, labels=labels)
    alone = generator.sample(1, start=7, labels=labels[:1] if labels is not None else None)
    torch.testing.assert_close(alone[0], together[7], rtol=0, atol=1e-5)
    assert generator.training
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())


def test_08_both_terms_are_sums_over_their_dimensions_and_the_elbo_a_mean_over_the_batch():
    logits, x = torch.randn(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    for likelihood in (losses.bernoulli_negative_log_likelihood, losses.gaussian_negative_log_likelihood):
        torch.testing.assert_close(likelihood(logits.tile(1, 3, 2, 2), x.tile(1, 3, 2, 2)), 12 * likelihood(logits, x))
    mean, logvar = torch.randn(3, 5), torch.randn(3, 5)
    divergence = losses.kl_divergence(mean, logvar)
    torch.testing.assert_close(losses.kl_divergence(mean.tile(1, 4), logvar.tile(1, 4)), 4 * divergence)
    terms = losses.bernoulli_negative_log_likelihood(logits, x), divergence
    torch.testing.assert_close(losses.negative_elbo(*(term.tile(7) for term in terms)), losses.negative_elbo(*terms))


@each(ENCODERS)
def test_08_what_is_trained_on_is_what_is_reported(kind):
    """The loss at beta = 1 is the negative ELBO, with the same weight of the KL term and the same sums."""
    trainer = built(kind)
    vae, batch = trainer.modules["generator"], batch_for(trainer)
    torch.manual_seed(3)
    reported = -vae.elbo(batch.samples, labels_for(vae, 8)).mean()
    torch.manual_seed(3)
    torch.testing.assert_close(trainer.training_step(batch)["loss"], reported)


def test_09_a_bernoulli_likelihood_is_a_probability_of_binary_pictures():
    logits = torch.randn(1, 6)
    binary = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)
    nats = losses.bernoulli_negative_log_likelihood(logits.expand(len(binary), -1), binary)
    assert torch.exp(-nats).sum().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_09_a_gaussian_likelihood_is_a_density(sigma):
    x = torch.linspace(-20, 20, 400_001)[:, None]
    nats = losses.gaussian_negative_log_likelihood(torch.full_like(x, 0.3), x, sigma)
    assert torch.trapezoid(torch.exp(-nats.double()), x[:, 0].double()).item() == pytest.approx(1, rel=1e-4)


@each(KINDS)
def test_10_batchnorm_keeps_torchs_epsilon_and_momentum(kind):
    layers = [layer for network in built(kind).modules.values() for layer in network.modules()]
    norms = {(layer.eps, layer.momentum) for layer in layers if isinstance(layer, _BatchNorm)}
    assert norms <= {(1e-5, 0.1)}


@each(ENCODERS)
def test_11_a_reconstruction_decodes_the_mean_unless_it_is_asked_to_draw(kind):
    trainer = built(kind)
    vae, own = trainer.modules["generator"], batch_for(trainer).samples
    x = vae.to_unit(own).clamp(0, 1)  # as sample returns them
    labels = labels_for(vae, 8)
    given = () if labels is None else (labels,)
    mean, _ = vae.encode(own, *given)
    expected = vae.to_unit(vae(mean, *given)).clamp(0, 1)
    torch.testing.assert_close(vae.reconstruct(x, labels), expected, rtol=0, atol=1e-6)
    assert not torch.equal(vae.reconstruct(x, labels, sample=True), vae.reconstruct(x, labels, sample=True))


@each(KINDS)
def test_12_every_byte_survives_the_range_of_the_model(kind):
    """From a picture into the model's range and back: as it was, whatever else is in the batch."""
    generator = built(kind).modules["generator"]
    pixels = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    again = to_uint8(generator.to_unit(generator.from_unit(pixels / 255)))
    assert np.array_equal(again, pixels.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(to_uint8(generator.to_unit(generator.from_unit(pixels[1:2] / 255))), again[1:2])


# Training


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@each(KINDS)
def test_13_losses_are_float32_and_finite_in_low_precision(kind, precision):
    trainer = built(kind, precision=precision)
    with autocast(trainer.device, precision):
        figures = trainer.training_step(batch_for(trainer, 2))  # a CPU is slow in fp16
    assert {value.dtype for value in figures.values()} == {torch.float32}
    assert all(torch.isfinite(value) for value in figures.values())
    tensors = [t for network in trainer.modules.values() for p in network.parameters() for t in (p, p.grad)]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "updates"),
    [({}, 1), ({"updates": "simultaneous"}, 1), ({"discriminator_steps": 3}, 3), ({"r1_gamma": 1.0}, 2)],
    ids=str,
)
@each([kind for kind in ADVERSARIAL if not kind[1]])
def test_13_the_scale_of_fp16_is_updated_once_for_both_networks_and_before_one_steps_again(kind, settings, updates):
    """A scaler refuses a second step of an optimizer before its update."""
    trainer = built(kind, precision="fp16", gradient_clip=1.0, **settings)
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 64.0})  # which overflows nowhere
    before = [parameter.detach().clone() for parameter in trainer.modules["generator"].parameters()]
    updated = []
    update = trainer.scaler.update
    trainer.scaler.update = lambda: (updated.append(True), update())
    with autocast(trainer.device, "fp16"):
        trainer.training_step(batch_for(trainer, 2))  # a CPU is slow in fp16
    trainer.update_scale()
    assert len(updated) == updates
    assert not same(before, list(trainer.modules["generator"].parameters()))


@each(ADVERSARIAL[:1])
def test_13_the_scale_of_fp16_is_saved(kind, tmp_path):
    first, second = (built(kind, precision="fp16") for _ in range(2))
    first.scaler.load_state_dict(first.scaler.state_dict() | {"scale": 128.0, "_growth_tracker": 7})
    restore_checkpoint(save_checkpoint(tmp_path, first, None), second, None)
    assert second.scaler.state_dict() == first.scaler.state_dict()
    assert second.scaler.get_scale() == 128


@each(KINDS)
def test_14_the_seed_is_set_before_the_networks_are_built(kind):
    def weights(seed, before):
        torch.manual_seed(before)
        networks = built(kind, seed=seed).modules.values()
        return torch.cat([parameter.detach().flatten() for network in networks for parameter in network.parameters()])

    assert torch.equal(weights(0, before=1), weights(0, before=2))
    assert not torch.equal(weights(0, before=1), weights(1, before=1))


@each(KINDS)
def test_14_two_n_steps_equal_n_a_resumption_and_n_more(kind, tmp_path):
    """Weights, moments, averages, noise and the position in the data, bit for bit, in what is finished and in the
    checkpoint."""

    def run(out, steps):
        trainer = trainer_of(kind, steps=steps, checkpoint_every=2)
        return trainer.fit(data_for(trainer), out=tmp_path / out / "run", resume=True)

    straight = run("straight", 6)
    for steps in (3, 6):
        torch.manual_seed(steps)  # whatever the process did before must not matter
        broken = run("broken", steps)
    for name in ("config.json", "model.safetensors", "README.md", "samples.png"):
        assert (straight / name).read_bytes() == (broken / name).read_bytes(), name
    last = Path("checkpoints", "step-00000006", "tensors.safetensors")
    expected, found = load_file(straight / last), load_file(broken / last)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


@each(KINDS[:1])
def test_14_a_checkpoint_holds_the_state_of_every_generator_of_random_numbers(kind, tmp_path):
    def draws():
        return random.random(), np.random.standard_normal(), random.gauss(0, 1), torch.randn(3).tolist()

    trainer = built(kind)
    draws()  # an odd number of normals, whose second half is kept
    checkpoint = save_checkpoint(tmp_path, trainer, None)
    expected = [draws() for _ in range(3)]
    draws()
    restore_checkpoint(checkpoint, trainer, None)
    assert [draws() for _ in range(3)] == expected


@each(ADVERSARIAL[:1])
def test_14_a_run_goes_on_from_the_newest_checkpoint_not_from_the_best(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)

    class EverWorse(kind[0].trainer_class()):
        def training_step(self, batch):
            return super().training_step(batch) | {"badness": torch.tensor(float(self.step))}

    def run(out, steps):
        plain = trainer_of(kind, steps=steps, checkpoint_every=1, keep_checkpoints=1, best_figure="badness")
        trainer = EverWorse(plain.config, plain.settings, plain.sample_shape)
        return trainer.fit(data_for(trainer), out=tmp_path / out, resume=True)

    folder = run("resumed", 4)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"step-00000001", "step-00000004"}
    assert newest_checkpoint(folder / "checkpoints").name == "step-00000004"
    run("resumed", 6)
    assert (folder / "model.safetensors").read_bytes() == (run("straight", 6) / "model.safetensors").read_bytes()


@each(KINDS)
def test_14_every_process_draws_noise_and_dropout_of_its_own(kind):
    """What two processes draw is, one after the other, what one draws for the same batch."""

    def drawn(rank, count, size):
        trainer = trainer_of(kind)
        trainer.processes = Processes(rank, count)
        layer = nn.Sequential(nn.Dropout(0.4), nn.Dropout2d(0.4))
        synchronise_layers(layer, trainer.processes)
        torch.manual_seed(0)
        return trainer.draw(torch.randn, size, 3), layer(torch.ones(size, 2, 5, 5))

    for whole, first, second in zip(drawn(0, 1, 8), drawn(0, 2, 4), drawn(1, 2, 4), strict=True):
        torch.testing.assert_close(torch.cat([first, second]), whole)
        assert not torch.equal(first, second)


def another(value, annotation):
    """A value of a field's type other than `value`; None where there is no other."""
    if get_origin(annotation) is Literal:
        return next((choice for choice in get_args(annotation) if choice != value), None)
    if isinstance(value, tuple):
        item = get_args(annotation)[0]
        return tuple(another(each, item) for each in value) or (another("", item),)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"{value}x"
    return value + 1 if isinstance(value, int) else value / 2 + 0.125


def one_field_changed(struct):
    """(field, the same struct with another value in it) for every field that has another."""
    for name, annotation in get_type_hints(type(struct)).items():
        value = another(getattr(struct, name), annotation)
        if value is not None:
            yield name, msgspec.structs.replace(struct, **{name: value})


def as_json(value):
    return msgspec.json.decode(msgspec.json.encode(value))


# How long a run goes on and where, and what it writes.
MAY_CHANGE = {
    "steps", "device", "checkpoint_every", "keep_checkpoints", "best_figure", "sample_every", "trackers",
    "eval_every", "eval_metrics", "eval_samples", "eval_extractor",
}  # fmt: skip


@each([kind for kind in KINDS if not kind[1]])
def test_15_every_setting_and_field_that_changed_is_refused_on_resumption_and_shown(kind, tmp_path):
    trainer = trainer_of(kind)
    data = data_for(trainer)
    run = RunFolder(tmp_path)
    run.begin(describe_run(trainer, kind[0].name, data))
    assert not run.check(describe_run(trainer, kind[0].name, data), resume=True)

    def refusal(config, settings):
        changed = type(trainer)(config, settings, trainer.sample_shape)
        try:
            run.check(describe_run(changed, kind[0].name, data), resume=True)
        except TrainingError as error:
            return str(error)
        return None

    def shown(name, before, now):
        before, now = (as_json(getattr(struct, name)) for struct in (before, now))
        return f"{name} was {before!r} and is now {now!r}"

    accepted = set()
    for name, changed in one_field_changed(trainer.settings):
        message = refusal(trainer.config, changed)
        if message is None:
            accepted.add(name)
        else:
            assert shown(name, trainer.settings, changed) in message
    assert accepted == MAY_CHANGE
    for name, changed in one_field_changed(trainer.config):
        assert shown(name, trainer.config, changed) in (refusal(changed, trainer.settings) or "it is accepted")


@each(ADVERSARIAL)
def test_16_lazy_r1_comes_every_k_steps_k_times_as_strong_at_a_matching_pace(kind):
    trainer = built(kind, r1_gamma=2.0, r1_every=4, learning_rate=1e-3, betas=(0.5, 0.99))
    group = trainer.optimizers["discriminator"].param_groups[0]
    assert group["lr"] == pytest.approx(1e-3 * 4 / 5)
    assert group["betas"] == pytest.approx((0.5 ** (4 / 5), 0.99 ** (4 / 5)))
    assert trainer.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(1e-3)
    minimised, penalised = [], []
    update = trainer.update
    trainer.update = lambda name, loss: (minimised.append((name, loss.item())), update(name, loss))
    for step in range(8):
        trainer.step = step
        figures = trainer.training_step(batch_for(trainer))
        if "r1" in figures:
            penalised.append(step)
            assert minimised[-1] == ("discriminator", pytest.approx(figures["r1"].item() * 2.0 / 2 * 4))
    assert penalised == [0, 4]
