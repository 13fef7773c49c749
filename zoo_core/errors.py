"""Every error that zoo-core raises on purpose.

Each carries its facts as attributes and one clear line as its text: what was wrong, where, and what to do. The command
prints that line and exits with 1.

    ZooError
    ├── UnknownModelError (KeyError)         no entry has that name; suggests close ones
    ├── UnknownArchitectureError (KeyError)  no installed plugin provides it; says which one would
    ├── RegistryError                        a registry.yaml is wrong: file, line, field
    ├── PluginError                          a plugin, or what it provides, is wrong
    ├── InstallationError                    a plugin cannot be installed or uninstalled here
    ├── InterfaceError (TypeError)           a Generator, Trainer, … does not implement its interface
    │   └── ContractError (AssertionError)   … or behaves differently from what zoo_core.testing asks
    ├── ModelFolderError                     a folder is not a model that can be trusted
    │   └── DigestError                      the sha256 of a file is not the recorded one
    ├── HubError                             the Hub refuses, does not have it, or cannot be asked
    │   └── UnreachableError                 the Hub does not answer: trying again later may help
    ├── SamplingError (ValueError)           a model cannot be sampled with these arguments
    ├── OutputError                          a file or folder cannot be written
    ├── DeviceError                          a device or precision that this machine does not have
    ├── DataError                            data that cannot be read or does not fit the model
    ├── SettingsError (ValueError)           a configuration or training setting is wrong
    ├── ProcessError                         the processes of one run cannot work together
    ├── MetricError                          something cannot be measured, or figures cannot be compared
    ├── VerificationError                    a model is not what its registry entry states
    ├── TrainingError                        a run cannot start, continue or be resumed
    └── MissingExtraError                    an optional part of zoo-core is not installed
"""

from __future__ import annotations

import difflib
import functools
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

_MOST_MARKS = 5  # combining marks on one character; pointed and cantillated Hebrew has so many, floods have more
_LONGEST = 100_000  # characters of a text that are looked at
# Characters that show nothing and are in no category for that: Unicode's Default_Ignorable_Code_Point outside of Cf,
# and blanks that are letters or symbols. Tags (U+E0000...) spell text that nobody sees, in flags of regions too.
_BLANK = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xFFFC, 0xFFFC), (0x16FE4, 0x16FE4),
    (0x1D159, 0x1D159), (0xE0000, 0xE0FFF),
)  # fmt: skip
_JOINERS, _VARIATION, _KEYCAP = "\u200c\u200d", "\ufe0f", "\u20e3"


