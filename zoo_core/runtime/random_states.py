"""The random states of Python, numpy, torch and a device: kept while something else draws numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from zoo_core.runtime.devices import random_state, set_random_state


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Set all random generators back after the block to where they were before it.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> with random_states_kept(torch.device("cpu")):
        ...     inside = torch.rand(1)
        >>> bool(torch.rand(1) == inside)
        True
    """
    python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    own = random_state(device)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)
        if own is not None:
            set_random_state(device, own)
