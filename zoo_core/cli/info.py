"""`zoo info`."""

from __future__ import annotations

import click

from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_facts, echo_json, report_problems


@click.command("info")
@click.argument("name", type=ModelName())
@click.option("--json", "as_json", is_flag=True, help="Print every fact as JSON.")
def command(name: str, as_json: bool) -> None:
    """Say all that the registry knows of the model NAME."""
    from zoo_core.architecture import same_name
    from zoo_core.models import registry, suggested_installation
    from zoo_core.plugins import manager

    models = registry()
    report_problems(*models.problems)
    entry = models[name]
    found = manager().architectures.get(same_name(entry.architecture))
    if as_json:
        echo_json(entry.to_dict() | {"installed": found is not None})
        return
    plugin = f"{entry.plugin or 'unknown'}"
    if found is not None:
        plugin = f"{found[1].distribution} {found[1].version}"
    else:
        plugin += f", not usable here: {suggested_installation(entry) or 'install it to use the model'}"
    facts: list[tuple[str, object]] = [
        ("name", entry.name),
        ("summary", entry.summary),
        ("architecture", entry.architecture),
        ("plugin", plugin),
        ("sample", " x ".join(map(str, entry.sample_shape)) or "-"),
    ]
    if found is not None and found[0].paper:
        facts.append(("paper", found[0].paper))
    if entry.parameters is not None:
        facts.append(("parameters", f"{entry.parameters:,}"))
    facts += [
        ("license", entry.license or "not stated"),
        ("data set", entry.dataset or "not stated"),
        ("tags", ", ".join(entry.tags)),
    ]
    if entry.aliases:
        facts.append(("aliases", ", ".join(entry.aliases)))
    if entry.training is not None:
        training = entry.training
        facts.append(("training", f"{training.steps:,} steps of {training.batch_size}, seed {training.seed}"))
    for metric, figure in entry.metrics.items():
        facts.append((metric, f"{figure.value:g}" + (f" ± {figure.error:g}" if figure.error is not None else "")))
    for file, content in entry.files.items():
        facts.append((file, f"{content.size:,} bytes, sha256 {content.sha256}"))
    if entry.hub is not None:
        facts.append(("hub", f"{entry.hub.repo} at {entry.hub.revision}"))
    facts.append(("folder", entry.folder or "not bundled"))
    echo_facts(facts)
