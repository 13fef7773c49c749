"""Pictures and arrays on disk: whole or not at all, and never stretched."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from zoo_core import Generator
from zoo_core.errors import OutputError, SamplingError
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.films import write_film
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


# Formats of pictures


WIDE = torch.linspace(0, 1, 5 * 3 * 4 * 10).reshape(5, 3, 4, 10)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_a_grid_of_wide_pictures_shows_each_pixel_by_pixel(suffix, tmp_path):
    out = write_samples([WIDE], 5, made((3, 4, 10)), tmp_path / f"a{suffix}")
    with Image.open(out) as picture:
        assert (picture.size, picture.format) == ((3 * 12 + 2, 2 * 6 + 2), suffix[1:].upper())
        shown = np.asarray(picture)
    assert np.array_equal(shown[8:12, 14:24], to_uint8(WIDE)[4])


def test_wide_pictures_keep_their_shape_in_arrays_and_folders(tmp_path):
    with np.load(write_samples([WIDE], 5, made((3, 4, 10)), tmp_path / "a.npz")) as archive:
        assert np.array_equal(archive["arr_0"], to_uint8(WIDE))
    folder = write_samples([WIDE], 5, made((3, 4, 10)), tmp_path / "folder")
    assert np.array_equal(np.asarray(Image.open(folder / "000002.png")), to_uint8(WIDE)[2])


def test_a_gif_shows_one_sample_after_the_other(tmp_path):
    files = [write_samples(WIDE.split(size), 5, made((3, 4, 10)), tmp_path / f"{size}.gif") for size in (2, 5)]
    assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (5, (10, 4), 0)
        film.seek(3)
        apart = np.asarray(film.convert("RGB")).astype(int) - to_uint8(WIDE)[3]
    assert abs(apart).max() <= 8  # 200 colours in a palette of 255


def test_the_same_pictures_make_the_same_bytes_in_every_format(tmp_path):
    for suffix in (".png", ".webp", ".gif", ".npz"):
        files = [write_samples([WIDE], 5, made((3, 4, 10)), tmp_path / f"{name}{suffix}") for name in "ab"]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("name", "n", "shape", "problem"),
    [
        ("a.webp", 10_000, (1, 200, 28), r"a WebP has at most 16,383 pixels on a side, .* 3,002 x 20,202; .* \.png"),
        ("a.gif", 1, (1, 4, 70_000), r"a GIF has at most 65,535 pixels on a side, and this picture is 70,000 x 4"),
        ("a.gif", 10_001, (1, 4, 4), r"10,001 pictures are too many for one film"),
        (
            "a.webp",
            10_001,
            (1, 4, 4),
            r"too many for one grid \(10,000 at most\); use a name in \.npz \(an array\) or of",
        ),
        ("a.gif", 1, (2, 4, 4), r"a GIF has 1 or 3 channels, not 2; use a name in \.npz \(an array\)$"),
        ("a.webp", 1, (4, 4, 4), r"a WebP has 1 or 3 channels, not 4; use a name in \.npz"),
    ],
)
def test_what_a_format_cannot_hold_is_said_with_one_that_can(name, n, shape, problem):
    with pytest.raises(OutputError, match=problem):
        check_output(name, kind_named("image"), n, shape)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_of_frames_of_several_sizes_shows_all_on_black(suffix, tmp_path):
    frames = [np.full((4, 6, 1), 200, np.uint8), np.full((8, 3, 3), 90, np.uint8)]
    write_film(frames, tmp_path / f"a{suffix}", milliseconds=50, last=700)
    with Image.open(tmp_path / f"a{suffix}") as film:
        assert (film.n_frames, film.size) == (2, (6, 8))
        film.seek(1)
        film.load()
        assert film.info["duration"] == 700
        shown = np.asarray(film.convert("L"))
    assert abs(int(shown[7, 2]) - 90) < 3
    assert shown[7, 5] == 0


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_that_is_too_large_is_refused_in_one_line(suffix, tmp_path):
    with pytest.raises(OutputError, match=r"pixels on a side, and this picture is 70,000 x 1; use a name in \.png"):
        write_film([np.zeros((1, 70_000, 1), np.uint8)] * 2, tmp_path / f"a{suffix}", milliseconds=50, last=50)
    assert list(tmp_path.iterdir()) == []


# Formats of tensors


VALUES = {
    "float32": torch.linspace(-1, 1, 10).reshape(5, 2),
    "float64": torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(5, 2) / 3,
    "int64": torch.arange(10).reshape(5, 2) - 2**62,
    "uint8": torch.arange(10, dtype=torch.uint8).reshape(5, 2),
    "bool": torch.arange(10).reshape(5, 2) % 3 == 0,
}


@pytest.mark.parametrize("dtype", VALUES)
def test_tensors_keep_their_dtype_and_every_bit_in_every_format(dtype, tmp_path):
    values = VALUES[dtype]
    for suffix in (".npz", ".npy", ".safetensors", ".csv"):
        write_samples(values.split(2), 5, made((2,), "tensor"), tmp_path / f"a{suffix}")
    with np.load(tmp_path / "a.npz") as archive:
        arrays = [
            archive["arr_0"],
            np.load(tmp_path / "a.npy"),
            load_file(tmp_path / "a.safetensors")["samples"].numpy(),
        ]
    for array in arrays:
        assert array.dtype.name == dtype
        assert np.array_equal(array, values.numpy())
    rows = np.loadtxt(tmp_path / "a.csv", delimiter=",", dtype=int if dtype == "bool" else array.dtype)
    assert np.array_equal(rows, values.numpy())


def test_tensors_of_more_or_fewer_dimensions_than_a_vector(tmp_path):
    numbers = torch.arange(4.0)
    write_samples([numbers], 4, made((), "tensor"), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "0.0\n1.0\n2.0\n3.0\n"
    write_samples([torch.zeros(2, 3, 4)], 2, made((3, 4), "tensor"), tmp_path / "a.safetensors")
    assert load_file(tmp_path / "a.safetensors")["samples"].shape == (2, 3, 4)
    with pytest.raises(
        OutputError, match=r"a row of a table is a vector, and these samples are 3 x 4; use a name in \.npz"
    ):
        write_samples([torch.zeros(2, 3, 4)], 2, made((3, 4), "tensor"), tmp_path / "b.csv")


def test_complex_values_are_arrays_and_no_safetensors(tmp_path):
    values = torch.complex(torch.arange(3.0), torch.ones(3))[:, None]
    out = write_samples([values], 3, made((1,), "tensor"), tmp_path / "a.npy")
    assert np.array_equal(np.load(out), values.numpy())
    with pytest.raises(OutputError, match=r"b\.safetensors cannot be written: a \.safetensors holds no complex64"):
        write_samples([values], 3, made((1,), "tensor"), tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
