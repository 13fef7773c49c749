"""Architecture, what a plugin registers, and ModelConfig, the validated description of one model."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core.errors import PluginError
from zoo_core.importstrings import import_object, is_import_string

if TYPE_CHECKING:
    from zoo_core.interfaces import Discriminator, Generator, Trainer

ARCHITECTURE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class _ConfigMeta(msgspec.StructMeta):
    """Gives every subclass what msgspec does not inherit: keyword-only fields and base validation first."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options.setdefault("kw_only", True)
        # A mixin that stands before the configuration brings one too, and would take the place of the base's.
        mixins = itertools.takewhile(lambda base: not isinstance(base, _ConfigMeta), bases)
        own = namespace.get("__post_init__") or next(
            filter(None, (getattr(m, "__post_init__", None) for m in mixins)), None
        )
        if own is not None and any(isinstance(base, _ConfigMeta) for base in bases):

            def post_init(self: ModelConfig) -> None:
                _check_fields(self)
                own(self)

            namespace["__post_init__"] = post_init
        return super().__new__(mcs, name, bases, namespace, **options)


def _check_fields(config: msgspec.Struct) -> None:
    """Hold every field to its annotation, which msgspec does only when it converts.

    Raises msgspec.ValidationError (a ValueError) that names the field.
    """
    for field in msgspec.structs.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError(f"Expected a finite number, got {value} - at `$.{field.name}`")
        try:
            msgspec.convert(value, type=field.type)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
            raise msgspec.ValidationError(f"{problem} - at `$.{field.name}{path.rstrip('`')}`") from None


class ModelConfig(msgspec.Struct, metaclass=_ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hyperparameters of one model, validated however they are made.

    A plugin subclasses it with annotated fields and bounds::

        class DCGANConfig(ModelConfig, frozen=True):
            width: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 64

    The constructor, `msgspec.structs.replace` and JSON all raise msgspec.ValidationError (a ValueError)
    for a value outside its bounds; a `__post_init__` of the subclass runs after these checks, for
    conditions between fields (it raises ValueError). Fields are keyword-only, instances are frozen, hashable
    where their fields are, and pickle; JSON holds every field, defaults too.
    """

    def __post_init__(self) -> None:
        _check_fields(self)


def same_name(name: str) -> str:
    """The form in which architecture and plugin names are compared: lower case, `-`, `_` and `.` equal."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of model that a plugin provides.

    Classes are given as import strings `package.module:Class` and resolved at first use, so that
    listing architectures imports no torch.

    Args:
        name: lower-case letters, digits, `-` and `_`; `-` and `_` compare equal.
        summary: one line.
        config: the ModelConfig subclass.
        generator: the Generator subclass, built as `Generator(config)`.
        discriminator: the Discriminator subclass, or None.
        trainer: the Trainer subclass, or None when the architecture cannot be trained.
        paper: the address of the paper.

    Raises:
        PluginError: for a name or an import string of another form.
    """

    name: str
    summary: str
    config: str
    generator: str
    discriminator: str | None = None
    trainer: str | None = None
    paper: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not ARCHITECTURE_NAME.fullmatch(self.name):
            raise PluginError(f"architecture name {self.name!r} is not of the form {ARCHITECTURE_NAME.pattern}")
        if not isinstance(self.summary, str):
            raise PluginError(f"architecture {self.name}: summary must be a string, not {self.summary!r}")
        for role in ("config", "generator", "discriminator", "trainer"):
            target = getattr(self, role)
            if target is None and role in ("discriminator", "trainer"):
                continue
            if not is_import_string(target):
                raise PluginError(f"architecture {self.name}: {role} must be 'package.module:Class', not {target!r}")

    def config_class(self) -> type[ModelConfig]:
        """The ModelConfig subclass. Raises PluginError where it cannot be imported or is something else."""
        found: type[ModelConfig] = self._resolve("config", ModelConfig)
        return found

    def generator_class(self) -> type[Generator]:
        """The Generator subclass (imports torch). Raises PluginError."""
        from zoo_core.interfaces import Generator

        found: type[Generator] = self._resolve("generator", Generator)
        return found

    def discriminator_class(self) -> type[Discriminator] | None:
        """The Discriminator subclass, or None where the architecture has none. Raises PluginError."""
        from zoo_core.interfaces import Discriminator

        found: type[Discriminator] | None = (
            self._resolve("discriminator", Discriminator) if self.discriminator else None
        )
        return found

    def trainer_class(self) -> type[Trainer] | None:
        """The Trainer subclass, or None where the architecture cannot be trained. Raises PluginError."""
        from zoo_core.interfaces import Trainer

        found: type[Trainer] | None = self._resolve("trainer", Trainer) if self.trainer else None
        return found

    def _resolve(self, role: str, base: type) -> Any:
        target: str = getattr(self, role)
        found = import_object(target, f"architecture {self.name}: {role}")
        if not (isinstance(found, type) and issubclass(found, base)):
            raise PluginError(f"architecture {self.name}: {role} {target!r} is not a subclass of {base.__name__}")
        return found
