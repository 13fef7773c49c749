"""YAML is read strictly: plain strings with their lines, and every trick of the format is refused at its place."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from zoo_core import RegistryError, ZooError
from zoo_core.files import strict_yaml
from zoo_core.files.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Document, read_yaml

LOADERS = [pytest.param(loader, id=loader.__name__) for loader in (yaml.SafeLoader, strict_yaml._Loader)]
Read = Callable[[str], Document]


class PlainDumper(yaml.SafeDumper):
    """Writes equal objects twice instead of an anchor and an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.fixture(params=LOADERS)
def read(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read a text as a file, by the C parser and by the Python one."""
    monkeypatch.setattr(strict_yaml, "_Loader", request.param)

    def read_text(text: str) -> Document:
        file = tmp_path / "file.yaml"
        file.write_bytes(text.encode())
        return read_yaml(file)

    return read_text


def refusal(read: Read, text: str) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    return caught.value


# What is read


@pytest.mark.parametrize(
    "word", ["on", "yes", "true", "0755", "1_000", "0x1F", "1e3", ".nan", "2024-01-01", "1:30", "="]
)
def test_words_that_yaml_converts_stay_text(read: Read, word: str) -> None:
    assert read(f"key: {word}").content == {"key": word}


@pytest.mark.parametrize("empty", ["", "~", "null", "Null", "NULL", "# a comment"])
def test_plain_nulls_are_none(read: Read, empty: str) -> None:
    assert read(f"a: {empty}\nb: [{empty if empty[:1] not in ('', '#') else '~'}]").content == {"a": None, "b": [None]}


@pytest.mark.parametrize("quoted", ["'null'", '"null"', "|-\n  null"])
def test_quoted_nulls_are_text(read: Read, quoted: str) -> None:
    assert read(f"key: {quoted}").content == {"key": "null"}


def test_quoted_empties_are_text(read: Read) -> None:
    assert read("key: ''").content == {"key": ""}


def test_keys_are_text_whatever_they_look_like(read: Read) -> None:
    assert read("1: a\nnull: b\non: c\n<<: d").content == {"1": "a", "null": "b", "on": "c", "<<": "d"}


def test_an_empty_file_is_none(read: Read) -> None:
    document = read("")
    assert document.content is None
    assert document.error("empty").line == 1


def test_a_byte_order_mark_is_no_part_of_the_first_key(read: Read) -> None:
    assert read("\ufeffkey: value").content == {"key": "value"}


def test_every_field_has_its_line(read: Read) -> None:
    document = read("# a comment\na:\n  b: 1\n\n  c:\n  - x\n  - y: z\n    w: [p,\n      q]\n")
    assert document.content == {"a": {"b": "1", "c": ["x", {"y": "z", "w": ["p", "q"]}]}}
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 5,
        ("a", "c", 0): 6,
        ("a", "c", 1): 7,
        ("a", "c", 1, "y"): 7,
        ("a", "c", 1, "w"): 8,
        ("a", "c", 1, "w", 0): 8,
        ("a", "c", 1, "w", 1): 9,
    }


def test_lines_of_lists_in_lists_are_those_of_their_items(read: Read) -> None:
    assert read("- [a, b]\n- - c\n  - d\n").lines == {
        (): 1, (0,): 1, (0, 0): 1, (0, 1): 1, (1,): 2, (1, 0): 2, (1, 1): 3,
    }  # fmt: skip


def test_the_greatest_depth_is_read(read: Read) -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH).content is not None


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTENT = st.recursive(
    st.none() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("loader", LOADERS)
@settings(deadline=None)
@given(content=CONTENT, flow=st.booleans())
def test_what_is_dumped_comes_back(
    tmp_path_factory: pytest.TempPathFactory, loader: type, content: Any, flow: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "dumped.yaml"
    file.write_text(yaml.dump(content, Dumper=PlainDumper, default_flow_style=flow), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_yaml, "_Loader", loader)
        assert read_yaml(file).content == content


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("ab01 \n\t-?:,[]{}#&*!|>'\"%@`~.\x00\x07\x85\ufeffé"), max_size=60) | st.binary())
def test_any_bytes_give_a_document_or_a_clear_refusal(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "any.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        content = read_yaml(file).content
    except RegistryError as error:
        content = str(error)
    assert content is None or isinstance(content, (str, list, dict))


# What is refused


@pytest.mark.parametrize(
    ("text", "line", "field", "problem"),
    [
        pytest.param("a: 1\na: 2", 2, "a", "'a' is repeated", id="duplicate key"),
        pytest.param("a:\n- b:\n    c: 1\n    d: 1\n    'c': 2", 5, "a.0.b.c", "'c' is repeated", id="deep one"),
        pytest.param("a:\n  b: &x 1", 2, "a.b", "anchors are not allowed", id="anchor"),
        pytest.param("a:\n  &x b: 1", 2, "a", "anchors are not allowed", id="anchor of a key"),
        pytest.param("a: 1\nb: *x", 2, "b", "aliases are not allowed", id="alias"),
        pytest.param("a: 1\n<<: *x", 2, "<<", "aliases are not allowed", id="merge key"),
        pytest.param("a: [1,\n !!int 2]", 2, "a.1", "tags are not allowed: tag:yaml.org,2002:int", id="tag"),
        pytest.param("a: !!python/object:os.system {}", 1, "a", "tags are not allowed", id="python object"),
        pytest.param("a: ! b", 1, "a", "tags are not allowed", id="bare tag"),
        pytest.param("--- !x\na: 1", 1, None, "tags are not allowed", id="tag of the root"),
        pytest.param("a:\n  ? [b]\n  : c", 2, "a", "a key must be a plain word", id="list as a key"),
        pytest.param("a:\n  {b: c}: d", 2, "a", "a key must be a plain word", id="mapping as a key"),
        pytest.param("a: 1\n---\nb: 2", 2, None, "holds more than one document", id="two documents"),
        pytest.param(
            "a:\n " + "[" * MAX_DEPTH + "]" * MAX_DEPTH,
            2,
            "a" + ".0" * (MAX_DEPTH - 1),
            "more than 32 deep",
            id="depth",
        ),
        pytest.param("a: 1\nb: \x07", 2, None, "control character U+0007", id="control character"),
        pytest.param("a: 1\nb: \x9b", 2, None, "control character U+009B", id="C1 control character"),
        pytest.param("a: 1\n\nb: [", 3, None, "", id="unfinished list"),
        pytest.param("a:\n  b: c: d", 2, None, "mapping values are not allowed", id="two colons"),
        pytest.param("a: 1\n\tb: 2", 2, None, "", id="tab"),
    ],
)
def test_is_refused_at_its_place(read: Read, text: str, line: int, field: str | None, problem: str) -> None:
    error = refusal(read, text)
    assert (error.line, error.field) == (line, field)
    assert problem in error.problem
    assert error.file is not None
    assert Path(error.file).name == "file.yaml"


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(RegistryError, match="is not UTF-8: byte 0xe9") as caught:
        read_yaml(file)
    assert (caught.value.file, caught.value.line) == (file, 2)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "wide.yaml"
    file.write_bytes("key: value".encode(encoding))
    with pytest.raises(RegistryError, match=r"UTF-8|control character"):
        read_yaml(file)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read: No such file") as caught:
        read_yaml(tmp_path / "absent.yaml")
    assert caught.value.file == tmp_path / "absent.yaml"


def test_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is a folder"):
        read_yaml(tmp_path)


def test_a_path_that_no_system_has_is_a_clear_error() -> None:
    with pytest.raises(ZooError, match="a path cannot contain a NUL character"):
        read_yaml("a\0b")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_an_endless_device_is_refused() -> None:
    with pytest.raises(RegistryError, match="is not a regular file"):
        read_yaml("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable to this user")
def test_an_unreadable_file_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.touch(mode=0)
    with pytest.raises(RegistryError, match="cannot be read: Permission denied"):
        read_yaml(file)


# Hostile files, each in a process that may take little memory beyond what it starts with

CHILD = """
import sys
from pathlib import Path
from zoo_core import RegistryError
from zoo_core.files.strict_yaml import read_yaml

memory = Path("/proc/self/statm")
if memory.exists():
    import resource
    limit = int(memory.read_text().split()[0]) * resource.getpagesize() + int(sys.argv[2]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    read_yaml(sys.argv[1])
except RegistryError as error:
    print(error.line, error.problem)
"""

LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "megabytes", "expected"),
    [
        pytest.param("[" * 200_000, 8, "1 is nested more than 32 deep", id="brackets"),
        pytest.param("{a: " * 200_000, 8, "1 is nested more than 32 deep", id="braces"),
        pytest.param("- " * 200_000, 8, "1 is nested more than 32 deep", id="dashes"),
        pytest.param("? " * 200_000, 8, "1 a key must be a plain word", id="question marks"),
        pytest.param(LAUGHS, 8, "1 anchors are not allowed", id="billion laughs"),
        pytest.param("[" + "a," * 8_000_000, 160, f"1 holds more than {MAX_VALUES:,} values", id="flat list"),
        pytest.param("'" + "a" * 2**20, 32, "1 found unexpected end of stream", id="endless string"),
    ],
)
def test_hostile_text_is_refused_in_little_memory(tmp_path: Path, text: str, megabytes: int, expected: str) -> None:
    file = tmp_path / "hostile.yaml"
    file.write_text(text)
    assert answer(file, megabytes) == expected


def test_a_file_of_more_than_64_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_BYTES + 1)
    assert answer(file, 8) == "None is larger than 64 MB"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_writes_to_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert answer(tmp_path / "pipe", 8) == "None is not a regular file"


def answer(file: Path, megabytes: int) -> str:
    """What a process with that much memory to spare says of the file."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(file), str(megabytes)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


# Conversion


class Part(msgspec.Struct, forbid_unknown_fields=True):
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{4}\Z")]
    size: Annotated[int, Meta(ge=0)] = 0


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    count: int | None = None
    rate: float = 0.0
    mode: Literal["a", "b"] = "a"
    switch: bool = False
    pair: tuple[float, float] = (0.0, 0.0)
    names: tuple[str, ...] = ()
    parts: dict[Annotated[str, Meta(pattern="^[a-z.]+$")], Part] = {}
    nested: dict[str, dict[str, Part]] = {}
    listed: list[dict[str, int]] = []


def test_strings_become_what_the_type_asks_for(read: Read) -> None:
    text = "name: 0755\ncount: 7\nrate: 2e-4\nswitch: true\npair: [0.5, 0.999]\nnames: [on, 2024-01-01, '']"
    assert read(text).convert(Whole) == Whole(
        name="0755", count=7, rate=2e-4, switch=True, pair=(0.5, 0.999), names=("on", "2024-01-01", "")
    )


def test_nulls_are_none_where_the_type_has_it(read: Read) -> None:
    assert read("name: null\ncount:").convert(Whole) == Whole()


def test_the_word_null_in_quotes_stays_a_word(read: Read) -> None:
    assert read("name: 'null'").convert(Whole).name == "null"


def test_a_part_of_the_content_is_converted_alone(read: Read) -> None:
    document = read("wrong: here\nparts:\n  a: {digest: 00ff, size: 3}")
    assert document.convert(Part, ("parts", "a")) == Part("00ff", 3)
    assert document.convert(int, ("parts", "a", "size")) == 3


@pytest.mark.parametrize(
    ("text", "line", "field", "problem"),
    [
        ("name: a\ncount: many", 2, "count", "Expected `int | null`, got 'many'"),
        ("count: 0755", 1, "count", "got '0755'"),
        ("rate: [1]", 1, "rate", "got `array`"),
        ("mode: c", 1, "mode", "Invalid enum value 'c'"),
        ("switch: on", 1, "switch", "Expected `bool`, got 'on'"),
        ("pair:\n- 1\n- x", 3, "pair.1", "Expected `float`, got 'x'"),
        ("pair: [1]", 1, "pair", "Expected `array` of length 2"),
        ("names:\n- a\n-", 3, "names.1", "Expected `str`, got `null`"),
        ("\nnmae: a", 2, "nmae", "unknown field `nmae`"),
        ("parts:\n  a.b:\n    size: 1", 2, "parts.a.b.digest", "missing required field `digest`"),
        ("parts:\n  a: {digest: ffff}\n  a.b:\n    digest: FFFF", 4, "parts.a.b.digest", "matching regex"),
        ("parts:\n  a: {digest: ffff}\n  b:\n    digest: ffff\n    size: -1", 5, "parts.b.size", "`int` >= 0"),
        ("parts:\n  a: {digest: ffff}\n  b: {digest: ffff,\n   sise: 1}", 4, "parts.b.sise", "unknown field"),
        ("parts:\n  a: {digest: ffff}\n  B: {digest: ffff}", 3, "parts.B", "matching regex"),
        ("parts:\n  a: {digest: ffff}\n  b:", 3, "parts.b", "got `null`"),
        ("nested:\n  x: {y: {digest: ffff}}\n  z:\n    w:\n      digest: 0", 5, "nested.z.w.digest", "matching regex"),
        ("listed:\n- a: 1\n- b: 1\n  c: 1\n  d: x\n  e: 1", 5, "listed.1.d", "Expected `int`, got 'x'"),
        ("[a]", 1, None, "Expected `object`, got `array`"),
        ("", 1, None, "Expected `object`, got `null`"),
    ],
)
def test_what_does_not_fit_is_told_with_line_and_field(
    read: Read, text: str, line: int, field: str | None, problem: str
) -> None:
    with pytest.raises(RegistryError) as caught:
        read(text).convert(Whole)
    assert (caught.value.line, caught.value.field) == (line, field)
    assert problem in caught.value.problem


def test_fields_of_a_part_are_told_from_the_root(read: Read) -> None:
    with pytest.raises(RegistryError) as caught:
        read("parts:\n  a:\n    size: x").convert(dict[str, int], ("parts", "a"))
    assert (caught.value.line, caught.value.field) == (3, "parts.a.size")


@settings(deadline=None)
@given(count=st.integers(1, 40), wrong=st.data())
def test_the_wrong_one_of_many_keys_is_found(
    tmp_path_factory: pytest.TempPathFactory, count: int, wrong: st.DataObject
) -> None:
    chosen = wrong.draw(st.sets(st.integers(0, count - 1), min_size=1))
    file = tmp_path_factory.getbasetemp() / "many.yaml"
    file.write_text("".join(f"k{i}: {'x' if i in chosen else i}\n" for i in range(count)))
    with pytest.raises(RegistryError) as caught:
        read_yaml(file).convert(dict[str, int])
    assert (caught.value.field, caught.value.line) == (f"k{min(chosen)}", min(chosen) + 1)


def test_control_characters_in_a_value_do_not_reach_the_message(read: Read) -> None:
    with pytest.raises(RegistryError) as caught:
        read('count: "\\e[31mred\\n"').convert(Whole)
    assert str(caught.value).isprintable()
