"""The training step of GANs: a plugin inherits it and writes `build` alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from zoo_core.errors import SettingsError
from zoo_core.interfaces import Batch, Discriminator, Generator, Parent, Settings, Trainer
from zoo_core.interfaces.settings import Fraction
from zoo_core.losses import ADVERSARIAL_LOSSES, AdversarialLoss, AdversarialLossName, gradient_penalty, r1_penalty
from zoo_core.runtime.precision import autocast
from zoo_core.training.augmentation import Augmentation, augment
from zoo_core.training.remedies import remedies


class GANSettings(Settings, frozen=True):
    """Settings of an adversarial run, beside those of every run.

    Args:
        loss: the losses of D and G: non-saturating (the default), minimax, least-squares, hinge, or wasserstein with
            its gradient penalty.
        betas: decay rates of Adam; β1 = 0.5 stabilises the game (Radford et al., 2015).
        discriminator_steps: steps of D for one step of G, each on its own batch.
        updates: alternating: G responds to the D that was just updated. simultaneous: both step from the same
            parameters, so that one pass through D can serve both losses if D has neither BatchNorm nor dropout.
        gradient_penalty: λ of WGAN-GP (arXiv 1704.00028); used with the wasserstein loss only.
        r1_gamma: γ of the R1 penalty (arXiv 1801.04406) on real samples; 0 turns it off.
        r1_every: steps between two R1 penalties, each of which is then that many times as strong (lazy
            regularisation, arXiv 1912.04958).
        spectral_norm: limit every layer of D to Lipschitz constant 1 (arXiv 1802.05957).
        augment: random changes to everything that D sees, real and generated alike (DiffAugment, arXiv 2006.10738):
            color, translation, cutout. For small data sets.

    Example:
        >>> GANSettings(loss="hinge", spectral_norm=True, steps=1000).betas
        (0.5, 0.999)
    """

    changeable = Settings.changeable | {
        "gradient_penalty",
        "r1_gamma",
        "r1_every",
        "augment",
    }

    loss: AdversarialLossName = "non-saturating"
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    discriminator_steps: Annotated[int, Meta(ge=1, le=100)] = 1
    updates: Literal["alternating", "simultaneous"] = "alternating"
    gradient_penalty: Annotated[float, Meta(ge=0)] = 10.0
    r1_gamma: Annotated[float, Meta(ge=0)] = 0.0
    r1_every: Annotated[int, Meta(ge=1)] = 16
    spectral_norm: bool = False
    augment: tuple[Augmentation, ...] = ()

    def __post_init__(self) -> None:
        if self.updates == "simultaneous" and self.discriminator_steps > 1:
            raise ValueError("updates=simultaneous takes one step of D for one of G: discriminator_steps must be 1")


class GANTrainer(Trainer):
    """Trains a GAN: steps of the discriminator, then one of the generator (arXiv 1406.2661, algorithm 1).

    The step of G uses the last batch of fakes that D has seen. A plugin's `build` calls
    `set_networks(generator, discriminator)`.

    Example:
        >>> class LineGenerator(Generator):
        ...     kind, latent_shape, sample_shape = "tensor", (2,), (1,)
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = nn.Linear(2, 1)
        ...     def forward(self, z, labels=None):
        ...         return self.layer(z)
        >>> class LineDiscriminator(Discriminator):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = nn.Linear(1, 1)
        ...     def forward(self, x, labels=None):
        ...         return self.layer(x).flatten()
        >>> class LineTrainer(GANTrainer):
        ...     def build(self):
        ...         self.set_networks(LineGenerator(), LineDiscriminator())
        >>> from zoo_core import ModelConfig
        >>> trainer = LineTrainer(ModelConfig(), GANSettings(discriminator_steps=2), (1,))
        >>> trainer.build()
        >>> sorted(trainer.training_step(Batch(torch.randn(8, 1))))
        ['logit_fake', 'logit_real', 'loss_d', 'loss_g']
    """

    Settings: ClassVar[type[Settings]] = GANSettings
    settings: GANSettings

    @property
    def batches_per_step(self) -> int:
        """How many batches of the data one step takes: one for each step of D.

        Example:
            >>> trainer.batches_per_step
            2
        """
        return self.settings.discriminator_steps

    def set_networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Train these two networks, each with its own Adam.

        Raises:
            SettingsError: for a gradient penalty on a discriminator with BatchNorm, or augmentations of what makes no
                pictures.

        Example:
            >>> trainer.set_networks(LineGenerator(), LineDiscriminator())
            >>> sorted(trainer.optimizers)
            ['discriminator', 'generator']
        """
        settings = self.settings
        if settings.augment and (generator.kind not in ("image", "tensor") or len(generator.sample_shape) != 3):
            raise SettingsError(
                f"augment: only pictures can be augmented, and samples of kind {generator.kind!r} with the shape "
                f"{tuple(generator.sample_shape)} are none; leave it out"
            )
        if self._adversarial_loss.critic and settings.gradient_penalty and _has_batch_norm(discriminator):
            has_switch = "discriminator_norm" in self.config.__struct_fields__  # as dcgan and cnn-gan have
            raise SettingsError(
                f"loss={settings.loss} penalises D's gradient at single samples, but this discriminator has BatchNorm; "
                + ("use --set model.discriminator_norm=none" if has_switch else "build it without")
            )
        if settings.spectral_norm:
            _add_spectral_norm(discriminator)
        self.modules = {"generator": generator, "discriminator": discriminator}
        # Lazy R1 makes k + 1 updates of D in k steps: rate and memory shrink to match (arXiv 1912.04958, appendix B).
        laziness = settings.r1_every / (settings.r1_every + 1) if settings.r1_gamma else 1.0
        self.optimizers = {
            "generator": self.adam(generator),
            "discriminator": self.adam(discriminator, pace=laziness),
        }

    def started_from(self, parent: Parent) -> None:
        """Let spectral normalisation find the largest singular values of the weights that D has taken.

        Example:
            >>> from zoo_core import Parent
            >>> trainer.started_from(Parent(name="mine", sha256="ab" * 32))
        """
        if self.settings.spectral_norm:
            _settle_spectral_norm(self.modules["discriminator"])

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        *early, last = batch.split(self.settings.discriminator_steps)
        for number, part in enumerate(early):
            with torch.no_grad(), _statistics_left_alone(self._generator):
                fakes = self._fakes(part, number)
            self._update_discriminator(part, fakes)
        fakes = self._fakes(last, len(early))
        if self.settings.updates == "alternating":
            figures = self._update_discriminator(last, fakes)
            figures |= self._update_generator(last, fakes)
        elif self._one_pass_serves_both():
            figures = self._update_both_in_one_pass(last, fakes)
        else:
            figures = self._update_both(last, fakes)
        if self.settings.r1_gamma and self.step % self.settings.r1_every == 0:
            figures["r1"] = self._penalise_real_gradient(last)
        return figures

    def advice(self, figures: dict[str, float]) -> str | None:
        loss = figures.get("loss_d")
        if loss is not None and not self._adversarial_loss.critic and loss < 1e-3:
            return (
                "the discriminator's loss is at zero: it tells every picture apart and teaches the generator nothing; "
                f"try {remedies(self.settings, 'a lower learning_rate')}"
            )
        return None

    @property
    def _adversarial_loss(self) -> AdversarialLoss:
        return ADVERSARIAL_LOSSES[self.settings.loss]

    @property
    def _generator(self) -> Generator:
        generator = self.modules["generator"]
        assert isinstance(generator, Generator)
        return generator

    def _fakes(self, part: Batch, number: int) -> Tensor:
        """Generated samples with the labels of the real ones, so that classes are as frequent as in the data."""
        generator, count = self._generator, len(part)

        def noise(step: int, shape: tuple[int, ...]) -> Tensor:
            return self.draw(torch.randn, count, *shape)

        extras = generator.extras(generator.options, noise)
        fakes: Tensor = generator(self._draw_latents(count, number), self._labels(part), **extras)
        return fakes

    def _labels(self, part: Batch) -> Tensor | None:
        return part.labels if self._generator.num_classes is not None else None

    def _judge(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """The logits of D for augmented samples."""
        logits: Tensor = self.modules["discriminator"](self._augmented(samples), labels)
        return logits

    def _augmented(self, samples: Tensor) -> Tensor:
        if not self.settings.augment:
            return samples
        return augment(samples, self.settings.augment, partial(self.draw, torch.rand, len(samples)))

    def _update_discriminator(self, part: Batch, fakes: Tensor) -> dict[str, Tensor]:
        loss, figures = self._discriminator_loss(part, fakes)
        self.update("discriminator", loss)
        return figures

    def _discriminator_loss(self, part: Batch, fakes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # D sees detached fakes. Real and fake samples pass through BatchNorm as separate batches.
        labels = self._labels(part)
        real_logits = self._judge(part.samples, labels)
        fake_logits = self._judge(fakes.detach(), labels)
        return self._game(part, fakes, real_logits, fake_logits)

    def _game(
        self, part: Batch, fakes: Tensor, real_logits: Tensor, fake_logits: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of D with its penalty, and the figures to log."""
        loss = self._adversarial_loss.discriminator(real_logits, fake_logits)
        figures = {
            "loss_d": loss.detach(),
            "logit_real": real_logits.detach().float().mean(),
            "logit_fake": fake_logits.detach().float().mean(),
        }
        if self._adversarial_loss.critic and self.settings.gradient_penalty:
            penalty = self._gradient_penalty(part, fakes)
            figures["gradient_penalty"] = penalty.detach()
            loss = loss + self.settings.gradient_penalty * penalty
        return loss, figures

    def _update_generator(self, part: Batch, fakes: Tensor) -> dict[str, Tensor]:
        with frozen(self.modules["discriminator"]):
            loss = self._adversarial_loss.generator(self._judge(fakes, self._labels(part)))
            self.update("generator", loss)
        return {"loss_g": loss.detach()}

    def _update_both(self, part: Batch, fakes: Tensor) -> dict[str, Tensor]:
        """Compute both gradients from the present parameters, then take both steps."""
        with frozen(self.modules["discriminator"]):
            generator_loss = self._adversarial_loss.generator(self._judge(fakes, self._labels(part)))
            self.backward("generator", generator_loss)
        loss, figures = self._discriminator_loss(part, fakes)
        self.update("discriminator", loss)
        self.apply_gradients("generator")
        return figures | {"loss_g": generator_loss.detach()}

    def _one_pass_serves_both(self) -> bool:
        discriminator = self.modules["discriminator"]
        # In float16 the gradient of a D that is certain underflows, and a multiple of 0 is no gradient.
        return (
            self._adversarial_loss.one_pass
            and not self.scaler.is_enabled()
            and not _has_batch_norm(discriminator)
            and not _has_dropout(discriminator)
        )

    def _update_both_in_one_pass(self, part: Batch, fakes: Tensor) -> dict[str, Tensor]:
        """Run D once on [real; fake]: its backward also gives the gradient for G, up to a factor for each sample.

        With respect to fake i, the gradient of D's loss is d loss_D/d logit_i · ∇ logit_i, and that of G's loss is
        d loss_G/d logit_i · ∇ logit_i.
        """
        leaf = fakes.detach().requires_grad_()
        labels = self._labels(part)
        samples = torch.cat([part.samples.to(leaf.dtype), leaf])
        logits = self._judge_halves(samples, labels)
        real_logits, fake_logits = logits.chunk(2)
        loss, figures = self._game(part, fakes, real_logits, fake_logits)
        generator_loss, factors = self._generator_factors(fake_logits.detach().float())
        self.update("discriminator", loss)
        assert leaf.grad is not None
        gradient = leaf.grad * factors.reshape(-1, *[1] * (leaf.ndim - 1)).to(leaf.dtype)
        self.backward("generator", fakes, gradient)
        self.apply_gradients("generator")
        return figures | {"loss_g": generator_loss}

    def _judge_halves(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """The logits of D for [real; fake], each half augmented with its own random numbers."""
        if self.settings.augment:
            samples = torch.cat([self._augmented(half) for half in samples.chunk(2)])
        logits: Tensor = self.modules["discriminator"](
            samples, torch.cat([labels, labels]) if labels is not None else None
        )
        return logits

    def _generator_factors(self, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of G, and for each logit the gradient of G's loss divided by that of D's."""
        game = self._adversarial_loss
        # Beyond ±60 softplus has lost its gradient in float32; the factor there is that at ±60.
        logits = fake_logits.clamp(-60, 60).requires_grad_()
        with torch.enable_grad():
            generator_loss = game.generator(logits)
            (of_generator,) = torch.autograd.grad(generator_loss, logits)
            (of_discriminator,) = torch.autograd.grad(game.discriminator(logits.detach(), logits), logits)
        return generator_loss.detach(), of_generator / of_discriminator

    def _gradient_penalty(self, part: Batch, fakes: Tensor) -> Tensor:
        labels = self._labels(part)
        mix = self.draw(torch.rand, len(part))
        with autocast(self.device, "fp32"):
            return gradient_penalty(
                lambda x: self._double(x, labels), part.samples.float(), fakes.detach().float(), mix
            )

    def _penalise_real_gradient(self, part: Batch) -> Tensor:
        """Update D by lazy R1: every k steps, k times as strong."""
        real = part.samples.detach().float().requires_grad_()
        with autocast(self.device, "fp32"):
            penalty = r1_penalty(self._double(self._augmented(real), self._labels(part)), real)
            self.update("discriminator", penalty * (self.settings.r1_gamma / 2 * self.settings.r1_every))
        return penalty.detach()

    def _double(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """The logits of D, twice differentiable: by `forward` itself, as compiled code has only first derivatives."""
        logits: Tensor = self.modules["discriminator"].forward(samples, labels)
        return logits

    def _draw_latents(self, count: int, number: int) -> Tensor:
        """Latents as the generator draws them for samples, but on the device if they are standard normal."""
        generator = self._generator
        if type(generator).latents is Generator.latents:
            return self.draw(torch.randn, count, *generator.latent_shape)
        batch = self.step * self.settings.discriminator_steps + number
        start = (batch * self.processes.count + self.processes.rank) * count
        return generator.latents(self.settings.seed, start, count).to(self.device)


def _has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(layer, _BatchNorm) for layer in module.modules())


def _has_dropout(module: nn.Module) -> bool:
    return any(isinstance(layer, _DropoutNd) and layer.p > 0 for layer in module.modules())


def _add_spectral_norm(module: nn.Module) -> None:
    layers: Sequence[nn.Module] = [
        layer
        for layer in module.modules()
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding))
    ]
    for layer in layers:
        spectral_norm(layer)


@torch.no_grad()
def _settle_spectral_norm(module: nn.Module) -> None:
    """Repeat the power iteration as often as torch does for a new layer; in training mode each look takes a step."""
    for layer in module.modules():
        if is_parametrized(layer, "weight"):
            for _ in range(15):
                _ = layer.weight


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute no gradients for the parameters of the module in the block; gradients still flow through it."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _statistics_left_alone(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm use the statistics of the batch in the block without updating its running statistics."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
