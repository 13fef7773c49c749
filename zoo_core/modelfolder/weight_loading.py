"""Weight loading: stored weights into a module that was built on the meta device, tensor by tensor.

A weight that is stored with the wanted dtype stays in the file and is mapped into memory; others are copied.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zoo_core.errors import InterfaceError, ModelFolderError, printable
from zoo_core.files.utf8_names import utf8_name
from zoo_core.modelfolder.weights_header import TensorFacts

DTYPE_NAMES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.int32: "I32",
    torch.int64: "I64", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64", torch.complex64: "C64",
}  # fmt: skip
_DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}
# Narrower dtypes in which a file may store a weight; it is widened when it is read.
_NARROWER = {"F32": {"F16", "BF16"}, "F64": {"F32", "F16", "BF16"}}
_LISTED = 8  # the most names of tensors that an error lists
_PIECE = 2**21  # how many numbers are read and cast at a time
_MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))

_Module = TypeVar("_Module", bound=nn.Module)


def stored_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the module's state by name; a tensor with several names (tied weights) under its first one.

    Raises:
        InterfaceError: where the state has something other than tensors, or a tensor without a shape.
    """
    stored: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or nn.parameter.is_lazy(tensor):
            raise InterfaceError(
                f"{type(module).__qualname__} keeps {printable(name)} in its state, which is not a tensor of a shape"
            )
        if id(tensor) not in seen:
            seen.add(id(tensor))
            stored[name] = tensor
    return stored


def facts_of(tensors: Mapping[str, Tensor]) -> dict[str, TensorFacts]:
    """Return what the header of a file would state about these tensors, except for their offsets."""
    return {
        name: TensorFacts(DTYPE_NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape), (0, 0))
        for name, tensor in tensors.items()
    }


def differences(module: nn.Module, header: Mapping[str, TensorFacts]) -> str | None:
    """Return which tensors of a file differ from the module's (missing, unexpected, misshapen) by name, or None."""
    return differences_from(facts_of(stored_tensors(module)), header)


def differences_from(expected: Mapping[str, TensorFacts], header: Mapping[str, TensorFacts]) -> str | None:
    """Return which tensors of a file differ from the expected ones, as `differences` does."""
    misshapen = [
        f"{printable(name, 160)} ({_form(header[name])}, not {_form(expected[name])})"
        for name in expected.keys() & header.keys()
        if not fits(header[name], expected[name])
    ]
    groups = (
        ("missing", [printable(name, 160) for name in expected.keys() - header.keys()]),
        ("unexpected", [printable(name, 160) for name in header.keys() - expected.keys()]),
        ("misshapen", misshapen),
    )
    return "; ".join(f"{group} {_some(names)}" for group, names in groups if names) or None


def fits(stored: TensorFacts, wanted: TensorFacts) -> bool:
    """Return whether a stored tensor can be the wanted one: of its shape, and of its dtype or a narrower one."""
    same_type = stored.dtype == wanted.dtype or stored.dtype in _NARROWER.get(wanted.dtype, ())
    return same_type and stored.shape == wanted.shape


def _form(facts: TensorFacts) -> str:
    return f"{facts.dtype} {printable(list(facts.shape), 80)}"


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED:,} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more


def fill(
    module: _Module,
    path: Path,
    header: Mapping[str, TensorFacts],
    *,
    rebuild: Callable[[], _Module],
    device: torch.device,
    dtype: torch.dtype | None,
) -> _Module:
    """Give every tensor of a module on the meta device its value, on `device`.

    Args:
        module: built on the meta device.
        path, header: the safetensors file, known to have exactly the module's tensors.
        rebuild: builds the module on the CPU, for tables that its constructor computes and that are not stored.
        device: the device of the values.
        dtype: the dtype of the floating tensors; None keeps each one's own.

    Returns:
        The module, or another instance of its class where it had to be rebuilt.

    Raises:
        ModelFolderError: where the file cannot be read.
        InterfaceError: where a tensor is left without a value.
    """
    if any(tensor.is_meta for _, tensor in _unstored_tensors(module)):
        rebuilt = rebuild()
        # What the file has goes back to the meta device, so that its memory is free before the file is read.
        _replace(rebuilt, stored_tensors(module))
        module = rebuilt
    _replace(module, read_weights(path, header, stored_tensors(module), device, dtype))
    module.to(device=device, dtype=dtype)
    _change_plain_tensors(module, lambda tensor: tensor.detach().to(device, _wanted(tensor, dtype)))
    left = [name for name, tensor in _all_tensors(module) if tensor.is_meta]
    if left and device.type != "meta":
        raise InterfaceError(f"{type(module).__qualname__} leaves {_some(left)} without a value after loading")
    return module


