"""Measure bundled models, and write golden samples and figures next to their weights.

    python tools/measure.py --data path/to/mnist NAME...
    python tools/measure.py --data path/to/emoji --extractor random-vgg dcgan-emoji-64
    python tools/measure.py --cards [NAME...]

Writes the figures to the model's card and to the plugin's registry.yaml, together with the digests of the files that
changed. `--cards` without names regenerates the cards of all bundled models.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

import msgspec
from pluginregistry import folder_of, read_fields, write_card, write_fields

import zoo_core as zoo
from zoo_core.metrics import Figure, evaluate
from zoo_core.metrics.conditions import DEFAULTS
from zoo_core.metrics.golden import write_golden
from zoo_core.metrics.log_prob import states_log_prob
from zoo_core.metrics.table import default_metrics
from zoo_core.registries import Metric, ModelEntry
from zoo_core.registries.index import core_index

REPEATS = 5
SAMPLES = {"iwae": 1000}  # fewer than the default where each takes 50 draws


def measure(generator: zoo.Generator, data: str, extractor: str | None) -> list[Figure]:
    """Compare 10,000 samples with the train split, and measure likelihoods, if any, on the test split."""
    compared = [name for name in default_metrics(generator, extractor) if name != "nll"]
    figures = evaluate(generator, data, metrics=compared, extractor=extractor, repeats=REPEATS) if compared else []
    bounds = ["elbo", "iwae"] if isinstance(generator, zoo.Encoder) else []
    for name in [*bounds, *(["nll"] if states_log_prob(generator) else [])]:
        n = SAMPLES.get(name, DEFAULTS.samples)
        figures += evaluate(generator, data, metrics=[name], split="test", repeats=REPEATS, n=n)
    return figures


def enter(entry: ModelEntry, metrics: Mapping[str, Metric]) -> None:
    """Write figures to the card and the registry."""
    write_card(entry, metrics)
    fields = read_fields(entry)
    where = {
        key: fields.pop(key) for key in ("bundled", "files") if key in fields
    }  # last, in the same order as in bundle.py
    fields.pop("metrics", None)
    write_fields(entry, fields | {"metrics": msgspec.to_builtins(metrics)} | where)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="name of a bundled model")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--data", help="data with a train and a test split, in any form that `zoo eval` reads")
    given.add_argument("--cards", action="store_true", help="regenerate the cards from the stated figures")
    parser.add_argument("--extractor", help="feature extractor (default: that of the model's kind)")
    arguments = parser.parse_args()
    if arguments.data and not arguments.names:
        parser.error("name the models that are of this data set")
    for name in arguments.names or zoo.list_models():
        entry = core_index()[name]
        if arguments.cards:
            enter(entry, zoo.registry()[name].metrics)
            continue
        generator = zoo.load(folder_of(entry), device="cpu")
        write_golden(generator, folder_of(entry))
        figures = measure(generator, arguments.data, arguments.extractor)
        enter(entry, {figure.metric: figure.to_metric() for figure in figures})
        print(name, *(f"{figure.metric} {figure.value:.4g}" for figure in figures), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
