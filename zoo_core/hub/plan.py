"""Plan of a push: the folder checked as a load would, its card generated, and each file compared with the Hub's."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zoo_core import modelfolder
from zoo_core.errors import HubError, ModelFolderError, RegistryError, ZooError, printable
from zoo_core.files.paths import user_path
from zoo_core.files.strict_yaml import parse_yaml
from zoo_core.hub import cards, client
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.errors import HubResource
from zoo_core.hub.repository import Content, is_there, their_file, what_the_hub_has
from zoo_core.hub.settings import cache_folder
from zoo_core.modelfolder import CARD, CONFIG, MODEL_FILES, PREVIEW, TRAINING, WEIGHTS
from zoo_core.modelfolder.run_record import PARENT, read_run_record, stated_settings, steps_of_model
from zoo_core.registries import ModelEntry, TrainingFacts, editing
from zoo_core.registries.address import check_repository
from zoo_core.registries.entries import FIELDS, MODEL_NAME

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator

_MAX_TRAINING_BYTES = 100_000
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Plan:
    """What a push would do.

    Attributes:
        files: all files of the model, by name.
        changed: the names of those that the Hub does not have with the same content.
        left_out: the names of what is in the folder and not part of a model.
        head: the commit that the new one will follow; None where there is no repository yet, and empty where it has no
            commit.
        entry: the registry entry, without its place on the Hub.
        notes: what the user should know before it is carried out.
        not_compared: why the Hub was not asked what it has, in which case the card is the folder's alone; None where
            it was.
    """

    repo: str
    files: Mapping[str, Content]
    changed: tuple[str, ...]
    left_out: tuple[str, ...]
    head: str | None
    entry: ModelEntry
    notes: tuple[str, ...] = ()
    not_compared: str | None = None


def make_plan(
    folder: str | Path,
    repo: str,
    *,
    name: str | None = None,
    register: str | Path | None = None,
    known: ModelEntry | None = None,
    trial: bool = False,
) -> Plan:
    """Check a folder and compare it with what the Hub has, without changing anything.

    Args:
        folder: the model folder.
        repo: user/repo.
        name: the model's name in the registry; by default the name of the repository.
        register: a registry.yaml that the model will be entered in.
        known: an entry with facts about this model: licence, data set, metrics and so on.
        trial: make a plan also where the Hub cannot be asked or does not answer this user; it cannot be carried out.

    Raises:
        As `push`.
    """
    folder = user_path(folder)
    check_repository(repo)
    if not trial:
        client.require_online(HubResource(repo))
    if register is not None:
        editing.check_writable(user_path(register))
    modelfolder.inspect(folder)
    present = {file: Content.of(path) for file, path in _files_of(folder).items()}
    generator = modelfolder.load(folder, device="cpu")
    known = known or _same_model(present)
    run = read_run_record(folder)
    entry = _entry(folder, generator, _registry_name(repo, name), present, known, run)
    settings = _settings(folder, entry, present, run)
    hub = _ask(repo, trial)
    card = _card(folder, generator, repo, entry, present, known, settings, (run or {}).get(PARENT), hub.card)
    contents = present | {CARD: Content.of(card.encode())}
    files = {file: contents[file] for file in MODEL_FILES if file in contents}
    changed = tuple(file for file, content in files.items() if not is_there(hub.files.get(file), content))
    left_out = tuple(sorted(path.name for path in folder.iterdir() if path.name not in MODEL_FILES))
    entry = replace(entry, files={file: content.facts for file, content in files.items()})
    return Plan(repo, files, changed, left_out, hub.head, entry, _notes(repo, entry, hub, changed), hub.problem)


# what the Hub has


@dataclass(frozen=True)
class _Hub:
    """What is known of the repository; `problem` says why nothing is."""

    head: str | None = None
    files: Mapping[str, StatedFile] = dataclasses.field(default_factory=dict)
    card: str | None = None
    architecture: str | None = None
    problem: str | None = None


def _ask(repo: str, trial: bool) -> _Hub:
    """Request what the Hub has; a trial requests it once only, and does without where that fails."""
    try:
        head, files = what_the_hub_has(repo, attempts=1 if trial else None)
        card = their_file(repo, head, CARD, files[CARD]) if head and CARD in files else None
        return _Hub(head, files, card, _their_architecture(repo, head, files) if head else None)
    except HubError as error:
        if not trial:
            raise
        return _Hub(problem=str(error).removeprefix(f"hf://{repo}: "))


def _their_architecture(repo: str, head: str, files: Mapping[str, StatedFile]) -> str | None:
    """Return the architecture of the model that is there, or None where there is no model of this zoo."""
    if CONFIG not in files:
        return None
    try:
        config = json.loads(their_file(repo, head, CONFIG, files[CONFIG]))
        return str(config["architecture"])
    except (HubError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _notes(repo: str, entry: ModelEntry, hub: _Hub, changed: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if hub.architecture is not None and hub.architecture != entry.architecture:
        theirs = printable(hub.architecture, 60)
        notes.append(
            f"hf://{repo} holds a model of the architecture {theirs}, which this one of {entry.architecture} replaces"
        )
    stale = [name for name in hub.files if name not in entry.files]
    if stale and WEIGHTS in changed:
        notes.append(
            f"hf://{repo} keeps {', '.join(stale)} of the model before; delete on the Hub what is not of this one"
        )
    return tuple(notes)


# the files


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a model folder by name. A link may lead within the folder or into the Hub's cache only."""
    present = {}
    allowed = [folder.resolve(), cache_folder().resolve()]
    for name in MODEL_FILES:
        path = folder / name
        if not path.is_symlink() and not path.exists():
            continue
        try:
            real = path.resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError) as error:
            raise ModelFolderError(path, "is a link to a file that does not exist") from error
        if not any(real.is_relative_to(place) for place in allowed):
            raise ModelFolderError(
                path,
                f"is a link out of the folder, to {printable(real)}, which is not published; copy the file instead",
            )
        if not regular:
            raise ModelFolderError(path, "is not a regular file")
        present[name] = path
    return present


