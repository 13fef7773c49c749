"""Images per second in training: the tutorials' loops, the zoo, and a hand-written loop with nothing around it.

    python benchmarks/training.py [--only NAME] [--rounds 7] [--seconds 1.0]

All loops train the same networks on the same pictures in one process and take turns; noisy rounds are discarded. Prints
a Markdown table. If pythae is installed, its trainer is measured on the VAE. Peak memory is measured in separate
processes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import peak, peak_memory, rates
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from tutorials import (
    EncodedPictures,
    hand_written_gan,
    hand_written_one_pass_gan,
    hand_written_vae,
    tutorial_gan,
    tutorial_vae,
)
from zoo_dcgan.cnn_gan import CNNGANConfig
from zoo_dcgan.model import DCGANConfig
from zoo_dcgan.trainer import CNNGANTrainer, DCGANTrainer
from zoo_vae.model import VAEConfig
from zoo_vae.trainer import VAESettings, VAETrainer
from zoo_vanilla_gan.model import VanillaGANConfig
from zoo_vanilla_gan.trainer import VanillaGANTrainer

from zoo_core import GANSettings, ModelConfig, Trainer
from zoo_core.data.training_data import TrainingData
from zoo_core.training.ema import ExponentialMovingAverage
from zoo_core.training.log import RunLog
from zoo_core.training.loop import batch_stream, prepare, train_one_step
from zoo_core.training.run_folder import RunFolder

Step = Callable[[], object]
PICTURES = 4096


@dataclass(frozen=True)
class Case:
    """A model with a batch size."""

    name: str
    trainer: type[Trainer]
    config: ModelConfig
    batch_size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.config.channels, self.config.size, self.config.size)

    @property
    def is_vae(self) -> bool:
        return self.trainer is VAETrainer

    def networks(self) -> dict[str, torch.nn.Module]:
        return _prepared(self, "fp32").modules


MLP = VanillaGANConfig(dropout=0.0)
CASES = [
    Case("MLP GAN, batch 64", VanillaGANTrainer, MLP, 64),
    Case("MLP GAN, batch 512", VanillaGANTrainer, MLP, 512),
    Case("DCGAN 32, batch 64", DCGANTrainer, DCGANConfig(size=32, channels=1), 64),
    Case("DCGAN 64, batch 64", DCGANTrainer, DCGANConfig(size=64, channels=3), 64),
    Case("CNN GAN, batch 64", CNNGANTrainer, CNNGANConfig(), 64),
    Case("MLP VAE, batch 64", VAETrainer, VAEConfig(), 64),
    Case("MLP VAE, batch 128", VAETrainer, VAEConfig(), 128),
]


def _prepared(case: Case, precision: str, **settings: object) -> Trainer:
    kind = VAESettings if case.is_vae else GANSettings
    settings = {"batch_size": case.batch_size, "precision": precision, "compile": "off", "device": "cpu"} | settings
    trainer = case.trainer(case.config, kind(**settings), case.shape)
    prepare(trainer)
    return trainer


def zoo(case: Case, pixels: torch.Tensor, precision: str, **settings: object) -> Step:
    """Everything that `fit` does in a step: the batch, the step, the average of the weights, the log."""
    trainer = _prepared(case, precision, **settings)
    stream = batch_stream(trainer, TrainingData.from_tensors(pixels))
    average = ExponentialMovingAverage(trainer.modules["generator"], 0.999)
    log = RunLog(RunFolder(Path(tempfile.mkdtemp())), trainer)
    log.__enter__()

    def step() -> None:
        figures = train_one_step(trainer, stream)
        average.update(trainer.modules["generator"], trainer.step)
        log.add(trainer.step, figures)
        if trainer.step % 50 == 0:
            log.write(trainer.step)

    return step


def competitors(case: Case, pixels: torch.Tensor, encoded: list[bytes]) -> dict[str, Step]:
    mode = "L" if case.shape[0] == 1 else "RGB"
    files = EncodedPictures(encoded, mode, case.shape[1], signed=not case.is_vae)
    if case.is_vae:

        def by_hand(bf16: bool) -> Step:
            return hand_written_vae(case.networks()["generator"], pixels, case.batch_size, bf16=bf16)

        found = {"tutorial": tutorial_vae(case.networks()["generator"], files, case.batch_size)}
    else:

        def by_hand(bf16: bool) -> Step:
            return hand_written_gan(**case.networks(), pixels=pixels, batch_size=case.batch_size, bf16=bf16)

        found = {"tutorial": tutorial_gan(**case.networks(), data=files, batch_size=case.batch_size)}
    found |= {"zoo float32": zoo(case, pixels, "fp32"), "hand float32": by_hand(False)}
    found |= {"zoo bfloat16": zoo(case, pixels, "bf16"), "hand bfloat16": by_hand(True)}
    if case.trainer is VanillaGANTrainer:
        for precision, bf16 in (("fp32", False), ("bf16", True)):
            name = "float32" if precision == "fp32" else "bfloat16"
            found[f"zoo {name}, one pass"] = zoo(case, pixels, precision, updates="simultaneous")
            found[f"hand {name}, one pass"] = hand_written_one_pass_gan(
                **case.networks(), pixels=pixels, batch_size=case.batch_size, bf16=bf16
            )
    return found


def pictures(case: Case) -> tuple[torch.Tensor, list[bytes]]:
    """Smooth random pictures, as pixels (N, C, H, W) uint8 in the model's size and as PNG files of 28 or 64 pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(PICTURES, case.shape[0], 7, 7, generator=generator)
    side = 28 if case.shape[0] == 1 else 64
    files = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").mul(255).to(torch.uint8)
    encoded = []
    for array in files.permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        Image.fromarray(array.squeeze()).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    resized = torch.nn.functional.interpolate(coarse, case.shape[1:], mode="bilinear").mul(255).to(torch.uint8)
    return resized.contiguous(memory_format=torch.channels_last), encoded


