"""Decoded pictures: kept on disk, told beforehand, and the same bit for bit from wherever they come."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests import forkserver
from zoo_core.data import cache, decoding, decoding_workers, image_source
from zoo_core.data.opening import open_images
from zoo_core.data.source_files import state_of_files
from zoo_core.errors import DataError
from zoo_core.interfaces import Generator
from zoo_core.runtime import memory
from zoo_core.training.batches import BatchStream

CPU = torch.device("cpu")
COUNT = 40


class Identity(Generator):
    sample_shape = (3, 6, 6)
    latent_shape = (1,)

    def forward(self, z, labels=None):
        return z


@pytest.fixture(autouse=True)
def private_folders(tmp_path_factory, monkeypatch):
    """Caches of this test's own, and every data set large enough for them."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("zoo")))
    monkeypatch.setattr(image_source, "CACHED_FROM", 0)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A Parquet folder of colour pictures of 8 x 10 with labels."""
    return parquet(tmp_path / "set", seed=0)


def parquet(folder, seed):
    random = np.random.default_rng(seed)
    images = [png(random.integers(0, 256, (8, 10, 3), np.uint8)) for _ in range(COUNT)]
    table = {"image": [{"bytes": data, "path": None} for data in images], "label": [n % 7 for n in range(COUNT)]}
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(table), folder / "train-00000-of-00001.parquet")
    return folder


def cached_files():
    """Those with decoded pictures; beside them lies what is known of the headers."""
    return sorted(cache.decoded_folder().glob("*.safetensors"))


def no_memory(monkeypatch):
    monkeypatch.setattr(image_source, "available_memory", lambda: 0)


def no_disk(monkeypatch):
    monkeypatch.setattr(cache, "free_space", lambda folder: 0)


def same(one, other):
    return (
        torch.equal(one.samples, other.samples)
        and torch.equal(one.labels, other.labels)
        and (one.fingerprint, one.notes[:3]) == (other.fingerprint, other.notes[:3])
    )


# Hits and misses


def test_the_second_time_the_pictures_are_read_from_the_cache_and_that_is_said(folder, monkeypatch):
    first = open_images(folder).decode((3, 6, 6))
    (file,) = cached_files()
    assert first.notes == (
        "40 colour pictures of 6 x 6",
        "40 were not square and were cropped about their centre",
        "40 were resized to 6 x 6 (bicubic)",
    )
    monkeypatch.setattr(image_source, "decode", None)  # is not called
    second = open_images(folder).decode((3, 6, 6))
    assert same(first, second)
    assert second.notes == (*first.notes, f"the decoded pictures were read from {file}")


def test_without_a_cache_everything_is_the_same(folder, monkeypatch):
    with_cache = [open_images(folder).decode((1, 6, 6)) for _ in range(2)]
    monkeypatch.setattr(image_source, "CACHED_FROM", 2**40)
    without = open_images(folder).decode((1, 6, 6))
    assert same(with_cache[0], without)
    assert same(with_cache[1], without)


def test_the_fingerprint_is_that_of_the_same_tensors(folder):
    data = open_images(folder).decode((3, 6, 6))
    assert type(data).from_tensors(data.samples.clone(), data.labels).fingerprint == data.fingerprint


def test_another_size_other_channels_and_another_column_are_other_files(folder):
    for channels, size in ((3, 6), (3, 8), (1, 6)):
        open_images(folder).decode((channels, size, size))
    assert len(cached_files()) == 3
    renamed = pq.read_table(folder / "train-00000-of-00001.parquet").rename_columns(["photo", "label"])
    pq.write_table(renamed, folder / "train-00000-of-00001.parquet")
    open_images(folder, image_column="photo").decode((3, 6, 6))
    assert len(cached_files()) == 4


def test_rectangles_have_files_of_their_own_and_are_the_same_in_memory_on_disk_and_decoded_again(folder, monkeypatch):
    first = open_images(folder).decode((3, 4, 6))
    assert (first.sample_shape, first.notes[0]) == ((3, 4, 6), "40 colour pictures of 6 x 4")
    turned = open_images(folder).decode((3, 6, 4))
    assert len(cached_files()) == 2
    assert not torch.equal(turned.samples.transpose(2, 3), first.samples)
    assert "were read from" in open_images(folder).decode((3, 4, 6)).notes[-1]
    no_memory(monkeypatch)
    on_disk = open_images(folder).decode((3, 4, 6))
    assert on_disk.larger_than_memory
    monkeypatch.setattr(image_source, "CACHED_FROM", 2**40)
    monkeypatch.setattr(cache, "is_there", lambda path: False)
    no_disk(monkeypatch)
    streamed = open_images(folder).decode((3, 4, 6))
    assert streamed.decoder is not None
    assert on_disk.fingerprint == streamed.fingerprint == first.fingerprint
    for options in ({}, {"horizontal_flip": True, "rank": 1, "processes": 2}):
        assert equal_batches(batches(streamed, [0, 5], **options), batches(first, [0, 5], **options))


def test_the_file_of_square_pictures_is_where_it_always_was(folder):
    """What was decoded by an earlier version of zoo-core is found."""
    source = open_images(folder)
    decoder = decoding.PictureDecoder(source.pictures, (3, 6, 6))
    files = state_of_files(source.pictures.files())
    facts = (files.key, *source.pictures.selection(), 3, 6, decoding.DECODER_VERSION, PIL.__version__)
    assert cache.cache_file(files, decoder).stem == hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def test_changed_pictures_are_decoded_anew(folder):
    before = open_images(folder).decode((3, 6, 6))
    after = open_images(parquet(folder, seed=1)).decode((3, 6, 6))
    assert before.fingerprint != after.fingerprint
    assert len(cached_files()) == 2


def test_a_changed_label_column_is_not_a_matter_of_the_cache(folder):
    with_labels = open_images(folder).decode((3, 6, 6))
    table = pq.read_table(folder / "train-00000-of-00001.parquet")
    pq.write_table(table.append_column("kind", pa.array([5] * COUNT)), folder / "train-00000-of-00001.parquet")
    first = open_images(folder).decode((3, 6, 6))
    second = open_images(folder, label_column="kind").decode((3, 6, 6))
    assert "were read from" in second.notes[-1]
    assert first.fingerprint == with_labels.fingerprint != second.fingerprint
    assert (second.labels.tolist(), second.class_names) == ([0] * COUNT, ("5",))


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_another_one(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    before, status = state_of_files([path]), path.stat()
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "b").replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert state_of_files([path]).key != before.key


def test_a_parquet_file_that_was_replaced_at_the_same_time_is_read_anew(folder):
    file = folder / "train-00000-of-00001.parquet"
    before, status = open_images(folder).decode((3, 6, 6)), file.stat()
    pq.write_table(pq.read_table(file).slice(10), file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = open_images(folder).decode((3, 6, 6))
    assert (len(before), len(after)) == (COUNT, COUNT - 10)
    assert torch.equal(after.samples, before.samples[10:])


def test_data_without_files_has_no_key():
    assert state_of_files([]) is None


def test_a_file_that_cannot_be_looked_at_makes_the_key_unknown(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere")
    assert state_of_files([tmp_path / "a.png"]) is None


def test_small_sets_are_not_kept(folder, monkeypatch):
    monkeypatch.setattr(image_source, "CACHED_FROM", 100 * 2**10)
    open_images(folder).decode((3, 6, 6))
    assert not cache.decoded_folder().exists()


# Damage


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    file.write_bytes(content)


def cut_off(file):
    os.truncate(file, file.stat().st_size - 1)


def other_pictures(file):
    content = file.read_bytes()
    file.write_bytes(content.replace(b"[40, 6, 6, 3]", b"[40, 3, 6, 6]"))


def no_facts(file):
    file.write_bytes(file.read_bytes().replace(b"changes", b"chances"))


@pytest.mark.parametrize("damage", [flip_a_bit, cut_off, other_pictures, no_facts, lambda file: file.write_bytes(b"")])
def test_a_damaged_file_is_not_used_but_decoded_anew_and_that_is_said(folder, damage):
    first = open_images(folder).decode((3, 6, 6))
    (file,) = cached_files()
    damage(file)
    second = open_images(folder).decode((3, 6, 6))
    assert same(first, second)
    assert second.notes[3].startswith(f"{file} is damaged")
    assert "were read from" in open_images(folder).decode((3, 6, 6)).notes[-1]


def test_a_folder_that_cannot_be_written_costs_a_note(folder, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    data = open_images(folder).decode((3, 6, 6))
    assert len(data) == COUNT
    assert data.notes[-1].startswith("the decoded pictures are not kept for the next time: ")


def test_a_folder_that_may_not_be_looked_into_costs_a_note(folder, monkeypatch):
    def refused(path, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    source = open_images(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refused)
        patch.setattr(Path, "mkdir", refused)
        data = source.decode((3, 6, 6))
        no_memory(patch)
        streamed = source.decode((3, 6, 6))
    assert data.notes[-1].endswith("cannot be written: Permission denied")
    assert streamed.decoder is not None


def test_a_disk_that_is_full_costs_a_note(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "finish", full)
    data = open_images(folder).decode((3, 6, 6))
    assert data.notes[-1].endswith("cannot be written: No space left on device")
    no_memory(monkeypatch)
    streamed = open_images(folder).decode((3, 6, 6))
    assert streamed.fingerprint == data.fingerprint
    assert streamed.notes[-1].startswith("the pictures are decoded again for every batch: ")
    assert cached_files() == list(cache.decoded_folder().glob(".*")) == []


def test_what_a_killed_process_left_is_removed_after_a_day(folder):
    cache.decoded_folder().mkdir(parents=True)
    old, new = (cache.decoded_folder() / name for name in (".a.safetensors.0.tmp", ".b.safetensors.1.tmp"))
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    open_images(folder).decode((3, 6, 6))
    assert (old.exists(), new.exists()) == (False, True)


def test_a_corrupt_picture_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    whole = png(np.zeros((64, 64), np.uint8))
    table = pa.table({"image": [{"bytes": data, "path": None} for data in (whole, whole[: len(whole) // 2])]})
    pq.write_table(table, tmp_path / "set.parquet")
    for prepare in (lambda: None, lambda: no_memory(monkeypatch), lambda: no_disk(monkeypatch)):
        prepare()
        with pytest.raises(DataError, match=r"^set, row 1: the picture cannot be decoded"):
            open_images(tmp_path / "set.parquet").decode((1, 64, 64))
    assert [path.suffix for path in cache.decoded_folder().iterdir()] == [".json"]


def test_two_processes_at_once_end_with_one_good_file(folder):
    script = """
