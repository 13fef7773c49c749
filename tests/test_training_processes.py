"""Several processes train as one does; and processes that are killed, for real, leave a run that goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.builtin import architecture
from tests.conftest import made_once
from tests.forkserver import torchrun
from zoo_core import GANSettings
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, TrainingError

ROOT = Path(__file__).parent.parent
SHAPE = (1, 16, 16)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
COMMON = {"batch_size": 16, "sample_every": 0, "checkpoint_every": 3, "device": "cpu", "ema_decay": 0.9}


def pictures():
    generator = torch.Generator().manual_seed(1)
    samples = torch.randint(0, 256, (64, *SHAPE), dtype=torch.uint8, generator=generator)
    return TrainingData.from_tensors(samples, torch.arange(64) % 3)


def dcgan(steps=6, **settings):
    gan = architecture("dcgan")
    config = gan.config_class()(size=16, channels=1, width=4, latent_size=4, conditional=True, num_classes=3)
    return gan.trainer_class()(config, GANSettings(steps=steps, **COMMON | settings), SHAPE)


def mlp(steps=6, **settings):
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=16, latent_size=4, generator_widths=(8,), discriminator_widths=(8,), dropout=0.3)
    return gan.trainer_class()(config, GANSettings(steps=steps, **COMMON | settings), SHAPE)


def vae(steps=6, **settings):
    vae = architecture("vae")
    config, trainer = vae.config_class()(size=16, latent_size=4, widths=(8,)), vae.trainer_class()
    return trainer(config, trainer.Settings(steps=steps, **COMMON | settings), SHAPE)


RUNS = {
    "dcgan": lambda steps=6: dcgan(steps),
    "recipes": lambda steps=6: dcgan(
        steps, augment=("color", "translation", "cutout"), r1_gamma=1.0, r1_every=2, discriminator_steps=2,
        horizontal_flip=True, gradient_clip=1.0, schedule="cosine",
    ),
    "vae": lambda steps=6: vae(steps, binarize="dynamic"),
    "mlp with dropout": lambda steps=6: mlp(steps),
}  # fmt: skip

SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.test_training_processes import RUNS, pictures
root = Path(sys.argv[1])
for name, run in RUNS.items():
    run().fit(pictures(), out=root / name)
for steps in (3, 6):
    RUNS["dcgan"](steps).fit(pictures(), out=root / "resumed", resume=True)
"""


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The runs above, each trained by two processes."""
    return made_once(tmp_path_factory, "processes", train_by_two)


def train_by_two(root):
    (root / "script.py").write_text(SCRIPT)
    done = torchrun("script.py", root, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.plugins("zoo-dcgan", "zoo-vae", "zoo-vanilla-gan")
@pytest.mark.parametrize("name", RUNS)
def test_06_14_18_two_processes_train_as_one_does_at_the_same_global_batch(name, two_processes, tmp_path):
    """Data order, noise, augmentation, dropout, BatchNorm over the global batch, gradients: all have a place in the losses."""
    one = RUNS[name]().fit(pictures(), out=tmp_path / name)
    two = two_processes / name
    figures = [json.loads((folder / "log.jsonl").read_text().splitlines()[-1]) for folder in (one, two)]
    for figure in figures:
        figure.pop("images_per_second")
    assert figures[1] == pytest.approx(figures[0], rel=1e-3, abs=3e-4)
    expected = load_file(one / "model.safetensors")
    for key, value in load_file(two / "model.safetensors").items():
        torch.testing.assert_close(value, expected[key], rtol=1e-2, atol=1e-3)


@pytest.mark.plugins("zoo-dcgan", "zoo-vae", "zoo-vanilla-gan")
def test_14_two_processes_resume_bit_for_bit(two_processes):
    assert (two_processes / "dcgan" / "model.safetensors").read_bytes() == (
        two_processes / "resumed" / "model.safetensors"
    ).read_bytes()


@pytest.mark.plugins("zoo-dcgan", "zoo-vae", "zoo-vanilla-gan")
def test_another_number_of_processes_is_refused_on_resume(two_processes):
    with pytest.raises(TrainingError, match="processes was 2 and is now 1"):
        RUNS["dcgan"](12).fit(pictures(), out=two_processes / "dcgan", resume=True)


def test_a_batch_that_processes_cannot_share_is_refused():
    from zoo_core.training.batches import BatchStream

    with pytest.raises(DataError, match="3 processes cannot share a batch of 16 evenly"):
        BatchStream(pictures(), 16, 0, torch.device("cpu"), rank=0, processes=3)


ENDLESS = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.test_training_processes import dcgan, pictures
from zoo_core.errors import TrainingError
root, steps = Path(sys.argv[1]), int(sys.argv[2])
(root / f"pid-{{os.environ['RANK']}}").write_text(str(os.getpid()))
try:
    dcgan(steps).fit(pictures(), out=root / "run", resume=True)
except TrainingError as error:
    print(f"zoo: {{error}}", file=sys.stderr)
    raise SystemExit(1) from None
"""


