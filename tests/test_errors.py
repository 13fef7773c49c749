"""Errors: the tree in the docstring is the one of the classes, and every text is one printable line."""

import inspect
import re

import pytest

from zoo_core import errors
from zoo_core.errors import OutputError, ZooError, did_you_mean, printable


def parents_in_the_docstring():
    """From a class to its parent in the tree, and to the built-in error beside its name."""
    open_classes = []  # by depth
    parents = {}
    for line in errors.__doc__.splitlines():
        node = re.match(r"    (?P<branches>[│├└─ ]*)(?P<name>\w+Error)(?: \((?P<builtin>\w+)\))?(?:  |$)", line)
        if node:
            depth = len(node["branches"]) // 4
            open_classes[depth:] = [node["name"]]
            above = open_classes[depth - 1] if depth else "Exception"
            parents[node["name"]] = [above, *filter(None, [node["builtin"]])]
    return parents


def test_the_tree_in_the_docstring_is_complete_and_right():
    classes = {
        name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, ZooError)
    }
    assert parents_in_the_docstring() == {
        name: [base.__name__ for base in value.__bases__] for name, value in classes.items()
    }


def test_a_key_error_shows_its_text_and_not_the_repr_of_it():
    assert str(errors.UnknownModelError("ring")) == "there is no model named 'ring'; zoo list shows them all"


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\u200bb", "a\u2028b"])
def test_text_from_outside_is_one_line_without_control_characters(text):
    assert printable(text).isprintable()


def test_a_long_text_is_cut():
    assert printable("x" * 400, 10) == "x" * 9 + "…"


def test_a_hint_names_close_names_or_else_all_of_them():
    assert did_you_mean("fod", ["kid", "fid"]) == "did you mean fid?"
    assert did_you_mean("zebra", ["kid", "fid"]) == "there are fid, kid"
    assert did_you_mean("zebra", []) == "there are none"
    assert did_you_mean("zebra", ["kid"], otherwise="zoo list shows them") == "zoo list shows them"


def test_what_cannot_be_written_gives_the_systems_reason_and_what_to_do():
    error = OutputError.unwritable("a\x1b.png", OSError(28, "No space left on device"), hint="; free some")
    assert str(error) == "a.png cannot be written: No space left on device; free some"
    assert str(OutputError.unwritable("a.png", OSError("odd"))) == "a.png cannot be written: odd"
