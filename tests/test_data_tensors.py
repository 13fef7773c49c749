"""Tensors of any shape in files: what is read of .npz, .npy, .safetensors and .csv, and what is refused in one line."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zoo_core.data.tensor_files import read_tensors
from zoo_core.errors import DataError
from zoo_core.kinds.by_name import kind_named

VALUES = np.arange(24, dtype=np.float32).reshape(6, 4) / 8
LABELS = ["b", "a", "b", "b", "a", "a"]


def table(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".csv"])
def test_what_is_written_is_read_again(suffix, tmp_path):
    path = tmp_path / f"values{suffix}"
    if suffix == ".npy":
        np.save(path, VALUES)
    elif suffix == ".npz":
        np.savez(path, VALUES)
    elif suffix == ".safetensors":
        save_file({"samples": torch.from_numpy(VALUES)}, path)
    else:
        np.savetxt(path, VALUES, delimiter=",")
    data = read_tensors(path)
    assert data.samples.equal(torch.from_numpy(VALUES))
    assert (data.name, data.labels, data.notes) == ("values", None, (f"6 tensors of 4 from {path}",))
    assert data.values == {"features": 4}


def test_only_vectors_state_their_features(tmp_path):
    np.save(tmp_path / "matrices.npy", VALUES.reshape(3, 4, 2))
    assert read_tensors(tmp_path / "matrices.npy").values == {}


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_their_own_type_is_kept(dtype, tmp_path):
    np.save(tmp_path / "codes.npy", np.ones((3, 2, 2), dtype))
    assert read_tensors(tmp_path / "codes.npy").samples.dtype == torch.from_numpy(np.zeros(1, dtype)).dtype


def test_a_table_of_whole_numbers_has_codes_and_any_other_has_floats(tmp_path):
    assert read_tensors(table(tmp_path / "codes.csv", "1,-2", "3,4")).samples.tolist() == [[1, -2], [3, 4]]
    data = read_tensors(table(tmp_path / "floats.csv", "1,-2", "3,4e-1", ""))
    assert (data.samples.dtype, data.samples.tolist()[0]) == (torch.float32, [1, -2])


def test_labels_come_with_them_and_are_classes_in_sorted_order(tmp_path):
    lines = [f"{label},{row[0]},{row[1]}" for label, row in zip(LABELS, VALUES, strict=True)]
    data = read_tensors(table(tmp_path / "named.csv", "label,x,y", *lines))
    assert (data.sample_shape, data.labels.tolist(), data.class_names) == ((2,), [1, 0, 1, 1, 0, 0], ("a", "b"))
    data = read_tensors(table(tmp_path / "kinds.csv", "x,kind", "1,10", "2,9"), label_column="kind")
    assert (data.labels.tolist(), data.class_names) == ([1, 0], ("9", "10"))
    np.savez(tmp_path / "labelled.npz", x=VALUES, y=np.array(LABELS))
    assert read_tensors(tmp_path / "labelled.npz").class_names == ("a", "b")
    save_file({"x": torch.zeros(3, 2), "y": torch.tensor([2, 0, 1])}, tmp_path / "labelled.safetensors")
    assert read_tensors(tmp_path / "labelled.safetensors").labels.tolist() == [2, 0, 1]


def test_splits_are_the_files_of_a_folder_or_the_arrays_of_one(tmp_path):
    for number, name in enumerate(["train", "test"], 1):
        np.save(tmp_path / f"{name}.npy", np.full((number, 2), number))
    assert [len(read_tensors(tmp_path, split=split)) for split in ("train", "test")] == [1, 2]
    (tmp_path / "notes.txt").write_text("")
    assert read_tensors(tmp_path).notes[-1] == "not used, since no tensors are read from such files: notes.txt"
    with pytest.raises(DataError, match="has no split 'validation'; its splits are train, test"):
        read_tensors(tmp_path, split="validation")
    np.savez(tmp_path / "both.npz", x_train=np.zeros((3, 2)), x_test=np.zeros((4, 2)))
    assert len(read_tensors(tmp_path / "both.npz", split="test")) == 4


def test_the_shape_that_a_model_makes_is_demanded(tmp_path):
    np.save(tmp_path / "values.npy", VALUES)
    assert kind_named("tensor").read(tmp_path / "values.npy", sample_shape=(4,)).sample_shape == (4,)
    with pytest.raises(DataError, match=r"values has samples of \(4,\), but the model makes \(2, 2\)"):
        kind_named("tensor").read(tmp_path / "values.npy", sample_shape=(2, 2))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "there is no file"),
        ("a.txt", "1,2", "a.txt cannot be read as tensors; what can be: .npz, .npy, .safetensors or .csv"),
        ("a.csv", "", "a.csv has no row of numbers"),
        ("a.csv", "x,y\n", "a.csv has no row of numbers"),
        ("a.csv", "1,2\n3\n", "a.csv, line 2: there are 1 values, and 2 in the first line"),
        ("a.csv", "1,2\n3,four\n", "a.csv, line 2: could not convert string to float: 'four'"),
        ("a.csv", "label\n3\n", "a.csv has no column of numbers beside 'label'"),
        ("a.csv", "x,label\n1,a\n2,\n", "a.csv: sample 1 has no label"),
        ("a.csv", "1,nan\n", "a: there are samples that are NaN or infinite; the first is sample 0"),
        ("a.csv", "99999999999999999999\n", "a.csv, line 1: "),
        ("a.npy", "no array", "a.npy cannot be read as arrays of NumPy"),
        ("a.safetensors", "no tensors", "a.safetensors cannot be read as a .safetensors"),
    ],
)
def test_what_is_no_data_is_one_line(name, content, words, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_could_be_several_data_sets_is_asked_about(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", VALUES)
    with pytest.raises(
        DataError, match=r"has 2 files of tensors: a\.npy, b\.npy; name one of them, or call them train"
    ):
        read_tensors(tmp_path)
    save_file({"x": torch.zeros(3, 2), "y": torch.zeros(3, 2)}, tmp_path / "two.safetensors")
    with pytest.raises(DataError, match=r"one tensor of samples, .*; its tensors: x \(3, 2\), y \(3, 2\)"):
        read_tensors(tmp_path / "two.safetensors")
    np.save(tmp_path / "line.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"an array of shape \(3,\); samples are \(N, …\)"):
        read_tensors(tmp_path / "line.npy")
    with pytest.raises(DataError, match=r"has no columns: --label-column is for \.csv"):
        read_tensors(tmp_path / "a.npy", label_column="kind")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no file that can be read as tensors"):
        read_tensors(tmp_path / "empty")
