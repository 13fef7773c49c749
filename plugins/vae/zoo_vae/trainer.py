"""Training of the VAE: Adam on the negative ELBO, with the KL term weighted by β."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import Batch, Settings, Trainer
from zoo_core.losses import negative_elbo
from zoo_vae.model import VAE, VAEConfig


class VAESettings(Settings, frozen=True):
    """Settings of a VAE run.

    Args:
        loss: elbo.
        beta: weight of the KL term; 1 is the VAE, more is the β-VAE (Higgins et al., 2017).
        binarize: dynamic draws each pixel anew from its grey value at every step, which makes the Bernoulli
            likelihood a likelihood; none trains on the grey values as they are.
    """

    loss: Literal["elbo"] = "elbo"
    learning_rate: Annotated[float, Meta(gt=0)] = 1e-3
    beta: Annotated[float, Meta(ge=0)] = 1.0
    binarize: Literal["none", "dynamic"] = "none"


class VAETrainer(Trainer):
    """One Adam step on −ELBO a batch (arXiv 1312.6114, algorithm 1)."""

    Settings: ClassVar[type[Settings]] = VAESettings
    config: VAEConfig
    settings: VAESettings

    def build(self) -> None:
        vae = VAE(self.config)
        self.modules = {"generator": vae}
        self.optimizers = {"generator": self.adam(vae)}

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        vae = self.modules["generator"]
        x = torch.bernoulli(batch.samples) if self.settings.binarize == "dynamic" else batch.samples
        reconstruction, divergence = vae.elbo_terms(x)
        loss = negative_elbo(reconstruction, divergence, self.settings.beta)
        self.update("generator", loss)
        return {
            "loss": loss.detach(),
            "reconstruction": reconstruction.detach().mean(),
            "kl": divergence.detach().mean(),
        }