def _wanted(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype


def read_weights(
    path: Path,
    header: Mapping[str, TensorFacts],
    stored: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype | None,
) -> dict[str, Tensor]:
    """Return the values in a file, on `device`, of tensors that fit it, by their names there.

    Raises:
        ModelFolderError: where the file cannot be read.
    """
    weights: dict[str, Tensor] = {}
    try:
        with utf8_name(path) as readable, safe_open(readable, framework="pt") as mapped, path.open("rb") as file:
            (header_length,) = struct.unpack("<Q", file.read(8))
            for name, tensor in stored.items():
                facts, wanted = header[name], _wanted(tensor, dtype)
                if device.type == "cpu" and facts.dtype == DTYPE_NAMES.get(wanted):
                    value = mapped.get_tensor(name)
                else:
                    file.seek(8 + header_length + facts.data_offsets[0])
                    value = _copy(file, facts, wanted, device)
                is_parameter = isinstance(tensor, nn.Parameter)
                weights[name] = nn.Parameter(value, requires_grad=False) if is_parameter else value
    except (SafetensorError, OSError, RuntimeError) as error:  # RuntimeError: torch cannot map it, or has no memory
        raise ModelFolderError(path, f"cannot be loaded: {printable(error, 200)}") from error
    return weights


def _copy(file: BufferedReader, facts: TensorFacts, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Read the tensor at the file's position and cast it piece by piece, so that no second copy of it is in memory."""
    stored = _DTYPES[facts.dtype]
    value = torch.empty(facts.shape, dtype=dtype, device=device)
    for piece in torch.split(value.view(-1), _PIECE):
        buffer = bytearray(piece.numel() * stored.itemsize)
        if file.readinto(buffer) != len(buffer):
            raise OSError("the file became shorter while it was read")
        if buffer:
            piece.copy_(torch.frombuffer(buffer, dtype=stored))
    return value


def _replace(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Replace the module's state by these tensors, under every name and in every attribute that refers to it."""
    before = module.state_dict(keep_vars=True)
    first_name: dict[int, str] = {}
    for name, tensor in before.items():
        first_name.setdefault(id(tensor), name)
    state = {name: tensors[first_name[id(tensor)]] for name, tensor in before.items()}
    module.load_state_dict(state, strict=True, assign=True)

    def current(tensor: Tensor) -> Tensor:
        return tensors[first_name[id(tensor)]] if id(tensor) in first_name else tensor

    _change_plain_tensors(module, current)


def _unstored_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    stored = {id(tensor) for tensor in module.state_dict(keep_vars=True).values()}
    return ((name, tensor) for name, tensor in _all_tensors(module) if id(tensor) not in stored)


def _all_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters, buffers (persistent or not) and plain tensor attributes, with their names."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for part, attribute, value in _plain_attributes(module):
        for tensor in _tensors_in(value):
            yield f"{part}.{attribute}".lstrip("."), tensor


def _plain_attributes(module: nn.Module) -> Iterator[tuple[str, str, Any]]:
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if attribute not in _MODULE_ATTRIBUTES:
                yield name, attribute, value


def _tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in an attribute: its value, or those of a list, tuple or dictionary."""
    values = value.values() if type(value) is dict else value if type(value) in (list, tuple) else [value]
    return [item for item in values if isinstance(item, Tensor)]


def _change_plain_tensors(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Apply `change` to each tensor that is neither a parameter nor a buffer: torch's own `to` passes over those."""

    def changed(item: Any) -> Any:
        return change(item) if isinstance(item, Tensor) else item

    for name, attribute, value in list(_plain_attributes(module)):
        if _tensors_in(value):
            new: Any
            if type(value) is dict:
                new = {key: changed(item) for key, item in value.items()}
            elif type(value) in (list, tuple):
                new = type(value)(changed(item) for item in value)
            else:
                new = changed(value)
            # Past Module.__setattr__, which would register a parameter that a list or an attribute only refers to.
            vars(module.get_submodule(name))[attribute] = new
