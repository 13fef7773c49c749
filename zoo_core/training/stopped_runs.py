"""A model of a run that was stopped: made of its newest checkpoint, without the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from zoo_core.errors import TrainingError, printable
from zoo_core.files.paths import user_path
from zoo_core.interfaces import Trainer
from zoo_core.interfaces.names import canonical_name
from zoo_core.modelfolder.run_record import PARENT
from zoo_core.plugins import manager
from zoo_core.runtime.devices import resolve_device, tf32_restored
from zoo_core.runtime.meta_device import on_meta
from zoo_core.training.checkpoints import restore_newest
from zoo_core.training.finishing import write_finished_model
from zoo_core.training.loop import averaged_generator, averaging, prepare
from zoo_core.training.run_folder import DESCRIPTION, RunFolder


def finish_stopped_run(architecture_name: str, out: str | Path, *, device: str = "auto") -> Path:
    """Write the model of a run's newest checkpoint to the root of its folder. The run can still be resumed.

    Args:
        architecture_name: the architecture that the run trains.
        out: folder of the run.
        device: where to draw the samples of the preview.

    Returns:
        The folder.

    Raises:
        TrainingError: there is no run of this architecture, it has no checkpoint, or it is at work.
        ModelFolderError: run.json is damaged, and no checkpoint has a copy of it.
        DeviceError: this machine does not have the device.
        OutputError: the folder cannot be written.
    """
    run = RunFolder(user_path(out))
    record = run.recorded()
    if record is None:
        raise TrainingError(f"{printable(run.root)} holds no training run to finish")
    if record.get("finished"):
        return run.root
    trainer = _trainer(architecture_name, record, run)
    trainer.device = resolve_device(device)
    with run.held(), tf32_restored():
        stages = prepare(trainer)
        average = averaging(trainer)
        restored = restore_newest(run.checkpoints, trainer, average, stages)
        if restored is None:
            raise TrainingError(
                f"{printable(run.root)} has no checkpoint to make a model of; --resume goes on until the first"
            )
        if missing := stages.not_begun():
            begin = stages.planned[-1].begin
            raise TrainingError(
                f"{printable(run.root)} is at step {trainer.step}, before the first of {' and '.join(missing)}, and "
                f"its model is not trained yet; --resume goes on, and --finish makes a model from step {begin + 1} on"
            )
        run.warn_of_damage(restored.damaged.values())
        of_checkpoint = restored.record or record
        run.begin(
            {key: record[key] for key in (*DESCRIPTION, PARENT) if key in record}, of_checkpoint.get("changes", [])
        )
        write_finished_model(trainer, averaged_generator(trainer, average), run)
    return run.root


def _trainer(architecture_name: str, record: dict[str, Any], run: RunFolder) -> Trainer:
    """Return the trainer of a recorded run, which draws no batch."""
    architecture = manager().architecture(architecture_name)
    if canonical_name(record.get("architecture", "")) != canonical_name(architecture.name):
        trained = printable(record.get("architecture"), 80)
        raise TrainingError(f"{printable(run.root)} is a run of {trained}, not of {architecture.name}")
    trainer_class = architecture.trainer_class()
    if trainer_class is None:
        raise TrainingError(f"{architecture.name} cannot be trained: its plugin has no trainer for it")
    try:
        config = msgspec.convert(record.get("model"), architecture.config_class())
        settings = msgspec.convert(record["settings"], trainer_class.Settings)
        stated = record.get("options")
        options = msgspec.convert(stated, architecture.generator_class().Options) if stated is not None else None
    except msgspec.ValidationError as error:
        raise TrainingError(f"{printable(run.record)}: {printable(error, 200)}") from error
    with on_meta():
        shape = architecture.generator_class()(config).sample_shape
    trainer = trainer_class(config, msgspec.structs.replace(settings, compile="off"), shape)
    trainer.options = options
    return trainer
