"""Sampling: from a seed to samples, the same for every batch size, number of threads and number of processes.

batches       samples of a seed or of given latents, one batch at a time
forward       the forward pass for batches of any size, with options and noise, whole or step by step
states        some of the states through which samples come to be
whole_blocks  matrix products in sizes that treat all samples alike
eval_mode     eval mode while samples are drawn, for many threads at once
inference     a faster equivalent of the network, with merged and packed layers
distributed   samples that several processes make together
latent_space  walks between samples, traversals of latent dimensions, reconstructions
classes       labels by the name of their class
labels        one label for each sample, from what a caller gives

The random numbers come from `zoo_core.streams`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_core._lazy import lazy_names

if TYPE_CHECKING:
    from zoo_core.sampling.batches import render as render
    from zoo_core.sampling.batches import sample as sample
    from zoo_core.sampling.batches import sample_batches as sample_batches
    from zoo_core.streams import binarize as binarize
    from zoo_core.streams import draw_labels as draw_labels
    from zoo_core.streams import latents as latents

_HOMES = {
    "binarize": "zoo_core.streams",
    "draw_labels": "zoo_core.streams",
    "latents": "zoo_core.streams",
    "render": "zoo_core.sampling.batches",
    "sample": "zoo_core.sampling.batches",
    "sample_batches": "zoo_core.sampling.batches",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
