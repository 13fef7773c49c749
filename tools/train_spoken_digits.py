"""Train the feature extractor `spoken-digits`, and print its accuracy on the test sounds.

    python tools/train_spoken_digits.py --data path/to/spoken_digits --out spoken-digits-1.safetensors

The file belongs into zoo_core/metrics/extractors/weights.

Every figure that names this extractor and its version was measured with the committed file. Weights that are trained
again are therefore a new version, even if they are equally good.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from zoo_core.data.training_data import TrainingData
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.extractors.spoken_digits import SpokenDigitNetwork

SEED, EPOCHS, BATCH_SIZE = 0, 10, 64
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2


def train(data: TrainingData) -> SpokenDigitNetwork:
    """AdamW with a one-cycle schedule and no augmentation: a shifted or distorted sound must differ in its features."""
    torch.set_num_threads(1)  # several would add in another order on another machine
    torch.manual_seed(SEED)
    network = SpokenDigitNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    steps = len(data) // BATCH_SIZE * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        for chosen in torch.split(torch.randperm(len(data)), BATCH_SIZE)[: len(data) // BATCH_SIZE]:
            loss = F.cross_entropy(network.logits(data.samples[chosen]), _labels(data)[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {loss.item():.4f}", flush=True)
    network.eval()
    return network


@torch.no_grad()
def accuracy(network: SpokenDigitNetwork, data: TrainingData) -> float:
    """The fraction of digits that the network classifies correctly."""
    predicted = [network.logits(sounds).argmax(1) for sounds in torch.split(data.samples, 100)]
    return (torch.cat(predicted) == _labels(data)).double().mean().item()


def _labels(data: TrainingData) -> Tensor:
    if data.labels is None:
        raise SystemExit(f"{data.name} has no labels")
    return data.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", required=True, help="spoken digits with a train and a test split, in any form that `zoo train` reads"
    )
    parser.add_argument("--out", required=True, type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    network = train(kind_named("audio").read(arguments.data))
    test = kind_named("audio").read(arguments.data, split="test")
    print(f"accuracy on the test split: {accuracy(network, test):.4f}")
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, arguments.out)


if __name__ == "__main__":
    main()
