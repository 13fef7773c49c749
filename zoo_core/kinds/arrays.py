"""Arrays: samples of any kind in an .npz, numpy's own format, written in a stream."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from zoo_core.files.atomic import atomic_file, temporary_sibling

if TYPE_CHECKING:
    import numpy as np

    from zoo_core.kinds.layout import Layout
    from zoo_core.runtime.processes import Processes

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip: the same samples give the same bytes
_PIECE = 2**20  # bytes copied at a time


def write_npz(
    arrays: Iterable[np.ndarray], layout: Layout, path: Path, *, beside: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write an .npz with the array `arr_0`, (count, *item_shape): the header first, then each batch as it comes.

    Args:
        beside: other arrays in the file, by name.
    """
    with _npz_member(path, layout, beside or {}) as member:
        for array in arrays:
            member.write(_bytes_of(array, layout))


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


def _bytes_of(array: np.ndarray, layout: Layout) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(array, layout.dtype).data.cast("B")


@contextmanager
def _npz_member(path: Path, layout: Layout, beside: Mapping[str, np.ndarray]) -> Iterator[IO[bytes]]:
    """The inside of an .npz with `arr_0`: its header is written, its values are to follow in C order."""
    import numpy as np

    header = {"descr": layout.dtype, "fortran_order": False, "shape": (layout.count, *layout.item_shape)}
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(zipfile.ZipInfo("arr_0.npy", _EPOCH), "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            yield member
        for name, array in beside.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _EPOCH), "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
