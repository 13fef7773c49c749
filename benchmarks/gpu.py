"""Training and sampling on a CUDA card: throughput, fraction of the matrix rate, memory, eager against compiled.

    python benchmarks/gpu.py [--steps 200]

Prints Markdown tables; without a CUDA device, prints one line and stops.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from training import CASES, Case, flops_a_picture, pictures

from zoo_core import GANSettings, Trainer
from zoo_core.data.training_data import TrainingData
from zoo_core.training.compilation import compile_networks
from zoo_core.training.loop import batch_stream, prepare, train_one_step

DEVICE = torch.device("cuda")


def timed(call: Callable[[], object], times: int) -> float:
    """Seconds per call, including the work of the card."""
    call()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def matrix_rate(dtype: torch.dtype, *, tf32: bool = False) -> float:
    """Floating-point operations per second of torch.mm."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    size = 8192
    a, b = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    return 2 * size**3 / timed(lambda: torch.mm(a, b), 10)


def memory_rate() -> float:
    """Bytes per second that a copy reads and writes."""
    x = torch.empty(2**28, device=DEVICE)
    y = torch.empty_like(x)
    return 2 * x.nbytes / timed(lambda: y.copy_(x), 10)


def trainer_for(case: Case, precision: str, batch_size: int) -> Trainer:
    kind = case.trainer.Settings if case.is_vae else GANSettings
    settings = kind(batch_size=batch_size, precision=precision, compile="off", device="cuda")
    trainer = case.trainer(case.config, settings, case.shape)
    trainer.device = DEVICE
    prepare(trainer)
    return trainer


def report(case: Case, steps: int, peaks: dict[str, float]) -> None:
    pixels, _ = pictures(case)
    flops = flops_a_picture(case, pixels)
    for batch_size in (case.batch_size, 1024):
        for precision in ("fp32", "bf16"):
            for compiled in (False, True):
                torch.cuda.reset_peak_memory_stats()
                trainer = trainer_for(case, precision, batch_size)
                if compiled:
                    compile_networks(trainer)
                stream = batch_stream(trainer, TrainingData.from_tensors(pixels))
                for _ in range(5):
                    train_one_step(trainer, stream)
                rate = batch_size / timed(lambda t=trainer, s=stream: train_one_step(t, s), steps)
                used = torch.cuda.max_memory_allocated() / 1e6
                generator = trainer.modules["generator"]
                sampled = 1024 / timed(lambda g=generator: g.sample(1024, batch_size=1024), 3)
                how = f"{precision}, {'compiled' if compiled else 'eager'}"
                share = rate * flops / peaks[precision]
                print(
                    f"| {case.name} | {batch_size} | {how} | {rate:,.0f} | {share:.0%} | {sampled:,.0f} | {used:,.0f} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="training steps per measurement (default: %(default)s)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device was found; this benchmark needs one")
    peaks = {"fp32": matrix_rate(torch.float32), "bf16": matrix_rate(torch.bfloat16)}
    tf32 = matrix_rate(torch.float32, tf32=True)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(
        f"matrices: float32 {peaks['fp32'] / 1e12:.1f}",
        f"TF32 {tf32 / 1e12:.1f}, bfloat16 {peaks['bf16'] / 1e12:.1f} TFLOP/s",
    )
    print(f"memory: {memory_rate() / 1e9:,.0f} GB/s\n")
    print(
        "| model | batch | how | images/s | of the matrix rate | samples/s | peak MB |\n|---|---|---|---|---|---|---|"
    )
    for case in CASES:
        report(case, options.steps, peaks)


if __name__ == "__main__":
    main()
