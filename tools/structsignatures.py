"""How the reference reads msgspec structs: a constructor takes the annotated fields by name. mkdocs.yml names it."""

from __future__ import annotations

from typing import Any

import griffe

STRUCTS = {"Struct", "_Facts", "Config", "ModelConfig", "Settings"}
WITH_FIELDS = {"Settings"}


class StructSignatures(griffe.Extension):
    """Gives a struct the `__init__` that msgspec makes when the class is made, where its fields are then explained."""

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
