"""What the n-gram figures of texts tell apart: texts that are more and more like the data, compared with it.

    python benchmarks/ngrams.py --data path/to/words

The samples are the test split, and as many texts from Markov chains that know the last 0, 1, 2 and 3 characters of the
train split: each has the n-grams of the data up to one length, and no longer ones.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict

from zoo_core.data.alphabet import decoded
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.ngrams import ngram_figures

END = "\0"


def chain(texts: list[str], known: int, count: int) -> list[str]:
    """Texts in which each character follows the `known` before it as in the data."""
    followers: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        marked = END * known + text + END
        for place in range(known, len(marked)):
            followers[marked[place - known : place]].append(marked[place])
    drawn, chance = [], random.Random(0)
    for _ in range(count):
        text = END * known
        while not text[known:].endswith(END):
            text += chance.choice(followers[text[len(text) - known :]])
        drawn.append(text[known:-1])
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="texts with a train and a test split, as `zoo eval` reads them")
    options = parser.parse_args()
    texts: dict[str, list[str]] = {}
    for split in ("train", "test"):
        data = kind_named("text").read(options.data, split=split)
        texts[split] = [decoded(codes, data.values["alphabet"]) for codes in data.samples.tolist()]
    count = len(texts["test"])
    samples = {"the test split": texts["test"]}
    samples |= {
        f"a chain that knows {known} character{'s' * (known != 1)}": chain(texts["train"], known, count)
        for known in (3, 2, 1, 0)
    }
    samples["one text again and again"] = texts["train"][:1] * count
    for number, (title, some) in enumerate(samples.items()):
        figures = ngram_figures(some, texts["train"])
        if number == 0:
            print(f"| {count:,} samples | " + " | ".join(figures) + " |\n" + "|---" * (1 + len(figures)) + "|")
        print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in figures.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
