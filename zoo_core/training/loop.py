"""The training loop around a plugin's `training_step`: set-up, batches, averaging, figures, checkpoints, final model.

The folder of a run:

    run.json                 the model, the data and the settings, with every `auto` resolved
    log.jsonl                the figures, one line every LOG_EVERY steps
    samples/step-00001000.png
    checkpoints/step-00001000/
    .lock, .lock.json        while a run is at work: who it is
    config.json, model.safetensors, discriminator.safetensors, README.md, samples.png, training.gif     at the end
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, InterfaceError, ProcessError, TrainingError, printable
from zoo_core.interfaces import Batch, Generator, Parent, Settings, Trainer
from zoo_core.kinds.by_name import check_kind
from zoo_core.modelfolder.run_record import PARENT
from zoo_core.plugins import manager
from zoo_core.runtime.devices import allow_tf32, begin_compiled_step, resolve_device, select_for_process, tf32_restored
from zoo_core.runtime.precision import autocast, resolve_precision
from zoo_core.runtime.processes import join
from zoo_core.runtime.torch_defaults import torch_defaults
from zoo_core.training.batches import BatchStream, check_mirroring
from zoo_core.training.checkpoints import (
    changed_settings,
    is_improvement,
    newest_checkpoint,
    restore_newest,
    save_checkpoint,
    set_aside,
)
from zoo_core.training.compilation import compiled_in, resolve_compile
from zoo_core.training.ema import ExponentialMovingAverage
from zoo_core.training.evaluation import Evaluation
from zoo_core.training.figures import checked_figures
from zoo_core.training.finishing import write_finished_model
from zoo_core.training.grids import write_sample_grid
from zoo_core.training.log import RunLog
from zoo_core.training.parents import as_record, parent_of_run, start, with_classes_of
from zoo_core.training.run_data import check_read_as, data_of_run
from zoo_core.training.run_folder import COMPILED, RunFolder, describe_run
from zoo_core.training.sample_range import check_samples
from zoo_core.training.stages import Stages, stage_seed
from zoo_core.training.stop_signals import stop_signals
from zoo_core.training.synchronised_layers import synchronise_layers

LOG_EVERY = 50


def fit(
    trainer: Trainer,
    data: object,
    *,
    out: Path,
    resume: bool = False,
    change: Collection[str] = (),
    start_from: str | Path | Parent | None = None,
    matching: bool = False,
) -> Path:
    """Run the training; see `Trainer.fit`, the public entry point."""
    with tf32_restored(), torch_defaults(), torch.enable_grad():
        run = RunFolder(out)
        parent = parent_of_run(out, run.recorded() if resume else None, start_from, matching=matching)
        return _fit(trainer, data, run, resume, change, parent)


def _fit(
    trainer: Trainer, data: object, run: RunFolder, resume: bool, change: Collection[str], parent: Parent | None
) -> Path:
    out = run.root
    _join(trainer)
    given_data = data_of_run(data, trainer, run)
    training_data = trainer.prepare_data(given_data)
    _resolve(trainer, run, training_data)
    stages = prepare(trainer)
    generator = _generator(trainer)
    if isinstance(data, (str, Path)):
        check_read_as(trainer, generator, data)
    check_mirroring(generator.kind, trainer.settings)
    if parent is not None:
        training_data, line = with_classes_of(parent, training_data, generator.num_classes)
        given_data, _ = with_classes_of(parent, given_data, generator.num_classes)
        run.notes += [line] if line else []
    _check_labels(generator, training_data)
    stages.check_batches(training_data)
    remark = check_samples(generator, training_data, trainer.device)
    evaluation = Evaluation.of(trainer, generator, given_data)
    architecture, _ = manager().architecture_of(type(generator))
    check_kind(architecture, generator)
    processes = trainer.processes
    description = describe_run(trainer, architecture.name, training_data, stages.description())
    if parent is not None:
        description[PARENT] = as_record(parent)
    may_change = {"change": change, "changeable": trainer.settings.changeable}
    if run.check(description, resume=resume, **may_change):
        return out
    if parent is not None and newest_checkpoint(run.checkpoints) is None:
        run.notes += start(trainer, parent, architecture)
    processes.wait()  # every process has checked the folder before the first one writes to it
    with run.held() if processes.first else contextlib.nullcontext():
        if processes.first:  # once more: another run may have begun here since
            run.check(description, resume=resume, **may_change)
        average = averaging(trainer)
        _begin(trainer, average, run, description, stages)
        averaged = averaged_generator(trainer, average)
        if trainer.settings.compile == "on":
            trainer.compile()
        try:
            _train(trainer, training_data, average, averaged, run, description, remark, evaluation, stages)
        except ProcessError as error:
            raise TrainingError(
                f"{error}; start as many processes again with --resume, to continue from the newest checkpoint in {out}"
            ) from error
        if processes.first:
            write_finished_model(trainer, averaged, run)
        processes.wait()
    return out


def averaging(trainer: Trainer) -> ExponentialMovingAverage | None:
    """Return the moving average of the generator's weights, if the settings ask for one."""
    decay = trainer.settings.ema_decay
    return ExponentialMovingAverage(_generator(trainer), decay) if decay else None