import sys
from zoo_core.data import image_source
from zoo_core.data.opening import open_images
image_source.CACHED_FROM = 0
print(open_images(sys.argv[1]).decode((3, 6, 6)).fingerprint)
"""
    command = [sys.executable, "-c", script, str(folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=120)[0].strip() for process in running}
    data = open_images(folder).decode((3, 6, 6))
    assert printed == {data.fingerprint}
    assert "were read from" in data.notes[-1]
    assert list(cache.decoded_folder().glob("*.safetensors")) == cached_files()
    assert not list(cache.decoded_folder().glob(".*"))


def test_the_folder_is_the_systems_unless_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    assert cache.decoded_folder() == tmp_path / "decoded"


@pytest.mark.skipif(sys.platform != "linux", reason="platformdirs knows where other systems keep caches")
def test_the_folder_follows_the_systems_variable(monkeypatch):
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.decoded_folder() == Path("/somewhere/zoo/decoded")


# Larger than memory


def batches(data, numbers, **options):
    stream = BatchStream(data, 8, 3, CPU, **options)
    return [stream.batch(number, Identity()) for number in numbers]


def equal_batches(one, other):
    return all(
        torch.equal(a.samples, b.samples) and torch.equal(a.labels, b.labels) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(params=["disk", "nowhere"])
def streamed(request, folder, monkeypatch):
    """The data of `folder` when it does not fit into memory, or neither there nor on the disk."""
    with monkeypatch.context() as patch:
        no_memory(patch)
        if request.param == "nowhere":
            no_disk(patch)
        data = open_images(folder).decode((3, 6, 6))
    assert (data.decoder is not None) == (request.param == "nowhere")
    return data


def test_streamed_batches_are_those_of_the_memory_bit_for_bit(streamed, folder):
    data = open_images(folder).decode((3, 6, 6))
    assert streamed.fingerprint == data.fingerprint
    assert (streamed.sample_shape, len(streamed), streamed.num_classes) == ((3, 6, 6), COUNT, 7)
    numbers = (*range(12), 4, 5, 30, 2)  # more than two epochs, and jumps
    for options in ({}, {"horizontal_flip": True, "rank": 1, "processes": 2}):
        assert equal_batches(batches(streamed, numbers, **options), batches(data, numbers, **options))
    assert torch.equal(streamed.take([3, 30, 3]), data.take([3, 30, 3]))


def test_streaming_takes_nothing_from_the_runs_own_noise(streamed):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    batches(streamed, range(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_file_of_the_cache_serves_memory_and_disk_alike(folder, monkeypatch):
    in_memory = open_images(folder).decode((3, 6, 6))
    no_memory(monkeypatch)
    on_disk = open_images(folder).decode((3, 6, 6))
    assert (in_memory.larger_than_memory, on_disk.larger_than_memory) == (False, True)
    assert same(in_memory, on_disk)
    assert "were read from" in on_disk.notes[-1]


def test_workers_decode_the_same_and_tell_the_same_error(folder, monkeypatch):
    alone = open_images(folder).decode((3, 6, 6))
    monkeypatch.setattr(image_source, "CACHED_FROM", 2**40)
    monkeypatch.setattr(image_source, "WORKERS_FROM", 0)
    monkeypatch.setattr(image_source, "available_workers", lambda: 2)
    assert same(open_images(folder).decode((3, 6, 6)), alone)
    whole = png(np.zeros((64, 64), np.uint8))
    table = pa.table({"image": [{"bytes": data, "path": None} for data in (whole, whole[: len(whole) // 2])]})
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=r"^set, row 1: the picture cannot be decoded"):
        open_images(folder).decode((1, 64, 64))


WORKERS = """
import os, signal, sys
from zoo_core.errors import DataError
from zoo_core.data.opening import open_images
from zoo_core.data.decoding import PictureDecoder
from zoo_core.data.decoding_workers import decode
decoded = decode(PictureDecoder(open_images(sys.argv[1]).pictures, (3, 6, 6)), ([0] for _ in iter(int, 1)), 2)
next(decoded)
children = lambda process: [int(child) for child in open(f"/proc/{process}/task/{process}/children").read().split()]
(server,) = children(os.getpid())
workers = children(server)
assert len(workers) == 2
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has workers")
@pytest.mark.parametrize("killed", ["workers[:1]", "workers"])
def test_a_worker_that_is_killed_is_reported_in_a_line(killed, folder):
    script = """
for worker in WORKERS:
    os.kill(worker, signal.SIGKILL)
try:
    for _ in decoded: pass
except DataError as error:
    print(error)
"""
    done = forkserver.run("-c", WORKERS + script.replace("WORKERS", killed), folder, check=True)
    (line,) = done.stdout.splitlines()
    assert line == "set: a process that decodes pictures was killed; the machine may have run out of memory"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has workers")
