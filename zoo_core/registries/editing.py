"""Editing a registry.yaml as a person would: comments and order stay, and it is whole at every moment."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from zoo_core.errors import OutputError, RegistryError
from zoo_core.files.atomic import temporary_sibling, write_bytes
from zoo_core.files.locks import locked_for_editing
from zoo_core.registries import ModelEntry, Registry

_NEW = "version: 1\nmodels:\n"
# What other readers of YAML would take for a number: a digest of digits, or with one e in it.
_NUMBER_LIKE = re.compile(r"[-+.\d_]*(?:[eE][-+]?\d+)?")
# What a push knows better than the file; all else of an entry that is there stays as it is.
_UPDATED = ("architecture", "plugin", "sample_shape", "parameters", "files", "hub")


def check_writable(path: Path) -> None:
    """Read a registry that is to be edited, and see that it can be written, before any work is done for it.

    Raises:
        RegistryError, OutputError.
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
    """Put an entry into a registry file, which is made where there is none.

    Of an entry that the file has, what can be measured is replaced (files, hub, shape, …) and the rest is kept.

    Raises:
        RegistryError: where the file is wrong before, or would be after; it stays as it was.
        OutputError: where it cannot be written.
    """
    with locked_for_editing(path):
        text = path.read_text(encoding="utf-8") if path.exists() else _NEW
        if path.exists():
            Registry.from_file(path)
        new = _edited(text, entry).encode()
        trial = temporary_sibling(path).with_suffix(".yaml")
        try:
            trial.write_bytes(new)
            Registry.from_file(trial)
        except RegistryError as error:
            raise RegistryError(error.problem, file=path, field=error.field) from error
        except OSError as error:
            raise OutputError.unwritable(path, error) from error
        finally:
            trial.unlink(missing_ok=True)
        write_bytes(path, new, follow_link=True)  # teams keep their registries under a link


def as_fields(entry: ModelEntry) -> dict[str, Any]:
    """An entry as a registry file holds it, without its name."""
    fields = msgspec.to_builtins(entry)
    return {key: value for key, value in fields.items() if key not in ("name", "source")}


def as_yaml(entry: ModelEntry) -> str:
    """An entry as text for a registry file."""
    return yaml.safe_dump({entry.name: as_fields(entry)}, sort_keys=False, allow_unicode=True, width=4096)


def _edited(text: str, entry: ModelEntry) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.resolver import VersionedResolver

    class Resolver(VersionedResolver):
        """Takes nothing for a number, a date or a truth: every value is written again as it stood."""

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
        for key, value in fields.items():
            if key in _UPDATED or not present.get(key):
                _replace(present, key, _textual(value))
    else:
        models[entry.name] = _textual(fields)
    out = io.StringIO()
    editor.dump(content, out)
    return out.getvalue()


def _replace(mapping: Any, key: str, value: Any) -> None:
    """Change no more of a mapping in a file than differs."""
    present = mapping.get(key)
    if isinstance(value, dict) and isinstance(present, dict):
        for gone in [name for name in present if name not in value]:
            del present[gone]
        for name, item in value.items():
            _replace(present, name, item)
    elif isinstance(value, list) and isinstance(present, list):
        if [str(item) for item in present] != [str(item) for item in value]:
            mapping[key] = value
    elif present is None or str(present) != str(value):
        mapping[key] = value


def _textual(value: Any) -> Any:
    """A value for ruamel.yaml: short lists in one line, text that looks like a number in quotes."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

    if isinstance(value, dict):
        return CommentedMap({key: _textual(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        made = CommentedSeq([_textual(item) for item in value])
        made.fa.set_flow_style()
        return made
    if isinstance(value, str) and (_NUMBER_LIKE.fullmatch(value) or value.lower() in _WORDS):
        return SingleQuotedScalarString(value)
    if isinstance(value, str) and not value.isprintable():
        return DoubleQuotedScalarString(value)
    return str(value)


_WORDS = {"null", "~", "true", "false", "yes", "no", "on", "off", "y", "n"}
