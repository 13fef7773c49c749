"""What a push would do: the folder checked as a load would, its card made, and all of it compared with the Hub's."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from msgspec.structs import replace

from zoo_core import modelfolder
from zoo_core.errors import ModelFolderError, ZooError, printable
from zoo_core.hub import cards, client
from zoo_core.hub.client import Subject
from zoo_core.hub.repository import Content, is_there, their_card, what_the_hub_has
from zoo_core.modelfolder import CARD, CONFIG, MODEL_FILES, PREVIEW, TRAINING, WEIGHTS
from zoo_core.registries import ModelEntry, TrainingFacts, editing
from zoo_core.registries.address import check_repository
from zoo_core.registries.entries import FIELDS, MODEL_NAME

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator


@dataclass(frozen=True)
class Plan:
    """What a push would do.

    Attributes:
        files: all of the model, by name.
        changed: those that the Hub does not have so already.
        left_out: what lies in the folder and is no part of a model.
        head: the commit that the new one follows; None where there is no repository yet.
    """

    repo: str
    files: Mapping[str, Content]
    changed: tuple[str, ...]
    left_out: tuple[str, ...]
    head: str | None
    entry: ModelEntry


def make_plan(
    folder: str | Path,
    repo: str,
    *,
    name: str | None = None,
    register: str | Path | None = None,
    known: ModelEntry | None = None,
) -> Plan:
    """Check a folder and compare it with what the Hub has, changing nothing. Raises as `push`.

    Args:
        known: an entry with facts about this very model: licence, data set, metrics, ….
    """
    folder = Path(folder).expanduser()
    check_repository(repo)
    client.require_online(Subject(repo))
    if register is not None:
        editing.check_writable(Path(register))
    modelfolder.inspect(folder)
    present = {file: Content.of(path) for file, path in _files_of(folder).items()}
    generator = modelfolder.load(folder, device="cpu")
    known = known or _same_model(present)
    entry = _entry(folder, generator, _registry_name(repo, name), present, known)
    head, theirs = what_the_hub_has(repo)
    card = _card(folder, generator, repo, entry, present, known, their_card(repo, head) if CARD in theirs else None)
    contents = present | {CARD: Content.of(card.encode())}
    files = {file: contents[file] for file in MODEL_FILES if file in contents}
    changed = tuple(file for file, content in files.items() if not is_there(theirs.get(file), content))
    left_out = tuple(sorted(path.name for path in folder.iterdir() if path.name not in MODEL_FILES))
    entry = replace(entry, files={file: content.facts for file, content in files.items()})
    return Plan(repo, files, changed, left_out, head, entry)


# what is there


def _files_of(folder: Path) -> dict[str, Path]:
    """The files of a model folder. A link may lead within the folder, or into the Hub's cache, and nowhere else."""
    present = {}
    allowed = [folder.resolve(), client.cache_folder().resolve()]
    for name in MODEL_FILES:
        path = folder / name
        if not path.is_symlink() and not path.exists():
            continue
        try:
            real = path.resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError) as error:
            raise ModelFolderError(path, "is a link that leads nowhere") from error
        if not any(real.is_relative_to(place) for place in allowed):
            raise ModelFolderError(path, f"is a link out of the folder, to {printable(real)}; such are not published")
        if not regular:
            raise ModelFolderError(path, "is not a regular file")
        present[name] = path
    return present


# what is known of the model


def _same_model(present: Mapping[str, Content]) -> ModelEntry | None:
    """The entry of a registry that states these very weights and configuration: a bundled model, or a copy of one."""
    from zoo_core.catalog import registry

    for entry in registry().values():
        stated = entry.files.get(CONFIG), entry.files.get(WEIGHTS)
        if stated == (present[CONFIG].facts, present[WEIGHTS].facts):
            return entry
    return None


def _registry_name(repo: str, name: str | None) -> str:
    name = name or repo.rpartition("/")[2].lower().lstrip("._-")
    if not MODEL_NAME.fullmatch(name):
        raise ZooError(f"{printable(name, 80)!r} is no name for a registry: {MODEL_NAME.pattern}")
    return name


