"""Runtime: the machine that a model runs on, and the processes that share a run.

devices      what `auto`, `cuda:1` or `mps` mean here, and where a model is
precision    fp32, bf16 and fp16: what a device computes in, and autocast
meta_device  networks without weights: shapes and names alone
memory       how much memory is free
environment  what torchrun or accelerate say in environment variables; imports no torch
processes    the processes of one run, and what they agree on
"""

__all__ = ["devices", "environment", "memory", "meta_device", "precision", "processes"]
