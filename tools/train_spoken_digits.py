"""Train the feature extractor `spoken-digits`, and print its accuracy on the test sounds.

    python tools/train_spoken_digits.py --data path/to/spoken_digits --out zoo_core/metrics/extractors/weights/spoken-digits-1.safetensors

Every figure that names this extractor and its version was measured with the committed file. Weights that are trained
again are therefore a new version, even if they are equally good.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from zoo_core.metrics.extractors.spoken_digits import SpokenDigitNetwork

SEED, EPOCHS, BATCH_SIZE = 0, 10, 64
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2


def read(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """The sounds (N, 1, L) of a split, float32 in [-1, 1], and their digits (N,)."""
    (file,) = folder.glob(f"{split}-*.parquet")
    table = pq.read_table(file, columns=["audio", "label"])
    encoded = (row["bytes"] for row in table["audio"].to_pylist())
    sounds = np.stack([soundfile.read(io.BytesIO(content), dtype="float32")[0] for content in encoded])
    return torch.from_numpy(sounds)[:, None], torch.tensor(table["label"].to_pylist())


def train(sounds: Tensor, labels: Tensor) -> SpokenDigitNetwork:
    """AdamW with a one-cycle schedule and no augmentation: a shifted or distorted sound must differ in its features."""
    torch.set_num_threads(1)  # several would add in another order on another machine
    torch.manual_seed(SEED)
    network = SpokenDigitNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    steps = len(sounds) // BATCH_SIZE * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        for chosen in torch.split(torch.randperm(len(sounds)), BATCH_SIZE)[: len(sounds) // BATCH_SIZE]:
            loss = F.cross_entropy(network.logits(sounds[chosen]), labels[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {loss.item():.4f}", flush=True)
    network.eval()
    return network


@torch.no_grad()
def accuracy(network: SpokenDigitNetwork, sounds: Tensor, labels: Tensor) -> float:
    """The fraction of digits that the network classifies correctly."""
    predicted = [network.logits(some).argmax(1) for some in torch.split(sounds, 100)]
    return (torch.cat(predicted) == labels).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", required=True, type=Path, help="the folder of spoken digits, with a train and a test split in Parquet"
    )
    parser.add_argument("--out", required=True, type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    network = train(*read(arguments.data, "train"))
    print(f"accuracy on the test split: {accuracy(network, *read(arguments.data, 'test')):.4f}")
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, arguments.out)


if __name__ == "__main__":
    main()