def _entry(
    folder: Path, generator: Generator, name: str, present: Mapping[str, Content], known: ModelEntry | None
) -> ModelEntry:
    """All that is known of the model but its files and its place."""
    stated, facts = modelfolder.read_config(folder), _facts_of_card(folder, present)
    run = _run(folder)
    if run:
        facts.setdefault("dataset", run.get("data", {}).get("name"))
        facts["training"] = _training_facts(run, present)
    for field, rule in FIELDS.items():
        if rule.inherited and known is not None and getattr(known, field):
            facts[field] = getattr(known, field)
    return ModelEntry(
        name=name,
        architecture=stated.architecture,
        plugin=stated.plugin,
        sample_shape=tuple(generator.sample_shape),
        parameters=sum(parameter.numel() for parameter in generator.parameters()),
        class_names=generator.class_names,
        **facts,
    )


def _facts_of_card(folder: Path, present: Mapping[str, Content]) -> dict[str, Any]:
    """Licence and data set as the folder's own README states them."""
    if CARD not in present:
        return {}
    metadata = cards.read_metadata(_own_card(folder, present), folder / CARD)
    data = metadata.get("datasets")
    facts = {"license": metadata.get("license"), "dataset": data[0] if isinstance(data, list) and data else data}
    return {field: value for field, value in facts.items() if isinstance(value, str)}


def _own_card(folder: Path, present: Mapping[str, Content]) -> str:
    try:
        return present[CARD].read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(folder / CARD, f"is not UTF-8: byte {error.start}") from error


def _run(folder: Path) -> dict[str, Any]:
    """What `zoo train` wrote of the run that made the folder, if it lies there."""
    path = folder / "run.json"
    try:
        run = {} if path.is_symlink() else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(run, dict) and isinstance(run.get("settings"), dict) and isinstance(run.get("data", {}), dict)
    return run if whole else {}


def _training_facts(run: Mapping[str, Any], present: Mapping[str, Content]) -> TrainingFacts | None:
    settings = {key: run["settings"].get(key) for key in ("steps", "seed", "batch_size")}
    configuration = TRAINING if TRAINING in present else None
    return TrainingFacts(**settings, configuration=configuration) if None not in settings.values() else None


def _settings(folder: Path, entry: ModelEntry, present: Mapping[str, Content]) -> dict[str, Any] | None:
    """The settings of the run: from run.json, or from the configuration that lies beside bundled weights."""
    run = _run(folder)
    if run:
        return dict(run["settings"])
    if TRAINING in present:
        with contextlib.suppress(UnicodeDecodeError, yaml.YAMLError):
            given = yaml.safe_load(present[TRAINING].read())
            if isinstance(given, dict):
                return {key: value for key, value in given.items() if key != "model"}
    training = entry.training
    return None if training is None else {key: getattr(training, key) for key in ("steps", "batch_size", "seed")}


def _card(
    folder: Path,
    generator: Generator,
    repo: str,
    entry: ModelEntry,
    present: Mapping[str, Content],
    known: ModelEntry | None,
    theirs: str | None,
) -> str:
    """The README to publish: what a person wrote on the Hub, else in the folder, with the generated part made anew."""
    from zoo_core.modelfolder.card import model_card
    from zoo_core.plugins import manager

    fresh = model_card(
        generator,
        manager().architecture(entry.architecture),
        name=f"hf://{repo}",
        settings=_settings(folder, entry, present),
        dataset=entry.dataset,
        license=entry.license,
        summary=entry.summary,
        tags=entry.tags,
        metrics=entry.metrics,
        model_index=cards.model_index(entry.name, entry.metrics, entry.dataset),
        plugin=entry.plugin,
        preview=PREVIEW in present,
    )
    # The README that came with a plugin's weights holds nobody's own words.
    bundled = known is not None and CARD in present and known.files.get(CARD) == present[CARD].facts
    ours = None if bundled or CARD not in present else _own_card(folder, present)
    if theirs is not None and (cards.written_by_a_person(theirs) or ours is None):
        return cards.merge(theirs, fresh)
    return cards.merge(cards.with_generated_part(ours, fresh), fresh) if ours is not None else fresh
