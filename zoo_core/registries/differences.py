"""What differs between two versions of a registry: models that came or went, and files that have another digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from zoo_core.registries.entries import FileFacts, ModelEntry


@dataclass(frozen=True)
class ChangedFile:
    """A file of a model whose digest differs; None where a version does not name the file.

    Attributes:
        model: name of the model.
        file: name of the file.
        before: sha256 in the earlier version.
        after: sha256 in the later version.
    """

    model: str
    file: str
    before: str | None
    after: str | None


@dataclass
class Differences:
    """What differs, each list in the order of the names.

    Attributes:
        added: names of the models that only the later version has.
        removed: names of the models that only the earlier version has.
        changed: files of models that both have.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[ChangedFile] = field(default_factory=list)


def digests_of(entries: Iterable[ModelEntry]) -> dict[str, bytes]:
    """Return, by the names of models, what `differences` has to know of an earlier version."""
    return {entry.name: _encoded(entry.files) for entry in entries}


def differences(before: Mapping[str, bytes], after: Iterable[ModelEntry]) -> Differences:
    """Compare two versions of a registry.

    Args:
        before: `digests_of` the earlier version.
        after: the entries of the later version.

    Example:
        >>> facts = FileFacts(sha256="0" * 64, size=1)
        >>> ring = ModelEntry(name="ring", architecture="ring", files={"config.json": facts})
        >>> differences(digests_of([ring]), [msgspec.structs.replace(ring, files={})]).changed[0].file
        'config.json'
    """
    known = dict(before)
    found = Differences()
    for entry in after:
        stated = known.pop(entry.name, None)
        if stated is None:
            found.added.append(entry.name)
        elif stated != _encoded(entry.files):
            found.changed += _changed(entry.name, _DECODER.decode(stated), entry.files)
    found.removed += sorted(known)
    found.added.sort()
    found.changed.sort(key=lambda file: (file.model, file.file))
    return found


_DECODER = msgspec.json.Decoder(dict[str, FileFacts])


def _encoded(files: Mapping[str, FileFacts]) -> bytes:
    return msgspec.json.encode(files, order="sorted")


def _changed(model: str, before: Mapping[str, FileFacts], after: Mapping[str, FileFacts]) -> list[ChangedFile]:
    digests = {
        file: tuple(files[file].sha256 if file in files else None for files in (before, after))
        for file in {*before, *after}
    }
    return [ChangedFile(model, file, old, new) for file, (old, new) in digests.items() if old != new]
