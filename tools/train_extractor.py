"""Train a bundled feature extractor, a classifier, and print its accuracy on the test split.

    python tools/train_extractor.py digits --data path/to/mnist --out digits-1.safetensors
    python tools/train_extractor.py spoken-digits --data path/to/spoken_digits --out spoken-digits-1.safetensors

The file belongs into zoo_core/metrics/extractors/weights. Every figure that names an extractor and its version was
measured with the committed file. Weights that are trained again are therefore a new version, even if they are equally
good.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from zoo_core.data.training_data import TrainingData
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.extractors.digits import SIZE, DigitNetwork
from zoo_core.metrics.extractors.spoken_digits import SpokenDigitNetwork

SEED = 0
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2
Network = DigitNetwork | SpokenDigitNetwork


@dataclass(frozen=True)
class Recipe:
    """How an extractor is trained.

    Attributes:
        kind: the kind of samples that it takes.
        sample_shape: the shape to which they are decoded; None for their own.
    """

    network: Callable[[], Network]
    kind: str
    sample_shape: tuple[int, ...] | None
    epochs: int
    batch_size: int

    def read(self, data: str, split: str) -> TrainingData:
        """Return a split of the data."""
        return kind_named(self.kind).read(data, split=split, sample_shape=self.sample_shape)


RECIPES = {
    "digits": Recipe(DigitNetwork, "image", (1, SIZE, SIZE), epochs=8, batch_size=128),
    "spoken-digits": Recipe(SpokenDigitNetwork, "audio", None, epochs=10, batch_size=64),
}


def train(recipe: Recipe, data: TrainingData) -> Network:
    """AdamW with a one-cycle schedule and no augmentation: a shifted or distorted digit must differ in its features."""
    torch.set_num_threads(1)  # several would add in another order on another machine
    torch.manual_seed(SEED)
    network = recipe.network()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    batches = len(data) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=batches * recipe.epochs)
    for epoch in range(recipe.epochs):
        for chosen in torch.split(torch.randperm(len(data)), recipe.batch_size)[:batches]:
            loss = F.cross_entropy(network.logits(data.samples[chosen]), _labels(data)[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {loss.item():.4f}", flush=True)
    network.eval()
    return network


@torch.no_grad()
def accuracy(network: Network, data: TrainingData) -> float:
    """The fraction of samples that the network classifies correctly."""
    predicted = [network.logits(samples).argmax(1) for samples in torch.split(data.samples, 100)]
    return (torch.cat(predicted) == _labels(data)).double().mean().item()


def _labels(data: TrainingData) -> Tensor:
    if data.labels is None:
        raise SystemExit(f"{data.name} has no labels")
    return data.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extractor", choices=RECIPES, help="name of the extractor")
    parser.add_argument("--data", required=True, help="data with a train and a test split, as `zoo train` reads it")
    parser.add_argument("--out", required=True, type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.extractor]
    network = train(recipe, recipe.read(arguments.data, "train"))
    print(f"accuracy on the test split: {accuracy(network, recipe.read(arguments.data, 'test')):.4f}")
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, arguments.out)


if __name__ == "__main__":
    main()
