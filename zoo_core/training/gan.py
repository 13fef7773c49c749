"""The training step that every GAN plugin shares; a plugin writes `build` alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo_core.interfaces import Batch, Discriminator, Generator, Trainer
from zoo_core.losses import ADVERSARIAL_LOSSES
from zoo_core.settings import Fraction, Settings


class GANSettings(Settings, frozen=True):
    """Settings of an adversarial run.

    Args:
        loss: the game: non-saturating (the default) or minimax, as the 2014 paper writes it first.
        betas: Adam's; β1 = 0.5 steadies the game (Radford et al., 2015).
    """

    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)


class GANTrainer(Trainer):
    """One step of the discriminator, then one of the generator, on one batch of fakes (arXiv 1406.2661).

    A plugin's `build` calls `set_networks(generator, discriminator)`.
    """

    Settings: ClassVar[type[Settings]] = GANSettings

    def set_networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Train these two, each with Adam."""
        self.modules = {"generator": generator, "discriminator": discriminator}
        self.optimizers = {name: self.adam(module) for name, module in self.modules.items()}

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        generator, discriminator = self.modules["generator"], self.modules["discriminator"]
        loss = ADVERSARIAL_LOSSES[self.settings.loss]
        fakes = generator(self._draw_latents(len(batch)))

        # D sees detached fakes; real and fake go through BatchNorm as batches of their own.
        real_logits = discriminator(batch.samples)
        fake_logits = discriminator(fakes.detach())
        discriminator_loss = loss.discriminator(real_logits, fake_logits)
        self.update("discriminator", discriminator_loss)

        with frozen(discriminator):
            generator_loss = loss.generator(discriminator(fakes))
            self.update("generator", generator_loss)
        return {
            "loss_d": discriminator_loss.detach(),
            "loss_g": generator_loss.detach(),
            "logit_real": real_logits.detach().float().mean(),
            "logit_fake": fake_logits.detach().float().mean(),
        }

    def _draw_latents(self, count: int) -> Tensor:
        """Latents as the generator draws them when it samples, but on the device where that is the normal."""
        generator = self.modules["generator"]
        assert isinstance(generator, Generator)
        if type(generator).latents is Generator.latents:
            return torch.randn(count, *generator.latent_shape, device=self.device)
        return generator.latents(self.settings.seed, self.step * count, count).to(self.device)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients for the module's parameters inside the block; gradients still flow through it."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
