"""Every error that zoo-core raises on purpose.

Each carries its facts as attributes and one clear line as its text; the command prints that line
and exits with 1.

    ZooError
    ├── UnknownModelError (KeyError)         no entry of that name; suggests close ones
    ├── UnknownArchitectureError (KeyError)  no installed plugin provides it; says which would
    ├── RegistryError                        a registry.yaml is wrong: file, line, field
    ├── PluginError                          a plugin, or what it gave, is wrong
    ├── InstallationError                    a plugin cannot be installed or uninstalled here
    ├── InterfaceError (TypeError)           a Generator, Trainer, … does not keep its contract
    │   └── ContractError (AssertionError)   … or behaves against it: what zoo_core.testing found
    ├── ModelFolderError                     a folder is not a model that can be trusted
    │   └── DigestError                      a file's sha256 is not the one that is stated
    ├── HubError                             the Hub refused, lacks it, or does not answer
    │   └── UnreachableError                 no answer that counts: trying again later may help
    ├── SamplingError (ValueError)           what was asked of a model cannot be sampled
    ├── OutputError                          a file cannot be written as asked
    ├── DeviceError                          a device or precision that is not there
    ├── DataError                            training data that cannot be used
    ├── SettingsError (ValueError)           a configuration or training setting is wrong
    ├── MetricError                          something that cannot be measured, or figures that cannot be compared
    ├── VerificationError                    a model is not what its registry entry states
    ├── TrainingError                        a run cannot start, go on or be resumed
    └── MissingExtraError                    an optional part of zoo-core is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

_UNSAFE = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233))
_UNSAFE |= dict.fromkeys((*range(8203, 8208), *range(8234, 8239), *range(8294, 8298)))


def printable(text: object, limit: int = 300) -> str:
    """Text from outside (a registry, a config, a file name) as one line without control characters.

    Line breaks become spaces; control, bidirectional and zero-width characters are dropped, so that
    nothing which was downloaded can move a terminal's cursor or disguise a name.
    """
    line = " ".join(str(text).split()).translate(_UNSAFE)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """What to say of a name that is not among the known ones: close names, or all of them.

    Args:
        otherwise: said where no name is close, in place of the list.

    Example:
        >>> did_you_mean("fud", ["fid", "kid"])
        'did you mean fid?'
        >>> did_you_mean("zebra", ["fid", "kid"])
        'there are fid, kid'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 2)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return otherwise if otherwise is not None else f"there are {', '.join(names) or 'none'}"


class ZooError(Exception):
    """Anything that went wrong for a reason that zoo-core can name, in one line."""

    def __str__(self) -> str:  # a KeyError would print its text's repr
        return str(self.args[0]) if self.args else type(self).__name__


class UnknownModelError(ZooError, KeyError):
    """No model of that name; `suggestions` holds close names."""

    def __init__(self, name: str, suggestions: Sequence[str] = ()) -> None:
        self.name, self.suggestions = name, tuple(suggestions)
        hint = f"; did you mean {' or '.join(self.suggestions)}?" if suggestions else "; zoo list shows them all"
        super().__init__(f"there is no model named {printable(name)!r}{hint}")


class UnknownArchitectureError(ZooError, KeyError):
    """No installed plugin provides the architecture; `plugin` is the distribution known to, if any."""

    def __init__(self, name: str, message: str, plugin: str | None = None) -> None:
        self.name, self.plugin = name, plugin
        super().__init__(message)


class RegistryError(ZooError):
    """A registry file is wrong; says where: `file`, `line` (from 1) and `field` where they are known."""

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        self.file, self.line, self.field, self.problem = file, line, field, problem
        place = printable(file) if file is not None else "registry"
        if line is not None:
            place += f", line {line}"
        if field:
            place += f", {printable(field)}"
        super().__init__(f"{place}: {problem}")


class PluginError(ZooError):
    """A plugin cannot be used."""


class InstallationError(ZooError):
    """A plugin cannot be installed or uninstalled in this environment."""


class InterfaceError(ZooError, TypeError):
    """A class of a plugin does not keep the contract of its interface."""


class ContractError(InterfaceError, AssertionError):
    """An architecture behaves against its interfaces; an AssertionError, so that pytest shows it as a failure."""


class ModelFolderError(ZooError):
    """A folder is not a model, or not one that can be trusted. `path` is the folder or the file in it."""

    def __init__(self, path: Path | str, problem: str) -> None:
        self.path, self.problem = Path(path), problem
        super().__init__(f"{printable(path)}: {problem}")


class DigestError(ModelFolderError):
    """A file's content is not what its registry entry states."""

    def __init__(
        self, path: Path | str, expected: str, found: str, *, by: str = "the registry", note: str = ""
    ) -> None:
        self.expected, self.found = expected, found
        note = note or "the file is damaged or was replaced"
        super().__init__(path, f"sha256 is {found}, but {by} states {expected}; {note}")


class HubError(ZooError):
    """What the Hub said no to, or what cannot be asked of it.

    Attributes:
        status: of the HTTP answer, where there was one.
        missing: the Hub knows no such repository.
    """

    def __init__(self, message: str, *, status: int | None = None, missing: bool = False) -> None:
        self.status, self.missing = status, missing
        super().__init__(message)


class UnreachableError(HubError):
    """The Hub does not answer, or answers that it cannot now; it was tried several times."""


class SamplingError(ZooError, ValueError):
    """What was asked for cannot be sampled: n, seed, label, truncation, or a model that returns nonsense."""


class OutputError(ZooError):
    """A picture, an .npz or a folder cannot be written as asked."""

    @classmethod
    def unwritable(cls, path: Path | str, error: OSError, *, hint: str = "") -> Self:
        """Return the error for a path that the system does not let us write.

        Args:
            error: the system's reason.
            hint: what to do, appended to the message.

        Example:
            >>> print(OutputError.unwritable("a.png", PermissionError(13, "Permission denied")))
            a.png cannot be written: Permission denied
        """
        return cls(f"{printable(path)} cannot be written: {error.strerror or error}{hint}")


class DeviceError(ZooError):
    """A device or a precision that this machine does not have."""


class DataError(ZooError):
    """Training data that cannot be read or does not fit the model."""


class SettingsError(ZooError, ValueError):
    """A model configuration or a training setting is wrong."""


class ProcessError(ZooError):
    """The processes of one run cannot be connected, or one of them has ended."""


class MetricError(ZooError):
    """Something that cannot be measured as asked, or figures that cannot be compared."""


class VerificationError(ZooError):
    """A model loads, but is not what its registry entry states: its golden samples or its figures."""


class TrainingError(ZooError):
    """A training run cannot start, go on, or be resumed."""


class MissingExtraError(ZooError):
    """An optional part of zoo-core is needed and not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'zoo-core[{extra}]'")
