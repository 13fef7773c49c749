"""Training of the VAE: Adam on the negative ELBO, with weight β on the KL term."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import Batch, Settings, Trainer
from zoo_core.errors import SettingsError
from zoo_core.losses import negative_elbo
from zoo_vae.model import VAE, VAEConfig

if TYPE_CHECKING:
    from zoo_core.data.training_data import TrainingData


class VAESettings(Settings, frozen=True):
    """Settings of a VAE run.

    Args:
        loss: elbo, the only choice.
        beta: weight of the KL term; 1 gives the VAE, a larger value the β-VAE (Higgins et al., 2017).
        beta_schedule: constant; linear: from 0 to beta over beta_steps; cyclical: in every period of beta_steps, from 0
            to beta over the first half, then constant (arXiv 1903.10145).
        beta_steps: number of steps of the linear rise, or of one cycle.
        binarize: how grey values become binary pixels, which a true Bernoulli likelihood needs. dynamic: draw every
            pixel from its grey value again at every step; static: draw it once, from the seed; none: train on the
            grey values unchanged.
    """

    changeable = Settings.changeable | {"beta", "beta_schedule", "beta_steps"}

    loss: Literal["elbo"] = "elbo"
    learning_rate: Annotated[float, Meta(gt=0)] = 1e-3
    beta: Annotated[float, Meta(ge=0)] = 1.0
    beta_schedule: Literal["constant", "linear", "cyclical"] = "constant"
    beta_steps: Annotated[int, Meta(ge=1)] = 1000
    binarize: Literal["none", "dynamic", "static"] = "none"

    def beta_at(self, step: int) -> float:
        """Return β for the next step after `step` completed steps."""
        if self.beta_schedule == "linear":
            return self.beta * min(1.0, step / self.beta_steps)
        if self.beta_schedule == "cyclical":
            return self.beta * min(1.0, 2 * (step % self.beta_steps) / self.beta_steps)
        return self.beta


class VAETrainer(Trainer):
    """Trainer that takes one Adam step on −ELBO per batch (arXiv 1312.6114, algorithm 1)."""

    Settings: ClassVar[type[Settings]] = VAESettings
    config: VAEConfig
    settings: VAESettings
    _compiled_terms: Callable[..., tuple[Tensor, Tensor]] | None = None

    def build(self) -> None:
        vae = VAE(self.config)
        self.modules = {"generator": vae}
        self.optimizers = {"generator": self.adam(vae)}

    def compile(self) -> None:
        """Compile the two terms of the ELBO with the networks in them, which is what a step calls."""
        self._compiled_terms = self.compiled("elbo_terms", cast("VAE", self.modules["generator"]).elbo_terms)

    def prepare_data(self, data: TrainingData) -> TrainingData:
        """Apply static binarisation if it is set: draw every pixel black or white once, for the whole run."""
        if self.settings.binarize != "static":
            return data
        if data.samples.is_meta:
            raise SettingsError("binarize=static needs the pictures in memory or on disk, and they fit in neither")
        random = torch.Generator().manual_seed(self.settings.seed)
        white = 255 if data.samples.dtype == torch.uint8 else 1
        bits = torch.rand(data.samples.shape, generator=random) * white < data.samples
        return type(data).from_tensors(
            bits.to(data.samples.dtype) * white,
            data.labels,
            name=data.name,
            notes=(*data.notes, "every pixel was drawn black or white once, as likely white as it is bright"),
            class_names=data.class_names,
        )

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        vae = cast("VAE", self.modules["generator"])
        x = batch.samples
        if self.settings.binarize == "dynamic":
            x = (self.draw(torch.rand, *x.shape) < x).to(x.dtype)
        noise = self.draw(torch.randn, len(x), self.config.latent_size)
        elbo_terms = self._compiled_terms or vae.elbo_terms
        reconstruction, divergence = elbo_terms(x, batch.labels if vae.num_classes is not None else None, noise)
        loss = negative_elbo(reconstruction, divergence, self.settings.beta_at(self.step))
        self.update("generator", loss)
        return {
            "loss": loss.detach(),
            "reconstruction": reconstruction.detach().mean(),
            "kl": divergence.detach().mean(),
        }