@pytest.mark.slow
@pytest.mark.plugins("zoo-dcgan")
def test_killing_one_process_ends_the_run_with_a_line_and_a_checkpoint_that_resumes(tmp_path):
    (tmp_path / "script.py").write_text(ENDLESS)
    command = [*TORCHRUN, str(tmp_path / "script.py"), str(tmp_path)]
    with subprocess.Popen([*command, "1000000"], env=environment(), stderr=subprocess.PIPE, text=True) as running:
        wait_for(lambda: any((tmp_path / "run" / "checkpoints").glob("step-*/state.json")), running)
        os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGKILL)
        _, errors = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "zoo: another process of this run has ended" in errors, errors[-3000:]
    steps = max(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step-*")) + 3
    resumed = torchrun("script.py", tmp_path, steps, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert (tmp_path / "run" / "model.safetensors").exists()


DECODING = """
import os, sys
from zoo_core.cli import main
from zoo_core.data import decoding
from zoo_core.data import image_source
image_source.CACHED_FROM = int(sys.argv[1])
decode = decoding.PictureDecoder.__getitem__
def counted(decoder, chosen):
    with open(f"decoded-by-{os.environ['RANK']}", "a") as file:
        print(len(chosen), file=file)
    return decode(decoder, chosen)
decoding.PictureDecoder.__getitem__ = counted
main(sys.argv[2:])
"""
MNIST = Path(__file__).parent / "data" / "mnist"


def train_by_two_processes(folder, data, cached_from):
    """`zoo train` in `folder`, with a cache of its own for data of at least so many bytes."""
    folder.mkdir()
    (folder / "script.py").write_text(DECODING)
    command = ["script.py", cached_from, "train", "vanilla_gan", "--data", data, "--out", "run", "--steps", 2,
               "--device", "cpu", "--set", "batch_size=16", "--set", "sample_every=0"]  # fmt: skip
    return torchrun(*command, cwd=folder, ZOO_CACHE=str(folder / "cache"))


def decoded_by(folder, rank):
    file = folder / f"decoded-by-{rank}"
    return sum(map(int, file.read_text().split())) if file.exists() else 0


@pytest.mark.slow
@pytest.mark.plugins("zoo-vanilla-gan")
def test_the_first_process_decodes_into_the_cache_and_the_others_find_it_there(tmp_path):
    done = train_by_two_processes(tmp_path / "cached", MNIST, 0)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [decoded_by(tmp_path / "cached", rank) for rank in (0, 1)] == [512, 0]
    assert "for itself" not in done.stderr
    alone = train_by_two_processes(tmp_path / "uncached", MNIST, 10**9)
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert [decoded_by(tmp_path / "uncached", rank) for rank in (0, 1)] == [512, 512]
    assert alone.stderr.count("these are not kept in the cache: every process decoded them for itself") == 1
    models = [tmp_path / name / "run" / "model.safetensors" for name in ("cached", "uncached")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.slow
@pytest.mark.plugins("zoo-vanilla-gan")
def test_a_picture_that_the_first_process_cannot_decode_ends_the_others_too(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(16):
        Image.effect_noise((16, 16), 100).save(tmp_path / "pictures" / f"{number}.png")
    broken = tmp_path / "pictures" / "7.png"
    broken.write_bytes(broken.read_bytes()[:150])  # beyond its header, which every process looks at
    done = train_by_two_processes(tmp_path / "run", tmp_path / "pictures", 0)
    assert done.returncode != 0
    assert "pictures/7.png: the picture cannot be decoded" in done.stderr
    assert decoded_by(tmp_path / "run", 1) == 0


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()[-3000:]
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


# Children are forked from a process that has imported everything, so that twenty of them start in no time.
KILLING = f"""
import os, signal, sys, time, random
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.test_training_processes import pictures, vae
root, moments = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
def newest():
    return max((int(path.name[5:]) for path in checkpoints.glob("step-*")), default=0)
checkpoints = root / "killed" / "checkpoints"
vae(steps=2).fit(pictures(), out=root / "imported")
kills, patience = 0, 0.6
while kills < 20:
    before = newest()
    child = os.fork()
    if child == 0:
        vae(steps=100_000, checkpoint_every=2).fit(pictures(), out=root / "killed", resume=True)
        os._exit(0)
    time.sleep(moments.uniform(0.1, patience))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("the run was over before it had been killed twenty times")
    kills += 1
    if newest() < before + 4:  # a busy machine: children need longer to get anywhere
        patience *= 1.3
print(newest())
"""


@pytest.mark.slow
@pytest.mark.plugins("zoo-vae")
def test_14_a_run_that_is_killed_at_twenty_random_moments_ends_as_one_that_was_not(tmp_path):
    """2N steps equal N + resume + N, bit for bit, wherever SIGKILL falls: in a step or in a checkpoint."""
    (tmp_path / "script.py").write_text(KILLING)
    seed = str(random.SystemRandom().randrange(10**6))
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), seed]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, (seed, done.stderr[-3000:])
    reached = int(done.stdout)
    assert reached > 10, seed
    steps = reached + 5
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the children had: another number of threads may round otherwise
    try:
        killed = vae(steps, checkpoint_every=2).fit(pictures(), out=tmp_path / "killed", resume=True)
        straight = vae(steps, checkpoint_every=0).fit(pictures(), out=tmp_path / "straight")
    finally:
        torch.set_num_threads(threads)
    assert (killed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes(), seed
    lines = [json.loads(line) for line in (killed / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
