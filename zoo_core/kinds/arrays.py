"""Arrays: samples of any kind in the formats of numpy and safetensors, and vectors in tables, written in a stream."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from zoo_core.errors import OutputError
from zoo_core.files.atomic import atomic_file, temporary_sibling

if TYPE_CHECKING:
    import numpy as np

    from zoo_core.kinds.layout import Layout
    from zoo_core.runtime.processes import Processes

TENSOR = "samples"  # its name in a .safetensors
# By the names that numpy has for them, in the order of its bytes.
SAFETENSORS_DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float32": "F32", "float64": "F64",
}  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip: the same samples give the same bytes
_PIECE = 2**20  # bytes copied at a time


def write_npz(
    arrays: Iterable[np.ndarray], layout: Layout, path: Path, *, beside: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write an .npz with the array `arr_0`, (count, *item_shape): the header first, then each batch as it comes.

    Args:
        beside: other arrays in the file, by name.
    """
    arrays, layout = _with_type(arrays, layout)
    with _npz_member(path, layout, beside or {}) as member:
        for array in arrays:
            member.write(_bytes_of(array, layout))


def write_npy(arrays: Iterable[np.ndarray], layout: Layout, path: Path) -> None:
    """Write an .npy with one array, (count, *item_shape)."""
    arrays, layout = _with_type(arrays, layout)
    with atomic_file(path) as file:
        _write_header(file, layout)
        for array in arrays:
            file.write(_bytes_of(array, layout))


def write_safetensors(arrays: Iterable[np.ndarray], layout: Layout, path: Path) -> None:
    """Write a .safetensors with the tensor `samples`, (count, *item_shape). Raises OutputError for complex values."""
    import numpy as np

    arrays, layout = _with_type(arrays, layout)
    dtype = np.dtype(layout.dtype)
    if dtype.name not in SAFETENSORS_DTYPES:
        raise OutputError(f"{path} cannot be written: a .safetensors holds no {dtype.name}; use a name in .npz")
    shape = (layout.count, *layout.item_shape)
    facts = {"dtype": SAFETENSORS_DTYPES[dtype.name], "shape": shape}
    header = json.dumps({TENSOR: facts | {"data_offsets": (0, math.prod(shape) * dtype.itemsize)}}).encode()
    header += b" " * (-len(header) % 8)
    with atomic_file(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in arrays:
            file.write(_bytes_of(array, layout))


def write_rows(arrays: Iterable[np.ndarray], layout: Layout, path: Path) -> None:
    """Write a table of vectors, (N, values) or (N,) each batch: a row for each, and of each value all its digits."""
    import numpy as np

    with atomic_file(path) as file:
        for array in arrays:
            rows = array.reshape(len(array), -1)
            shown = (rows.astype(np.uint8) if rows.dtype == bool else rows).astype(str)
            file.write("".join(f"{','.join(row)}\n" for row in shown.tolist()).encode())


def write_npz_share(arrays: Iterable[np.ndarray], start: int, layout: Layout, path: Path, processes: Processes) -> None:
    """Write this process's samples of an .npz that all processes make together.

    Each leaves the bytes of its samples in a file of its own; the first process joins them, in order of rank.
    """
    token = processes.common_token()
    parts = [temporary_sibling(path, f"{token}-{rank}") for rank in range(processes.count)]
    try:
        with parts[processes.rank].open("xb") as file:
            for array in arrays:
                file.write(_bytes_of(array, layout))
        processes.wait()
        if processes.first:
            with _npz_member(path, layout, {}) as member:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, member, _PIECE)
        processes.wait()
    finally:
        # The first also removes what killed processes left. Windows keeps an open file until its owner ends.
        for part in parts if processes.first else [parts[processes.rank]]:
            with contextlib.suppress(PermissionError):
                part.unlink(missing_ok=True)


def _with_type(arrays: Iterable[np.ndarray], layout: Layout) -> tuple[Iterable[np.ndarray], Layout]:
    """Let the first batch decide the type of the values, unless the layout states it."""
    if layout.values is not None:
        return arrays, layout
    batches = iter(arrays)
    first = next(batches)
    return chain([first], batches), replace(layout, values=first.dtype.newbyteorder("<").str)


def _bytes_of(array: np.ndarray, layout: Layout) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(array, layout.dtype).reshape(-1).view(np.uint8).data


def _write_header(file: IO[bytes], layout: Layout) -> None:
    import numpy as np

    shape = (layout.count, *layout.item_shape)
    np.lib.format.write_array_header_1_0(file, {"descr": layout.dtype, "fortran_order": False, "shape": shape})


@contextmanager
def _npz_member(path: Path, layout: Layout, beside: Mapping[str, np.ndarray]) -> Iterator[IO[bytes]]:
    """The inside of an .npz with `arr_0`: its header is written, its values are to follow in C order."""
    import numpy as np

    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(zipfile.ZipInfo("arr_0.npy", _EPOCH), "w", force_zip64=True) as member:
            _write_header(member, layout)
            yield member
        for name, array in beside.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _EPOCH), "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
