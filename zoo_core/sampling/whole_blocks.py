"""Whole blocks: the operations of a forward pass in sizes that treat every sample alike, whatever its batch.

Matrix kernels treat all rows alike only in whole blocks: in a batch of 7 and in a batch of 64, the same row gets
different last bits. Filling up the whole batch would cure that, but a single sample would then cost 16. Therefore only
the operations that need it are filled up, which are the cheap ones of a slow model, and convolutions are computed one
by one or at once. A model with an operation that is unknown here is computed in whole batches of BLOCK instead.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils._python_dispatch import TorchDispatchMode

BLOCK = 16
PAIR = 2
# torch sums up and convolves a single small sample in other ways than two: up to so many values.
_SMALL = 2**15
_HALF = (torch.float16, torch.bfloat16)
_LITTLE_WORK = 2**16  # multiplications, which take about as long as the call of an operation
_LANES = 64  # a multiple of how many values the vector registers of any CPU hold
_VALUES_OF_A_THREAD = 2**15  # at least, where torch shares work among threads

Operation = Any  # a torch._ops.OpOverload: callable, with a name and tags


class WholeBlocks(TorchDispatchMode):
    """While it is active, in this thread, every operation is computed in a size that treats all samples alike.

    Args:
        weights: the parameters and buffers of the model, whose sizes are the same for every batch.

    Attributes:
        needed: the batch must be a multiple of this: 1, or more if an operation cannot be helped on its own.
        helped: whether any operation was computed in another size than its own.

    Example:
        >>> layer = torch.nn.Linear(100, 50).requires_grad_(False)
        >>> x = torch.ones(3, 100)
        >>> with WholeBlocks(layer.parameters()) as blocks:
        ...     alone = layer(x[:1])
        >>> torch.equal(alone, layer(x[:1].expand(BLOCK, 100))[:1]), blocks.helped, blocks.needed
        (True, True, 1)
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        weights = list(weights)
        # A transposed batch of one looks as if it were not transposed, so that torch adds the bias of a linear layer
        # within the product, and not after it. That saves a rounding, which in half precision shows.
        self.needed = PAIR if any(tensor.dtype in _HALF for tensor in weights) else 1
        self.helped = False
        self._weights = {tensor.untyped_storage().data_ptr() for tensor in weights if tensor.layout == torch.strided}

    def __torch_dispatch__(
        self, function: Any, types: Collection[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _rule(function)(self, function, *args, **(kwargs or {}))

    @classmethod
    def of(cls, model: nn.Module) -> WholeBlocks:
        """Return what watches the forward passes of a model."""
        # Where something was compiled, the compiler must skip what is done here. Telling it so imports it, which takes
        # a second, so that it is told only then.
        kind = _BesideCompiler if "torch._dynamo" in sys.modules else cls
        return kind([*model.parameters(), *model.buffers()])

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def fill(self, tensor: Tensor, dimension: int) -> Tensor:
        """Fill the last or the last but one dimension up to whole blocks, unless the tensor is one of the weights."""
        missing = -tensor.size(dimension) % BLOCK
        if not missing or tensor.untyped_storage().data_ptr() in self._weights:
            return tensor
        self.helped = True
        return pad(tensor, (0, missing) if dimension == -1 else (0, 0, 0, missing))


class _BesideCompiler(WholeBlocks):  # type: ignore[no-untyped-call]
    """The same, skipped by torch's compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    def __torch_dispatch__(
        self, function: Any, types: Collection[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return super().__torch_dispatch__(function, types, args, kwargs)


def _as_it_is(blocks: WholeBlocks, function: Operation, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _unknown(blocks: WholeBlocks, function: Operation, *args: Any, **kwargs: Any) -> Any:
    blocks.needed = BLOCK
    return function(*args, **kwargs)


def _reduced(blocks: WholeBlocks, function: Operation, *args: Any, **kwargs: Any) -> Any:
    """A sum, a mean and the like. Several threads share the work on a single large one, in another order."""
    result = function(*args, **kwargs)
    first = result[0] if isinstance(result, tuple) else result
    if first.numel() == 1 and args[0].numel() >= _SMALL:
        blocks.needed = max(blocks.needed, PAIR)
    return result


def _curve(blocks: WholeBlocks, function: Operation, x: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
    """A sigmoid and the like. Values that fill no vector register, at the end of what a thread does, get other bits.

    They are therefore computed in one row that ends with a full register, whatever their order in memory.
    """
    threads, name = torch.get_num_threads(), function.overloadpacket.__name__
    if not name.startswith("gelu"):  # for which torch takes all threads sooner
        threads = min(threads, max(1, -(-x.numel() // _VALUES_OF_A_THREAD)))
    missing = -x.numel() % (_LANES * threads)
    dense = x if x.is_contiguous() or _has_channels_last(x) else x.contiguous()
    if not missing and x.is_contiguous():
        unchanged: Tensor = function(x, *rest, **kwargs)
        return unchanged
    blocks.helped = True
    values = dense.as_strided((x.numel(),), (1,), dense.storage_offset())
    result: Tensor = function(pad(values, (0, missing)), *rest, **kwargs).as_strided(x.shape, dense.stride())
    return x.copy_(result) if name.endswith("_") else result


def _has_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _group_norm(blocks: WholeBlocks, function: Operation, x: Tensor, *rest: Any) -> Any:
    """GroupNorm. With the channels last in memory, several threads share the sums over a sample."""
    if x.is_contiguous() or torch.get_num_threads() == 1:
        return function(x, *rest)
    blocks.helped = True
    normalised, *statistics = function(x.contiguous(), *rest)
    return normalised.contiguous(memory_format=torch.channels_last) if _has_channels_last(
        x
    ) else normalised, *statistics


def _mm(blocks: WholeBlocks, function: Operation, a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = function(blocks.fill(a, -2), blocks.fill(b, -1))
    return _cut(product, a.size(-2), b.size(-1))


def _addmm(blocks: WholeBlocks, function: Operation, bias: Tensor, a: Tensor, b: Tensor, **scales: Any) -> Tensor:
    rows, columns = blocks.fill(a, -2), blocks.fill(b, -1)
    bias = _as_large(bias, (a.size(-2), b.size(-1)), (rows.size(-2), columns.size(-1)))
    product: Tensor = function(bias, rows, columns, **scales)
    return _cut(product, a.size(-2), b.size(-1))


def _bmm(blocks: WholeBlocks, function: Operation, a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = function(_two(blocks.fill(a, -2)), _two(blocks.fill(b, -1)))
    return _cut(product[: len(a)], a.size(-2), b.size(-1))


def _baddbmm(blocks: WholeBlocks, function: Operation, bias: Tensor, a: Tensor, b: Tensor, **scales: Any) -> Tensor:
    rows, columns = blocks.fill(a, -2), blocks.fill(b, -1)
    bias = bias.expand(len(a), a.size(-2), b.size(-1))
    bias = _as_large(bias, (a.size(-2), b.size(-1)), (rows.size(-2), columns.size(-1)))
    product: Tensor = function(_two(bias), _two(rows), _two(columns), **scales)
    return _cut(product[: len(a)], a.size(-2), b.size(-1))


def _mv(blocks: WholeBlocks, function: Operation, a: Tensor, vector: Tensor) -> Tensor:
    product: Tensor = function(blocks.fill(a, -2), vector)
    return product[: len(a)]


def _packed_linear(
    blocks: WholeBlocks, function: Operation, x: Tensor, weight: Tensor, *rest: Any, **kwargs: Any
) -> Tensor:
    rows = x.reshape(-1, x.size(-1))
    filled = blocks.fill(rows, -2)
    result: Tensor = function(filled, weight, *rest, **kwargs)
    return result[: len(rows)].view(*x.shape[:-1], -1)


def _convolution(
    blocks: WholeBlocks, function: Operation, x: Tensor, weight: Tensor, *rest: Any, **kwargs: Any
) -> Tensor:
    """A convolution. How its work is shared by several threads depends on the batch, and with it the last bits.

    Few samples are computed one by one, or two by two, which costs nothing with so large an operation. Many are
    computed at once where that is proved to be the same: when a size comes for the first time, the first and the last
    of them are compared bit by bit.
    """
    unit = _unit(x, weight)

    def compute(part: Tensor) -> Tensor:
        result: Tensor = function(part, weight, *rest, **kwargs)
        return result

    def compute_units(part: Tensor) -> Tensor:
        filled = torch.cat([part, part[-1:].expand(-len(part) % unit, *part.shape[1:])])
        if _has_channels_last(part):  # filling up must not change the order in memory, which decides about the kernel
            filled = filled.contiguous(memory_format=torch.channels_last)
        return torch.cat([compute(few) for few in torch.split(filled, unit)])[: len(part)]

    if len(x) == unit:
        return compute(x)
    if len(x) >= BLOCK:
        at_once = compute(x)
        how = str([value for value in rest if not isinstance(value, Tensor)])
        key = (function, x.shape, x.stride(), x.dtype, tuple(weight.shape), how, torch.get_num_threads())
        if key not in _proved:
            ends = [slice(0, unit), slice(len(x) - unit, len(x))]
            _proved[key] = all(torch.equal(at_once[end], compute(x[end])) for end in ends)
        if _proved[key]:
            return at_once
    blocks.helped = True
    return compute_units(x)


# Which convolutions are the same for many samples at once; only ever completed, with the same values in any thread.
_proved: dict[tuple[object, ...], bool] = {}


def _unit(x: Tensor, weight: Tensor) -> int:
    """How many samples a convolution computes at a time: the fewest for which it is still worth the call."""
    if math.prod(x.shape[2:]) * math.prod(weight.shape) <= _LITTLE_WORK:
        return BLOCK
    return PAIR if math.prod(x.shape[1:]) <= _SMALL else 1


def _two(matrices: Tensor) -> Tensor:
    """The matrices, a single one twice: several threads share the work on a single large one, in another order."""
    return matrices.expand(PAIR, -1, -1) if len(matrices) == 1 else matrices


def _as_large(bias: Tensor, size: tuple[int, int], filled: tuple[int, int]) -> Tensor:
    """The addend of a product of this size, as large as the filled one needs it."""
    rows = filled[0] - size[0] if bias.ndim > 1 and bias.size(-2) == size[0] else 0
    columns = filled[1] - size[1] if bias.ndim and bias.size(-1) == size[1] else 0
    return pad(bias, (0, columns, 0, rows) if rows else (0, columns)) if rows or columns else bias


def _cut(product: Tensor, rows: int, columns: int) -> Tensor:
    return product if product.shape[-2:] == (rows, columns) else product[..., :rows, :columns].contiguous()


_PRODUCTS: dict[str, Callable[..., Any]] = {
    "aten.mm": _mm,
    "aten.addmm": _addmm,
    "aten.bmm": _bmm,
    "aten.baddbmm": _baddbmm,
    "aten.mv": _mv,
    "aten.convolution": _convolution,
    "mkldnn._linear_pointwise": _packed_linear,
    "mkldnn._convolution_pointwise": _convolution,
    "mkldnn._convolution_transpose_pointwise": _convolution,
}
_CURVES = frozenset(["sigmoid", "silu", "gelu", "mish", "elu", "softplus"])
_REDUCTIONS = frozenset([
    "sum", "mean", "var", "std", "var_mean", "std_mean", "amax", "amin", "max", "min", "argmax", "argmin", "prod",
    "norm", "linalg_vector_norm", "logsumexp", "cumsum", "cumprod", "sort", "topk", "any", "all", "dot", "vdot",
])  # fmt: skip
# Operations that compute each sample, row or channel on its own, beside those that torch calls pointwise or a view.
_INDEPENDENT = frozenset([
    "clone", "copy_", "_to_copy", "cat", "stack", "index", "index_select", "gather", "embedding", "index_put",
    "index_put_", "scatter", "scatter_", "fill_", "zero_", "masked_fill_", "where", "repeat", "repeat_interleave",
    "roll", "flip", "tril", "triu", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
    "replication_pad2d", "_unsafe_view", "pixel_shuffle", "pixel_unshuffle", "im2col", "col2im", "slice_scatter",
    "select_scatter", "unsafe_split", "transpose_", "squeeze_", "unsqueeze_", "unfold_copy", "lift_fresh",
    "lift_fresh_copy", "new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided", "zeros_like",
    "ones_like", "full_like", "empty_like", "zeros", "ones", "full", "empty", "arange", "linspace", "eye",
    "scalar_tensor", "_local_scalar_dense", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
    "grid_sampler_2d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "_adaptive_avg_pool2d",
    "adaptive_max_pool2d", "_native_batch_norm_legit_no_training", "native_layer_norm", "_fused_rms_norm",
    "_softmax", "_log_softmax", "glu", "_fft_r2c", "_fft_c2r", "_fft_c2c",
    "_scaled_dot_product_flash_attention_for_cpu", "_fused_sdp_choice",
])  # fmt: skip


@functools.cache
def _rule(function: Any) -> Callable[..., Any]:
    """How an operation is computed."""
    name = str(function.overloadpacket)
    if name in _PRODUCTS:
        return _PRODUCTS[name] if function._overloadname == "default" else _unknown
    bare = name.removeprefix("aten.")
    if bare.removesuffix("_") in _CURVES and function._overloadname == "default":
        return _curve
    if bare in _REDUCTIONS:
        return _reduced
    if bare == "native_group_norm":
        return _group_norm
    if bare == "native_batch_norm":
        return _batch_norm
    if bare in _INDEPENDENT or "_reorder_" in bare:
        return _as_it_is
    if torch.Tag.nondeterministic_seeded in function.tags:
        return _unknown  # torch draws fewer than 16 numbers in another way
    return _as_it_is if torch.Tag.pointwise in function.tags or function.is_view else _unknown


def _batch_norm(blocks: WholeBlocks, function: Operation, *args: Any, **kwargs: Any) -> Any:
    """BatchNorm by its running statistics; or InstanceNorm, which is a BatchNorm of one sample with many channels."""
    x, training = args[0], args[5]
    return (_unknown if training and len(x) > 1 else _as_it_is)(blocks, function, *args, **kwargs)
