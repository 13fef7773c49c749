"""Editing a registry.yaml as a person would: comments and order are kept, and it is complete at every moment."""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import yaml

from zoo_core.errors import OutputError, RegistryError
from zoo_core.files.atomic import temporary_sibling, write_bytes
from zoo_core.files.locks import locked_for_editing
from zoo_core.registries import ModelEntry, Registry
from zoo_core.registries.entries import FIELDS

_NEW = "version: 1\nmodels:\n"
# Text that other YAML readers take for a number, such as a digest of digits only, or with a single e among them.
_NUMBER_LIKE = re.compile(r"[-+.\d_]*(?:[eE][-+]?\d+)?")
# Words that other YAML readers take for a null or a boolean.
_WORDS = {"null", "~", "true", "false", "yes", "no", "on", "off", "y", "n"}


def check_writable(path: Path) -> None:
    """Check that a registry which is to be edited is valid and can be written, before any work is done for it.

    Raises:
        RegistryError: if the file is not a valid registry.
        OutputError: if the file cannot be written.
    """
    if path.exists():
        Registry.from_file(path)
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
        text = _NEW
        if path.exists():
            Registry.from_file(path)  # strictly, before it is read in a way that keeps comments
            text = path.read_text(encoding="utf-8")
        edited = _edited(text, entry).encode()
        _check(edited, path)
        write_bytes(path, edited, follow_link=True)  # teams keep their registries under a link


def as_fields(entry: ModelEntry) -> dict[str, Any]:
    """Return an entry as a registry file states it: by field, without its name.

    Example:
        >>> as_fields(ModelEntry(name="ring", architecture="ring", sample_shape=(2,)))
        {'architecture': 'ring', 'sample_shape': (2,)}
    """
    values = msgspec.to_builtins(entry)
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


def _check(content: bytes, path: Path) -> None:
    """Raise RegistryError about `path` unless the content is a valid registry."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_bytes(content)
        try:
            Registry.from_file(trial)
        except RegistryError as error:
            raise RegistryError(error.problem, file=path, field=error.field) from error


def _edited(text: str, entry: ModelEntry) -> str:
    """Return the text of a registry file with the entry in it."""
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
    editor.indent(mapping=2, sequence=4, offset=2)
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
