"""Replacement of several files of a folder together: after a kill, a reader gets all old files or all new ones.

The new files are written under temporary names first. Then one file without which the folder is worth nothing
(config.json) is set aside, the others are replaced, and it follows last. A reader that finds it set aside, and the
writer gone, completes the replacement.

.model.safetensors.TOKEN.tmp  a new file; complete once config.json has been set aside
.config.json.TOKEN.old        the old config.json, set aside
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from zoo_core.errors import OutputError
from zoo_core.files.atomic import sync_folder, temporary_sibling
from zoo_core.files.locks import locked_for_editing

_TOKEN = re.compile(r"[0-9a-f]{8}")


def replace_files(folder: Path, files: Mapping[str, bytes], *, last: str) -> None:
    """Replace files of a folder together; its other files stay.

    Args:
        folder: an existing folder.
        files: the new contents by name.
        last: the name of the file that readers need first. It is missing while others are being replaced.

    Raises:
        OutputError: where a file cannot be written. The old files stay, unless some were replaced already.
    """
    token = secrets.token_hex(4)
    temporaries = {name: temporary_sibling(folder / name, token) for name in files}
    with _alone(folder / last):
        try:
            _complete(folder, last)
            _remove_leftovers(folder, {*files, last})
            _write(temporaries, files)
            if last in files and (folder / last).exists():
                (folder / last).replace(_aside(folder, last, token))
            _move(folder, temporaries, last)
            sync_folder(folder)
        except OSError as error:
            raise OutputError.unwritable(folder, error) from error
        finally:
            _clean_up(folder, temporaries, last, token)


def complete_replacement(folder: Path, *, last: str) -> None:
    """Complete a replacement whose writer was killed; wait for one whose writer is alive.

    Does nothing where `last` is in its place, and where the folder cannot be read or written.
    """
    with contextlib.suppress(OSError):
        if (folder / last).exists() or not any(_set_aside(folder, last)):
            return
        with _alone(folder / last):
            _complete(folder, last)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold the lock of a file. A user without a cache for locks saves without one."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OutputError, OSError):
            held.enter_context(locked_for_editing(file))
        yield


def _write(temporaries: Mapping[str, Path], files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        with temporaries[name].open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _move(folder: Path, temporaries: Mapping[str, Path], last: str) -> None:
    for name in sorted(temporaries, key=lambda name: name == last):
        temporaries[name].replace(folder / name)


def _clean_up(folder: Path, temporaries: Mapping[str, Path], last: str, token: str) -> None:
    """Remove what a finished replacement leaves, or undo one that failed before any file was replaced.

    On Windows, weights cannot be replaced while a loaded model maps them. Where a failure came later, the new files
    stay under their temporary names, and the next reader or writer completes the replacement.
    """
    aside = _aside(folder, last, token)
    nothing_replaced = all(path.exists() for path in temporaries.values())
    if aside.exists() and not (folder / last).exists():
        if not nothing_replaced:
            return
        aside.replace(folder / last)
    for path in (*temporaries.values(), aside):
        path.unlink(missing_ok=True)


def _complete(folder: Path, last: str) -> None:
    """Complete a replacement that a kill ended after `last` was set aside: by then, every new file is complete."""
    for aside, token in list(_set_aside(folder, last)):
        suffix = f".{token}.tmp"
        temporaries = {path.name[1 : -len(suffix)]: path for path in folder.glob(f".*{suffix}")}
        if not (folder / last).exists() and last in temporaries:
            _move(folder, temporaries, last)
        if (folder / last).exists():
            aside.unlink()


def _remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary files of writers that were killed before they replaced anything. The lock is held."""
    for name in names:
        for path in folder.glob(f".{name}.*.tmp"):
            if _TOKEN.fullmatch(path.name[len(name) + 2 : -len(".tmp")]):
                path.unlink()


def _aside(folder: Path, last: str, token: str) -> Path:
    return folder / f".{last}.{token}.old"


def _set_aside(folder: Path, last: str) -> Iterator[tuple[Path, str]]:
    for path in folder.glob(f".{last}.*.old"):
        token = path.name[len(last) + 2 : -len(".old")]
        if _TOKEN.fullmatch(token):
            yield path, token
