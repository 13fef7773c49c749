"""Editing a registry file as a person would: comments and order are kept, and it is complete at every moment.

Only the text of the one entry is written again, so that a registry of thousands takes no longer than reading it does.
What is written is checked before it replaces the file: it is a valid registry, and no other entry has changed.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from zoo_core.errors import OutputError, RegistryError
from zoo_core.files.atomic import temporary_sibling, write_bytes
from zoo_core.files.locks import locked_for_editing
from zoo_core.files.strict_yaml import read_text
from zoo_core.registries.entries import FIELDS, ModelEntry
from zoo_core.registries.reading import ReadEntry, check, is_json, read_entries

_NEW = b"version: 1\nmodels:\n"
_NEW_JSON = b'{"version": 1, "models": {}}'
# Text that other YAML readers take for a number, such as a digest of digits only, or with a single e among them.
_NUMBER_LIKE = re.compile(r"[-+.\d_]*(?:[eE][-+]?\d+)?")
_KEEPS_LINES = re.compile(r"[|>]\d?\+")
# Words that other YAML readers take for a null or a boolean.
_WORDS = {"null", "~", "true", "false", "yes", "no", "on", "off", "y", "n"}


def check_writable(path: Path) -> None:
    """Check that a registry which is to be edited is valid and can be written, before any work is done for it.

    Raises:
        RegistryError: if the file is not a valid registry.
        OutputError: if the file cannot be written.
    """
    if path.exists():
        check(read_text(path), path)
    probe = temporary_sibling(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError.unwritable(path, error) from error


def write_entry(path: Path, entry: ModelEntry) -> None:
    """Write an entry into a registry file, which is created if it does not exist.

    If the file has an entry of that name, what is measured (files, hub, shape, …) is replaced, and what a person may
    have written is kept.

    Raises:
        RegistryError: if the file is not a valid registry, or would not be one afterwards; it stays as it was.
        OutputError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "registry.yaml"
        ...     _ = file.write_text("version: 1\\nmodels:\\n  ring: # of points\\n    architecture: ring\\n")
        ...     write_entry(file, ModelEntry(name="ring", architecture="ring", parameters=1))
        ...     print(file.read_text())
        version: 1
        models:
          ring: # of points
            architecture: ring
            parameters: 1
        <BLANKLINE>
    """
    with locked_for_editing(path):
        content = read_text(path) if path.exists() else _NEW_JSON if is_json(path) else _NEW
        present = list(read_entries(content, path))  # strictly, before it is read in a way that keeps comments
        edited = _edited(content, path, present, entry)
        write_bytes(path, edited, follow_link=True)  # teams keep their registries under a link


def _edited(content: bytes, path: Path, present: Sequence[ReadEntry], entry: ModelEntry) -> bytes:
    """Return the content of a registry file with the entry in it. Raises RegistryError if that is not a registry."""
    text = content.decode("utf-8-sig")
    place = next((read for read in present if read.entry.name == entry.name), None)
    spliced = _replaced(text, path, place, entry) if place is not None else _appended(text, path, present, entry)
    others = [read.entry for read in present if read is not place]
    try:
        if spliced is not None and _keeps(others, spliced.encode(), path, entry.name):
            return content[: len(content) - len(content.removeprefix(codecs.BOM_UTF8))] + spliced.encode()
        whole = _edited_json(text, entry) if is_json(path) else _edited_yaml(text, entry)
        check(whole.encode(), path)
    except RegistryError as error:  # its line is one of the text that is not written
        raise RegistryError(error.problem, file=path, field=error.field) from error
    return whole.encode()


def _keeps(others: Sequence[ModelEntry], edited: bytes, path: Path, name: str) -> bool:
    """Return whether a file, once it is edited, has these entries beside the one of that name, and no other."""
    return others == [read.entry for read in read_entries(edited, path) if read.entry.name != name]


def _replaced(text: str, path: Path, place: ReadEntry, entry: ModelEntry) -> str | None:
    """Return the text of a registry file with the entry in the place of the one that it has."""
    if is_json(path):
        piece = _edited_json(f'{{"models": {{{text[place.start : place.end]}}}}}', entry)
        fields = json.loads(piece)["models"][entry.name]
        written = f"{json.dumps(entry.name)}: {_as_json(fields, _margin(text, place))}"
    else:
        if not place.in_block:
            return None
        margin = " " * place.column
        if not _KEEPS_LINES.search(text, place.start, place.end):  # blank lines after a block belong to what follows
            place = replace(place, end=place.start + len(text[place.start : place.end].rstrip()))
        old = textwrap.dedent(margin + text[place.start : place.end])
        document = _edited_yaml(f"models:\n{textwrap.indent(old, '  ')}\n", entry, _indentation(old))
        written = _block(document, margin).removeprefix(margin)
        if text[place.end - 1 : place.end] != "\n":
            written = written.removesuffix("\n")
    return text[: place.start] + _with_newlines_of(text, written) + text[place.end :]


def _appended(text: str, path: Path, present: Sequence[ReadEntry], entry: ModelEntry) -> str | None:
    """Return the text of a registry file with the entry after the last one; None if there is no place to copy."""
    last = max(present, key=lambda read: read.end, default=None)
    if last is None:
        return None
    if is_json(path):
        margin = _margin(text, last)
        gap = " " if margin is None else "\n" + margin
        written = f",{gap}{json.dumps(entry.name)}: {_as_json(as_fields(entry), margin)}"
        return text[: last.end] + _with_newlines_of(text, written) + text[last.end :]
    if not last.in_block:
        return None
    line_end = text.find("\n", last.end - 1) + 1 or len(text)
    line_end = re.compile(rf"( {{{last.column + 1},}}#.*\n)*").match(text, line_end).end()  # type: ignore[union-attr]
    before = text[:line_end] if text[:line_end].endswith("\n") else text[:line_end] + "\n"
    own = textwrap.dedent(" " * last.column + text[last.start : last.end])
    written = _block(_edited_yaml("models:\n", entry, _indentation(own)), " " * last.column)
    return before + _with_newlines_of(text, written) + text[line_end:]


def _indentation(block: str) -> int:
    """Return by how much the fields of an entry are indented."""
    first = re.search(r"^( +)[^\s#]", block, re.MULTILINE)
    return len(first[1]) if first else 2


def _block(document: str, margin: str) -> str:
    """Return the entries of a document as a block with that margin."""
    return textwrap.indent(textwrap.dedent(document.partition("\n")[2]), margin)


def _with_newlines_of(text: str, written: str) -> str:
    return written.replace("\n", "\r\n") if "\r\n" in text else written


def as_fields(entry: ModelEntry) -> dict[str, Any]:
    """Return an entry as a registry file states it: by field, without its name.

    Example:
        >>> as_fields(ModelEntry(name="ring", architecture="ring", sample_shape=(2,)))
        {'architecture': 'ring', 'sample_shape': (2,)}
    """
    values = msgspec.to_builtins(msgspec.structs.replace(entry, source=None))
    return {field: value for field, value in values.items() if FIELDS[field].in_file}


def as_yaml(entry: ModelEntry) -> str:
    """Return an entry as text for a registry file.

    Example:
        >>> print(as_yaml(ModelEntry(name="ring", architecture="ring")))
        ring:
          architecture: ring
        <BLANKLINE>
    """
    return yaml.safe_dump({entry.name: as_fields(entry)}, sort_keys=False, allow_unicode=True, width=4096)


def _edited_json(text: str, entry: ModelEntry) -> str:
    """Return the text of a JSON registry with the entry in it."""
    content = json.loads(text)
    models = content.get("models") or {}
    fields = msgspec.to_builtins(as_fields(entry))
    kept = models.get(entry.name, {})
    models[entry.name] = kept | {
        field: value for field, value in fields.items() if FIELDS[field].measured or not kept.get(field)
    }
    return json.dumps(content | {"models": models}, indent=2, ensure_ascii=False) + "\n"


def _margin(text: str, place: ReadEntry) -> str | None:
    """Return the white space before an entry; None if something else is before it in its line."""
    before = text[: place.start].rpartition("\n")[2]
    return None if before.strip() else before


def _as_json(fields: dict[str, Any], margin: str | None) -> str:
    """Return the fields of an entry as JSON: in lines with that margin, or in one line."""
    if margin is None:
        return json.dumps(fields, ensure_ascii=False)
    indentation = max(1, len(margin) // 2)  # of two levels, the models and their names
    return json.dumps(fields, indent=indentation, ensure_ascii=False).replace("\n", "\n" + margin)


def _edited_yaml(text: str, entry: ModelEntry, indentation: int = 2) -> str:
    """Return the text of a YAML registry with the entry in it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.resolver import VersionedResolver

    class Resolver(VersionedResolver):
        """Take nothing for a number, a date or a boolean, so that every value is written again as it was."""

        def add_version_implicit_resolver(self, version: Any, tag: Any, regexp: Any, first: Any) -> None:
            if str(tag).endswith((":null", ":merge")):
                super().add_version_implicit_resolver(version, tag, regexp, first)

    editor = YAML()
    editor.Resolver = Resolver
    editor.preserve_quotes, editor.width = True, 4096
    editor.indent(mapping=indentation, sequence=indentation + 2, offset=indentation)
    content = editor.load(text)
    if content.get("models") is None:
        content["models"] = {}
    models, fields = content["models"], as_fields(entry)
    if entry.name in models:
        present = models[entry.name]
        for field, value in fields.items():
            if FIELDS[field].measured or not present.get(field):
                _replace(present, field, _textual(value))
    else:
        models[entry.name] = _textual(fields)
    out = io.StringIO()
    editor.dump(content, out)
    return out.getvalue()


def _replace(mapping: Any, key: str, value: Any) -> None:
    """Set a value in a mapping of the file, changing nothing that is equal already."""
    present = mapping.get(key)
    if isinstance(value, dict) and isinstance(present, dict):
        for absent in [name for name in present if name not in value]:
            del present[absent]
        for name, item in value.items():
            _replace(present, name, item)
    elif isinstance(value, list) and isinstance(present, list):
        if [str(item) for item in present] != [str(item) for item in value]:
            mapping[key] = value
    elif present is None or str(present) != str(value):
        mapping[key] = value


def _textual(value: Any) -> Any:
    """Return a value for ruamel.yaml: short lists on one line, text that looks like a number in quotes."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

    if isinstance(value, dict):
        return CommentedMap({key: _textual(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        items = CommentedSeq([_textual(item) for item in value])
        items.fa.set_flow_style()
        return items
    if isinstance(value, str) and (_NUMBER_LIKE.fullmatch(value) or value.lower() in _WORDS):
        return SingleQuotedScalarString(value)
    if isinstance(value, str) and not value.isprintable():
        return DoubleQuotedScalarString(value)
    return str(value)
