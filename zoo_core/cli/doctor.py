"""`zoo doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.messages import echo_facts, echo_json
from zoo_core.errors import ZooError, printable

EXTRAS = {"train": ("datasets",)}
PACKAGES = ("zoo-core", "torch", "safetensors", "numpy", "pillow", "msgspec", "pluggy", "click", "huggingface-hub")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(as_json: bool) -> None:
    """Look at versions, devices, plugins, registries and bundled models; exit 1 where something is wrong."""
    problems: list[str] = []
    facts = {
        "versions": _versions(),
        "devices": _devices(problems),
        "extras": _extras(),
        "folders": _folders(),
        "plugins": _plugins(problems),
        "models": _models(problems),
    }
    if as_json:
        echo_json(facts | {"problems": problems})
    else:
        for title, part in facts.items():
            click.echo(f"{title}:")
            echo_facts([(f"  {name}", value) for name, value in part.items()] or [("  none", "")])
        for problem in problems:
            click.echo(f"problem: {printable(problem, 1000)}")
        click.echo("nothing is wrong" if not problems else f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


def _versions() -> dict[str, str]:
    versions = {"python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    return versions | {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices(problems: list[str]) -> dict[str, str]:
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken installation of torch raises either
        problems.append(f"torch cannot be imported: {error}; pip install --force-reinstall torch")
        return {}
    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple silicon"
    if torch.version.cuda and not torch.cuda.is_available():
        devices["cuda"] = f"torch was built for CUDA {torch.version.cuda}, but sees no device"
    return devices


def _extras() -> dict[str, str]:
    states = {}
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        states[extra] = f"not installed: pip install 'zoo-core[{extra}]'" if missing else "installed"
    return states


def _folders() -> dict[str, str]:
    from zoo_core.registries import REGISTRY_VARIABLE, configuration_folder

    cache = (
        os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"
    )
    folders = {"configuration": str(configuration_folder()), "HF_HOME": str(cache)}
    for variable in (REGISTRY_VARIABLE, "ZOO_DISABLE_PLUGINS", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        if os.environ.get(variable):
            folders[variable] = os.environ[variable]
    return folders


def _plugins(problems: list[str]) -> dict[str, str]:
    from zoo_core.cli import COMMANDS
    from zoo_core.plugins import manager

    found = manager()
    found.commands(reserved=COMMANDS)
    problems += [f"{problem}; mend or uninstall it" for problem in found.problems]
    if not found.plugins:
        problems.append("no plugin is installed, so no model can be used: pip install zoo-dcgan, for one")
    return {info.entry_point: f"{info.distribution} {info.version}, {info.status}" for info in found.plugins}


def _models(problems: list[str]) -> dict[str, Any]:
    from zoo_core.models import pull, registry

    try:
        models = registry()
    except ZooError as error:
        problems.append(str(error))
        return {}
    problems += models.problems
    states = {}
    for name, entry in models.items():
        if entry.folder is None:
            states[name] = "not bundled"
            continue
        try:
            pull(name)
            states[name] = "verified"
        except ZooError as error:
            states[name] = "cannot be used"
            problems.append(f"{error}; install {entry.plugin} again")
    return states
