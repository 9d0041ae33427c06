"""Losses as users write them, with gradients, beside PyTorch: `python bench/programs.py [--save]`.

Fits, simulations, statistics, networks and losses of the usual kinds, of ordinary sizes, each
written once for both libraries (bench/program_science.py, bench/program_learning.py). A row is one
evaluation with gradients; it starts with a check that both libraries find the same.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import harness
import program_learning
import program_science
from program_form import Maker, Program

PROGRAMS: list[Program] = [*program_science.ALL.programs, *program_learning.ALL.programs]


def prepare(program: Program, m: Any) -> tuple[Callable[[], list[Any]], Callable[[], None]]:
    """A function that returns loss and gradients in NumPy's arrays, and the one that is timed."""
    make = Maker(m, program.dtype)
    loss = program.make(m, make)
    parameters = make.parameters

    def step() -> None:
        loss().backward()
        for p in parameters:
            p.grad = None

    def results() -> list[Any]:
        value = loss()
        value.backward()
        found = [value.detach().numpy(), *(p.grad.numpy().copy() for p in parameters)]
        for p in parameters:
            p.grad = None
        return found

    return results, step


def compare(program: Program, ours: list[Any], theirs: list[Any]) -> None:
    """Raises an error where results differ by more than rounding explains.

    Some gradients are 0 but for rounding: all are measured by the largest one.
    """
    tolerance = 2e-3 if program.dtype == "float32" else 1e-7
    np.testing.assert_allclose(ours[0], theirs[0], rtol=tolerance, err_msg=program.name)
    scale = max(float(np.abs(g).max()) for g in theirs[1:])
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(a / scale, b / scale, atol=tolerance, err_msg=program.name)


def cases(select: str) -> Iterator[harness.Case]:
    """Builds the selected programs in both libraries."""
    import torch

    import fastgrad

    for program in PROGRAMS:
        if select not in program.name:
            continue
        ours, our_step = prepare(program, fastgrad)
        theirs, their_step = prepare(program, torch)
        compare(program, ours(), theirs())
        yield harness.Case(program.name, our_step, their_step, 1)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--round-seconds", type=float, default=0.02)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--select", default="", help="only programs whose name contains this")
    parser.add_argument("--save", action="store_true", help="write bench/results/programs.json")
    options = parser.parse_args(argv)
    import torch

    import fastgrad

    found = {}
    for threads in options.threads:
        fastgrad.set_num_threads(threads)
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' if threads > 1 else ''}")
        rows = harness.run_cases(cases(options.select), options.rounds, options.round_seconds)
        mean = math.exp(sum(math.log(row.ratio) for row in rows) / len(rows))
        print(f"geometric mean {mean:.2f}, least {min(row.ratio for row in rows):.2f}")
        found[str(threads)] = harness.as_dicts(rows)
    if options.save:
        print(f"wrote {harness.save('programs', {'threads': found})}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