def averaged_generator(trainer: Trainer, average: ExponentialMovingAverage | None) -> Generator:
    """Return the generator that is sampled and saved: with averaged weights, where there is an average."""
    return _generator(trainer) if average is None else _generator_of(average.module)


def _begin(
    trainer: Trainer,
    average: ExponentialMovingAverage | None,
    run: RunFolder,
    description: dict[str, Any],
    stages: Stages,
) -> None:
    """Go on from the newest checkpoint, if there is one, and record the run with what was changed in it.

    Raises:
        TrainingError: no checkpoint can be read, the newest is after the last step, or processes found different ones.
    """
    restored = restore_newest(run.checkpoints, trainer, average, stages)
    steps, processes = trainer.settings.steps, trainer.processes
    if trainer.step > steps:
        raise TrainingError(
            f"{run.root} has a checkpoint at step {trainer.step}, after the last step, {steps}; use --steps "
            f"{trainer.step} or more, --finish to make a model of it, or remove the newer checkpoints"
        )
    if processes.agree(trainer.step) != trainer.step:
        raise TrainingError(f"{run.root}: not every process can read the newest checkpoint")
    if not processes.first:
        return
    changes: list[dict[str, Any]] = []
    if restored is not None:
        run.warn_of_damage(restored.damaged.values())
        set_aside(restored.damaged)
        record = restored.record or run.recorded() or description
        changes = list(record.get("changes", []))
        run.keep_stage_data(description, record)
        if changed := changed_settings(record, trainer.settings):
            changes.append({"step": trainer.step, "settings": changed})
            run.note_changes(trainer.step, changed)
    run.begin(description, changes)


def _join(trainer: Trainer) -> None:
    """Set the device of the trainer and connect it to the other processes, if there are any."""
    device = resolve_device(trainer.settings.device)
    trainer.processes = join(device.type)
    several = trainer.processes.count > 1
    trainer.device = select_for_process(device, trainer.processes.local_rank) if several else device


def _resolve(trainer: Trainer, run: RunFolder, data: TrainingData) -> None:
    """Replace every `auto`: with the value that the run was started with, else with one that suits this machine."""
    settings = trainer.settings
    begun = _recorded_settings(run, settings)
    if settings.compile == "on" and begun.get("compile") == "off" and (run.recorded() or {}).get(COMPILED) == []:
        settings = msgspec.structs.replace(settings, compile="off")  # it was asked for at first too, and did nothing
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
    """Return the settings that a resumed run was started with, or an empty dictionary for a new run.

    Raises:
        ModelFolderError: run.json is damaged.
        TrainingError: a recorded setting has a value that this trainer does not accept.
    """
    recorded: dict[str, Any] = (run.recorded() or {}).get("settings", {})
    try:
        msgspec.convert({name: recorded[name] for name in ("precision", "compile") if name in recorded}, type(settings))
    except msgspec.ValidationError as error:
        raise TrainingError(f"{run.record}: settings: {printable(error, 200)}; choose another --out") from error
    return recorded


def _train_on_the_side(trainer: Trainer, data: TrainingData, steps: int) -> None:
    """Run a throwaway trainer of the same class for a few steps, to time them without changing the real one."""
    other = type(trainer)(trainer.config, trainer.settings, trainer.sample_shape)
    other.device, other.options = trainer.device, trainer.options
    stages = prepare(other)
    stream = batch_stream(other, stages.data(data))
    for _ in range(steps):
        train_one_step(other, stream)


def batch_stream(trainer: Trainer, data: TrainingData) -> BatchStream:
    """Return the stream of batches for this process, as the settings of the present stage specify."""
    settings, processes = trainer.stage_settings, trainer.processes
    pictures = not trainer.stage or data.sample_shape == trainer.sample_shape  # a stage may train on codes of them
    return BatchStream(
        data,
        settings.batch_size,
        stage_seed(trainer),
        trainer.device,
        rank=processes.rank,
        processes=processes.count,
        horizontal_flip=settings.horizontal_flip and pictures,
    )


def prepare(trainer: Trainer) -> Stages:
    """Seed all random generators, build the networks on the device, and begin the first stage.

    Every `auto` must be resolved already.
    """
    device, precision = trainer.device, trainer.settings.precision
    trainer.scaler = torch.amp.GradScaler(device.type if device.type != "meta" else "cpu", enabled=precision == "fp16")
    seed = trainer.settings.seed
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    allow_tf32(device, precision != "fp32")
    with device:
        trainer.build()
    for module in trainer.modules.values():
        module.to(device)
        # Convolutions run fastest with channels last in memory; values and all other layers are unaffected.
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.train()
        synchronise_layers(module, trainer.processes)
    if trainer.options is not None:
        _generator(trainer).options = trainer.options
    return Stages(trainer)


