"""The README of a repository: what is generated is found and replaced, whatever a stranger wrote around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo_core.errors import HubError, ModelFolderError
from zoo_core.hub import cards
from zoo_core.modelfolder.card import BEGIN, END, generated_parts

FRESH = f"---\nlicense: mit\n---\n\n{BEGIN}\n\nfresh\n\n{END}\n"
OPENING = "<!-- zoo-core: generated from here"


def part(text: str) -> str:
    return f"{BEGIN}{text}{END}"


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("", []),
        ("no marker", []),
        (f"{BEGIN} without an end", []),
        (f"{END} before {BEGIN}", []),
        (f"a {part('x')} b", [part("x")]),
        (f"{part('x')}{part('y')}", [part("x"), part("y")]),
        (f"{BEGIN} again {part('x')} {END}", [f"{BEGIN} again {part('x')}"]),
        (f"{OPENING}; words of an older version --> x {END}", [f"{OPENING}; words of an older version --> x {END}"]),
    ],
)
def test_generated_parts_are_found(body: str, parts: list[str]):
    assert [body[begin:end] for begin, end in generated_parts(body)] == parts


class CountedText(str):
    """Text that counts how many characters its searches may have looked at."""

    looked_at = 0

    def find(self, sub: str, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(sub, start)
        self.looked_at += (found if found >= 0 else len(self)) - start
        return found


@pytest.mark.parametrize("unit", [OPENING, END, OPENING + END, END + OPENING])
def test_no_marker_makes_the_search_look_at_the_text_again_and_again(unit: str):
    text = CountedText(unit * 10_000)
    list(generated_parts(text))
    assert text.looked_at <= 2 * len(text)


def test_only_the_first_generated_part_is_replaced():
    old, fresh, other = part("old"), part("\n\nfresh\n\n"), part("other")
    kept = f"---\nlicense: mit\n---\nmine {old} and {other}"
    assert cards.merge(kept, FRESH) == f"---\nlicense: mit\n---\nmine {fresh} and {other}"


@pytest.mark.parametrize(
    ("text", "by_a_person"),
    [
        (FRESH, False),
        (f"---\nlicense: mit\n---\n{part('x')}\n \n{part('y')}\n", False),
        (f"{FRESH}\nmine", True),
        (f"mine\n{part('x')}", True),
        (f"{part('x')} mine {part('y')}", True),
        ("", False),
    ],
)
def test_what_a_person_wrote_is_told_from_what_was_generated(text: str, by_a_person: bool):
    assert cards.written_by_a_person(text) is by_a_person


HEADS = {
    "aliases": "a: &a [x]\nb: [*a, *a]",
    "a key twice": "license: mit\nlicense: apache-2.0",
    "a tag": "a: !!python/name:os.system x",
    "no mapping": "[a, b]",
    "deep nesting": "a: " + "[" * 64 + "]" * 64,
    "too long": "a: " + "x" * 100_000,
    "no YAML": "a: {",
}


@pytest.mark.parametrize("case", HEADS)
def test_metadata_that_cannot_be_trusted_is_one_line(case: str):
    text = f"---\n{HEADS[case]}\n---\n# Mine\n"
    with pytest.raises(ModelFolderError, match=r"README\.md: has metadata that cannot be read: ") as refused:
        cards.read_metadata(text, Path("README.md"))
    assert "\n" not in str(refused.value)
    with pytest.raises(HubError, match="correct it first") as refused:
        cards.merge(text, FRESH)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "head", ["a: " + "9" * 5_000, "a: 2001-99-99"], ids=["a number too long", "a date that is none"]
)
def test_metadata_that_cannot_be_written_again_is_one_line(head: str):
    with pytest.raises(HubError, match="correct it first") as refused:
        cards.merge(f"---\n{head}\n---\n# Mine\n", FRESH)
    assert "\n" not in str(refused.value)
