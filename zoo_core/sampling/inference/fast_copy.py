"""Fast copies: which models qualify for one, and the copy itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrize import is_parametrized

from zoo_core.sampling.inference.chains import with_short_chains

# Merged weights are copies of the model's. A larger model spends its time in multiplications, which merging does not
# shorten, and would need its memory twice.
LARGEST_COPY = 256 * 2**20  # bytes


def prepared(model: nn.Module) -> nn.Module:
    """Return a module that computes what `model` computes in eval mode, and faster if possible.

    If nothing can be gained, it is the model itself. Merged weights are kept for later calls as long as the model
    exists and its weights stay the same. While gradients or autocast are on, the model's own layers compute.

    Args:
        model: a module in eval mode; it is not changed.

    Returns:
        A module that is called like `model`. It has the attributes that `model` has now and does not follow later
        changes, so call this function again for every use.

    Example:
        >>> layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()).eval()
        >>> x = torch.ones(2, 4)
        >>> with torch.no_grad():
        ...     torch.allclose(prepared(layers)(x), layers(x), atol=1e-6)
        True
    """
    return with_short_chains(model) if _is_known(model) else model


def _is_known(model: nn.Module) -> bool:
    """Whether the computation of every part of the model is known, so that merging changes no result."""
    # Hooks for all modules would miss the layers that were merged away.
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return False
    tensors = [*model.parameters(), *model.buffers()]
    return (
        all(map(_is_plain, model.modules()))
        and all(map(_is_ordinary, tensors))
        and len({tensor.device for tensor in tensors}) == 1  # merging does not move tensors between devices
        and sum(tensor.nbytes for tensor in tensors) <= LARGEST_COPY
    )


def _is_plain(module: nn.Module) -> bool:
    """Whether a call of the module runs the forward of its class in eval mode, and nothing else."""
    if module.training or module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False  # a merged layer would skip the hook, or a forward assigned to this module alone
    if is_parametrized(module) or isinstance(module, _DropoutNd):
        return False  # its weight is recomputed at each call; dropout is left to the model for safety
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return False  # without running statistics it normalises over the batch, even in eval mode
    return bool(module._modules) or type(module).__module__.startswith("torch.nn.modules.")


def _is_ordinary(tensor: Tensor) -> bool:
    """Whether the values are in plain memory: no subclass (such as quantised), sparse, meta or inference tensor."""
    ordinary = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return ordinary and not (tensor.is_meta or tensor.is_inference())
