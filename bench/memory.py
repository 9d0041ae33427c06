"""Peak memory of forward plus backward, beside PyTorch, one process per library and model.

Each process builds the model, runs a step on a tiny batch so that all code is loaded, sets the
kernel's high-water mark back, and runs one step on the whole batch. The figure is how far the mark
then stands above the memory that was in use before: the median of some processes. Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import harness

BATCH = {"MLP 784-512-512-512-10": 1024, "CNN 1-16-32 on 28x28": 256}


def mlp(lib: Any) -> Any:
    """Returns a classifier with four linear layers."""
    nn = lib.nn
    return nn.Sequential(
        *(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()),
        *(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)),
    )


def cnn(lib: Any) -> Any:
    """Returns a small convolutional classifier of images of 28 by 28."""
    nn = lib.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )


MODELS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "MLP 784-512-512-512-10": (mlp, (784,)),
    "CNN 1-16-32 on 28x28": (cnn, (1, 28, 28)),
}


def status_bytes(field: str) -> int:
    """Returns a figure of /proc/self/status, such as VmRSS or VmHWM, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}")
    return int(found[1]) * 1024


def run_step(library: str, name: str) -> int:
    """Runs one step of a model in this process and returns the bytes it needed at its peak."""
    lib = importlib.import_module(library)
    lib.set_num_threads(1)
    make, shape = MODELS[name]
    rng = np.random.default_rng(0)
    model = make(lib)

    def step(batch: int) -> None:
        x = lib.from_numpy(rng.standard_normal((batch, *shape)).astype(np.float32))
        y = lib.from_numpy(rng.integers(0, 10, batch))
        lib.nn.functional.cross_entropy(model(x), y).backward()

    step(4)  # also makes the gradients, which both libraries keep
    if library == "fastgrad":
        lib.memory.empty_cache()
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmRSS")
    step(BATCH[name])
    return status_bytes("VmHWM") - before


def measure(library: str, name: str) -> int:
    """Runs `run_step` in processes of their own and returns the median."""
    return int(statistics.median(measure_once(library, name) for _ in range(3)))


def measure_once(library: str, name: str) -> int:
    """Runs `run_step` in a process of its own."""
    command = [sys.executable, __file__, "--run", library, name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return int(done.stdout)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="write bench/results/memory.json")
    parser.add_argument("--run", nargs=2, metavar=("LIBRARY", "MODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        print(run_step(*options.run))
        return 0
    rows = {}
    for name in MODELS:
        ours, theirs = measure("fastgrad", name), measure("torch", name)
        rows[name] = {"fastgrad": ours, "torch": theirs}
        print(f"{name:26}{ours / 2**20:8.1f} MiB  PyTorch {theirs / 2**20:8.1f} MiB")
    if options.save:
        print(f"wrote {harness.save('memory', {'bytes': rows})}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
