"""The loop around a plugin's training step: set-up, batches, averaging, figures, checkpoints and the finished model.

A run's folder:

    run.json                 what is being trained, on what, how; every `auto` resolved
    log.jsonl                the figures, a line every LOG_EVERY steps
    samples/step-00001000.png
    checkpoints/step-00001000/
    config.json, model.safetensors, discriminator.safetensors, README.md, samples.png, training.gif     at the end
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from zoo_core import modelfolder
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, InterfaceError, ProcessError, TrainingError, printable
from zoo_core.interfaces import Batch, Discriminator, Generator, Settings, Trainer
from zoo_core.kinds import image as images
from zoo_core.kinds.gif import evenly, write_film
from zoo_core.modelfolder.card import model_card
from zoo_core.plugins import manager
from zoo_core.runtime.devices import resolve_device
from zoo_core.runtime.precision import autocast, resolve_precision
from zoo_core.runtime.processes import Processes, join
from zoo_core.training.batches import BatchStream
from zoo_core.training.checkpoints import newest_checkpoint, restore_checkpoint, save_checkpoint
from zoo_core.training.compilation import compile_networks, resolve_compile
from zoo_core.training.ema import ExponentialMovingAverage
from zoo_core.training.log import RunLog
from zoo_core.training.run_folder import RunFolder, describe_run
from zoo_core.training.synchronised_layers import synchronise_layers

LOG_EVERY = 50
GRID_SAMPLES = 64
FILM_FRAMES = 100  # of the GIF, at most
GRID_ROWS, GRID_COLUMNS = 8, 16  # of a conditional model's grid, and columns at most


def fit(trainer: Trainer, data: TrainingData | Tensor | str | Path, *, out: Path, resume: bool = False) -> Path:
    """What `Trainer.fit` does; see there."""
    run = RunFolder(out)
    _join(trainer)
    training_data = trainer.prepare_data(_as_training_data(data, trainer))
    _resolve(trainer, run, training_data)
    prepare(trainer)
    generator = _generator(trainer)
    _check_labels(generator, training_data)
    architecture, _ = manager().architecture_of(type(generator))
    processes = trainer.processes
    description = describe_run(trainer, architecture.name, training_data)
    if run.check(description, resume=resume):
        return out
    processes.wait()  # all have looked before one writes
    if processes.first:
        run.begin(description)
    average = ExponentialMovingAverage(generator, trainer.settings.ema_decay) if trainer.settings.ema_decay else None
    checkpoint = newest_checkpoint(run.checkpoints)
    if checkpoint is not None:
        restore_checkpoint(checkpoint, trainer, average)
        if trainer.step > trainer.settings.steps:
            raise TrainingError(
                f"{out} has a checkpoint at step {trainer.step}, after the last step, {trainer.settings.steps}; "
                f"use --steps {trainer.step} or more, or remove the newer checkpoints"
            )
    averaged = _generator_of(average.module) if average is not None else generator
    if trainer.settings.compile == "on":
        compile_networks(trainer)
    try:
        _train(trainer, batch_stream(trainer, training_data), average, averaged, run)
    except ProcessError as error:
        raise TrainingError(
            f"{error}; start as many processes again with --resume, to continue from the newest checkpoint in {out}"
        ) from error
    if processes.first:
        _finish(trainer, averaged, run, training_data)
        run.mark_finished(description)
    processes.wait()
    return out


def _join(trainer: Trainer) -> None:
    """Take up the device, and the connection to the other processes where there are any."""
    device = resolve_device(trainer.settings.device)
    trainer.processes = join(device.type)
    if device.type == "cuda" and trainer.processes.count > 1:
        device = torch.device("cuda", trainer.processes.local_rank)
        torch.cuda.set_device(device)
    trainer.device = device


def _resolve(trainer: Trainer, run: RunFolder, data: TrainingData) -> None:
    """Put what it means in the place of every `auto`: what the run was begun with, else what fits this machine."""
    settings = trainer.settings
    begun = _recorded_settings(run, settings)
    meant: dict[str, Any] = {"device": trainer.device.type}
    precision = begun.get("precision", "auto") if settings.precision == "auto" else settings.precision
    meant["precision"] = resolve_precision(precision, trainer.device)
    trainer.settings = msgspec.structs.replace(settings, **meant)
    if settings.compile == "auto" and "compile" in begun:
        meant["compile"] = begun["compile"]
    else:
        on = resolve_compile(trainer, lambda steps: _train_on_the_side(trainer, data, steps))
        meant["compile"] = "on" if trainer.processes.any(on) else "off"
    trainer.settings = msgspec.structs.replace(settings, **meant)


def _recorded_settings(run: RunFolder, settings: Settings) -> dict[str, Any]:
    """Return the settings that a resumed run was begun with, or an empty dictionary.

    Raises:
        ModelFolderError: where run.json is damaged.
        TrainingError: where a setting in it is none of this trainer's.
    """
    recorded: dict[str, Any] = (run.recorded() or {}).get("settings", {})
    try:
        msgspec.convert({name: recorded[name] for name in ("precision", "compile") if name in recorded}, type(settings))
    except msgspec.ValidationError as error:
        raise TrainingError(f"{run.record}: settings: {printable(error, 200)}; choose another --out") from error
    return recorded


def _train_on_the_side(trainer: Trainer, data: TrainingData, steps: int) -> None:
    """Train another trainer of the same kind, which nothing remains of."""
    other = type(trainer)(trainer.config, trainer.settings, trainer.sample_shape)
    other.device = trainer.device
    prepare(other)
    stream = batch_stream(other, data)
    for _ in range(steps):
        train_one_step(other, stream)


def batch_stream(trainer: Trainer, data: TrainingData) -> BatchStream:
    """This process's batches of the data, as the settings say."""
    settings, processes = trainer.settings, trainer.processes
    return BatchStream(
        data,
        settings.batch_size,
        settings.seed,
        trainer.device,
        rank=processes.rank,
        processes=processes.count,
        horizontal_flip=settings.horizontal_flip,
    )


