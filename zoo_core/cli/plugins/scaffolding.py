"""`zoo plugins new`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.messages import echo_path

# As zoo_core.scaffold has them, without importing it for `--help`; a test holds the two together.
SAMPLES = ("image", "audio", "text", "tensor")
SAMPLES_OF = {
    "gan": ("image", "audio", "tensor"),
    "vae": ("image", "tensor"),
    "generator": SAMPLES,
    "model": SAMPLES,
}
LICENSES = ("Apache-2.0", "BSD-3-Clause", "MIT")
DEFAULTS = {"kind": "gan", "sample": "image", "license": "Apache-2.0"}


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(tuple(SAMPLES_OF)),
    help="Kind of plugin: vae has an encoder, model one network with a loss of its own, generator no trainer.  "
    "[default: gan, or model for texts]",
)
@click.option(
    "--sample",
    type=click.Choice(SAMPLES),
    help="What samples are: pictures, sounds, texts or vectors.  [default: image]",
)
@click.option("--image/--no-image", default=None, hidden=True, help="Short for --sample image, and --sample tensor.")
@click.option(
    "--license", type=click.Choice(LICENSES, case_sensitive=False), help="Licence of the plugin.  [default: Apache-2.0]"
)
def command(name: str, kind: str | None, sample: str | None, image: bool | None, license: str | None) -> None:
    """Create a new plugin in ./NAME: a whole distribution that passes its own tests.

    On a terminal, zoo asks for options that are not given; elsewhere it uses the defaults.
    """
    from zoo_core.scaffold import Scaffold, write

    Scaffold(name=name)  # report a bad name before asking a question
    sample = _one_sample(sample, image)
    kind = kind or _ask("kind", [each for each, samples in SAMPLES_OF.items() if sample is None or sample in samples])
    sample = sample or _ask("sample", SAMPLES_OF[kind])
    chosen: dict[str, Any] = {"kind": kind, "sample": sample}
    Scaffold(name=name, **chosen)  # report what cannot be combined before asking for a licence
    chosen["license"] = license or _ask("license", LICENSES)
    folder = write(Scaffold(name=name, **chosen), Path.cwd())
    echo_path(folder)
    click.echo(f"zoo: next: pip install -e ./{name} pytest && python -m pytest ./{name}", err=True)


def _one_sample(sample: str | None, image: bool | None) -> str | None:
    """Return what `--sample`, `--image` and `--no-image` say together."""
    if image is None:
        return sample
    meant = "image" if image else "tensor"
    if sample not in (None, meant):
        flag = "--image" if image else "--no-image"
        raise click.UsageError(f"{flag} means --sample {meant}, and --sample {sample} is given; leave {flag} out")
    return meant


def _ask(option: str, choices: Sequence[str]) -> str:
    """The answer of the user, or the default if there is nobody to ask."""
    default = DEFAULTS[option] if DEFAULTS[option] in choices else choices[-1]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return default
    answer: str = click.prompt(option.capitalize(), type=click.Choice(choices), default=default, err=True)
    return answer
