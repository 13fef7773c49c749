"""Arrays of pictures: .npz, .npy and the idx files of MNIST."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo_core.data import pixel_arrays
from zoo_core.data.opening import open_images
from zoo_core.errors import DataError
from zoo_core.kinds.output import write_samples

GREY = np.arange(5 * 6 * 6, dtype=np.uint8).reshape(5, 6, 6)
COLOUR = np.arange(4 * 6 * 6 * 3, dtype=np.uint32).astype(np.uint8).reshape(4, 6, 6, 3)


def samples(path, channels, **how):
    return open_images(path, **how).decode((channels, 6, 6)).samples.numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_what_zoo_sample_writes_is_read_as_it_was_made(tmp_path, channels):
    made = torch.randint(0, 256, (7, channels, 6, 6)) / 255
    generator = SimpleNamespace(kind="image", sample_shape=(channels, 6, 6))
    write_samples([made], 7, generator, tmp_path / "x.npz")
    source = open_images(tmp_path / "x.npz")
    assert (len(source), source.square_shape, source.num_classes) == (7, (channels, 6, 6), None)
    assert torch.equal(source.decode((channels, 6, 6)).samples, (made * 255).round().to(torch.uint8))
    assert source.notes == (f"7 pictures without classes from {tmp_path / 'x.npz'}",)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (COLOUR, COLOUR.transpose(0, 3, 1, 2)),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2)),
        (GREY > 90, np.where(GREY > 90, 255, 0)[:, None]),
        (GREY / 255, GREY[:, None]),
        (GREY.astype(np.float32) / 255, GREY[:, None]),
        (GREY.astype(np.int64), GREY[:, None]),
        (GREY.astype(np.uint16) * 257, GREY[:, None]),
        (GREY.astype(np.uint16) * 16, np.round(GREY * (16 * 255 / 4095))[:, None].astype(np.uint8)),  # 12 bits
    ],
)
def test_arrays_of_every_type_that_can_be_pixels(tmp_path, array, expected):
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", array)
    for name in ("x.npy", "x.npz"):
        assert np.array_equal(samples(tmp_path / name, expected.shape[1]), expected)


def test_what_becomes_white_of_16_bits_is_said(tmp_path):
    np.save(tmp_path / "x.npy", GREY.astype(np.uint16) * 16)
    assert (
        "16-bit pixels were scaled to 8 bits: 0 became black and 4,095 white" in open_images(tmp_path / "x.npy").notes
    )


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (
            GREY.astype(np.float32),
            "float32 values from 0 to 179; pictures have whole numbers from 0 to 255, or floating",
        ),
        (GREY / 100 - 1, r"float64 values from -1 to 0\.79"),
        (np.full((2, 6, 6), np.nan), "float64 values from nan to nan"),
        (GREY.astype(np.int32) * 100, "int32 values from 0 to 17900"),
        (np.zeros((2, 6, 6), "c8"), "an array of complex64, not of pixels"),
        (np.zeros((6, 6), np.uint8), r"an array of shape \(6, 6\); pictures are \(N, H, W\)"),
        (np.zeros((2, 5, 6, 7), np.uint8), r"an array of shape \(2, 5, 6, 7\)"),
        (np.zeros((0, 6, 6), np.uint8), r"an array of shape \(0, 6, 6\)"),
        (np.array([[["a"]]], object), "cannot be read as arrays of NumPy: "),
    ],
)
def test_arrays_that_are_no_pixels_are_refused(tmp_path, array, problem):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=problem):
        open_images(tmp_path / "x.npy")


def test_labels_of_an_npz_are_classes(tmp_path):
    np.savez(tmp_path / "x.npz", images=GREY, labels=np.array(["dog", "cat", "dog", "cat", "dog"]))
    data = open_images(tmp_path / "x.npz").decode((1, 6, 6))
    assert (data.labels.tolist(), data.class_names) == ([1, 0, 1, 0, 1], ("cat", "dog"))


def test_arrays_called_after_splits_are_splits(tmp_path):
    np.savez(
        tmp_path / "x.npz",
        train_images=GREY, train_labels=np.array([[3], [1], [3], [1], [3]]), test_images=GREY[:2], test_labels=[3, 4],
    )  # fmt: skip
    train, test = (open_images(tmp_path / "x.npz", split=split) for split in ("train", "test"))
    assert (len(train), train.decode((1, 6, 6)).labels.tolist(), train.pictures.class_names()) == (
        5,
        [1, 0, 1, 0, 1],
        ("1", "3"),
    )
    assert (len(test), test.decode((1, 6, 6)).labels.tolist()) == (2, [1, 2])
    assert train.notes[0].endswith("; split train of train, test")
    with pytest.raises(DataError, match="has no split 'validation'; its splits are train, test"):
        open_images(tmp_path / "x.npz", split="validation")


def test_several_arrays_of_pictures_are_refused_with_their_shapes(tmp_path):
    np.savez(tmp_path / "x.npz", a=GREY, b=COLOUR)
    with pytest.raises(DataError, match=r"one array of pictures.*its arrays: a \(5, 6, 6\), b \(4, 6, 6, 3\)"):
        open_images(tmp_path / "x.npz")


def test_an_array_without_splits_is_the_training_split_alone(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    np.savez(tmp_path / "x.npz", GREY)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="has no split 'test': it is not divided into splits"):
            open_images(tmp_path / name, split="test")


def test_an_array_that_states_more_than_there_is_memory_for_is_refused(tmp_path, monkeypatch):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**6, 3)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("arr_0.npy", header.getvalue())
    with pytest.raises(DataError, match=r"takes 3\.0 PB|takes .*, and there is memory for"):
        open_images(tmp_path / "x.npz")
    monkeypatch.setattr(pixel_arrays, "available_memory", lambda: 1)
    with pytest.raises(DataError, match="and there is memory for 0"):
        open_images(idx(tmp_path / "train-images-idx3-ubyte", GREY))


@pytest.mark.parametrize("name", ["x.npz", "x.npy"])
@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x93NUMPY\1\0"])
def test_damaged_files_of_numpy_are_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} cannot be read as arrays of NumPy: "):
        open_images(tmp_path / name)


def test_an_array_is_read_again_in_the_workers(tmp_path):
    np.savez(tmp_path / "x.npz", images=GREY)
    pictures = open_images(tmp_path / "x.npz").pictures
    sent = pickle.dumps(pictures)
    assert len(sent) < GREY.nbytes * 10
    assert np.array_equal(pickle.loads(sent).read([3])[0].pixels, GREY[3])


# idx


def idx(path, array):
    content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("ending", ["-idx{}-ubyte", ".idx{}-ubyte", "-idx{}-ubyte.gz"])
def test_a_folder_as_mnist_comes(tmp_path, ending):
    for split, count in (("train", 5), ("t10k", 3)):
        idx(tmp_path / "mnist" / f"{split}-images{ending.format(3)}", GREY[:count])
        idx(tmp_path / "mnist" / f"{split}-labels{ending.format(1)}", np.arange(count, dtype=np.uint8) % 2)
    train, test = (open_images(tmp_path / "mnist", split=split) for split in ("train", "test"))
    assert [(len(part), part.square_shape, part.num_classes, part.name) for part in (train, test)] == [
        (5, (1, 6, 6), 2, "mnist"),
        (3, (1, 6, 6), 2, "mnist"),
    ]
    data = train.decode((1, 6, 6))
    assert np.array_equal(data.samples[:, 0].numpy(), GREY)
    assert data.labels.tolist() == [0, 1, 0, 1, 0]
    alone = open_images(tmp_path / "mnist" / f"t10k-images{ending.format(3)}")
    assert (len(alone), alone.num_classes) == (3, 2)


def test_letters_are_numbered_from_one_and_make_no_class_zero(tmp_path):
    idx(tmp_path / "letters-train-images-idx3-ubyte", GREY)
    idx(tmp_path / "letters-train-labels-idx1-ubyte", np.array([1, 26, 2, 1, 2], np.uint8))
    source = open_images(tmp_path / "letters-train-images-idx3-ubyte")
    assert (source.num_classes, source.pictures.class_names()) == (3, ("1", "2", "26"))


def test_an_idx_file_without_labels_beside_it_has_no_classes(tmp_path):
    source = open_images(idx(tmp_path / "digits" / "images-idx3-ubyte.gz", GREY))
    assert (len(source), source.num_classes, source.name) == (5, None, "digits")


def test_damaged_idx_files_are_one_line(tmp_path):
    path = idx(tmp_path / "train-images-idx3-ubyte", GREY)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(DataError, match="is cut off: it has 173 of 180 bytes"):
        open_images(path)
    path.write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(DataError, match="cannot be read as an idx file: "):
        open_images(path)
    path.write_bytes(whole)
    idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(4, np.uint8))
    with pytest.raises(DataError, match="there are 4 labels for 5 pictures"):
        open_images(path)
    with pytest.raises(DataError, match="is no idx file of pictures: these have 3 dimensions of unsigned bytes"):
        open_images(tmp_path / "train-labels-idx1-ubyte")
