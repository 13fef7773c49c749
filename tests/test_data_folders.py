"""Folders and archives of pictures: their structure decides what is used, and nothing is left out in silence."""

from __future__ import annotations

import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from zoo_core.data import decoding, picture_formats, zip_archive
from zoo_core.data.opening import open_images
from zoo_core.errors import DataError


def png(value=0, side=4):
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def make(folder, *names):
    """Write files; the pictures among them are numbered by their colour, in the order given."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number) if picture_formats.is_readable(name) else b"no picture")
    return folder


@pytest.fixture(params=["folder", "zip"])
def pack(request, tmp_path):
    """Make a folder of these files, or an archive: the rules are the same."""

    def packed(*names):
        folder = make(tmp_path / "pets", *names)
        if request.param == "folder":
            return folder
        with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
            for name in names:
                archive.write(folder / name, name)
        return tmp_path / "pets.zip"

    return packed


def numbers(data):
    """The numbers of the pictures, by their colour."""
    return data.samples[:, 0, 0, 0].tolist()


# Structure


def test_words_in_the_names_of_pictures_mean_nothing(pack):
    """Every fifth picture was taken for the training split, and the others left out."""
    names = [f"photo of a train {n}.png" if n % 5 == 0 else f"test-{n}.png" for n in range(20)]
    source = open_images(pack(*names, "train.png", "val_1.png"))
    assert (len(source), source.num_classes, source.pictures.splits) == (22, None, ())
    assert source.notes == (f"22 pictures without classes from {source.pictures.origin}",)


def test_first_level_folders_are_classes_whatever_they_are_called(pack):
    source = open_images(pack("bus/1.png", "car/1.png", "train/1.png", "truck/1.png"))
    data = source.decode((3, 4, 4))
    assert (data.class_names, data.labels.tolist()) == (("bus", "car", "train", "truck"), [0, 1, 2, 3])
    assert source.notes == (f"4 pictures in 4 classes (bus, car, train, truck) from {source.pictures.origin}",)


def test_one_other_folder_makes_classes_of_what_would_be_splits(pack):
    data = open_images(pack("test/1.png", "val/1.png", "dev/1.png", "ship/1.png")).decode((3, 4, 4))
    assert data.class_names == ("dev", "ship", "test", "val")


def test_folders_that_are_all_called_like_splits_are_splits(pack):
    source = pack("train/cat/1.png", "train/dog/2.png", "Test/cat/3.png", "val/dog/4.png", "val/dog/5.png")
    train, test, validation = (open_images(source, split=split) for split in ("train", "test", "validation"))
    assert [len(part) for part in (train, test, validation)] == [2, 1, 2]
    assert (train.pictures.split, train.pictures.splits) == ("train", ("train", "val", "Test"))
    assert train.notes[0].endswith("; split train of train, val, Test")
    assert validation.decode((3, 4, 4)).labels.tolist() == [1, 1]
    assert test.decode((3, 4, 4)).class_names == ("cat", "dog")


def test_a_split_without_classes_beside_one_with_them_is_used(pack):
    source = pack("train/cat/1.png", "train/dog/2.png", "test/3.png", "test/4.png")
    assert (len(open_images(source, split="test")), open_images(source, split="test").num_classes) == (2, None)
    assert open_images(source).num_classes == 2


def test_a_split_that_is_not_there_is_refused_with_those_that_are(pack):
    source = pack("train/1.png", "test/1.png")
    with pytest.raises(DataError, match="has no split 'validation'; its splits are train, test"):
        open_images(source, split="validation")
    only_test = pack("test/1.png")
    if only_test.is_dir():
        only_test = only_test / "test"
        assert len(open_images(only_test)) == 1


def test_a_folder_of_a_test_split_alone_has_no_training_split(tmp_path):
    with pytest.raises(DataError, match=r"pets has no split 'train'; its splits are test"):
        open_images(make(tmp_path / "pets", "test/cat/1.png", "test/dog/1.png"))


def test_without_splits_only_train_means_all(pack):
    source = pack("cat/1.png", "dog/1.png")
    assert len(open_images(source, split="train")) == 2
    with pytest.raises(DataError, match="has no split 'test': it is not divided into splits"):
        open_images(source, split="test")


def test_deeper_folders_belong_to_their_class(pack):
    data = open_images(pack("cat/1.png", "cat/black/old/2.png", "dog/train/3.png")).decode((3, 4, 4))
    assert (data.class_names, data.labels.tolist()) == (("cat", "dog"), [0, 0, 1])


def test_a_folder_that_holds_everything_is_opened(pack):
    """As most archives have one."""
    data = open_images(pack("pets/photos/cat/1.png", "pets/photos/dog/2.png")).decode((3, 4, 4))
    assert data.class_names == ("cat", "dog")


def test_one_folder_is_no_class_and_neither_is_one_beside_pictures(pack):
    assert open_images(pack("cat/1.png", "cat/2.png")).num_classes is None


def test_one_folder_beside_pictures_is_no_class_and_all_are_used(pack):
    source = open_images(pack("1.png", "2.png", "more/3.png"))
    assert (len(source), source.num_classes, len(source.notes)) == (3, None, 1)


def test_classes_and_pictures_are_in_the_order_of_names(pack):
    data = open_images(pack("10/2.png", "10/10.png", "2/b.png", "B/1.png", "a/1.png")).decode((3, 4, 4))
    assert (data.class_names, data.labels.tolist()) == (("10", "2", "B", "a"), [0, 0, 1, 2, 3])
    assert numbers(data) == [1, 0, 2, 3, 4]


# What is not used


def test_every_file_that_is_not_used_is_counted(pack):
    source = open_images(pack("cat/1.png", "cat/1.txt", "dog/2.png", "dog/2.TXT", "labels.csv", "LICENSE", "x.json"))
    assert source.notes[1:] == (
        "5 files are no pictures and are not used: 2 .txt, 1 .csv, 1 without a suffix, 1 .json",
    ) or (
        sorted(source.notes[1].removeprefix("5 files are no pictures and are not used: ").split(", "))
        == ["1 .csv", "1 .json", "1 without a suffix", "2 .txt"]
    )


def test_pictures_beside_the_folders_of_classes_are_left_out_by_name(pack):
    source = open_images(pack("cat/1.png", "dog/2.png", "a.png", "b.png", "c.png", "d.png"))
    assert len(source) == 2
    assert source.notes[1:] == (
        "4 pictures left out: a.png, b.png, c.png, … lie beside the folders of the classes, and in none",
    )


def test_pictures_beside_the_folders_of_splits_are_left_out_by_name(pack):
    source = open_images(pack("train/1.png", "test/2.png", "cover.png"))
    assert (len(source), source.notes[1:]) == (
        1,
        ("1 picture left out: cover.png lies beside the folders of the splits, and in none of them",),
    )


def test_the_litter_of_systems_is_passed_over_and_other_hidden_files_are_counted(pack):
    source = open_images(
        pack(
            "a.png", ".DS_Store", "Thumbs.db", "__MACOSX/._a.png", "._a.png", ".git/x.png", "@eaDir/a.png", ".mine.png"
        )
    )
    assert (len(source), source.notes[1:]) == (1, ("1 hidden file is not used",))


def test_formats_that_are_not_read_here_are_named_with_what_to_install(pack, monkeypatch):
    monkeypatch.setattr(picture_formats, "register_plugins", lambda suffix="": False)
    source = open_images(pack("a.png", "b.heic", "c.HEIC", "d.jxl", "e.svg"))
    assert source.notes[1:] == (
        "4 pictures in a format that is not read here, left out: 2 .heic (pip install pillow-heif), 1 .jxl (pip install "
        "pillow-jxl-plugin), 1 .svg (convert them to PNG)",
    )


def test_nothing_but_unreadable_formats_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_formats, "register_plugins", lambda suffix="": False)
    make(tmp_path / "pets", "cat/1.heic", "dog/1.heic", "notes.txt")
    with pytest.raises(DataError) as caught:
        open_images(tmp_path / "pets")
    assert str(caught.value) == (
        f"the folder {tmp_path / 'pets'} has no pictures that can be read; 2 pictures in a format that is not read here, "
        "left out: 2 .heic (pip install pillow-heif); 1 file is no picture and is not used: 1 .txt"
    )


def test_unreadable_pictures_still_make_a_folder_a_class(tmp_path, monkeypatch):
    """Else `ship` would not count, and the others would be splits."""
    monkeypatch.setattr(picture_formats, "register_plugins", lambda suffix="": False)
    source = open_images(make(tmp_path / "pets", "train/1.png", "test/1.png", "ship/1.heic"))
    assert (len(source), source.decode((3, 4, 4)).class_names) == (2, ("test", "train"))


def test_an_installed_plugin_for_a_format_is_used(tmp_path, monkeypatch):
    """With a format that no library has, and a plugin for it."""
    picture_formats.register_plugins.cache_clear()
    monkeypatch.setitem(picture_formats.WITH_PLUGINS, ".zooimg", ("pillow-zooimg", "pillow_zooimg"))
    opened = []

    def accept(prefix):
        return prefix.startswith(b"ZOO")

    def open_(file, name):
        opened.append(name)
        with file:
            file.seek(3)
            return Image.open(io.BytesIO(file.read()))

    plugin = types.ModuleType("pillow_zooimg")
    plugin.register_heif_opener = lambda: Image.register_open("ZOOIMG", open_, accept)
    monkeypatch.setitem(sys.modules, "pillow_zooimg", plugin)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    (tmp_path / "a.zooimg").write_bytes(b"ZOO" + png(7))
    assert numbers(open_images(tmp_path).decode((3, 4, 4))) == [7]
    assert opened
    picture_formats.register_plugins.cache_clear()


# Folders on disk


@pytest.mark.parametrize("name", ["a[12]", "[2024] pics", "a*b", "a?", "{a,b}", "ünï", "a b#1%20"])
def test_the_name_of_a_folder_is_taken_literally(tmp_path, name, monkeypatch):
    make(tmp_path / name, *(f"{number}.png" for number in range(3)))
    for other in ("a1", "a2", "axb", "2 pics"):
        make(tmp_path / other, "other.png")
    monkeypatch.chdir(tmp_path)
    source = open_images(name)
    assert (len(source), source.name) == (3, name)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_and_each_folder_is_visited_once(tmp_path):
    make(tmp_path / "elsewhere", "cat/1.png", "dog/2.png", "dog/3.png")
    folder = tmp_path / "pets"
    folder.mkdir()
    for name in ("cat", "dog"):
        (folder / name).symlink_to(tmp_path / "elsewhere" / name)
    (folder / "cat" / "circle").symlink_to(folder)
    (folder / "fish").mkdir()
    (folder / "fish" / "4.png").symlink_to(tmp_path / "elsewhere" / "dog" / "2.png")
    data = open_images(folder).decode((3, 4, 4))
    assert (data.class_names, data.labels.tolist()) == (("cat", "dog", "fish"), [0, 1, 1, 2])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_broken_link_is_a_damaged_picture(tmp_path):
    make(tmp_path / "pets", "a.png")
    (tmp_path / "pets" / "b.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"^pets/b\.png: the picture cannot be decoded: No such file or directory"):
        open_images(tmp_path / "pets")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    make(tmp_path / "pets", "a.png")
    os.mkfifo(tmp_path / "pets" / "b.png")
    assert len(open_images(tmp_path / "pets")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_in_utf8_are_read_as_latin_1(tmp_path):
    for name in (b"caf\xe9", b"bar"):
        folder = tmp_path / "pets" / os.fsdecode(name)
        folder.mkdir(parents=True)
        (folder / os.fsdecode(b"cr\xe8me.png")).write_bytes(png())
    data = open_images(tmp_path / "pets").decode((3, 4, 4))
    assert data.class_names == ("bar", "café")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    make(tmp_path / "pets", "cat/1.png", "dog/1.png")
    (tmp_path / "pets" / "dog").chmod(0)
    with pytest.raises(DataError, match="dog cannot be read: Permission denied"):
        open_images(tmp_path / "pets")


def test_a_missing_path_is_told_with_a_close_name(tmp_path, monkeypatch):
    make(tmp_path / "pictures", "a.png")
    with pytest.raises(DataError, match=r"there is no file or folder .*picture; did you mean pictures"):
        open_images(tmp_path / "picture")
    monkeypatch.chdir(tmp_path)
    for name in ("./pics", "pics.zip", "a/b/c", "~/no-such-folder-here", "pics[1]", "a pics"):
        with pytest.raises(DataError, match="there is no file or folder"):
            open_images(name)


def test_a_single_picture_is_no_data_set(tmp_path):
    make(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"a\.png is a single picture; give the folder"):
        open_images(tmp_path / "a.png")


# Archives


def archive(tmp_path, **members):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return tmp_path / "pets.zip"


def test_names_that_lead_out_of_an_archive_lead_nowhere(tmp_path):
    names = {
        "../../cat/1.png": png(1),
        "/etc/dog/2.png": png(2),
        "C:\\cat\\3.png": png(3),
        "..": b"",
        "mouse/4.png": png(4),
    }
    before = sorted(tmp_path.parent.iterdir())
    source = open_images(archive(tmp_path, **names))
    assert len(source) == 4
    assert sorted(numbers(source.decode((3, 4, 4)))) == [1, 2, 3, 4]
    assert sorted(tmp_path.parent.iterdir()) == before


def test_a_class_whose_name_moves_the_cursor_is_refused(tmp_path):
    source = open_images(archive(tmp_path, **{"cat\x1b[31m/4.png": png(4), "dog/5.png": png(5)}))
    assert "\x1b" not in "".join(source.notes)
    with pytest.raises(
        DataError, match=r"^the class 'cat\[31m' has U\+001B in its name, which shows nothing; rename it$"
    ):
        source.decode((3, 4, 4))


def test_a_picture_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_archive, "MOST_BYTES", 2**20)
    path = archive(tmp_path, **{"a.png": png(), "b.png": png() + bytes(2**20)})
    with pytest.raises(DataError, match=r"^pets\.zip/b\.png: it has 1,048,\d+ bytes unpacked, too many for a picture$"):
        open_images(path)
    assert len(open_images(path, skip_damaged=True)) == 1


def test_a_damaged_member_is_named_and_can_be_left_out(tmp_path):
    path = archive(tmp_path, **{"a.png": png(1), "b.png": png(2), "c.png": b""})
    content = bytearray(path.read_bytes())
    start = content.index(b"b.png") + 5
    content[start + 10 : start + 20] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^pets\.zip/b\.png: it cannot be unpacked: .*; 1 more cannot be read either$"):
        open_images(path)
    source = open_images(path, skip_damaged=True)
    assert numbers(source.decode((3, 4, 4))) == [1]
    assert "2 of 3 pictures are damaged and left out: pets.zip/b.png, pets.zip/c.png" in source.notes


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all" * 10])
def test_a_file_that_is_no_archive_is_one_line(tmp_path, content):
    (tmp_path / "pets.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.zip is no \.zip that can be read: "):
        open_images(tmp_path / "pets.zip")


def test_an_archive_without_pictures_is_refused_and_says_what_it_has(tmp_path):
    with pytest.raises(
        DataError, match=r"pets\.zip has no pictures that can be read; 1 file is no picture and is not used: 1"
    ):
        open_images(archive(tmp_path, **{"a.txt": "a"}))


def test_an_encrypted_archive_is_refused(tmp_path):
    path = archive(tmp_path, **{"a.png": png()})
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\3\4") + 6, content.index(b"PK\1\2") + 8):
        content[start] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.zip/a\.png: it is encrypted; unpack .*pets\.zip into a folder"):
        open_images(path)


def test_an_archive_is_sent_to_the_workers_without_its_open_file(tmp_path):
    pictures = open_images(archive(tmp_path, **{"a.png": png(5), "b.png": png(6)})).pictures
    assert pickle.loads(pickle.dumps(pictures)).read([1]) == pictures.read([1])


def test_too_little_memory_is_no_damage_that_may_be_left_out(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(1))

    def needs_more(*_):
        raise MemoryError

    monkeypatch.setattr(decoding.PictureDecoder, "pixels_of", needs_more)
    with pytest.raises(MemoryError):
        open_images(tmp_path, skip_damaged=True).decode((3, 4, 4))
