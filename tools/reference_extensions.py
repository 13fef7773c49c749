"""Extensions of griffe for the reference: constructors of msgspec structs, and examples as code (see mkdocs.yml)."""

from __future__ import annotations

import re
from typing import Any

import griffe

STRUCTS = {"Struct", "_Facts", "Config", "ModelConfig", "Settings"}
WITH_FIELDS = {"Settings"}


class ExampleSections(griffe.Extension):
    """Makes griffe take an `Example:` section for code: it knows the heading `Examples:` only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^([ \t]*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)


class StructSignatures(griffe.Extension):
    """Adds the `__init__` that msgspec generates for a struct, so that its fields are documented as parameters."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        bases = {str(base).rpartition(".")[2] for base in cls.bases}
        if not bases & STRUCTS or "__init__" in cls.members:
            return
        parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword), *_fields(cls)]
        if bases & WITH_FIELDS:
            parameters.append(griffe.Parameter("inherited", kind=griffe.ParameterKind.var_keyword))
        cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


def _fields(cls: griffe.Class) -> list[griffe.Parameter]:
    return [
        griffe.Parameter(
            member.name, annotation=member.annotation, kind=griffe.ParameterKind.keyword_only, default=member.value
        )
        for member in cls.members.values()
        if isinstance(member, griffe.Attribute)
        and member.annotation is not None
        and "ClassVar" not in str(member.annotation)
        and not member.name.startswith("_")
    ]
