"""Many threads that sample from one model at once: each gets the samples that one thread gets alone."""

from __future__ import annotations

import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.builtin import architecture

THREADS = 16
SIZES = {"vanilla_gan": {"generator_widths": (64, 64)}, "dcgan": {"width": 8}, "cnn-gan": {"latent_size": 8}, "vae": {}}


@pytest.fixture(autouse=True)
def many_switches():
    """Threads take turns a thousand times as often as usual, and torch leaves the cores to them."""
    interval, threads = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-6)
    torch.set_num_threads(1)
    yield
    sys.setswitchinterval(interval)
    torch.set_num_threads(threads)


def fresh(name, *, training):
    kind = architecture(name)
    torch.manual_seed(0)
    generator = kind.generator_class()(kind.config_class()(**SIZES[name])).requires_grad_(False)
    return generator.train(training)


def sampled_by_many(generator):
    barrier = threading.Barrier(THREADS)

    def draw(_):
        barrier.wait()
        return generator.sample(20, seed=3, batch_size=16)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(draw, range(THREADS)))


@pytest.mark.parametrize("training", [False, True], ids=["loaded", "in training"])
@pytest.mark.parametrize("name", SIZES)
def test_threads_that_sample_at_once_get_what_one_gets(name, training):
    model = fresh(name, training=training)
    expected = copy.deepcopy(model).sample(20, seed=3, batch_size=16)
    statistics = {key: value.clone() for key, value in model.state_dict().items()}
    for _ in range(3):
        generator = copy.deepcopy(model)
        assert all(torch.equal(samples, expected) for samples in sampled_by_many(generator))
        assert all(module.training == training for module in generator.modules())
        assert all(torch.equal(value, statistics[key]) for key, value in generator.state_dict().items())