def test_workers_outlive_ctrl_c_but_not_the_main_process(folder):
    script = """
for process in (server, *workers):
    os.kill(process, signal.SIGINT)
for _ in range(9): next(decoded)
print(server, *workers, flush=True)
os._exit(0)
"""
    (line,) = forkserver.run("-c", WORKERS + script, folder, check=True).stdout.splitlines()
    deadline = time.monotonic() + 60
    while any(
        Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes()
        for worker in line.split()
    ):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has workers")
def test_workers_do_not_outlive_the_end_of_decoding(folder, run_python):
    script = """
decoded.close()
print(children(os.getpid()))
"""
    assert run_python(WORKERS + script, folder) == ["[]"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has workers")
def test_workers_neither_run_the_users_script_again_nor_import_torch(folder, tmp_path):
    """A script without `if __name__ == "__main__"`, in a folder with modules that have the names of others."""
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    script = tmp_path / "scripts" / "script.py"
    script.parent.mkdir()
    script.write_text(
        f"""
print("run")
{WORKERS}
mapped = [open(f"/proc/{{process}}/maps").read() for process in (os.getpid(), server, *workers)]
print(["libtorch" in maps for maps in mapped])
"""
    )
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["run", "[True, False, False, False]"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has workers")
def test_an_error_of_a_data_source_itself_is_one_line(folder, monkeypatch):
    decoder = decoding.PictureDecoder(open_images(folder).pictures, (3, 6, 6))
    decoder.pictures.image_column = "vanished"
    with pytest.raises(DataError, match=r"^set: rows 3 to 4 cannot be read: KeyError: "):
        list(decoding_workers.decode(decoder, [[3, 4]], 1))


# Told beforehand


def test_the_plan_says_what_memory_is_taken(folder, monkeypatch):
    source = open_images(folder)
    monkeypatch.setattr(image_source, "available_memory", lambda: 3_200_000_000)
    assert source.plan((3, 6, 6)) == (
        "40 pictures of 6 x 6 (image column 'image', label column 'label') take 4.3 kB of memory; 3.2 GB are available"
    )
    assert "take 503.3 MB of memory" in source.plan((3, 2048, 2048))
    assert (
        "take 2.0 GB, too much for the 3.2 GB of memory that are available: they are decoded once into"
        in source.plan((3, 4096, 4096))
    )
    no_disk(monkeypatch)
    assert "again for every batch; set ZOO_CACHE=FOLDER to a disk with more room" in source.plan((3, 4096, 4096))


def test_classes_are_known_before_anything_is_decoded(folder, tmp_path):
    assert open_images(folder).num_classes == 7
    for name in ("cat", "dog", "newt"):
        (tmp_path / "animals" / name).mkdir(parents=True)
        (tmp_path / "animals" / name / "1.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    animals = open_images(tmp_path / "animals")
    assert animals.num_classes == 3
    data = animals.decode((1, 8, 8))
    assert (data.class_names, data.num_classes, data.labels.tolist()) == (("cat", "dog", "newt"), 3, [0, 1, 2])
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "1.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    assert open_images(tmp_path / "plain").num_classes is None


def test_available_memory_is_what_the_system_or_its_container_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available_memory() == memory._installed_memory() // 2
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:   2000 kB\n")
    assert memory.available_memory() == 2000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    assert memory.available_memory() == 2000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory.available_memory() == 400_000


# Damaged pictures, and what is remembered of the headers


@pytest.fixture
def damaged(tmp_path):
    """A folder of pictures, of which three are damaged: the last one beyond its header."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        (tmp_path / "pets" / "cat" / f"{number}.png").write_bytes(png(pixels))
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"")
    (tmp_path / "pets" / "cat" / "3.png").write_text("a cat")
    file = tmp_path / "pets" / "cat" / "5.png"
    file.write_bytes(file.read_bytes()[:400])
    return tmp_path / "pets"


def test_a_damaged_picture_is_named_with_its_folder(damaged):
    with pytest.raises(
        DataError, match=r"^pets/cat/1\.png: the picture cannot be decoded: it is empty \(--skip-damaged leav"
    ):
        open_images(damaged)
    (damaged / "cat" / "1.png").unlink()
    with pytest.raises(
        DataError, match=r"^pets/cat/3\.png: the picture cannot be decoded: it is no picture, or in a form"
    ):
        open_images(damaged)
    (damaged / "cat" / "3.png").unlink()
    with pytest.raises(DataError, match=r"^pets/cat/5\.png: the picture cannot be decoded: "):
        open_images(damaged).decode((3, 6, 6))


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_pictures_are_left_out_where_that_is_asked_for(damaged, workers, monkeypatch):
    monkeypatch.setattr(image_source, "WORKERS_FROM", 0)
    monkeypatch.setattr(image_source, "available_workers", lambda: workers)
    said = "3 of 6 pictures are damaged and left out: pets/cat/1.png, pets/cat/3.png, pets/cat/5.png"
    source = open_images(damaged, skip_damaged=True)
    data = source.decode((3, 6, 6))
    assert said in source.notes
    for name in ("1.png", "3.png", "5.png"):
        (damaged / "cat" / name).unlink()
    assert open_images(damaged).decode((3, 6, 6)).fingerprint == data.fingerprint


def test_the_headers_and_the_damage_of_a_large_set_are_looked_for_once(damaged, monkeypatch):
    first = open_images(damaged, skip_damaged=True)
    monkeypatch.setattr(image_source, "survey", None)  # is not called
    second = open_images(damaged, skip_damaged=True)
    assert (first.notes, first.square_shape, len(first)) == (second.notes, second.square_shape, len(second))
    (known,) = cache.decoded_folder().glob("*.json")
    known.write_text("[]")
    with pytest.raises(TypeError):  # called again
        open_images(damaged, skip_damaged=True)


def test_nothing_but_damaged_pictures_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"/a\.png: the picture cannot be decoded: it is empty"):
        open_images(tmp_path, skip_damaged=True)
