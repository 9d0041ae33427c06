"""The programs that bench/programs.py times find what PyTorch finds."""

import pytest

import fastgrad as fg
import programs
from reference import needs_torch, torch


@needs_torch
@pytest.mark.parametrize("program", programs.PROGRAMS, ids=lambda p: p.name)
def test_values_and_gradients(program):
    ours, _ = programs.prepare(program, fg)
    theirs, _ = programs.prepare(program, torch)
    programs.compare(program, ours(), theirs())


def test_a_difference_is_found():
    program = programs.PROGRAMS[0]
    results, step = programs.prepare(program, fg)
    found = results()
    step()
    programs.compare(program, found, results())  # a step leaves no gradients behind
    with pytest.raises(AssertionError, match=program.name):
        programs.compare(program, found, [found[0], found[1] * 1.01])


def test_names_differ():
    names = [program.name for program in programs.PROGRAMS]
    assert len(set(names)) == len(names) > 50
