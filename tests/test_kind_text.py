"""Texts: what is read, written and shown."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo_core import Generator, ModelConfig
from zoo_core.data.alphabet import decoded, encoded
from zoo_core.data.text_lines import escaped
from zoo_core.errors import DataError, InterfaceError, SamplingError
from zoo_core.kinds import lines
from zoo_core.kinds.by_name import kind_named

WORDS = Path(__file__).parent / "data" / "words"
TEXT = kind_named("text")


class WriterConfig(ModelConfig, frozen=True):
    alphabet: str = "abc"
    length: int = 4


class Writer(Generator):
    """Its codes are whole numbers from its latents."""

    kind = "text"

    def __init__(self, config=None):
        super().__init__(config or WriterConfig())
        self.latent_shape = self.sample_shape = (self.config.length,)

    def forward(self, z, labels=None):
        return (z.abs() * 2).long().clamp(0, len(self.config.alphabet))


def writer_of(texts):
    """A generator with the alphabet of these texts, and their codes."""
    alphabet = "".join(sorted(set("".join(texts))))
    length = max(map(len, texts)) + 1
    return Writer(WriterConfig(alphabet=alphabet, length=length)), torch.from_numpy(
        encoded(texts, alphabet, length, str)
    )


def make(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(source, **how):
    """The texts that are read, by their codes."""
    opened = TEXT.open(source, **how)
    data = opened.decode(opened.sample_shape)
    return [decoded(codes, opened.values["alphabet"]) for codes in data.samples.tolist()], data


# Reading


def test_files_called_like_splits_are_splits():
    source = TEXT.open(WORDS)
    data = source.decode(source.sample_shape)
    words = (WORDS / "train.txt").read_text().split()
    longest = max(map(len, words))
    assert source.values == data.values == {"alphabet": "abcdefghijklmnopqrstuvwxyz", "length": longest + 1}
    assert source.notes == (
        f"{len(words)} texts without classes from the folder {WORDS}; split train of train, test",
        "1 file is no text and is not used: 1 without a suffix",
        f"the longest text has {longest} characters; the alphabet has 26: abcdefghijklmnopqrstuvwxyz",
    )
    assert (data.samples.dtype, data.samples.shape) == (torch.int64, (len(words), longest + 1))
    assert [decoded(codes, source.values["alphabet"]) for codes in data.samples.tolist()] == words
    assert data.notes == (f"{len(words)} texts of {longest + 1} codes; the alphabet has 26 characters",)
    assert source.plan((16,)).startswith(f"{len(words)} texts of 16 codes take ")
    tested, _ = read(WORDS, split="test", values=source.values)
    assert tested == (WORDS / "test.txt").read_text().split()


def test_another_split_has_the_alphabet_of_the_training_split(tmp_path):
    folder = make(tmp_path / "x", {"train.txt": "abz\n", "test.txt": "ba\n"})
    assert TEXT.open(folder, split="test").values == {"alphabet": "abz", "length": 3}
    (folder / "test.txt").write_text("b\nüa\nô\n")
    with pytest.raises(DataError) as caught:
        read(folder, split="test")
    assert str(caught.value) == (
        "test.txt, line 2: the alphabet does not have 'ü' (U+00FC); 2 of 3 texts have 2 different "
        "characters that it does not have"
    )


def test_line_breaks_of_all_systems_a_mark_at_the_start_and_blank_lines(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n  two \n \n\nth\xc3\xa9")
    texts, _ = read(tmp_path / "x.txt")
    assert texts == ["one", "  two ", "thé"]
    source = TEXT.open(tmp_path / "x.txt")
    assert (source.name, source.notes[0]) == ("x", f"3 texts without classes from {tmp_path / 'x.txt'}")
    assert source.notes[1] == "3 blank texts are left out"
    assert source.notes[2] == "the longest text has 6 characters; the alphabet has 8: U+0020 e h n o t w é"


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"one\ncaf\xe9\ntwo\n\xff\n")
    with pytest.raises(DataError) as caught:
        TEXT.open(tmp_path / "x.txt")
    assert str(caught.value) == (
        "x.txt, line 2: it is not UTF-8: byte 0xe9 at its position 4 (--skip-damaged leaves such out)"
    )
    source = TEXT.open(tmp_path / "x.txt", skip_damaged=True)
    assert source.notes[1] == "2 lines are not UTF-8 and left out: x.txt, line 2, x.txt, line 4"
    assert len(source.decode(source.sample_shape)) == 2
    (tmp_path / "y.txt").write_bytes("one\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"^y\.txt: it is UTF-16; save it as UTF-8$"):
        TEXT.open(tmp_path / "y.txt", skip_damaged=True)


@pytest.mark.parametrize("packed", [False, True])
def test_folders_are_classes_and_every_line_a_text(tmp_path, packed):
    files = {"en/a.txt": "one\ntwo\n", "en/deep/b.txt": "three\n", "de/a.txt": "eins\n", "note.txt": "x\n", "i.png": ""}
    folder = make(tmp_path / "x", files)
    if packed:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for name in files:
                archive.write(folder / name, name)
    source = TEXT.open(tmp_path / "x.zip" if packed else folder)
    data = source.decode(source.sample_shape)
    assert (data.class_names, data.labels.tolist()) == (("de", "en"), [0, 1, 1, 1])
    assert source.num_classes == 2
    assert source.notes[1:3] == (
        "1 file is no text and is not used: 1 .png",
        "1 text left out: note.txt lies beside the folders of the classes, and in none",
    )


def test_a_file_beside_those_of_splits_is_not_trained_on_in_silence(tmp_path):
    folder = make(tmp_path / "x", {"train.txt": "a\n", "test.txt": "b\n", "README.txt": "c\n"})
    with pytest.raises(DataError) as caught:
        TEXT.open(folder)
    assert str(caught.value) == (
        f"the folder {folder}: test.txt is a split by its name, and README.txt beside it is none; move it elsewhere, or "
        "give each split a folder"
    )
    (folder / "README.txt").unlink()
    with pytest.raises(DataError, match="has no split 'validation'; its splits are train, test"):
        TEXT.open(folder, split="validation")
    with pytest.raises(DataError, match="has no split 'test': it is not divided into splits"):
        TEXT.open(folder / "train.txt", split="test")


def write_table(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        import csv

        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_tables_have_a_column_of_texts_and_one_of_labels(tmp_path, suffix):
    rows = [{"text": "a, b", "label": "x"}, {"text": 'c\n"d"', "label": "w"}, {"text": "", "label": "x"}]
    write_table(tmp_path / f"x{suffix}", rows)
    texts, data = read(tmp_path / f"x{suffix}")
    assert texts == ["a, b", 'c\n"d"']
    assert (data.class_names, data.labels.tolist()) == (("w", "x"), [1, 0])
    assert "1 blank text is left out" in TEXT.open(tmp_path / f"x{suffix}").notes


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_tables_in_a_folder_state_their_split(tmp_path, suffix):
    write_table(tmp_path / f"train-00000-of-00002{suffix}", [{"sentence": "ab", "kind": 5}])
    write_table(tmp_path / f"train-00001-of-00002{suffix}", [{"sentence": "cd", "kind": 7}])
    write_table(tmp_path / f"test{suffix}", [{"sentence": "dab", "kind": 7}])
    (tmp_path / "README.txt").write_text("about it")
    how = {"column": "sentence", "label_column": "kind"}
    assert read(tmp_path, **how)[0] == ["ab", "cd"]
    texts, data = read(tmp_path, split="test", **how)
    assert (texts, data.labels.tolist(), data.class_names) == (["dab"], [1], ("5", "7"))
    notes = TEXT.open(tmp_path, **how).notes
    assert f"1 .txt beside them not used: the {suffix} files are the data set" in notes
    with pytest.raises(DataError, match=r"has no column 'words' for the text; it has sentence, kind$"):
        TEXT.open(tmp_path, column="words")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.jsonl", '{"text": "a"}\n\n{"text": 5}', "x.jsonl, line 3: its text is 5, which is none"),
        ("x.jsonl", '{"text": "a"}\n{"text', "x.jsonl, line 2: it is no JSON: "),
        ("x.jsonl", "[1]", 'x.jsonl, line 1: it is no object such as {"text": "…"}'),
        ("x.jsonl", "[" * 100_000, "x.jsonl, line 1: it is no JSON: "),
        (
            "x.jsonl",
            '{"text": "a", "label": [1]}',
            "x.jsonl, line 1: column 'label' does not hold one class in every row",
        ),
        ("x.jsonl", "\n", "{path} has no rows"),
        ("x.jsonl", '{"txt": "a"}', "{path} has no text column; its columns are txt; use --column to name it"),
        ("x.csv", "text\na,b\n", "x.csv, line 2: it has more values than the header has names"),
        ("x.csv", 'text\n"a', "x.csv, line 1: it cannot be read: "),
        ("x.txt", "\n \n", "{path} has no texts"),
        ("x.txt", "", "{path} has no texts"),
        ("x.md", "a", "{path} cannot be read as texts; what can be: .txt (one text a line), a folder"),
        ("x.parquet", "PAR1", "{path} cannot be read as Parquet: "),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, why):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        TEXT.open(tmp_path / name)
    assert str(caught.value).startswith(why.replace("{path}", str(tmp_path / name)))


def test_rows_of_unknown_class_are_left_out(tmp_path):
    write_table(
        tmp_path / "x.jsonl", [{"text": "a", "label": 0}, {"text": "b", "label": -1}, {"text": "c", "label": 1}]
    )
    texts, data = read(tmp_path / "x.jsonl")
    assert (texts, data.labels.tolist()) == (["a", "c"], [0, 1])
    assert "1 of 3 texts has no class, and is left out" in TEXT.open(tmp_path / "x.jsonl").notes


def test_values_of_a_configuration_decide(tmp_path):
    (tmp_path / "x.txt").write_text("abcdef\nab\n")
    source = TEXT.open(tmp_path / "x.txt", values={"alphabet": "fedcba", "length": 4, "width": 7})
    data = source.decode((4,))
    assert data.samples.tolist() == [[6, 5, 4, 3], [6, 5, 0, 0]]
    assert data.notes[1] == "1 of them is longer and was cut"
    assert source.decode((9,)).values == {"alphabet": "fedcba", "length": 9}
    assert TEXT.open(tmp_path / "x.txt", values={"alphabet": "", "length": None}).values["alphabet"] == "abcdef"
    with pytest.raises(DataError, match=r"^alphabet has 'a' \(U\+0061\) twice; a character has one code$"):
        TEXT.open(tmp_path / "x.txt", values={"alphabet": "aba"})
    with pytest.raises(DataError, match=r"^alphabet is 5; it must be a text of all characters$"):
        TEXT.open(tmp_path / "x.txt", values={"alphabet": 5})
    with pytest.raises(DataError, match=r"^x has texts, \(length,\), but the model makes \(1, 8, 8\)$"):
        source.decode((1, 8, 8))


def test_the_default_length_is_bounded(tmp_path):
    (tmp_path / "x.txt").write_text("a" * 5000 + "\nb\n")
    source = TEXT.open(tmp_path / "x.txt")
    assert source.sample_shape == (1024,)
    assert source.notes[-1] == "the default length is 1,024, and longer texts are cut"


def test_columns_are_for_tables(tmp_path):
    (tmp_path / "x.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"x\.txt has no columns: --column is for tables and data sets on the Hub$"):
        TEXT.open(tmp_path / "x.txt", column="text")
    with pytest.raises(DataError, match=r"has no columns: --label-column is for tables"):
        TEXT.open(tmp_path, label_column="label")
    with pytest.raises(DataError, match="is an empty folder"):
        TEXT.open(_empty(tmp_path))
    with pytest.raises(DataError, match=r"^there is no file or folder .*nowhere\.txt"):
        TEXT.open(tmp_path / "nowhere.txt")


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_every_character_of_unicode_has_a_code():
    texts = ["", "日本語", "a😀b", "\ud800", "e\u0301"]
    alphabet = "".join(sorted(set("".join(texts))))
    codes = encoded(texts, alphabet, 4, str)
    assert [decoded(row, alphabet) for row in codes.tolist()] == texts


# Writing


def test_texts_are_written_one_a_line(tmp_path):
    texts = ["one", "two\nlines", "a\tb\\c", "\u2028é", ""]
    writer, codes = writer_of(texts)
    path = TEXT.write(iter([codes[:2], codes[2:]]), 5, writer, tmp_path / "x.txt")
    assert path.read_bytes().decode() == "one\ntwo\\nlines\na\\tb\\c\n\\u2028é\n\n"


def test_json_lines_keep_every_character(tmp_path):
    texts = ["one", "two\nlines", '"\\', "日本語", "\ud800", ""]
    writer, codes = writer_of(texts)
    TEXT.write([codes], 6, writer, tmp_path / "x.jsonl")
    rows = (tmp_path / "x.jsonl").read_bytes().decode().splitlines()
    assert [json.loads(row) for row in rows] == [{"text": text} for text in texts]
    assert rows[3] == '{"text": "日本語"}'
    assert read(tmp_path / "x.jsonl")[0] == texts[:-1]


def test_an_npz_holds_codes(tmp_path):
    writer, codes = writer_of(["abc", "b"])
    TEXT.write([codes], 2, writer, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["arr_0"].dtype == np.int64
        assert np.array_equal(arrays["arr_0"], codes)


@pytest.mark.parametrize("name", ["x.txt", "x.jsonl", "x.npz"])
def test_what_fails_leaves_nothing(tmp_path, name):
    writer, codes = writer_of(["abc", "b"])
    with pytest.raises(SamplingError, match="there are fewer samples than the 3 requested"):
        TEXT.write([codes], 3, writer, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_generator_decodes_its_codes_itself(tmp_path):
    class Own(Writer):
        def decode(self, codes):
            return [f"<{code[0]}>" for code in codes.tolist()]

    TEXT.write([torch.tensor([[5, 0, 0, 0], [7, 0, 0, 0]])], 2, Own(), tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_text() == "<5>\n<7>\n"


def test_codes_without_a_meaning_are_refused(tmp_path):
    class Wrong(Writer):
        def decode(self, codes):
            return "abc"

    class Mute(Generator):
        kind, sample_shape = "text", (4,)

        def forward(self, z, labels=None):
            return z

    codes = torch.tensor([[1, 0, 0, 0], [4, 0, 0, 0]])
    with pytest.raises(InterfaceError, match=r"^Writer: sample 1 has the code 4; those of its alphabet are 0 to 3$"):
        TEXT.write([codes], 2, Writer(), tmp_path / "x.txt")
    with pytest.raises(InterfaceError, match=r"\.Wrong\.decode must return a list of 2 texts for codes \(2, 4\)$"):
        TEXT.write([codes], 2, Wrong(), tmp_path / "x.txt")
    with pytest.raises(
        InterfaceError, match=r"\.Mute has no decode\(codes\) -> list\[str\]; write one, or give its conf"
    ):
        TEXT.picture(codes, Mute())
    assert not list(tmp_path.iterdir())


def test_samples_are_codes():
    class Soft(Writer):
        def forward(self, z, labels=None):
            return z

    samples = Writer().sample(5)
    assert (samples.dtype, samples.shape) == (torch.int64, (5, 4))
    with pytest.raises(
        InterfaceError, match=r"\.Soft makes texts, and returned torch\.float32; codes are whole numbers"
    ):
        Soft().sample(5)
    assert (TEXT.problem_with((16,)), TEXT.problem_with((1, 16))) == (None, "texts are (length,)")


# Showing


def test_texts_are_shown_in_cells():
    writer, codes = writer_of(["abc", "b", "cab", "ab", "ba"])
    picture = TEXT.picture(codes, writer)
    assert (picture.dtype, picture.shape[2]) == (np.uint8, 1)
    assert picture.min() < 60
    assert picture.max() == 255
    narrow, wide = (TEXT.picture(codes, writer, columns=columns) for columns in (1, 5))
    assert narrow.shape[0] == 5 * (wide.shape[0] - 1) + 1
    assert wide.shape[1] == 5 * (narrow.shape[1] - 1) + 1


def test_letters_of_any_script_and_of_none_are_drawn():
    for text in ("", " ", "日本語", "Привет", "عربى", "😀", "\ud800", "e\u0301\u0301", "\U0010fffd", "x" * 5000):
        picture = lines.draw_texts([text])
        assert picture.shape[1] <= 450
        assert (picture.min() < 120) == bool(text.strip())


def test_what_no_font_has_stands_as_its_code_point(monkeypatch):
    monkeypatch.setattr(lines, "_OTHER_FONTS", ())
    for cached in (lines._other_fonts, lines._font_for):
        cached.cache_clear()
    assert [run for _, run in lines._runs("a日b")] == ["a", "[65E5]", "b"]
    for cached in (lines._other_fonts, lines._font_for):
        cached.cache_clear()


def test_a_long_text_is_broken_and_then_cut():
    assert [len(lines._lines_of("x" * 100)), len(lines._lines_of("x" * 5000))] == [2, 6]
    assert lines._lines_of("x" * 5000)[-1].endswith("x…")


def test_escapes_are_those_of_python():
    assert escaped("a\r\x00\x85\u202eé\\") == r"a\r\x00\x85\u202eé" + "\\"
