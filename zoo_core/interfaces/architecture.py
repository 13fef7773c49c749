"""Architecture: the kind of model that a plugin registers. No torch is imported until a class is resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo_core.errors import PluginError
from zoo_core.interfaces.config import ModelConfig
from zoo_core.interfaces.import_strings import import_object, is_import_string
from zoo_core.interfaces.names import ARCHITECTURE_NAME

if TYPE_CHECKING:
    from zoo_core.interfaces.discriminator import Discriminator
    from zoo_core.interfaces.generator import Generator
    from zoo_core.interfaces.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of model that a plugin provides.

    Classes are given as import strings `package.module:Class` and resolved at first use, so that
    listing architectures imports no torch.

    Args:
        name: lower-case letters, digits, `-` and `_`; `-` and `_` compare equal.
        summary: one line.
        config: import string of the ModelConfig subclass.
        generator: import string of the Generator subclass, which is built as `Generator(config)`.
        discriminator: import string of the Discriminator subclass, or None.
        trainer: import string of the Trainer subclass, or None if the architecture cannot be trained.
        paper: URL of the paper.
        kind: what its samples are: image, audio, text, tensor, or the name of a kind that a plugin brings. None where
            only the Generator class says so.

    Raises:
        PluginError: if the name or an import string is malformed.

    Example:
        >>> ring = Architecture(
        ...     name="ring",
        ...     summary="Points on a ring",
        ...     config="zoo_core.interfaces:ModelConfig",
        ...     generator="zoo_core.interfaces:Generator",
        ... )
        >>> ring.trainer is None
        True
        >>> Architecture(name="Ring", summary="", config="ring:Config", generator="ring:Ring")
        Traceback (most recent call last):
        zoo_core.errors.PluginError: architecture name 'Ring' is not of the form [a-z0-9][a-z0-9_-]*
    """

    name: str
    summary: str
    config: str
    generator: str
    discriminator: str | None = None
    trainer: str | None = None
    paper: str | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not ARCHITECTURE_NAME.fullmatch(self.name):
            raise PluginError(f"architecture name {self.name!r} is not of the form {ARCHITECTURE_NAME.pattern}")
        if self.kind is not None and not (isinstance(self.kind, str) and ARCHITECTURE_NAME.fullmatch(self.kind)):
            raise PluginError(f"architecture {self.name}: kind must be the name of a kind, not {self.kind!r}")
        if not isinstance(self.summary, str):
            raise PluginError(f"architecture {self.name}: summary must be a string, not {self.summary!r}")
        for role in ("config", "generator", "discriminator", "trainer"):
            target = getattr(self, role)
            if target is None and role in ("discriminator", "trainer"):
                continue
            if not is_import_string(target):
                raise PluginError(f"architecture {self.name}: {role} must be 'package.module:Class', not {target!r}")

    def config_class(self) -> type[ModelConfig]:
        """Import the ModelConfig subclass.

        Raises:
            PluginError: if it cannot be imported or is not a ModelConfig.

        Example:
            >>> ring.config_class()
            <class 'zoo_core.interfaces.config.ModelConfig'>
        """
        config_class: type[ModelConfig] = self._resolve("config", ModelConfig)
        return config_class

    def generator_class(self) -> type[Generator]:
        """Import the Generator subclass, and torch with it.

        Raises:
            PluginError: if it cannot be imported or is not a Generator.

        Example:
            >>> ring.generator_class()
            <class 'zoo_core.interfaces.generator.Generator'>
        """
        from zoo_core.interfaces.generator import Generator

        generator_class: type[Generator] = self._resolve("generator", Generator)
        return generator_class

    def discriminator_class(self) -> type[Discriminator] | None:
        """Import the Discriminator subclass; None if the architecture has none.

        Raises:
            PluginError: if it cannot be imported or is not a Discriminator.

        Example:
            >>> ring.discriminator_class() is None
            True
        """
        if self.discriminator is None:
            return None
        from zoo_core.interfaces.discriminator import Discriminator

        discriminator_class: type[Discriminator] = self._resolve("discriminator", Discriminator)
        return discriminator_class

    def trainer_class(self) -> type[Trainer] | None:
        """Import the Trainer subclass; None if the architecture cannot be trained.

        Raises:
            PluginError: if it cannot be imported or is not a Trainer.

        Example:
            >>> ring.trainer_class() is None
            True
        """
        if self.trainer is None:
            return None
        from zoo_core.interfaces.trainer import Trainer

        trainer_class: type[Trainer] = self._resolve("trainer", Trainer)
        return trainer_class

    def _resolve(self, role: str, base: type) -> Any:
        target: str = getattr(self, role)
        imported = import_object(target, f"architecture {self.name}: {role}")
        if not (isinstance(imported, type) and issubclass(imported, base)):
            raise PluginError(f"architecture {self.name}: {role} {target!r} is not a subclass of {base.__name__}")
        return imported
