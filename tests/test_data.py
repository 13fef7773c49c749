"""Training data: what is read, what is done to it, and what is refused."""

import gc
import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from zoo_core.data import parquet_rows
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError
from zoo_core.interfaces import Generator
from zoo_core.training.batches import BatchStream

MNIST = Path(__file__).parent / "data" / "mnist"


def png(pixels, mode=None):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(stream, "PNG")
    return stream.getvalue()


def parquet(folder, images, column="image", **columns):
    folder.mkdir(exist_ok=True)
    table = {column: [{"bytes": data, "path": None} for data in images], **columns}
    pq.write_table(pa.table(table), folder / "train-00000-of-00001.parquet")
    return folder


def grey(side=8, value=100):
    return png(np.full((side, side), value))


def test_a_parquet_folder_means_its_train_split():
    source = open_images(MNIST)
    assert (len(source), source.square_shape, source.name) == (512, (1, 28, 28), "mnist")


def test_a_parquet_file_is_read_as_it_is():
    assert len(open_images(MNIST / "test-00000-of-00001.parquet")) == 128


def test_pixels_are_those_of_the_files_when_nothing_is_asked():
    rows = pq.read_table(MNIST / "train-00000-of-00001.parquet").to_pylist()
    data = open_images(MNIST).decode((1, 28, 28))
    assert data.samples.dtype == torch.uint8
    for row in (0, 17, 511):
        expected = np.asarray(Image.open(io.BytesIO(rows[row]["image"]["bytes"])))
        assert np.array_equal(data.samples[row, 0].numpy(), expected)
        assert data.labels[row] == rows[row]["label"]
    assert data.notes == ("512 grey pictures of 28 x 28",)


def test_resizing_is_stated():
    data = open_images(MNIST).decode((1, 32, 32))
    assert data.sample_shape == (1, 32, 32)
    assert data.notes == ("512 grey pictures of 32 x 32", "512 were resized to 32 x 32 (bicubic)")


def test_a_folder_of_pictures_is_read(tmp_path):
    for number in range(3):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / f"{number}.png").write_bytes(grey(value=50 * number))
    data = open_images(tmp_path / "set").decode((1, 8, 8))
    assert data.samples[:, 0, 0, 0].tolist() == [0, 50, 100]


def test_17_pictures_that_are_not_square_are_cropped_about_their_centre_and_that_is_said(tmp_path):
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 200
    data = open_images(parquet(tmp_path / "set", [png(wide), grey(4)])).decode((1, 4, 4))
    assert (data.samples[0] == 200).all()
    assert "1 was not square and was cropped about their centre" in data.notes


def test_17_colour_becomes_grey_and_grey_becomes_colour_and_that_is_said(tmp_path):
    red = png(np.broadcast_to(np.array([255, 0, 0], np.uint8), (4, 4, 3)))
    folder = parquet(tmp_path / "set", [red, grey(4)])
    assert open_images(folder).square_shape == (3, 4, 4)
    as_grey, as_colour = open_images(folder).decode((1, 4, 4)), open_images(folder).decode((3, 4, 4))
    assert as_grey.samples[0].unique().tolist() == [76]
    assert as_colour.samples[1].unique().tolist() == [100]
    assert "1 was converted to grey 8-bit pixels (transparency onto white)" in as_grey.notes


def test_17_transparency_is_laid_onto_white(tmp_path):
    clear = np.zeros((4, 4, 4), np.uint8)
    data = open_images(parquet(tmp_path / "set", [png(clear)])).decode((3, 4, 4))
    assert data.samples.unique().tolist() == [255]


def test_17_palettes_and_16_bit_grey_keep_their_brightness(tmp_path):
    palette, deep = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), (10, 200, 30), np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE).save(
        palette, "PNG"
    )
    Image.fromarray(np.full((4, 4), 128 * 257, np.uint16)).save(deep, "PNG")
    folder = parquet(tmp_path / "set", [palette.getvalue(), deep.getvalue()])
    samples = open_images(folder).decode((3, 4, 4)).samples
    assert samples[0, :, 0, 0].tolist() == [10, 200, 30]
    assert samples[1].unique().tolist() == [128]


def test_17_tiny_pictures_are_enlarged_and_that_is_said(tmp_path):
    folder = parquet(tmp_path / "set", [grey(1, value=7), grey(2, value=9)])
    assert open_images(folder).square_shape == (1, 2, 2)
    data = open_images(folder).decode((1, 16, 16))
    assert [picture.unique().tolist() for picture in data.samples] == [[7], [9]]
    assert data.notes == ("2 grey pictures of 16 x 16", "2 were resized to 16 x 16 (bicubic)")


