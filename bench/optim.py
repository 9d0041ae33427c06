"""Time of an optimiser's step alone, beside PyTorch's, for the parameters of a 10-64-1 network.

Usage: python bench/optim.py [--rounds N] [--names SGD Adam ...]

Prints, per optimiser, the median over the rounds of both libraries and their ratio; they take turns
in one process, in float32, with PyTorch's default implementation on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

import fastgrad as fg

SHAPES = ((64, 10), (64,), (1, 64), (1,))
NAMES = ("SGD", "SGD momentum", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta",
         "RMSprop", "Rprop", "ASGD")  # fmt: skip


def make_optimizer(module, name):
    random = np.random.default_rng(0)
    params = [
        module.tensor(random.standard_normal(shape), dtype=module.float32).requires_grad_()
        for shape in SHAPES
    ]
    for p in params:
        p.grad = module.tensor(random.standard_normal(p.shape), dtype=module.float32)
    cls, *momentum = name.split()
    return getattr(module.optim, cls)(params, lr=1e-4, **({"momentum": 0.9} if momentum else {}))


def seconds_per_step(optimizer, steps):
    step = optimizer.step
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--names", nargs="+", default=NAMES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':14}{'fastgrad µs':>12}{'PyTorch µs':>12}{'ratio':>8}")
    for name in arguments.names:
        ours, theirs = make_optimizer(fg, name), make_optimizer(torch, name)
        times = [(seconds_per_step(ours, 200), seconds_per_step(theirs, 20))
                 for _ in range(arguments.rounds)]  # fmt: skip
        mine, other = (statistics.median(column) * 1e6 for column in zip(*times))
        print(f"{name:14}{mine:12.2f}{other:12.1f}{other / mine:8.1f}")


if __name__ == "__main__":
    main()