def printable(text: object, limit: int = 300) -> str:
    """Return text from outside (a registry, a config, a file name) as one line of characters that can be seen.

    Line breaks become spaces, and `visible` drops the rest, so that nothing that was downloaded can move a terminal's
    cursor or disguise a name.

    Args:
        text: anything; it is converted to a string.
        limit: largest number of characters; a longer line is cut and ends in an ellipsis.

    Example:
        >>> printable("two\\nlines, \\x1b[31mred")
        'two lines, [31mred'
    """
    line = " ".join(visible(" ".join(well_formed(str(text)[:_LONGEST]).split())).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def visible(text: str) -> str:
    """Return text without the characters that show nothing or flood others.

    Control and format characters are dropped, and what Unicode lets programs ignore: bidirectional and zero-width
    characters, soft hyphens, tags, fillers. Joiners and the variation selector of emoji stay where writing needs them.
    A character keeps five combining marks. What no version of Unicode that this Python knows has assigned, lone
    surrogates and private characters become U+FFFD.

    Example:
        >>> visible("pa\\u00adid\\u2060\\ufeff")
        'paid'
    """
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    marks = 0
    for position, char in enumerate(text):
        kind = _kind(char)
        if kind == "mark":
            marks += 1
            if marks > _MOST_MARKS or not kept:
                continue
        elif kind == "hidden":
            if not _is_in_place(char, kept, text[position + 1 : position + 2]):
                continue
        else:
            marks = 0
        kept.append("\ufffd" if kind == "unknown" else char)
    return "".join(kept)


def unseen(text: str) -> str | None:
    """Return the first character of a name that `visible` would change, as its code and name; None if there is none.

    Example:
        >>> unseen("c\\u00adat"), unseen("cat")
        ('U+00AD SOFT HYPHEN', None)
    """
    seen = visible(text)
    if seen == text:
        return None
    char = next((old for old, new in zip(text, seen, strict=False) if old != new), text[len(seen) : len(seen) + 1])
    return f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip()


@functools.lru_cache(4096)
def _kind(char: str) -> str:
    category, code = unicodedata.category(char), ord(char)
    if category in ("Cc", "Cf") or any(first <= code <= last for first, last in _BLANK):
        return "hidden"
    if category in ("Mn", "Me"):
        return "mark"
    return "unknown" if category in ("Cs", "Co", "Cn") else "seen"


def _is_in_place(char: str, before: list[str], after: str) -> bool:
    """Whether a joiner is between emoji or letters that need it, or a selector after what a picture is a variant of."""
    last = before[-1] if before else ""
    if not last:
        return False
    if char == _VARIATION:
        return unicodedata.category(last) in ("So", "Sm") or (last in "0123456789#*" and after == _KEYCAP)
    if char not in _JOINERS or not after:
        return False
    if all(unicodedata.bidirectional(each) == "AL" for each in (last, after)) or unicodedata.combining(last) == 9:
        return True  # Arabic letters; a virama, in the scripts of India
    emoji = ("So", "Sk")  # Sk: the tones of skin
    joined = (len(before) > 1 and last == _VARIATION) or unicodedata.category(last) in emoji
    return char == "\u200d" and joined and unicodedata.category(after) == "So"


def well_formed(text: str) -> str:
    """Return text that every file can hold: the bytes of a file name that are no UTF-8 are written as escapes.

    Python has them as lone surrogates, which neither UTF-8 nor JSON has.

    Example:
        >>> well_formed("caf\\udce9/1.png")
        'caf\\\\xe9/1.png'
    """
    try:
        return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """Return a hint about a name that is not among the known ones: close names, or all of them.

    Args:
        name: the unknown name.
        known: the names that exist.
        otherwise: the hint if no name is close, instead of the list.

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
    """The base class: something went wrong for a reason that zoo-core can name in one line.

    Example:
        >>> import zoo_core as zoo
        >>> try:
        ...     zoo.load("./no-such-folder")
        ... except ZooError as error:
        ...     print(error)
        no-such-folder: there is no such folder
    """

    def __str__(self) -> str:  # a KeyError would return the repr of its text
        return str(self.args[0]) if self.args else type(self).__name__


class UnknownModelError(ZooError, KeyError):
    """No registry has a model of that name.

    Args:
        name: the unknown name.
        suggestions: close names.
        hint: what to do instead; by default made of the suggestions.

    Example:
        >>> from zoo_core import ModelEntry, Registry
        >>> Registry([ModelEntry(name="ring", architecture="ring")])["rng"]
        Traceback (most recent call last):
        zoo_core.errors.UnknownModelError: there is no model named 'rng'; did you mean ring?
    """

    def __init__(self, name: str, suggestions: Sequence[str] = (), hint: str | None = None) -> None:
        self.name, self.suggestions = name, tuple(suggestions)
        close = f"did you mean {' or '.join(self.suggestions)}?" if suggestions else "zoo list shows them all"
        super().__init__(f"there is no model named {printable(name)!r}; {hint or close}")


class UnknownArchitectureError(ZooError, KeyError):
    """No installed plugin provides the architecture.

    Args:
        name: name of the architecture.
        message: the error's text.
        plugin: the distribution that is known to provide it, if any.

    Example:
        >>> from zoo_core.plugins import PluginManager
        >>> PluginManager([], owners={"ring": "zoo-ring"}).architecture("ring")
        Traceback (most recent call last):
        zoo_core.errors.UnknownArchitectureError: the architecture 'ring' needs a plugin: pip install zoo-ring
    """

    def __init__(self, name: str, message: str, plugin: str | None = None) -> None:
        self.name, self.plugin = name, plugin
        super().__init__(message)


class RegistryError(ZooError):
    """A registry file, or another file in YAML, is wrong.

    Args:
        problem: what is wrong.
        file: the file, if it is known.
        line: the line, from 1, if it is known.
        field: the field, as a path with dots, if it is known.

    Example:
        >>> from zoo_core import Registry
        >>> Registry.from_file("no-such.yaml")
        Traceback (most recent call last):
        zoo_core.errors.RegistryError: no-such.yaml: cannot be read: No such file or directory
        >>> print(RegistryError("Expected `int` >= 1", file="registry.yaml", line=7, field="models.ring.parameters"))
        registry.yaml, line 7, models.ring.parameters: Expected `int` >= 1
    """

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
    """A plugin, or something that it provides, cannot be used.

    Example:
        >>> from zoo_core import Architecture
        >>> Architecture(name="ring", summary="", config="zoo_ring:Config", generator="Ring")
        Traceback (most recent call last):
        zoo_core.errors.PluginError: architecture ring: generator must be 'package.module:Class', not 'Ring'
    """


class InstallationError(ZooError):
    """A plugin cannot be installed into, or uninstalled from, this environment.

    Example:
        >>> from zoo_core.plugins.distributions import install
        >>> install("./no-such-folder")
        Traceback (most recent call last):
        zoo_core.errors.InstallationError: there is no folder or wheel ./no-such-folder
    """


class InterfaceError(ZooError, TypeError):
    """A class of a plugin does not implement its interface.

    Example:
        >>> from zoo_core import Generator
        >>> class Ring(Generator):
        ...     def forward(self, z, labels=None):
        ...         return z
        >>> Ring().config
        Traceback (most recent call last):
        zoo_core.errors.InterfaceError: Ring has no config: set self.config in __init__, or make it a property
    """


class ContractError(InterfaceError, AssertionError):
    """An architecture behaves differently from what zoo_core.testing asks.

    It is an AssertionError, so that pytest reports a failure and not an error.

    Example:
        >>> raise ContractError("Ring.forward returns (N, 3), not (N, *sample_shape)")
        Traceback (most recent call last):
        zoo_core.errors.ContractError: Ring.forward returns (N, 3), not (N, *sample_shape)
    """


class ModelFolderError(ZooError):
    """A folder is not a model, or not one that can be trusted.

    Args:
        path: the folder, or a file in it.
        problem: what is wrong.

    Example:
        >>> import zoo_core as zoo
        >>> zoo.load("./no-such-folder")
        Traceback (most recent call last):
        zoo_core.errors.ModelFolderError: no-such-folder: there is no such folder
    """

    def __init__(self, path: Path | str, problem: str) -> None:
        self.path, self.problem = Path(path), problem
        super().__init__(f"{printable(path)}: {problem}")


class DigestError(ModelFolderError):
    """The content of a file is not the recorded one.

    Args:
        path: the file.
        expected: the recorded sha256.
        found: the sha256 of the file.
        by: what records it.
        note: what may have happened, or what to do.

    Example:
        >>> print(DigestError("model.safetensors", "0" * 64, "f" * 64))
        model.safetensors: sha256 is fff...fff, but the registry states 000...000; the file is damaged or was replaced
    """

    def __init__(
        self, path: Path | str, expected: str, found: str, *, by: str = "the registry", note: str = ""
    ) -> None:
        self.expected, self.found = expected, found
        note = note or "the file is damaged or was replaced"
        super().__init__(path, f"sha256 is {found}, but {by} states {expected}; {note}")


class HubError(ZooError):
    """The Hub refuses a request, does not have what it asks for, or cannot be asked.

    Args:
        message: the error's text.
        status: status of the HTTP answer, if there was one.
        missing: the Hub has no such repository.

    Example:
        >>> error = HubError("hf://alice/digits: there is no such repository", status=404, missing=True)
        >>> error.status, error.missing
        (404, True)
    """

    def __init__(self, message: str, *, status: int | None = None, missing: bool = False) -> None:
        self.status, self.missing = status, missing
        super().__init__(message)


class UnreachableError(HubError):
    """The Hub does not answer, or answers that it cannot now, after several attempts. Trying again later may help.

    Example:
        >>> try:
        ...     raise UnreachableError("https://huggingface.co cannot be reached", status=503)
        ... except HubError as error:
        ...     print(error.status)
        503
    """


class SamplingError(ZooError, ValueError):
    """A model cannot be sampled with these arguments, or it returns something that is not a sample.

    Example:
        >>> from zoo_core import Generator
        >>> class Identity(Generator):
        ...     kind, latent_shape, sample_shape = "tensor", (2,), (2,)
        ...
        ...     def forward(self, z, labels=None):
        ...         return z
        >>> Identity().sample(0)
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: n must be ...
    """


class OutputError(ZooError):
    """A file or folder cannot be written.

    Example:
        >>> from zoo_core.files.atomic import write_bytes
        >>> write_bytes(Path("no-such-folder/a.png"), b"")
        Traceback (most recent call last):
        zoo_core.errors.OutputError: no-such-folder/a.png cannot be written: No such file or directory
    """

    @classmethod
    def unwritable(cls, path: Path | str, error: OSError, *, hint: str = "") -> Self:
        """Return the error for a path that the system does not let us write.

        Args:
            path: the file or folder.
            error: the system's reason.
            hint: what to do, appended to the message.

        Example:
            >>> print(OutputError.unwritable("a.png", PermissionError(13, "Permission denied")))
            a.png cannot be written: Permission denied
        """
        return cls(f"{printable(path)} cannot be written: {error.strerror or error}{hint}")


class DeviceError(ZooError):
    """This machine does not have the device or the precision.

    Example:
        >>> import zoo_core as zoo
        >>> zoo.load("vae-mlp-mnist", device="gpu")
        Traceback (most recent call last):
        zoo_core.errors.DeviceError: there is no device 'gpu'...
    """


class DataError(ZooError):
    """Data cannot be read, or does not fit the model.

    Example:
        >>> import zoo_core as zoo
        >>> zoo.evaluate(zoo.load("vae-mlp-mnist", device="cpu"), "./no-such-folder")
        Traceback (most recent call last):
        zoo_core.errors.DataError: ...no-such-folder...
    """


class SettingsError(ZooError, ValueError):
    """A model configuration or a training setting is wrong.

    Example:
        >>> try:
        ...     raise SettingsError("stepps: there is no such field; did you mean steps?")
        ... except ValueError as error:
        ...     print(error)
        stepps: there is no such field; did you mean steps?
    """


class ProcessError(ZooError):
    """The processes of one run cannot be connected, or one of them has ended.

    Example:
        >>> raise ProcessError("another process of this run has ended")
        Traceback (most recent call last):
        zoo_core.errors.ProcessError: another process of this run has ended
    """


class MetricError(ZooError):
    """Something cannot be measured, or figures cannot be compared.

    Example:
        >>> import zoo_core as zoo
        >>> zoo.evaluate(zoo.load("vae-mlp-mnist", device="cpu"), "./pictures", metrics=["fud"])
        Traceback (most recent call last):
        zoo_core.errors.MetricError: there is no metric 'fud'; ...
    """


class VerificationError(ZooError):
    """A model can be loaded, but its samples or its figures are not what its registry entry states.

    Example:
        >>> raise VerificationError("digits: 3 of 16 golden samples could not be reproduced")
        Traceback (most recent call last):
        zoo_core.errors.VerificationError: digits: 3 of 16 golden samples could not be reproduced
    """


class TrainingError(ZooError):
    """A training run cannot start, continue or be resumed.

    Example:
        >>> raise TrainingError("runs/digits cannot be resumed with other settings: steps was 100 and is now 200")
        Traceback (most recent call last):
        zoo_core.errors.TrainingError: runs/digits cannot be resumed with other settings: steps was 100 and is now 200
    """


class MissingExtraError(ZooError):
    """An optional part of zoo-core is needed and not installed.

    Args:
        extra: name of the extra that has it.
        purpose: what needs it.

    Example:
        >>> print(MissingExtraError("train", "a tracker"))
        a tracker needs the extra 'train': pip install 'zoo-core[train]'
    """

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'zoo-core[{extra}]'")
