"""Names of files for libraries that take only UTF-8, as the one that reads safetensors does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def utf8_name(path: Path) -> Iterator[Path]:
    """Yield a name in UTF-8 for an existing file whose own may be any bytes: the system's for its open descriptor.

    Example:
        >>> with utf8_name(Path("model.safetensors")) as name:
        ...     name.as_posix()
        'model.safetensors'
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield path
