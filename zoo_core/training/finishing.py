"""The files of the finished model, in the root of the run's folder."""

from __future__ import annotations

from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from zoo_core import modelfolder
from zoo_core.interfaces import Discriminator, Generator, Trainer
from zoo_core.kinds.films import evenly, is_readable, write_film
from zoo_core.modelfolder.card import model_card
from zoo_core.modelfolder.run_record import PARENT, stated_settings
from zoo_core.plugins import manager
from zoo_core.training.grids import save_grid
from zoo_core.training.run_folder import RunFolder

FILM_FRAMES = 100  # maximum number of frames in training.gif


def write_finished_model(trainer: Trainer, averaged: Generator, run: RunFolder) -> None:
    """Write the model to the root of the run's folder, and record it; repeating the run writes the same bytes.

    A model of a step before the last is written as well: its card says so, and the run can still go on.
    """
    record = run.model_record(trainer.step)
    class_names = record["data"].get("class_names", ())
    if len(class_names) == averaged.num_classes:
        averaged.class_names = tuple(class_names)
    discriminator = trainer.modules.get("discriminator")
    if isinstance(discriminator, Discriminator):
        _remove_parametrizations(discriminator)
        modelfolder.save_discriminator(discriminator, run.root)
    preview = save_grid(averaged, trainer.settings.seed, run.root / modelfolder.PREVIEW)
    if preview:
        grids = [path for path in run.sample_grids(trainer.step) if is_readable(path)]
        if len(grids) > 1:
            frames = evenly(grids, FILM_FRAMES)
            write_film(frames, run.root / "training.gif", milliseconds=100, last=2000)
    architecture, _ = manager().architecture_of(type(averaged))
    dataset, settings = record["data"]["name"], stated_settings(record)
    card = model_card(
        averaged,
        architecture,
        name=run.root.name,
        settings=settings,
        dataset=dataset,
        preview=preview,
        parent=record.get(PARENT),
    )
    run.write_text("README.md", card)
    averaged.save(run.root)
    run.write_record(record)


def _remove_parametrizations(module: Discriminator) -> None:
    """Fold spectral normalisation into the weights, so that the saved layers are those that their class builds."""
    module.eval()  # in training mode, removal would run another step of the power iteration
    for layer in list(module.modules()):
        if is_parametrized(layer):
            for name in list(layer.parametrizations):  # type: ignore[arg-type]
                remove_parametrizations(layer, name)
