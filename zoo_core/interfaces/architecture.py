"""Architecture: the kind of model that a plugin registers. Imports no torch until a class is asked for."""

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
        from zoo_core.interfaces.generator import Generator

        found: type[Generator] = self._resolve("generator", Generator)
        return found

    def discriminator_class(self) -> type[Discriminator] | None:
        """The Discriminator subclass, or None where the architecture has none. Raises PluginError."""
        from zoo_core.interfaces.discriminator import Discriminator

        found: type[Discriminator] | None = (
            self._resolve("discriminator", Discriminator) if self.discriminator else None
        )
        return found

    def trainer_class(self) -> type[Trainer] | None:
        """The Trainer subclass, or None where the architecture cannot be trained. Raises PluginError."""
        from zoo_core.interfaces.trainer import Trainer

        found: type[Trainer] | None = self._resolve("trainer", Trainer) if self.trainer else None
        return found

    def _resolve(self, role: str, base: type) -> Any:
        target: str = getattr(self, role)
        found = import_object(target, f"architecture {self.name}: {role}")
        if not (isinstance(found, type) and issubclass(found, base)):
            raise PluginError(f"architecture {self.name}: {role} {target!r} is not a subclass of {base.__name__}")
        return found
