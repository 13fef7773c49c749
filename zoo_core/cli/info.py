"""`zoo info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.folder_facts import (
    choices_as_json,
    facts_as_json,
    facts_as_lines,
    kind_in_words,
    kind_of,
    option_lines,
    paper_of,
)
from zoo_core.cli.messages import echo_facts, echo_json, figure_line, report_problems
from zoo_core.interfaces.option_facts import in_words
from zoo_core.registries.address import SCHEME, parse_address
from zoo_core.registries.entries import FIELDS
from zoo_core.sampling.classes import numbered

if TYPE_CHECKING:
    from pathlib import Path

    from zoo_core.registries import ModelEntry


@click.command("info")
@click.argument("name", type=ModelName())
@options.json("every fact")
def command(name: str, as_json: bool) -> None:
    """Show everything that is known about the model NAME.

    NAME is a registry name, an alias, hf://user/repo[@revision], or a folder (with a / in it): a model, or a training
    run that is finished or not. Of a repository on the Hub only config.json is downloaded.
    """
    from zoo_core.models import is_folder

    if name.startswith(SCHEME) or is_folder(name):
        _show_folder(name, as_json=as_json)
    else:
        _show_entry(name, as_json=as_json)


def _show_entry(name: str, *, as_json: bool) -> None:
    from zoo_core.catalog import registry
    from zoo_core.cli.availability import why_unusable
    from zoo_core.models import find_entry

    report_problems(*registry().problems)
    entry = find_entry(name)
    if as_json:
        known = {"kind": kind_of(entry.architecture), "installed": why_unusable(entry) is None}
        echo_json(entry.to_dict() | known | choices_as_json(entry.architecture, _own_options(entry)))
        return
    echo_facts([*_identity(entry), *_configuration(entry), *_training_and_figures(entry), *_location(entry)])


def _show_folder(name: str, *, as_json: bool) -> None:
    from zoo_core.modelfolder.describing import describe

    report_problems()
    folder = _folder_of(name)
    facts = describe(folder)
    if as_json:
        echo_json(facts_as_json(name, folder, facts))
    else:
        echo_facts(facts_as_lines(name, folder, facts))


def _folder_of(name: str) -> Path:
    """The folder that is named, or the one in the cache with config.json of a repository."""
    if not name.startswith(SCHEME):
        from zoo_core.models import resolve

        return resolve(name)[0]
    from zoo_core.cli.progress import hub_job
    from zoo_core.hub.pull import fetch_address

    with hub_job() as job:
        return fetch_address(parse_address(name), job, config_only=True)


def _identity(entry: ModelEntry) -> list[tuple[str, object]]:
    written = {
        "plugin": _plugin(entry),
        "sample_shape": " x ".join(map(str, entry.sample_shape)),
        "parameters": f"{entry.parameters:,}" if entry.parameters is not None else "",
        "class_names": numbered(entry.class_names),
        "license": entry.license or "not stated",
        "dataset": entry.dataset or "not stated",
    }
    facts: list[tuple[str, object]] = []
    for field, rule in FIELDS.items():
        if rule.label is not None:
            value = getattr(entry, field)
            plain = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            facts.append((rule.label, written.get(field, plain)))
        if field == "plugin":
            facts.append(("paper", paper_of(entry.architecture)))
        if field == "sample_shape":
            facts.append(("kind", kind_in_words(entry.architecture)))
    return [(name, value) for name, value in facts if value]


def _plugin(entry: ModelEntry) -> str:
    from zoo_core.cli.availability import why_unusable
    from zoo_core.plugins import manager

    reason = why_unusable(entry)
    if reason is not None:
        return f"{entry.plugin or 'not stated'}, not usable here: {reason}"
    owner = manager().owner(entry.architecture)
    return f"{owner.distribution} {owner.version}, installed"


def _configuration(entry: ModelEntry) -> list[tuple[str, object]]:
    """The configuration, if the files are on this machine."""
    from zoo_core.errors import ModelFolderError
    from zoo_core.modelfolder import read_config

    if entry.folder is None or not entry.folder.is_dir():
        return []
    try:
        stated = read_config(entry.folder)
        return [("configuration", in_words(stated.config)), *option_lines(entry.architecture, stated.options)]
    except ModelFolderError as error:
        return [("configuration", str(error))]


def _own_options(entry: ModelEntry) -> dict[str, Any]:
    """The model's own options, if the files are on this machine."""
    from zoo_core.errors import ModelFolderError
    from zoo_core.modelfolder import read_config

    if entry.folder is None or not entry.folder.is_dir():
        return {}
    try:
        return read_config(entry.folder).options
    except ModelFolderError:
        return {}


def _training_and_figures(entry: ModelEntry) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = []
    if entry.training is not None:
        training = entry.training
        source = f", from {training.configuration}" if training.configuration else ""
        facts.append(("training", f"{training.steps:,} steps of {training.batch_size}, seed {training.seed}{source}"))
    return facts + [(name, figure_line(metric)) for name, metric in entry.metrics.items()]


def _location(entry: ModelEntry) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        (file, f"{content.size:,} bytes, sha256 {content.sha256}") for file, content in entry.files.items()
    ]
    if entry.hub is not None:
        facts.append(("hub", f"{entry.hub.repo} at {entry.hub.revision}"))
    return [*facts, ("folder", entry.folder or "not bundled"), ("registry", _registry_of(entry))]


def _registry_of(entry: ModelEntry) -> str:
    """The registry that the name belongs to: the first that has it, in the order of `zoo registry list`."""
    from zoo_core.files.folders import configuration_folder
    from zoo_core.plugins import manager
    from zoo_core.registries.index import core_index
    from zoo_core.registries.sources import sources

    plugins = [
        info for info in manager().plugins if info.registry_file and info.registry_file.absolute() == entry.source
    ]
    completed = f", completed by {plugins[0].distribution}" if plugins else ""
    if entry.name in core_index():
        return f"the core's index{completed}"
    if plugins:
        return f"the plugin {plugins[0].distribution}"
    known = [source for source in sources(configuration_folder()) if source.file.absolute() == entry.source]
    return f"{known[0].place} ({known[0].given_by})" if known else str(entry.source)
