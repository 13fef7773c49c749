"""The figures that a training step returns: what counts as a number, and what is said of anything else."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.builtin import architecture
from zoo_core import GANSettings
from zoo_core.errors import InterfaceError
from zoo_core.training.figures import checked_figures

SHAPE = (1, 8, 8)


def trainer(returned, device="cpu", **settings):
    """A GAN of small MLPs whose step returns this in place of its figures, or what a function makes of them."""
    gan = architecture("vanilla_gan")

    class Stating(gan.trainer_class()):
        def training_step(self, batch):
            figures = super().training_step(batch)
            return returned(figures) if callable(returned) else returned

    config = gan.config_class()(size=8, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    settings = {"steps": 4, "batch_size": 4, "sample_every": 0, "device": "cpu"} | settings
    made = Stating(config, GANSettings(**settings), SHAPE)
    made.device = torch.device(device)
    return made


def fit(stating, out):
    samples = torch.randint(0, 256, (8, *SHAPE), dtype=torch.uint8)
    return stating.fit(samples, out=out)


NUMBERS = {
    "float": 0.5,
    "int": 1,
    "bool": True,
    "fraction": Fraction(1, 2),
    "numpy_scalar": np.float32(0.5),
    "numpy_integer": np.int64(1),
    "numpy_bool": np.bool_(True),
    "zero_dimensional_array": np.array(0.5),
    "array_of_one": np.array([[0.5]]),
    "tensor": torch.tensor(0.5),
    "tensor_of_one": torch.tensor([0.5]),
    "double": torch.tensor(0.5, dtype=torch.float64),
    "half": torch.tensor(0.5, dtype=torch.float16),
    "byte": torch.tensor(200, dtype=torch.uint8),
    "flag": torch.tensor(True),
    "attached": torch.tensor(0.5, requires_grad=True) * 1,
}


def test_every_real_number_is_a_figure_and_is_averaged_as_such(tmp_path):
    folder = fit(trainer(lambda figures: NUMBERS), tmp_path / "run")
    (line,) = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    expected = (
        dict.fromkeys(NUMBERS, 0.5)
        | {"byte": 200}
        | dict.fromkeys(("int", "bool", "numpy_integer", "numpy_bool", "flag"), 1)
    )
    assert {name: line[name] for name in NUMBERS} == expected


def test_a_figure_may_be_a_number_at_one_step_a_tensor_at_the_next_and_missing_at_another(tmp_path):
    values = iter([1.0, torch.tensor(2.0), None, np.float64(3.0)])

    def mixed(figures):
        value = next(values)
        return {} if value is None else {"mixed": value}

    folder = fit(trainer(mixed), tmp_path / "run")
    assert json.loads((folder / "log.jsonl").read_text())["mixed"] == 2.0


def test_a_figure_holds_no_graph_and_no_narrow_type():
    figures = checked_figures(trainer({}), {"a": NUMBERS["attached"], "b": NUMBERS["half"]})
    assert not figures["a"].requires_grad
    assert figures["b"].dtype == torch.float32


NO_NUMBERS = {
    "none": (None, "None"),
    "text": ("0.5", "'0.5', of type str"),
    "complex": (1j, "1j, of type complex"),
    "list": ([0.5], r"[0.5], of type list"),
    "several": (torch.zeros(4), "a tensor of shape (4,) on cpu"),
    "empty": (torch.zeros(0), "a tensor of shape (0,) on cpu"),
    "complex_tensor": (torch.tensor(1j), "a complex tensor of shape () on cpu"),
    "meta": (torch.zeros((), device="meta"), "a tensor of shape () on meta"),
    "array": (np.zeros(3), "an array of shape (3,) and type float64"),
    "words": (np.array(["a"]), "an array of shape (1,) and type <U1"),
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_anything_else_is_named_with_its_class_and_its_figure(name):
    value, words = NO_NUMBERS[name]
    expected = f"Stating.training_step returned the figure loss_x as {words}; a figure is one real number: a float, or"
    with pytest.raises(InterfaceError, match=re.escape(expected)):
        checked_figures(trainer({}), {"fine": 1.0, "loss_x": value})


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "returned None; it must return its figures, a dictionary of numbers by name such as {'loss'"),
        (torch.tensor(1.0), "returned a tensor of shape () on cpu; it must return its figures"),
        ({1: 0.5}, "returned a figure called 1; a name is a text"),
        ({"step": 0.5}, "returned a figure called 'step'; the log uses this name itself"),
        ({"images_per_second": 0.5}, "the log uses this name itself"),
    ],
)
def test_a_step_that_returns_no_figures_ends_the_run_in_one_line(returned, words, tmp_path):
    with pytest.raises(InterfaceError, match=re.escape(words)):
        fit(trainer(lambda figures: returned), tmp_path / "run")


def test_on_the_meta_device_itself_figures_are_there_too():
    on_meta = torch.zeros((), device="meta")
    assert checked_figures(trainer({}, device="meta"), {"loss": on_meta})["loss"].is_meta
