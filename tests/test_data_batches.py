"""Batches: shared by processes, mirrored, and gathered from wherever the samples are."""

from __future__ import annotations

import pytest
import torch

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError
from zoo_core.interfaces import Generator
from zoo_core.training import batch_sources
from zoo_core.training import batches as batches_module
from zoo_core.training.batch_sources import DeviceGatherer, DiskGatherer, Layout, MemoryGatherer
from zoo_core.training.batches import BatchStream

CPU = torch.device("cpu")


class Identity(Generator):
    """A generator whose range is [-1, 1] and which is asked for nothing else here."""

    sample_shape = (1, 4, 4)
    latent_shape = (1,)

    def forward(self, z, labels=None):
        return z


def pictures(count=48, channels=3, size=4, *, channels_last=False):
    """Random pictures; the label of each is its index."""
    shape = (count, channels, size, size)
    samples = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    if channels_last:
        samples = samples.contiguous(memory_format=torch.channels_last)
    return TrainingData.from_tensors(samples, torch.arange(count))


def batches(data, numbers, **options):
    stream = BatchStream(data, 8, seed=5, device=CPU, **options)
    return [stream.batch(number, Identity()) for number in numbers]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_18_the_shares_of_all_processes_are_the_batch_of_one(processes, flip):
    numbers = range(14)  # more than two epochs
    whole = batches(pictures(), numbers, horizontal_flip=flip)
    shares = [
        batches(pictures(), numbers, horizontal_flip=flip, rank=rank, processes=processes) for rank in range(processes)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(batch.samples, torch.cat([part.samples for part in parts]))
        assert torch.equal(batch.labels, torch.cat([part.labels for part in parts]))
        assert all(len(part) == 8 // processes for part in parts)


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(DataError, match=r"^3 processes cannot share a batch of 8 evenly; --set batch_size=9 can be"):
        BatchStream(pictures(), 8, 0, CPU, processes=3)


def unflipped_and_flipped(data, epoch):
    """Of one epoch: which pictures came as they are, and which mirrored."""
    count = len(data) // 8
    seen = {False: [], True: []}
    for batch in batches(data, range(epoch * count, (epoch + 1) * count), horizontal_flip=True):
        pixels = ((batch.samples + 1) / 2 * 255).round().to(torch.uint8)
        for picture, label in zip(pixels, batch.labels, strict=True):
            original = data.samples[label]
            mirrored = torch.equal(picture, original.flip(-1))
            assert mirrored or torch.equal(picture, original)
            seen[mirrored].append(label.item())
    return seen


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_flip_mirrors_half_of_each_epoch_and_does_nothing_else(channels, channels_last):
    data = pictures(channels=channels, channels_last=channels_last)
    first, second = unflipped_and_flipped(data, 0), unflipped_and_flipped(data, 1)
    assert len(first[False]) == len(first[True]) == len(second[True]) == 24
    assert sorted(first[False] + first[True]) == list(range(48))
    assert set(first[True]) != set(second[True])


def test_flips_and_the_order_depend_on_seed_and_number_alone():
    forward = batches(pictures(), range(20), horizontal_flip=True)
    backward = batches(pictures(), reversed(range(20)), horizontal_flip=True)
    for one, other in zip(forward, reversed(backward), strict=True):
        assert torch.equal(one.samples, other.samples)
    plain = batches(pictures(), range(20))
    assert all(torch.equal(one.labels, other.labels) for one, other in zip(forward, plain, strict=True))


def test_a_flip_does_not_change_the_data_itself():
    data = pictures()
    before = data.samples.clone()
    batches(data, range(6), horizontal_flip=True)
    assert torch.equal(data.samples, before)


def test_samples_that_are_no_pictures_are_not_mirrored():
    with pytest.raises(DataError, match=r"has samples of \(2,\), not pictures that could be mirrored"):
        BatchStream(TrainingData.from_tensors(torch.zeros(9, 2)), 8, 0, CPU, horizontal_flip=True)


@pytest.mark.parametrize(
    "samples", [torch.randn(20, 2), torch.randn(20), torch.randn(20, 3, 4, 4), torch.randn(20, 5, 6)]
)
def test_values_in_the_models_own_range_stay_as_they_are(samples):
    data = TrainingData.from_tensors(samples, torch.arange(20))
    batch = BatchStream(data, 8, 0, CPU).batch(1, Identity())
    assert torch.equal(batch.samples, samples[batch.labels])


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_are_exactly_their_255th_and_the_channels_lie_last(channels_last):
    data = pictures(channels_last=channels_last)
    (batch,) = batches(data, [3])
    assert torch.equal(batch.samples, data.samples[batch.labels].float() / 255 * 2 - 1)
    assert batch.samples.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("way", [MemoryGatherer, DiskGatherer, DeviceGatherer])
@pytest.mark.parametrize("channels_last", [False, True])
def test_every_way_of_gathering_gives_the_same_rows(way, channels_last):
    samples = pictures(channels_last=channels_last).samples
    layout = Layout(samples)
    order = {number: torch.randperm(48)[:8] for number in range(40)}
    source = way(layout.rows(samples), order.__getitem__, CPU)
    for number in (0, 1, 2, 3, 9, 4, 5, 30, 0):  # in order, after a jump, and back
        assert torch.equal(layout.samples(source.gather(number)), samples[order[number]])


def test_rows_are_a_view_of_the_samples_whichever_axis_comes_first():
    for samples in (pictures().samples, pictures(channels_last=True).samples):
        rows = Layout(samples).rows(samples)
        assert rows.data_ptr() == samples.data_ptr()
        assert torch.equal(Layout(samples).samples(rows), samples)


def test_data_that_a_device_holds_is_copied_at_the_first_batch_and_not_before():
    meta = torch.device("meta")
    source = DeviceGatherer(torch.zeros(48, 12, dtype=torch.uint8), lambda number: torch.arange(8), meta)
    assert source.note == "all samples are held on meta: 576 B of its memory"
    assert source._rows.device == CPU
    assert source.gather(0).shape == (8, 12)
    assert source._rows.device == meta


def test_a_batch_on_another_device_is_there_whole():
    batch = BatchStream(pictures(), 8, 0, torch.device("meta"), horizontal_flip=True).batch(0, Identity())
    assert (batch.samples.device.type, batch.labels.device.type) == ("meta", "meta")
    assert (batch.samples.shape, batch.samples.dtype) == ((8, 3, 4, 4), torch.float32)


@pytest.mark.parametrize(("times", "way"), [(4, "held on"), (3, "gathered from")])
def test_a_gpu_holds_the_data_where_a_quarter_of_its_free_memory_is_enough(monkeypatch, times, way):
    """Asked of a device that claims to be CUDA: what is chosen, not what is copied."""
    data = pictures()
    free = data.samples.nbytes * times
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    source = batch_sources.gatherer(data, Layout(data.samples), lambda number: torch.arange(8), torch.device("cuda"))
    assert way in source.note


def test_the_note_says_where_the_samples_are():
    assert BatchStream(pictures(), 8, 0, CPU).note == "batches are gathered from the 2.3 kB of samples in memory"


@pytest.mark.cuda
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("share", [1, 0])
def test_on_a_gpu_the_batches_are_those_of_the_cpu(monkeypatch, share, flip):
    monkeypatch.setattr(batch_sources, "DEVICE_SHARE", share)
    data = pictures(channels_last=True)
    streams = [BatchStream(data, 8, 5, torch.device(name), horizontal_flip=flip) for name in ("cpu", "cuda")]
    for number in range(14):
        here, there = (stream.batch(number, Identity()) for stream in streams)
        assert torch.equal(here.samples, there.samples.cpu())
        assert torch.equal(here.labels, there.labels.cpu())


def test_a_large_batch_is_brought_into_range_in_pieces_that_do_not_show(monkeypatch):
    whole = batches(pictures(channels_last=True), range(3))
    monkeypatch.setattr(batches_module, "_PIECE", 3 * 48)
    pieces = batches(pictures(channels_last=True), range(3))
    for one, other in zip(whole, pieces, strict=True):
        assert torch.equal(one.samples, other.samples)
        assert other.samples.is_contiguous(memory_format=torch.channels_last)


# What is known of the labels


def test_the_number_of_classes_is_the_largest_label_and_one_unless_more_are_named():
    samples = torch.zeros(3, 2)
    assert TrainingData.from_tensors(samples).num_classes is None
    assert TrainingData.from_tensors(samples, torch.tensor([0, 4, 1])).num_classes == 5
    named = TrainingData.from_tensors(samples, torch.tensor([0, 1, 1]), class_names=("a", "b", "c"))
    assert named.num_classes == 3


def test_labels_below_0_are_refused():
    with pytest.raises(DataError, match="there is a label -1; classes are numbered from 0"):
        TrainingData.from_tensors(torch.zeros(2, 2), torch.tensor([0, -1]))


def test_some_samples_can_be_taken_by_their_indices():
    data = pictures()
    assert torch.equal(data.take([5, 2, 5]), data.samples[[5, 2, 5]])