def test_a_corrupt_picture_is_named_by_its_row(tmp_path):
    whole = grey(64)
    folder = parquet(tmp_path / "set", [grey(64), whole[: len(whole) // 2]])
    with pytest.raises(DataError, match=r"set, row 1: the picture cannot be decoded"):
        open_images(folder).decode((1, 64, 64))


def test_a_row_without_a_picture_is_named(tmp_path):
    folder = parquet(tmp_path / "set", [grey(), b""])
    with pytest.raises(DataError, match=r"set, row 1: there is no picture"):
        open_images(folder).decode((1, 8, 8))


def test_bytes_that_are_no_picture_are_named(tmp_path):
    with pytest.raises(DataError, match=r"set, row 0: the picture cannot be decoded"):
        open_images(parquet(tmp_path / "set", [b"not a picture"]))


def test_columns_can_be_named(tmp_path):
    folder = parquet(tmp_path / "set", [grey(), grey()], column="photo", kind=[4, 2])
    with pytest.raises(DataError, match="has no image column; its columns are photo, kind"):
        open_images(folder)
    data = open_images(folder, image_column="photo", label_column="kind").decode((1, 8, 8))
    assert (data.labels.tolist(), data.class_names) == ([1, 0], ("2", "4"))


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(DataError, match="has no column 'photo' for the image; it has image, label"):
        open_images(MNIST, image_column="photo")
    with pytest.raises(DataError, match="has no column 'kind' for the label"):
        open_images(MNIST, label_column="kind")


def test_a_column_that_holds_no_pictures_is_refused():
    with pytest.raises(DataError, match="'label'"):
        open_images(MNIST, image_column="label", label_column="label")


def test_missing_empty_and_foreign_sources_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file or folder"):
        open_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is an empty folder"):
        open_images(tmp_path / "empty")
    (tmp_path / "text.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"text\.csv cannot be read as pictures; what can be: a folder of pictures, "):
        open_images(tmp_path / "text.csv")
    shutil.copy(tmp_path / "text.csv", tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read as Parquet: "):
        open_images(tmp_path / "broken.parquet")


class Identity(Generator):
    """A generator whose range is [-1, 1] and which is asked for nothing else here."""

    sample_shape = (1, 2, 2)
    latent_shape = (1,)

    def forward(self, z, labels=None):
        return z


def numbered(count):
    """Samples whose pixels are their own number."""
    samples = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, 2, 2).contiguous()
    return TrainingData.from_tensors(samples, torch.arange(count))


def numbers(batch):
    return ((batch.samples[:, 0, 0, 0] + 1) / 2 * 255).round().int().tolist()


def test_18_an_epoch_shows_every_sample_once_and_the_next_in_another_order():
    stream = BatchStream(numbered(12), 4, seed=0, device=torch.device("cpu"))
    epochs = [[n for number in range(e, e + 3) for n in numbers(stream.batch(number, Identity()))] for e in (0, 3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_a_batch_depends_on_seed_and_number_alone():
    first, second = (BatchStream(numbered(50), 8, seed=3, device=torch.device("cpu")) for _ in range(2))
    forward = [numbers(first.batch(number, Identity())) for number in range(20)]
    backward = [numbers(second.batch(number, Identity())) for number in reversed(range(20))]
    assert forward == backward[::-1]
    other = BatchStream(numbered(50), 8, seed=4, device=torch.device("cpu"))
    assert numbers(other.batch(0, Identity())) != forward[0]


def test_labels_stay_with_their_samples():
    batch = BatchStream(numbered(50), 16, seed=0, device=torch.device("cpu")).batch(1, Identity())
    assert numbers(batch) == batch.labels.tolist()


def test_17_a_short_last_batch_waits_for_another_epoch():
    stream = BatchStream(numbered(10), 4, seed=0, device=torch.device("cpu"))
    assert [len(stream.batch(number, Identity())) for number in range(6)] == [4] * 6


def test_bytes_reach_the_whole_range_of_the_model():
    stream = BatchStream(numbered(256), 256, seed=0, device=torch.device("cpu"))
    samples = stream.batch(0, Identity()).samples
    assert (samples.min().item(), samples.max().item()) == (-1.0, 1.0)


def test_fewer_samples_than_one_batch_are_refused():
    with pytest.raises(DataError, match="has 3 samples, fewer than one batch of 4"):
        BatchStream(numbered(3), 4, seed=0, device=torch.device("cpu"))


def test_no_samples_and_wrong_labels_are_refused():
    with pytest.raises(DataError, match="empty"):
        TrainingData.from_tensors(torch.empty(0, 2))
    with pytest.raises(DataError, match="3 labels for 2 samples"):
        TrainingData.from_tensors(torch.zeros(2, 2), torch.zeros(3))
    with pytest.raises(DataError, match=r"the class 'cat' has U\+FEFF ZERO WIDTH NO-BREAK SPACE in its name"):
        TrainingData.from_tensors(torch.zeros(2, 2), torch.arange(2), class_names=["cat\ufeff", "cat"])


def test_the_fingerprint_tells_data_apart():
    samples = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    changed = samples.clone()
    changed[3, 0, 1, 1] = 1
    fingerprints = {
        TrainingData.from_tensors(samples).fingerprint,
        TrainingData.from_tensors(changed).fingerprint,
        TrainingData.from_tensors(samples, torch.zeros(4)).fingerprint,
        TrainingData.from_tensors(samples.reshape(4, 1, 1, 4)).fingerprint,
    }
    assert len(fingerprints) == 4


@pytest.mark.parametrize(
    ("stated", "numbers", "names"),
    [
        ([2, 1, 26], [1, 0, 2], ("1", "2", "26")),
        ([0, 20, 10], [0, 2, 1], ("0", "10", "20")),
        ([1, 0, 1], [1, 0, 1], ()),
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
        ([2.5, 0.5, 1.0], [2, 0, 1], ("0.5", "1", "2.5")),
        ([True, False, True], [1, 0, 1], ("False", "True")),
        ([1, -1, 1], [1, 0, 1], ("-1", "1")),
        ([b"b", b"a", b"b"], [1, 0, 1], ("a", "b")),
    ],
)
def test_labels_of_any_type_are_classes_in_sorted_order(tmp_path, stated, numbers, names):
    source = open_images(parquet(tmp_path / "set", [grey()] * 3, label=stated))
    data = source.decode((1, 8, 8))
    assert (data.labels.tolist(), data.class_names) == (numbers, names)
    assert source.num_classes == data.num_classes == len(set(stated))


@pytest.mark.parametrize("unknown", [None, -1])
def test_rows_of_unknown_class_are_left_out_and_that_is_said(tmp_path, unknown):
    folder = parquet(tmp_path / "set", [grey(value=value) for value in (1, 2, 3)], label=[1, unknown, 0])
    source = open_images(folder)
    assert source.notes[:2] == (
        f"2 pictures in 2 classes (0 to 1) from the folder {folder}; split train of train",
        "1 of 3 pictures has no class, and is left out",
    )
    data = source.decode((1, 8, 8))
    assert (data.samples[:, 0, 0, 0].tolist(), data.labels.tolist()) == ([1, 3], [1, 0])


def test_a_column_without_any_known_class_makes_no_classes(tmp_path):
    folder = parquet(tmp_path / "set", [grey(), grey()], label=[-1, -1])
    source = open_images(folder)
    assert (len(source), source.num_classes) == (2, None)
    assert "column 'label' does not state a class in any row: the pictures have no classes" in source.notes
    with pytest.raises(DataError, match="column 'label' does not state a class in any row"):
        open_images(folder, label_column="label")


def test_a_column_of_captions_is_taken_for_classes_only_where_that_is_asked_for(tmp_path):
    folder = parquet(tmp_path / "set", [grey()] * 200, label=[f"a cat called {number}" for number in range(200)])
    source = open_images(folder)
    assert source.num_classes is None
    assert "column 'label' has 200 values in 200 rows, and is not taken for classes; --label-column label takes it" in (
        source.notes
    )
    assert open_images(folder, label_column="label").num_classes == 200


def test_several_labels_in_a_row_are_no_class(tmp_path):
    folder = parquet(tmp_path / "set", [grey()] * 2, label=[[1, 2], [3]])
    assert open_images(folder).num_classes is None
    with pytest.raises(DataError, match="column 'label' does not hold one class in every row: its type is list"):
        open_images(folder, label_column="label")


def test_a_class_has_one_number_in_every_split_and_training_has_no_class_without_pictures(tmp_path):
    folder = parquet(tmp_path / "set", [grey()] * 3, label=["dog", "cat", "dog"])
    table = pa.table({"image": [{"bytes": grey(), "path": None}] * 2, "label": ["dog", "ant"]})
    pq.write_table(table, folder / "test-00000-of-00001.parquet")
    assert open_images(folder).num_classes == 2
    test = open_images(folder, split="test").decode((1, 8, 8))
    assert (test.labels.tolist(), test.class_names) == ([1, 2], ("cat", "dog", "ant"))


def test_stated_names_are_kept_and_a_class_without_pictures_is_named(tmp_path):
    features = '{"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}'
    table = pa.table({"image": [{"bytes": grey(), "path": None}] * 2, "label": [2, 0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "set.parquet")
    source = open_images(tmp_path / "set.parquet")
    assert (source.num_classes, source.decode((1, 8, 8)).labels.tolist()) == (3, [2, 0])
    assert "1 of the 3 classes has no picture: b" in source.notes


def test_the_shape_is_that_of_a_picture_once_it_is_square(tmp_path):
    assert open_images(parquet(tmp_path / "set", [png(np.zeros((12, 7)))])).square_shape == (1, 7, 7)


def test_one_grey_picture_first_makes_no_grey_data(tmp_path):
    source = open_images(parquet(tmp_path / "set", [grey()] + [png(np.zeros((8, 8, 3)))] * 9))
    assert source.square_shape == (3, 8, 8)
    assert "9 of 10 pictures are in colour and 1 is grey: the default is colour" in source.notes
    mostly_grey = open_images(parquet(tmp_path / "set", [png(np.zeros((8, 8, 3)))] + [grey()] * 9))
    assert mostly_grey.square_shape == (1, 8, 8)


def test_one_small_picture_first_makes_no_small_data(tmp_path):
    source = open_images(parquet(tmp_path / "set", [grey(16), grey(64), grey(64), grey(48), grey(64)]))
    assert source.square_shape == (1, 64, 64)
    assert source.notes[1] == (
        "the pictures are of 3 sizes, from 16 x 16 to 64 x 64: the default is 64, the median of their shorter sides"
    )
    assert open_images(parquet(tmp_path / "set", [grey(16), grey(64)])).square_shape == (1, 64, 64)


@pytest.mark.parametrize("column", ["plain bytes", "paths"])
def test_a_column_of_bytes_or_of_paths_holds_pictures_too(tmp_path, column):
    (tmp_path / "a.png").write_bytes(grey(value=7))
    cells = [grey(value=7)] if column == "plain bytes" else ["a.png"]
    pq.write_table(pa.table({"image": cells}), tmp_path / "set.parquet")
    assert open_images(tmp_path / "set.parquet").decode((1, 8, 8)).samples.unique().tolist() == [7]


def test_parquet_files_state_their_split_or_are_all_one(tmp_path):
    table = pa.table({"image": [{"bytes": grey(), "path": None}] * 2})
    for name in ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-1.parquet"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, tmp_path / "set" / name)
    assert (len(open_images(tmp_path / "set")), len(open_images(tmp_path / "set", split="test"))) == (4, 2)
    with pytest.raises(DataError, match="has no split 'validation'; its splits are train, test"):
        open_images(tmp_path / "set", split="validation")
    pq.write_table(table, tmp_path / "set" / "more.parquet")
    assert len(open_images(tmp_path / "set")) == 8
    with pytest.raises(DataError, match="has no split 'test': it is not divided into splits"):
        open_images(tmp_path / "set", split="test")


def test_parquet_files_of_several_data_sets_are_not_mixed(tmp_path):
    folder = parquet(tmp_path / "set", [grey()], label=[1])
    for name, column, values, problem in (
        ("train-2.parquet", "label", ["one"], "are not of one data set: column 'label' holds int and string"),
        ("train-2.parquet", "kind", [1], "has no column 'label', and other files have"),
    ):
        pq.write_table(pa.table({"image": [{"bytes": grey(), "path": None}], column: values}), folder / name)
        with pytest.raises(DataError, match=problem):
            open_images(folder)


def test_a_table_beside_pictures_is_read_only_if_it_holds_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(grey())
    pq.write_table(pa.table({"file": ["a.png"], "width": [8]}), tmp_path / "metadata.parquet")
    source = open_images(tmp_path)
    assert (len(source), source.notes[1]) == (1, "1 file is no picture and is not used: 1 .parquet")
    parquet(tmp_path, [grey()] * 3)
    source = open_images(tmp_path)
    assert (len(source), source.notes[1]) == (3, "1 picture beside them not used: the Parquet files are the data set")


def test_columns_are_for_tables(tmp_path):
    (tmp_path / "a.png").write_bytes(grey())
    with pytest.raises(DataError, match="has no columns: --label-column is for Parquet files and data sets on the Hub"):
        open_images(tmp_path, label_column="label")


def test_encoded_pictures_that_do_not_fit_into_memory_are_mapped(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    expected = open_images(MNIST).decode((1, 28, 28))
    monkeypatch.setattr(parquet_rows, "MEMORY_SHARE", 0)
    source = open_images(MNIST)
    (copy,) = (tmp_path / "cache" / "encoded").iterdir()
    assert source.decode((1, 28, 28)).fingerprint == expected.fingerprint
    again = pickle.loads(pickle.dumps(source.pictures))
    assert again.read([3]) == source.pictures.read([3])
    del source
    gc.collect()
    assert not copy.exists()
