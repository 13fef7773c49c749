"""Runtime: the machine that a model runs on, and the processes that share a run.

devices      what each type of device can do, and which device a name such as `auto` or `cuda:1` means
precision    fp32, bf16 and fp16: what a device computes in, and autocast
meta_device  networks without weights, only shapes and names
random_states   the random states of all generators, kept while something else draws
torch_defaults  torch as it is by default, whatever the caller has set
memory       the free memory of the machine
environment  the environment variables of torchrun and accelerate; imports no torch
processes    the processes of a run, and how they exchange values
"""

__all__ = [
    "devices",
    "environment",
    "memory",
    "meta_device",
    "precision",
    "processes",
    "random_states",
    "torch_defaults",
]