def pythae_rate(case: Case, pixels: torch.Tensor) -> float | None:
    """Images per second of pythae's own trainer, including its loader; None if it is not installed."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE
        from pythae.models import VAEConfig as PythaeConfig
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError:
        return None
    logging.disable(logging.CRITICAL)
    count = 5 * PICTURES
    data = pixels.float().div(255).repeat(5, 1, 1, 1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        model = VAE(PythaeConfig(input_dim=case.shape, latent_dim=20, reconstruction_loss="bce"))
        config = BaseTrainerConfig(
            output_dir=folder, num_epochs=1, per_device_train_batch_size=case.batch_size, no_cuda=True
        )
        trainer = BaseTrainer(model, BaseDataset(data, torch.zeros(count)), training_config=config)
        trainer.prepare_training()
        began = time.perf_counter()
        trainer.train_step(epoch=1)
        return count / (time.perf_counter() - began)


def flops_a_picture(case: Case, pixels: torch.Tensor) -> float:
    """Operations per picture of one hand-written training step, forward and backward."""
    networks = case.networks()
    if case.is_vae:
        step = hand_written_vae(networks["generator"], pixels, case.batch_size, bf16=False)
    else:
        step = hand_written_gan(**networks, pixels=pixels, batch_size=case.batch_size, bf16=False)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / case.batch_size


def report(case: Case, rounds: int, seconds: float, peaks: dict[str, float]) -> None:
    pixels, encoded = pictures(case)
    found = {
        name: rate * case.batch_size
        for name, rate in rates(competitors(case, pixels, encoded), rounds, seconds).items()
    }
    if case.is_vae:
        by_pythae = pythae_rate(case, pixels)
        if by_pythae is not None:
            found["pythae's trainer"] = by_pythae
    flops = flops_a_picture(case, pixels)
    for name, rate in found.items():
        limit = peaks["bfloat16" if "bfloat16" in name else "float32"]
        share = "" if "one pass" in name else f"{rate * flops / limit:.0%}"
        by_hand = found.get(name.replace("zoo", "hand"))
        beside = f"{rate / by_hand:.2f}" if name.startswith("zoo") and by_hand else ""
        print(
            f"| {case.name} | {name} | {rate:,.0f} | {rate / found['tutorial']:.2f} | {beside} | {share} |", flush=True
        )


def report_memory() -> None:
    """Print the peak memory of a whole process, including torch and the data."""
    print("\n| model | zoo, MB | by hand, MB | ratio |\n|---|---|---|---|")
    for case in (CASES[0], CASES[3]):
        used = {}
        for who in ("zoo", "hand"):
            command = [sys.executable, __file__, "--memory-of", who, "--only", case.name]
            used[who] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"| {case.name} | {used['zoo'] / 1e6:,.0f} | {used['hand'] / 1e6:,.0f} | {used['zoo'] / used['hand']:.2f} |"
        )


def memory_of(who: str, case: Case) -> int:
    pixels, _ = pictures(case)
    if who == "zoo":
        step = zoo(case, pixels, "fp32")
    else:
        step = hand_written_gan(**case.networks(), pixels=pixels, batch_size=case.batch_size, bf16=False)
    for _ in range(10):
        step()
    return peak_memory()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="measure only models with NAME in their titles")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each model (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="time of each loop in each round (default: %(default)s)"
    )
    parser.add_argument("--memory-of", choices=("zoo", "hand"), help="print only the peak memory of this loop")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in case.name]
    if options.memory_of:
        print(memory_of(options.memory_of, cases[0]))
        return
    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    print(", ".join(f"{name} matrices {rate / 1e9:,.0f} GFLOP/s" for name, rate in peaks.items()))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(
        "| model | loop | images/s | to the tutorial | to the hand-written | of the matrix peak |\n"
        "|---|---|---|---|---|---|"
    )
    for case in cases:
        report(case, options.rounds, options.seconds, peaks)
    report_memory()


if __name__ == "__main__":
    main()