# what is known of the model


def _same_model(present: Mapping[str, Content]) -> ModelEntry | None:
    """Return the registry entry that states these weights and this configuration: that of a bundled model or a copy."""
    from zoo_core.catalog import registry

    for entry in registry().values():
        stated = entry.files.get(CONFIG), entry.files.get(WEIGHTS)
        if stated == (present[CONFIG].facts, present[WEIGHTS].facts):
            return entry
    return None


def _registry_name(repo: str, name: str | None) -> str:
    name = name or repo.rpartition("/")[2].lower().lstrip("._-")
    if not MODEL_NAME.fullmatch(name):
        raise ZooError(f"{printable(name, 80)!r} cannot be a name in a registry; give one of {MODEL_NAME.pattern}")
    return name


def _entry(
    folder: Path,
    generator: Generator,
    name: str,
    present: Mapping[str, Content],
    known: ModelEntry | None,
    run: dict[str, Any] | None,
) -> ModelEntry:
    """Return all that is known of the model except its files and its place.

    Args:
        run: the record of the run that trained it.
    """
    stated = modelfolder.read_config(folder)
    facts: dict[str, Any] = (
        dict(cards.stated_facts(_own_card(folder, present), folder / CARD)) if CARD in present else {}
    )
    if run is not None:
        facts.setdefault("dataset", run.get("data", {}).get("name"))
        training = {key: run["settings"][key] for key in ("seed", "batch_size")}
        training["steps"] = steps_of_model(run)
        facts["training"] = TrainingFacts(**training, configuration=TRAINING if TRAINING in present else None)
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


def _own_card(folder: Path, present: Mapping[str, Content]) -> str:
    return _text(folder / CARD, present[CARD])


def _text(path: Path, content: Content) -> str:
    try:
        return content.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(path, f"is not UTF-8: byte {error.start}; save it as UTF-8") from error


def _settings(
    folder: Path, entry: ModelEntry, present: Mapping[str, Content], run: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Return the settings to show: from run.json, else from training.yaml, else what the registry states."""
    if run is not None:
        return stated_settings(run)
    if TRAINING in present and (given := _read_training(folder / TRAINING, present[TRAINING])) is not None:
        return given
    training = entry.training
    return None if training is None else {key: getattr(training, key) for key in ("steps", "batch_size", "seed")}


def _read_training(path: Path, content: Content) -> dict[str, Any] | None:
    """Return the settings in training.yaml as the file writes them; None for an empty file. Raises ModelFolderError."""
    if content.facts.size > _MAX_TRAINING_BYTES:
        raise _unreadable(path, f"is larger than {_MAX_TRAINING_BYTES:,} bytes")
    try:
        settings = parse_yaml(_text(path, content), path).content
    except RegistryError as error:
        where = f"line {error.line}: " if error.line is not None else ""
        raise _unreadable(path, f"cannot be read: {where}{error.problem}") from error
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise _unreadable(path, "is not a mapping of settings")
    return {key: _with_booleans(value) for key, value in settings.items() if key != "model"}


def _with_booleans(value: Any) -> Any:
    """Return a value of a YAML file with its truth values as booleans, so that cards show them as those of run.json."""
    return _BOOLEANS.get(value.lower(), value) if isinstance(value, str) else value


def _unreadable(path: Path, problem: str) -> ModelFolderError:
    return ModelFolderError(path, f"{problem}; restore the configuration that `zoo train` read, or remove the file")


def _card(
    folder: Path,
    generator: Generator,
    repo: str,
    entry: ModelEntry,
    present: Mapping[str, Content],
    known: ModelEntry | None,
    settings: dict[str, Any] | None,
    parent: dict[str, Any] | None,
    theirs: str | None,
) -> str:
    """Return the README to publish: a person's from the Hub, else the folder's own, with a fresh generated part."""
    from zoo_core.modelfolder.card import model_card
    from zoo_core.plugins import manager

    fresh = model_card(
        generator,
        manager().architecture(entry.architecture),
        name=f"hf://{repo}",
        settings=settings,
        dataset=entry.dataset,
        license=entry.license,
        summary=entry.summary,
        tags=entry.tags,
        metrics=entry.metrics,
        model_index=cards.model_index(entry.name, entry.metrics, entry.dataset, generator.kind),
        plugin=entry.plugin,
        preview=PREVIEW in present,
        parent=parent,
    )
    # The README that comes with a plugin's weights has no words of a person to keep.
    bundled = known is not None and CARD in present and known.files.get(CARD) == present[CARD].facts
    ours = None if bundled or CARD not in present else _own_card(folder, present)
    if theirs is not None and (cards.written_by_a_person(theirs) or ours is None):
        return cards.merge(theirs, fresh)
    return cards.merge(cards.with_generated_part(ours, fresh), fresh) if ours is not None else fresh
