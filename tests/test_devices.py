"""Devices: what they can do, in one module; and the precision that a run gets on them."""

import ast
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core.errors import DeviceError
from zoo_core.runtime import devices
from zoo_core.runtime.devices import DEVICE_TYPES, describe_devices, free_memory, random_state, resolve_device
from zoo_core.runtime.precision import resolve_precision

PACKAGE = Path(zoo_core.__file__).parent
DEVICES = PACKAGE / "runtime" / "devices.py"


def mentions_of_device_types(file):
    """Lines of code, not of prose, that know a type of device beside the CPU."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and node.value in {*DEVICE_TYPES} - {"cpu", "meta"}:
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr in ("cuda", "mps"):
            yield node.lineno


def test_one_module_knows_the_types_of_devices():
    knowing = {file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py") if any(mentions_of_device_types(file))}
    assert knowing == {DEVICES.relative_to(PACKAGE)}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gpu", "there is no device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
        ("cuda:999", "device cuda:999 does not exist: torch finds .* CUDA devices; use --device cpu"),
        ("cuda:256", "device cuda:256 does not exist"),
        ("xla", "device 'xla' is not supported; use auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_a_device_that_is_missing_is_one_line_that_says_what_there_is(name, problem):
    with pytest.raises(DeviceError, match=problem) as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


def test_the_devices_of_this_machine_can_be_used():
    usable = [name for name, description in describe_devices().items() if "sees no device" not in description]
    assert "cpu" in usable
    for name in usable:
        assert str(resolve_device(name)) == name


def test_the_cpu_has_neither_memory_nor_random_numbers_beside_those_of_the_machine():
    assert free_memory(torch.device("cpu")) == 0
    assert random_state(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("device", "requested", "computes_in_bf16", "expected"),
    [
        ("cpu", "auto", True, "fp32"),
        ("cpu", "bf16", True, "bf16"),
        ("cuda", "auto", True, "bf16"),
        ("cuda", "auto", False, "fp32"),
        ("cuda", "fp16", False, "fp16"),
        ("mps", "auto", True, "fp32"),
    ],
)
def test_auto_is_bf16_on_a_gpu_that_computes_in_it(device, requested, computes_in_bf16, expected, monkeypatch):
    monkeypatch.setattr(devices, "computes_in_bf16", lambda device: computes_in_bf16)
    assert resolve_precision(requested, torch.device(device)) == expected


def test_a_gpu_that_does_not_compute_in_bf16_is_named(monkeypatch):
    monkeypatch.setattr(devices, "computes_in_bf16", lambda device: False)
    monkeypatch.setattr(devices, "model_of", lambda device: "Tesla V100")
    with pytest.raises(DeviceError, match=r"^Tesla V100 does not compute in bf16; use fp16 or fp32$"):
        resolve_precision("bf16", torch.device("cuda"))
