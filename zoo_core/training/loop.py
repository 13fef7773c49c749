"""The loop around a plugin's training step: set-up, batches, averaging, figures, checkpoints and the finished model.

A run's folder:

    run.json                 what is being trained, on what, how; every `auto` resolved
    log.jsonl                the figures, a line every LOG_EVERY steps
    samples/step-00001000.png
    checkpoints/step-00001000/
    config.json, model.safetensors, discriminator.safetensors, README.md, samples.png     once it is finished
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from zoo_core import images, modelfolder
from zoo_core.card import model_card
from zoo_core.devices import autocast, resolve_device, resolve_precision
from zoo_core.errors import DataError, InterfaceError, TrainingError
from zoo_core.interfaces import Discriminator, Generator, Trainer
from zoo_core.plugins import manager
from zoo_core.settings import Precision
from zoo_core.training.checkpoints import newest_checkpoint, restore_checkpoint, save_checkpoint
from zoo_core.training.data import BatchStream, TrainingData, open_images
from zoo_core.training.ema import ExponentialMovingAverage
from zoo_core.training.log import RunLog
from zoo_core.training.run import RunFolder, describe_run

LOG_EVERY = 50
GRID_SAMPLES = 64


def fit(trainer: Trainer, data: TrainingData | Tensor | str | Path, *, out: Path, resume: bool = False) -> Path:
    """What `Trainer.fit` does; see there."""
    run = RunFolder(out)
    settings = trainer.settings
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)
    training_data = _as_training_data(data, trainer.sample_shape)
    stream = BatchStream(training_data, settings.batch_size, settings.seed, device)

    prepare(trainer, device, precision)
    generator = _generator(trainer)
    architecture, _ = manager().architecture_of(type(generator))
    description = describe_run(trainer, architecture.name, training_data, device, precision)
    if run.begin(description, resume=resume):
        return out  # finished already
    average = ExponentialMovingAverage(generator, settings.ema_decay) if settings.ema_decay else None
    checkpoint = newest_checkpoint(run.checkpoints)
    if checkpoint is not None:
        restore_checkpoint(checkpoint, trainer, average)
        if trainer.step > settings.steps:
            raise TrainingError(f"{out} has a checkpoint at step {trainer.step}, past the {settings.steps} asked for")
    averaged = _generator_of(average.module) if average is not None else generator

    with RunLog(run.log, settings.steps, trainer.step, settings.batch_size) as log, _stop_signals() as stop:
        for figures in _steps(trainer, stream, average, precision):
            done = trainer.step
            log.add(done, figures)
            if done % LOG_EVERY == 0 or done == settings.steps:
                log.write(done)
            if settings.sample_every and done % settings.sample_every == 0 and averaged.kind == "image":
                images.save_png(_grid(averaged, settings.seed), run.sample_grid(done))
            periodic = settings.checkpoint_every and done % settings.checkpoint_every == 0
            if periodic or done == settings.steps or stop.is_set():
                save_checkpoint(run.checkpoints, trainer, average)
            if stop.is_set() and done < settings.steps:
                raise TrainingError(f"stopped at step {done} of {settings.steps}; --resume goes on from its checkpoint")
    _finish(trainer, averaged, run, training_data)
    return out


def prepare(trainer: Trainer, device: torch.device, precision: Precision) -> None:
    """Seed everything, then let the trainer build its networks on the device."""
    trainer.device = device
    trainer.scaler = torch.amp.GradScaler(device.type if device.type != "meta" else "cpu", enabled=precision == "fp16")
    seed = trainer.settings.seed
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
    with device:
        trainer.build()
    for module in trainer.modules.values():
        module.to(device)
        # Convolutions run fastest with the channels last in memory; it changes no value and no other layer.
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.train()


def train_one_step(trainer: Trainer, batch_number: int, stream: BatchStream, precision: Precision) -> dict[str, Tensor]:
    """One step of the plugin under autocast; returns its figures, still on the device."""
    batch = stream.batch(batch_number, _generator(trainer))
    with autocast(trainer.device, precision):
        figures = trainer.training_step(batch)
    if trainer.scaler.is_enabled():
        trainer.scaler.update()
    trainer.step += 1
    return figures


def _steps(
    trainer: Trainer, stream: BatchStream, average: ExponentialMovingAverage | None, precision: Precision
) -> Iterator[dict[str, Tensor]]:
    while trainer.step < trainer.settings.steps:
        figures = train_one_step(trainer, trainer.step, stream, precision)
        if average is not None:
            average.update(trainer.modules["generator"], trainer.step)
        yield figures


def _finish(trainer: Trainer, averaged: Generator, run: RunFolder, data: TrainingData) -> None:
    """The finished model at the root of the run: the same bytes whenever the run is repeated."""
    discriminator = trainer.modules.get("discriminator")
    if isinstance(discriminator, Discriminator):
        modelfolder.save_discriminator(discriminator, run.root)
    if averaged.kind == "image":
        images.save_png(_grid(averaged, trainer.settings.seed), run.root / "samples.png")
    architecture, _ = manager().architecture_of(type(averaged))
    card = model_card(averaged, architecture, name=run.root.name, settings=trainer.settings, dataset=data.name)
    run.write_text("README.md", card)
    averaged.save(run.root)
    run.mark_finished()


def _as_training_data(data: TrainingData | Tensor | str | Path, sample_shape: tuple[int, ...]) -> TrainingData:
    if isinstance(data, (str, Path)):
        channels, _, size = sample_shape
        data = open_images(data).decode(channels, size)
    elif isinstance(data, Tensor):
        data = TrainingData.from_tensors(data)
    if data.sample_shape != sample_shape:
        raise DataError(f"{data.name} has samples of {data.sample_shape}, but the model makes {sample_shape}")
    return data


def _generator(trainer: Trainer) -> Generator:
    if "generator" not in trainer.modules:
        raise InterfaceError(f"{type(trainer).__qualname__}.build did not set self.modules['generator']")
    return _generator_of(trainer.modules["generator"])


def _generator_of(module: torch.nn.Module) -> Generator:
    if not isinstance(module, Generator):
        raise InterfaceError(f"{type(module).__qualname__} is not a zoo_core.Generator")
    return module


def _grid(generator: Generator, seed: int) -> np.ndarray:
    return images.grid(images.to_uint8(generator.sample(GRID_SAMPLES, seed=seed)))


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the step in progress ends and is kept; a second one kills."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals; there the caller's own handling stays
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
