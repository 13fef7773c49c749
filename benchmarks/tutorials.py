"""Training loops as tutorials write them, and as an expert would write them by hand.

benchmarks/training.py compares them with the zoo. All train the same networks on the same pictures and differ only in
the code around them. They were written from the papers and from torch's documentation.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from zoo_core.losses import bernoulli_negative_log_likelihood, kl_divergence

Step = Callable[[], object]


class EncodedPictures(Dataset):
    """PNG files in memory, each decoded, resized and normalised by PIL when it is needed."""

    def __init__(self, encoded: list[bytes], mode: str, size: int, *, signed: bool) -> None:
        self.encoded, self.mode, self.size, self.signed = encoded, mode, size, signed

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.open(io.BytesIO(self.encoded[index])).convert(self.mode).resize((self.size, self.size))
        pixels = torch.from_numpy(np.array(picture, np.float32) / 255)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
        return (pixels - 0.5) / 0.5 if self.signed else pixels


def _endless(loader: DataLoader) -> Iterator[Tensor]:
    while True:
        yield from loader


def tutorial_gan(generator: nn.Module, discriminator: nn.Module, data: EncodedPictures, batch_size: int) -> Step:
    """The DCGAN tutorial's loop: DataLoader, sigmoid and BCE, Adam with its defaults, three passes of D, float32."""
    batches = _endless(DataLoader(data, batch_size, shuffle=True, drop_last=True))
    criterion = nn.BCELoss()
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    ones, zeros = torch.ones(batch_size), torch.zeros(batch_size)

    def step() -> None:
        real = next(batches)
        discriminator.zero_grad()
        criterion(torch.sigmoid(discriminator(real)), ones).backward()
        fake = generator(torch.randn(batch_size, *generator.latent_shape))
        criterion(torch.sigmoid(discriminator(fake.detach())), zeros).backward()
        optimizer_d.step()
        generator.zero_grad()
        criterion(torch.sigmoid(discriminator(fake)), ones).backward()
        optimizer_g.step()

    return step


def tutorial_vae(vae: nn.Module, data: EncodedPictures, batch_size: int) -> Step:
    """The VAE example's loop: DataLoader, summed BCE and KL, Adam with its defaults, float32."""
    batches = _endless(DataLoader(data, batch_size, shuffle=True, drop_last=True))
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)

    def step() -> None:
        x = next(batches)
        optimizer.zero_grad()
        mean, logvar = vae.encode(x)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        bce = F.binary_cross_entropy(torch.sigmoid(vae.decode(z)), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
        (bce + kl).backward()
        optimizer.step()

    return step


def _gathered(pixels: Tensor, batch_size: int, *, signed: bool) -> Callable[[], Tensor]:
    """Batches from a uint8 tensor in memory, with the channels last."""

    def batch() -> Tensor:
        chosen = torch.randint(len(pixels), (batch_size,))
        x = pixels[chosen].float().div_(255)
        x = x.mul_(2).sub_(1) if signed else x
        return x.contiguous(memory_format=torch.channels_last)

    return batch


def hand_written_gan(
    generator: nn.Module, discriminator: nn.Module, pixels: Tensor, batch_size: int, *, bf16: bool
) -> Step:
    """Only the mathematics: fused Adam, D frozen in G's step, losses from logits, channels last."""
    next_batch = _gathered(pixels, batch_size, signed=True)
    for network in (generator, discriminator):
        network.to(memory_format=torch.channels_last)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    trained = list(discriminator.parameters())

    def step() -> None:
        real = next_batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            fake = generator(torch.randn(batch_size, *generator.latent_shape))
            loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
        loss.backward()
        optimizer_d.step()
        optimizer_d.zero_grad()
        for parameter in trained:
            parameter.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.softplus(-discriminator(fake)).mean()
        loss.backward()
        optimizer_g.step()
        optimizer_g.zero_grad()
        for parameter in trained:
            parameter.requires_grad_(True)

    return step


def hand_written_one_pass_gan(
    generator: nn.Module, discriminator: nn.Module, pixels: Tensor, batch_size: int, *, bf16: bool
) -> Step:
    """Update both networks from the same parameters: D runs once over [real; fake], one backward serves both losses.

    With the fake logits ℓ, G's gradient is D's times −(1 − σ(ℓ)) / σ(ℓ) = −exp(−ℓ), sample by sample.
    """
    next_batch = _gathered(pixels, batch_size, signed=True)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)

    def step() -> None:
        real = next_batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            fake = generator(torch.randn(batch_size, *generator.latent_shape))
            leaf = fake.detach().requires_grad_()
            real_logits, fake_logits = discriminator(torch.cat([real.to(leaf.dtype), leaf])).float().chunk(2)
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        loss.backward()
        factors = -torch.exp(-fake_logits.detach().clamp(-60, 60))
        fake.backward(leaf.grad * factors[:, None, None, None].to(leaf.dtype))
        for optimizer in (optimizer_d, optimizer_g):
            optimizer.step()
            optimizer.zero_grad()

    return step


def hand_written_vae(vae: nn.Module, pixels: Tensor, batch_size: int, *, bf16: bool) -> Step:
    """The same for the VAE: fused Adam, the likelihood from logits."""
    next_batch = _gathered(pixels, batch_size, signed=False)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        x = next_batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            mean, logvar = vae.encode(x)
            mean, logvar = mean.float(), logvar.float()
            logits = vae.decode(mean + torch.randn_like(mean) * torch.exp(logvar / 2))
        loss = (bernoulli_negative_log_likelihood(logits, x) + kl_divergence(mean, logvar)).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