def prepare(trainer: Trainer) -> None:
    """Seed everything, then let the trainer build its networks on its device; no setting is `auto` any more."""
    device, precision = trainer.device, trainer.settings.precision
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
        synchronise_layers(module, trainer.processes)


def train_one_step(trainer: Trainer, stream: BatchStream) -> dict[str, Tensor]:
    """One step of the plugin under autocast; returns its figures, still on the device."""
    count = trainer.batches_per_step
    if trainer.settings.compile == "on" and trainer.device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # tensors of the step before may be overwritten now
    batch = Batch.join([stream.batch(trainer.step * count + part, _generator(trainer)) for part in range(count)])
    with autocast(trainer.device, trainer.settings.precision):
        figures = trainer.training_step(batch)
    trainer.update_scale()
    trainer.step += 1
    return figures


def _train(
    trainer: Trainer,
    stream: BatchStream,
    average: ExponentialMovingAverage | None,
    averaged: Generator,
    run: RunFolder,
) -> None:
    """All remaining steps, with what is written on the way."""
    settings, processes = trainer.settings, trainer.processes
    with RunLog(run, trainer) as log, _stop_signals() as stop:
        if processes.count > 1:
            log.report("processes", f"{processes.count} processes share every batch of {settings.batch_size}")
        log.report("data", stream.note)
        while trainer.step < settings.steps:
            figures = train_one_step(trainer, stream)
            if average is not None:
                average.update(trainer.modules["generator"], trainer.step)
            done = trainer.step
            log.add(done, figures)
            if done % LOG_EVERY == 0 or done == settings.steps:
                log.write(done)
            if settings.sample_every and done % settings.sample_every == 0 and averaged.kind == "image":
                _sample_grid(averaged, settings.seed, run.sample_grid(done), log, processes)
            stopped = processes.any(stop.is_set())
            periodic = settings.checkpoint_every and done % settings.checkpoint_every == 0
            if (periodic or done == settings.steps or stopped) and processes.first:
                save_checkpoint(run.checkpoints, trainer, average, log.latest.get(settings.best_figure))
            if stopped and done < settings.steps:
                raise TrainingError(f"stopped at step {done} of {settings.steps}; use --resume to continue from there")


def _sample_grid(generator: Generator, seed: int, path: Path, log: RunLog, processes: Processes) -> None:
    if not processes.first:
        return
    pictures = _pictures(generator, seed)
    images.save_png(images.grid(pictures, _columns(generator)), path)
    if np.ptp(pictures.astype(np.int16), axis=0).max() <= 1:
        log.report(
            "collapse",
            "all samples are the same picture: the generator has collapsed; try another seed, a lower learning_rate, "
            "--set r1_gamma=1 or --set augment=color,translation,cutout",
        )


def _finish(trainer: Trainer, averaged: Generator, run: RunFolder, data: TrainingData) -> None:
    """The finished model at the root of the run: the same bytes whenever the run is repeated."""
    if len(data.class_names) == averaged.num_classes:
        averaged.class_names = data.class_names
    discriminator = trainer.modules.get("discriminator")
    if isinstance(discriminator, Discriminator):
        _remove_parametrizations(discriminator)
        modelfolder.save_discriminator(discriminator, run.root)
    if averaged.kind == "image":
        grid = images.grid(_pictures(averaged, trainer.settings.seed), _columns(averaged))
        images.save_png(grid, run.root / "samples.png")
        grids = run.sample_grids()
        if len(grids) > 1:
            frames = evenly(grids, FILM_FRAMES)
            write_film(frames, run.root / "training.gif", milliseconds=100, last=2000)
    architecture, _ = manager().architecture_of(type(averaged))
    card = model_card(averaged, architecture, name=run.root.name, settings=trainer.settings, dataset=data.name)
    run.write_text("README.md", card)
    averaged.save(run.root)


def _as_training_data(data: TrainingData | Tensor | str | Path, trainer: Trainer) -> TrainingData:
    sample_shape = trainer.sample_shape
    if isinstance(data, (str, Path)):
        channels, _, size = sample_shape
        data = open_images(data).decode(channels, size, processes=trainer.processes)
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


def _check_labels(generator: Generator, data: TrainingData) -> None:
    if generator.num_classes is None:
        return
    if data.num_classes is None:
        raise DataError(f"{data.name} has no labels for a conditional model; --label-column names their column")
    if data.num_classes > generator.num_classes:
        raise DataError(f"{data.name} has {data.num_classes} classes, but the model knows {generator.num_classes}")


def _pictures(generator: Generator, seed: int) -> np.ndarray:
    """The samples of a grid, (N, H, W, C) uint8; of a conditional model every class in a column of its own."""
    columns = _columns(generator)
    if columns is None:
        return images.to_uint8(generator.sample(GRID_SAMPLES, seed=seed))
    labels = torch.arange(columns).repeat(GRID_ROWS)
    return images.to_uint8(generator.sample(len(labels), seed=seed, labels=labels))


def _columns(generator: Generator) -> int | None:
    return min(generator.num_classes, GRID_COLUMNS) if generator.num_classes is not None else None


def _remove_parametrizations(module: Discriminator) -> None:
    """Leave the layers as their class builds them: spectral normalisation, say, computed into the weights."""
    module.eval()  # in training, the power iteration would take another step
    for layer in list(module.modules()):
        if is_parametrized(layer):
            for name in list(layer.parametrizations):  # type: ignore[arg-type]
                remove_parametrizations(layer, name)


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
