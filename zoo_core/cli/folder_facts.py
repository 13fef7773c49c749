"""What `zoo info` shows of a folder: a model, or a training run. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.interfaces.option_facts import Option, described, in_words
from zoo_core.modelfolder.run_record import PARENT
from zoo_core.sampling.classes import numbered

if TYPE_CHECKING:
    from zoo_core.modelfolder.describing import FolderFacts

Facts = list[tuple[str, object]]


def facts_as_lines(name: str, folder: Path, facts: FolderFacts) -> Facts:
    """Return names and values to print. `name` is what the user called it."""
    lines: Facts = [("name", name), ("architecture", facts.architecture), ("plugin", _plugin(facts))]
    lines.append(("paper", paper_of(facts.architecture)))
    if facts.model is not None:
        lines.append(("sample", " x ".join(map(str, facts.model.sample_shape))))
        lines.append(("kind", kind_in_words(facts.architecture)))
        lines.append(("classes", numbered(facts.model.class_names)))
    own = facts.model.options if facts.model is not None else {}
    lines += [("configuration", in_words(facts.config)), *option_lines(facts.architecture, own), *_run(facts)]
    if facts.weights is not None:
        counts = f"{facts.weights.values:,} values in {facts.weights.tensors} tensors"
        lines.append(("weights", f"{counts}, {', '.join(facts.weights.dtypes)}"))
    elif facts.model is not None:
        lines.append(("weights", "not in this folder; zoo pull downloads those of a model on the Hub"))
    lines += [(file, f"{size:,} bytes") for file, size in facts.files.items()]
    return [(what, value) for what, value in [*lines, ("folder", folder)] if value not in ("", None)]


def facts_as_json(name: str, folder: Path, facts: FolderFacts) -> dict[str, Any]:
    """Return everything for a program to read."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(facts)
    model = plain.pop("model") or {}
    del plain["config"]
    stated = {"config": facts.config} | {key: value for key, value in model.items() if key != "format"}
    choices = choices_as_json(facts.architecture, facts.model.options if facts.model is not None else {})
    found = {"name": name, "folder": str(folder)} | plain | stated | choices
    return found | {"kind": kind_of(facts.architecture), "installed": _why_unusable(facts.architecture) is None}


def paper_of(architecture: str) -> str:
    """Return the paper that an installed architecture names; "" if there is none."""
    from zoo_core.interfaces.names import canonical_name
    from zoo_core.plugins import manager

    known = manager().architectures.get(canonical_name(architecture))
    return (known[0].paper or "") if known else ""


def option_lines(architecture: str, own: Mapping[str, Any]) -> Facts:
    """Return a line for each option of a model, with its value, the values that it takes, and what it does."""
    lines: Facts = []
    for option in _options(architecture, own):
        value = in_words({option.name: option.value}).removeprefix(f"{option.name} ")
        choose = f"; choose {option.bounds}" if option.bounds else ""
        lines.append((f"option {option.name}", f"{value}{choose}{f': {option.about}' if option.about else ''}"))
    return lines


def choices_as_json(architecture: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's own `options`, and as `choices` what may be chosen; nothing for a model without options."""
    if not own:
        return {}
    shown = {option.name: {"bounds": option.bounds, "about": option.about} for option in _options(architecture, own)}
    return {"options": dict(own), "choices": shown}


def _options(architecture: str, own: Mapping[str, Any]) -> list[Option]:
    """What there is to know of each option. Its values are in config.json; the rest is, where it is installed, code."""
    from zoo_core.errors import ZooError
    from zoo_core.plugins import manager

    if not own:
        return []
    try:
        return described(manager().architecture(architecture).generator_class().Options, own)
    except ZooError:
        return [Option(name, value, "", "") for name, value in own.items()]


def kind_of(architecture: str) -> str | None:
    """Return the kind of samples that an installed architecture states; None if it states none."""
    from zoo_core.interfaces.names import canonical_name
    from zoo_core.plugins import manager

    known = manager().architectures.get(canonical_name(architecture))
    return known[0].kind if known else None


def kind_in_words(architecture: str) -> str:
    """Return the kind of samples with what they are written to: "image, written to .png, …"; "" if it is not stated."""
    from zoo_core.errors import InterfaceError
    from zoo_core.kinds.by_name import kind_named

    name = kind_of(architecture)
    if name is None:
        return ""
    try:
        suffixes = kind_named(name).suffixes
    except InterfaceError as error:
        return f"{name}, not usable here: {error}"
    shown = ("a folder" if suffix == "/" else suffix for suffix in suffixes)
    return f"{name}, written to {', '.join(shown)}"


def _plugin(facts: FolderFacts) -> str:
    reason = _why_unusable(facts.architecture)
    if reason is None:
        from zoo_core.plugins import manager

        owner = manager().owner(facts.architecture)
        return f"{owner.distribution} {owner.version}, installed"
    return f"{facts.model.plugin if facts.model else 'not stated'}, not usable here: {reason}"


def _why_unusable(architecture: str) -> str | None:
    from zoo_core.errors import UnknownArchitectureError
    from zoo_core.plugins import manager

    try:
        manager().architecture(architecture)
    except UnknownArchitectureError as error:
        return str(error)
    return None


def _parent(parent: Mapping[str, Any] | None) -> str:
    if parent is None:
        return ""
    commit = f"commit {parent['revision']}, " if parent.get("revision") else ""
    parts = ", where it fits" if parent.get("matching") else ""
    return f"{parent['name']} ({commit}sha256 {parent['sha256']}){parts}"


def _run(facts: FolderFacts) -> Facts:
    if facts.run is None:
        return []
    run, settings, data = facts.run, facts.run["settings"], facts.run.get("data", {})
    state = "finished" if run.get("finished") else "not finished"
    if facts.checkpoint is not None:
        state += f", newest checkpoint at step {facts.checkpoint:,} of {settings['steps']:,}"
    elif not run.get("finished"):
        state += f", no checkpoint yet of {settings['steps']:,} steps"
    described = [data.get("name"), f"{data.get('samples', 0):,} samples", *data.get("notes", [])]
    return [
        ("run", state),
        ("started from", _parent(run.get(PARENT))),
        ("settings", in_words(settings)),
        ("processes", run["processes"] if run.get("processes", 1) > 1 else ""),
        ("data", ", ".join(part for part in described if part)),
    ]
