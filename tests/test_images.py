"""Pictures and arrays on disk: whole or not at all, and never stretched."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core import Generator
from zoo_core.errors import OutputError, SamplingError
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.formats import Format
from zoo_core.kinds.image import FORMATS, ImageKind
from zoo_core.kinds.output import check_output, write_samples
from zoo_core.kinds.pictures import grid, to_uint8


class Grey(Generator):
    latent_shape, sample_shape = (1,), (1, 4, 4)

    def forward(self, z, labels=None):
        raise AssertionError("writing needs no sampling")


def made(shape=(1, 4, 4), kind="image"):
    """A generator of such samples, for functions that write what it has made."""
    return type("Made", (Grey,), {"sample_shape": shape, "kind": kind})()


def batches(n, shape=(1, 4, 4), batch=3):
    """Sample i is i / 255 everywhere."""
    values = torch.arange(n).reshape(n, *[1] * len(shape)).expand(n, *shape) / 255
    return iter(values.split(batch))


def test_12_values_are_rounded_to_the_nearest_and_clamped():
    values = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 1.5, -0.2]).reshape(7, 1, 1, 1)
    assert to_uint8(values).flatten().tolist() == [0, 0, 1, 128, 255, 255, 0]


def test_12_contrast_is_not_stretched():
    assert to_uint8(torch.full((2, 1, 2, 2), 0.5)).max() == 128


def test_channels_come_last():
    image = torch.zeros(1, 3, 2, 2)
    image[0, 2] = 1
    assert to_uint8(image)[0, 0, 0].tolist() == [0, 0, 255]


def test_a_grid_is_filled_row_by_row():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(3, 1).repeat(3, 2) + 10
    canvas = grid(pictures)
    assert canvas.shape == (2 * 5 + 2, 3 * 5 + 2, 1)
    centres = [int(canvas[3 + 5 * (i // 3), 3 + 5 * (i % 3), 0]) for i in range(6)]
    assert centres == [10, 11, 12, 13, 14, 0]


def test_a_png_is_one_grid(tmp_path):
    out = write_samples(batches(10), 10, made(), tmp_path / "a.png")
    picture = np.asarray(Image.open(out))
    assert picture.shape == (3 * 6 + 2, 4 * 6 + 2)
    assert [int(picture[3, 3 + 6 * i]) for i in range(4)] == [0, 1, 2, 3]


def test_an_npz_holds_arr_0_as_fid_tools_read_it(tmp_path):
    out = write_samples(batches(10, (3, 4, 5)), 10, made((3, 4, 5)), tmp_path / "a.npz")
    with np.load(out) as archive:
        assert archive.files == ["arr_0"]
        assert (archive["arr_0"].shape, archive["arr_0"].dtype) == ((10, 4, 5, 3), np.uint8)
        assert archive["arr_0"][:, 0, 0, 0].tolist() == list(range(10))


def test_tensors_are_kept_as_float32(tmp_path):
    out = write_samples(batches(4, (2,)), 4, made((2,), "tensor"), tmp_path / "a.npz")
    with np.load(out) as archive:
        assert archive["arr_0"].dtype == np.float32
        assert np.allclose(archive["arr_0"][:, 1], np.arange(4) / 255)


def test_the_same_samples_make_the_same_bytes(tmp_path):
    files = [write_samples(batches(5), 5, made(), tmp_path / f"{n}.npz") for n in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_holds_numbered_pictures(tmp_path, exists):
    if exists:
        (tmp_path / "out").mkdir()
    out = write_samples(batches(4), 4, made(), tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == [f"{i:06d}.png" for i in range(4)]
    assert np.asarray(Image.open(out / "000003.png")).tolist() == [[3] * 4] * 4


@pytest.mark.parametrize("name", ["a.png", "a.npz", "folder"])
def test_nothing_half_written_stays_when_sampling_fails(tmp_path, name):
    def failing():
        yield torch.zeros(3, 1, 4, 4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(failing(), 6, made(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_when_sampling_fails(tmp_path):
    (tmp_path / "a.npz").write_text("older")

    def failing():
        raise OSError(28, "No space left on device")
        yield

    with pytest.raises(OutputError, match=r"a\.npz cannot be written: No space left on device"):
        write_samples(failing(), 6, made(), tmp_path / "a.npz")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.npz", "older")]


def test_what_cannot_be_written_is_said_before_anything_is_sampled(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "dir.png").mkdir()
    cases = [
        ("a.jpg", "image", 1, r"makes pictures; use a name in \.png \(a grid\), .*, or of a folder \(PNG files\)$"),
        ("a.png", "tensor", 1, r"makes tensors; use a name in \.npz \(an array\), .* or in \.csv \(a vector a row\)$"),
        ("folder", "tensor", 1, r"makes tensors; use a name in \.npz"),
        ("a.png", "image", 10_001, r"10,001 pictures are too many for one grid"),
        ("nowhere/a.png", "image", 1, r"there is no folder"),
        ("full", "image", 1, r"exists already and is not an empty folder"),
        ("dir.png", "image", 1, r"it is a folder"),
    ]
    for name, kind, n, problem in cases:
        with pytest.raises(OutputError, match=problem):
            check_output(tmp_path / name, kind_named(kind), n)


def test_a_name_is_that_of_a_folder_without_a_suffix_with_a_slash_or_where_one_is(tmp_path):
    (tmp_path / "v1.2").mkdir()
    for name in ("folder", "v1.3/", "a.png/", "v1.2"):
        assert check_output(f"{tmp_path}/{name}", kind_named("image"), 1).suffix == "/"
    suffixes = [check_output(tmp_path / name, kind_named("image"), 1).suffix for name in ("a.png", "A.PNG", "a.npz")]
    assert suffixes == [".png", ".png", ".npz"]
    out = write_samples(batches(2), 2, made(), f"{tmp_path}/v1.3/")
    assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png"]


def test_an_entry_in_the_table_is_all_that_a_format_takes(tmp_path, monkeypatch):
    def write(arrays, layout, path):
        path.write_text(f"{layout.count} of {layout.item_shape}: {[len(array) for array in arrays]}")

    def few(n, sample_shape):
        return "a text holds nine pictures" if n > 9 else None

    formats = {**FORMATS, ".txt": Format(words="in words", write=write, problem=few)}
    monkeypatch.setattr(ImageKind, "formats", formats)
    monkeypatch.setattr(ImageKind, "suffixes", {suffix: format.words for suffix, format in formats.items()})
    assert write_samples(batches(5), 5, made(), tmp_path / "a.TXT").read_text() == "5 of (4, 4, 1): [3, 2]"
    with pytest.raises(OutputError, match=r"a\.txt cannot be written: a text holds nine pictures; use a name in \.png"):
        check_output("a.txt", kind_named("image"), 10)


@pytest.mark.parametrize(("given", "problem"), [(4, "fewer samples than the 5"), (8, "more samples than the 5")])
@pytest.mark.parametrize("name", ["a.png", "a.npz", "folder"])
def test_another_number_of_samples_than_was_said_is_not_written(tmp_path, name, given, problem):
    with pytest.raises(SamplingError, match=problem):
        write_samples(batches(given), 5, made(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "folder"])
def test_pictures_of_other_than_one_or_three_channels_go_into_an_npz(tmp_path, name):
    with pytest.raises(OutputError, match=r"a PNG has 1 or 3 channels, not 4; use a name in \.npz"):
        write_samples(batches(2, (4, 2, 2)), 2, made((4, 2, 2)), tmp_path / name)
    with np.load(write_samples(batches(2, (4, 2, 2)), 2, made((4, 2, 2)), tmp_path / "a.npz")) as archive:
        assert archive["arr_0"].shape == (2, 2, 2, 4)


def test_a_folder_that_was_filled_while_samples_were_made_is_kept(tmp_path):
    (tmp_path / "out").mkdir()

    def while_someone_writes():
        (tmp_path / "out" / "other").write_text("kept")
        yield from batches(2)

    with pytest.raises(OutputError, match="out cannot be written: Directory not empty"):
        write_samples(while_someone_writes(), 2, made(), tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/other"]


@pytest.mark.parametrize("failing", [False, True])
def test_an_empty_folder_is_still_there_when_sampling_fails(tmp_path, failing):
    (tmp_path / "out").mkdir()

    def none():
        if failing:
            raise KeyboardInterrupt
        yield from ()

    with pytest.raises((KeyboardInterrupt, SamplingError)):
        write_samples(none(), 2, made(), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_in_a_png_does_not_depend_on_how_it_was_batched(tmp_path):
    files = [
        write_samples(batches(10, (3, 4, 4), size), 10, made((3, 4, 4)), tmp_path / f"{size}.png") for size in (1, 7)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_writing_is_prepared_without_torch_numpy_or_pillow(run_python):
    script = """
        import sys
        from zoo_core.kinds.output import check_output
        from zoo_core.kinds.by_name import kind_named
        check_output("a.png", kind_named("image"), 1, (1, 8, 8))
        print(sorted({"torch", "numpy", "PIL"} & sys.modules.keys()))
    """
    assert run_python(script) == ["[]"]
