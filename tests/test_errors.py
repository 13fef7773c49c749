"""Errors: the tree in the docstring is the one of the classes, and every text is one printable line."""

import inspect
import re

import pytest
from hypothesis import given, strategies

from zoo_core import errors
from zoo_core.errors import OutputError, ZooError, did_you_mean, printable, unseen


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


HIDDEN = [
    "\u061c", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\u200b", "\u200d", "\u202e", "\u2065", "\u2066", "\u206a",
    "\u115f", "\u1160", "\u17b4", "\u3164", "\uffa0", "\u2800", "\ufffc", "\ufe00", "\ufe0f", "\ufff9", "\U000e0041",
    "\U000e0100", "\U0001d173", "\x07", "\x9b", "\ufff0",
]  # fmt: skip


@pytest.mark.parametrize("char", HIDDEN, ids=ascii)
def test_characters_that_show_nothing_are_dropped_and_named(char):
    assert printable(f"pa{char}id") == "paid"
    assert (unseen(f"pa{char}id") or "").startswith(f"U+{ord(char):04X}")


WRITING = {
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a scientist": "\U0001f469\U0001f3fd\u200d\U0001f52c",
    "a burning heart": "\u2764\ufe0f\u200d\U0001f525",
    "a rainbow flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "a keycap": "3\ufe0f\u20e3",
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "Vietnamese": "Vie\u0323\u0302t",
    "Hebrew with points and accents": "\u05e9\u05b8\u05bc\u05c1\u0596",
    "Thai": "\u0e17\u0e35\u0e48",
    "Chinese": "\u732b",
}


@pytest.mark.parametrize("language", WRITING)
def test_what_writing_needs_stays(language):
    assert printable(WRITING[language]) == WRITING[language]
    assert unseen(WRITING[language]) is None


@pytest.mark.parametrize("text", ["a\ufe0f", "1\ufe0f", "dc\u200dgan", "dc\u200cgan", "\u200d\U0001f525", "a\u200d\U0001f525", "\ufe0fx"], ids=ascii)  # fmt: skip
def test_a_joiner_or_a_selector_hides_nowhere_else(text):
    assert unseen(text) is not None


def test_marks_do_not_flood_the_lines_above():
    assert printable("z" + "\u0301" * 1000 + "x") == "z" + "\u0301" * 5 + "x"
    assert printable("\u0301x") == "x"  # it would go onto whatever is printed before


@pytest.mark.parametrize(
    ("char", "shown"), [("\ud800", "\\ud800"), ("\ue000", "\ufffd"), ("\U0010ffff", "\ufffd")], ids=ascii
)
def test_what_has_no_meaning_is_shown_as_such(char, shown):
    assert printable(f"a{char}b") == f"a{shown}b"


@given(strategies.text())
def test_any_text_is_printable_apart_from_what_joins(text):
    shown = printable(text)
    assert shown.translate(dict.fromkeys((0x200C, 0x200D, 0xFE0F))).isprintable()
    assert len(shown) <= 300
    assert printable(shown) == shown


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
