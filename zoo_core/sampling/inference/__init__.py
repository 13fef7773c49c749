"""Faster inference: an equivalent network with merged and packed layers, prepared once for each model.

A model's own code knows nothing of this, and the model itself never changes. Only plain `nn.Sequential` chains are
replaced, and only where the result stays the same except for rounding:

fast_copy  which models qualify, and the copy that computes faster
chains     chains of layers, and whether a chain has changed since it was merged
merging    the groups of layers that become one
folding    BatchNorm into the layer before it; upsampling and convolution into a transposed convolution
packing    weights in the layout of oneDNN, with the activation applied in the same call

A model with any part that is unknown here (a custom layer, dropout, a hook, a parametrisation, a norm over the batch)
is left entirely alone: its samples are bit for bit those of its own layers.

Several threads may sample from one model at once. Everything that is prepared is complete before another thread can
see it, and never changes afterwards. Threads that arrive first may prepare the same thing twice, with equal results.
"""

from zoo_core.sampling.inference.fast_copy import prepared

__all__ = ["prepared"]