def train_one_step(trainer: Trainer, stream: BatchStream) -> dict[str, Tensor | float]:
    """Run one training step of the plugin under autocast and return its figures; tensors are still on the device."""
    count = trainer.batches_per_step
    if trainer.settings.compile == "on":
        begin_compiled_step(trainer.device)
    first = (trainer.step - trainer.stage_begin) * count
    batch = Batch.join([stream.batch(first + part, _generator(trainer)) for part in range(count)])
    with autocast(trainer.device, trainer.settings.precision):
        figures = checked_figures(trainer, _training_step(trainer, batch))
    trainer.update_scale()
    trainer.step += 1
    return figures


def _training_step(trainer: Trainer, batch: Batch) -> object:
    try:
        return trainer.training_step(batch)
    except RuntimeError as error:  # what torch raises for a type that a layer does not take
        if batch.samples.is_floating_point():
            raise
        raise DataError(
            f"{type(trainer).__qualname__}.training_step cannot compute with samples of {batch.samples.dtype}: "
            f"{printable(error, 160)}; if the model takes floating values, pass samples.float()"
        ) from error


def _train(
    trainer: Trainer,
    data: TrainingData,
    average: ExponentialMovingAverage | None,
    averaged: Generator,
    run: RunFolder,
    description: dict[str, Any],
    remark: str | None,
    evaluation: Evaluation | None,
    stages: Stages,
) -> None:
    """Train for the remaining steps; write the log, sample grids and checkpoints on the way.

    Args:
        description: of the run, which learns what the first step has compiled.
        remark: about the samples, for the user.
        evaluation: the metrics to measure on the way.
    """
    settings, processes = trainer.settings, trainer.processes
    stages.proceed(average)  # the run may have been stopped between two stages
    stream = _stream_of_stage(trainer, data, run, description, stages)
    first = True  # of the steps of this stage that this process takes
    with RunLog(run, trainer) as log, stop_signals() as stop:
        if processes.count > 1:
            log.report("processes", f"{processes.count} processes share every batch of {settings.batch_size}")
        for note in (stream.note, *run.notes):
            log.report(note, note)
        if remark is not None:
            log.report("samples", remark)
        while trainer.step < settings.steps:
            if stages.at_end:
                stages.proceed(average)
                stream, first = _stream_of_stage(trainer, data, run, description, stages), True
            if first:
                log.begin_stage(stages.announcement())
            if settings.compile == "on" and first:
                figures = _train_first_compiled_step(trainer, stream, run, description, log, stages)
            else:
                figures = train_one_step(trainer, stream)
            first = False
            if average is not None:
                average.update(trainer.modules["generator"], trainer.step - trainer.stage_begin)
            done = trainer.step
            ends = done == settings.steps or stages.at_end
            log.add(done, figures)
            measuring = evaluation is not None and stages.samples and evaluation.due(done)
            if evaluation is not None and measuring:
                log.measure(done, evaluation, averaged)
            if done % LOG_EVERY == 0 or ends or measuring:
                log.write(done, more_stages=not stages.in_last)
            if settings.sample_every and done % settings.sample_every == 0 and stages.samples:
                write_sample_grid(averaged, settings, run, done, log, processes)
            stopped = processes.any(stop.is_set())
            periodic = settings.checkpoint_every and done % settings.checkpoint_every == 0
            best = log.measured[1].get(settings.best_figure)
            better = measuring and processes.any(is_improvement(run.checkpoints, settings, best, trainer.stage))
            due = periodic or ends or stopped or better
            if due:
                log.check()  # what is kept is finite
            if due and processes.first:
                save_checkpoint(run.checkpoints, trainer, average, log.best_figure(done), run.description)
            if stopped and done < settings.steps:
                or_finish = "" if stages.not_begun() else ", or --finish to make a model of it"
                raise TrainingError(
                    f"stopped at step {done} of {settings.steps}; use --resume to continue from there{or_finish}"
                )


def _stream_of_stage(
    trainer: Trainer, data: TrainingData, run: RunFolder, description: dict[str, Any], stages: Stages
) -> BatchStream:
    """Return the batches of the present stage, whose data the trainer makes now, and record what that is."""
    prepared = stages.data(data)
    if prepared is not data:
        run.note_stage_data(description, trainer.stage, prepared.fingerprint)
        if trainer.processes.first:
            run.begin(description)
    return batch_stream(trainer, prepared)


def _train_first_compiled_step(
    trainer: Trainer, stream: BatchStream, run: RunFolder, description: dict[str, Any], log: RunLog, stages: Stages
) -> dict[str, Tensor | float]:
    """Train one step with what `Trainer.compile` has compiled, and record what of that the step has really called."""
    figures, compiled = compiled_in(trainer, lambda: train_one_step(trainer, stream))
    description[COMPILED] = sorted({*description.get(COMPILED, ()), *compiled})
    if not description[COMPILED] and stages.in_last:
        trainer.settings = msgspec.structs.replace(trainer.settings, compile="off")
        description["settings"]["compile"] = "off"
        log.report(
            "compile",
            f"compile=on compiled nothing: {type(trainer).__qualname__}.training_step calls no network and no function "
            "that compile() of the trainer compiles, or torch's compiler is switched off; this run continues without",
        )
    if trainer.processes.first:
        run.begin(description)
    return figures


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
