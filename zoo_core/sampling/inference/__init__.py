"""The same network in less time: merged and packed layers, prepared once for each model.

Nothing of this appears in a model's own code, and the model itself is never changed. Only plain `nn.Sequential` chains
are replaced, and only where the result stays the same but for rounding:

fast_copy  which models qualify, and the copy that computes faster
chains     chains of layers, and whether a chain is still what it was when it was merged
merging    the groups of layers that become one
folding    BatchNorm into the layer before it; upsampling and convolution into a transposed convolution
packing    weights in the layout that oneDNN wants, with the activation applied at once

A model with any part that is unknown here (a layer of its own, dropout, a hook, a parametrisation, a norm over the
batch) is left entirely alone: its samples are bit for bit those of its own layers.

Threads may sample from one model at the same time: whatever is prepared is complete before another thread can see it,
and is never changed afterwards. Two threads that come first may both prepare it; the results are equal.
"""

from zoo_core.sampling.inference.fast_copy import prepared

__all__ = ["prepared"]
