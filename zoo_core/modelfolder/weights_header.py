"""The header of a safetensors file, checked without torch and without reading a weight.

8 bytes   the length of the header, little-endian
header    JSON: name -> {dtype, shape, data_offsets}, and optionally __metadata__
data      the tensors, one after another, without gaps
"""

from __future__ import annotations

import math
import stat
import struct
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

from zoo_core.errors import ModelFolderError, printable
from zoo_core.files import strict_json

MAX_HEADER_BYTES = 4 * 2**20  # enough for about 40,000 tensors
MAX_DIMENSIONS = 64  # torch's own limit
_ITEM_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_Size = Annotated[int, Meta(ge=0, le=2**62)]
_Metadata = dict[str, str]
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


class TensorFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the header states about one tensor. The offsets are in bytes from the beginning of the data."""

    dtype: str
    shape: Annotated[tuple[_Size, ...], Meta(max_length=MAX_DIMENSIONS)]
    data_offsets: tuple[_Size, _Size]


def read_header(path: Path) -> dict[str, TensorFacts]:
    """Read the names, dtypes and shapes in a safetensors file, and check them against each other and the file's size.

    Raises:
        ModelFolderError: for anything but a complete and consistent safetensors file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFolderError(path, "is not a regular file")
        with path.open("rb") as file:
            raw = _header_bytes(path, file, status.st_size)
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
    tensors = _parse(path, raw)
    _check_layout(path, tensors, status.st_size - 8 - len(raw))
    return tensors


def _header_bytes(path: Path, file: BinaryIO, size: int) -> bytes:
    start = file.read(9)
    if size == 0:
        raise ModelFolderError(path, "is empty")
    # The first two bytes of a pickle may also be the length of a header (640 is 80 02), so the brace after it decides.
    if start.startswith(_PICKLE_STARTS) and start[8:] != b"{":
        raise ModelFolderError(path, "is a pickle under another name; it is not opened, weights must be safetensors")
    if size < 8:
        raise ModelFolderError(path, f"is cut off: {size} bytes are not a safetensors file")
    (length,) = struct.unpack("<Q", start[:8])
    if length > size - 8:
        raise ModelFolderError(
            path, f"is cut off or not a safetensors file: its header claims {length:,} bytes of {size:,}"
        )
    if length > MAX_HEADER_BYTES:
        raise ModelFolderError(path, f"has a header of {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
    if length < 2 or start[8:] != b"{":
        raise ModelFolderError(path, "is not a safetensors file: its header does not begin with a brace")
    return start[8:] + file.read(length - 1)


def _parse(path: Path, raw: bytes) -> dict[str, TensorFacts]:
    try:
        header = strict_json.decode(raw)
        msgspec.convert(header.pop("__metadata__", {}), _Metadata)
        return msgspec.convert(header, dict[str, TensorFacts])
    except strict_json.JSONProblemError as error:
        raise ModelFolderError(path, f"is not a safetensors file: its header {error}") from error
    except msgspec.ValidationError as error:
        raise ModelFolderError(path, f"has a damaged header: {printable(error, 120)}") from error


def _check_layout(path: Path, tensors: dict[str, TensorFacts], data_bytes: int) -> None:
    """Check that each byte of the data belongs to exactly one tensor, and that each tensor has the bytes it needs."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        bits = _ITEM_BITS.get(tensor.dtype)
        if bits is None:
            raise ModelFolderError(
                path, f"tensor {printable(name)!r} has the unknown dtype {printable(tensor.dtype)!r}"
            )
        start, end = tensor.data_offsets
        if start != position or end - start != math.prod(tensor.shape) * bits // 8:
            raise ModelFolderError(
                path, f"tensor {printable(name)!r} is not at the offsets that its shape and dtype require"
            )
        position = end
    if position != data_bytes:
        raise ModelFolderError(
            path, f"is cut off or padded: its tensors need {position:,} bytes, the file has {data_bytes:,}"
        )
