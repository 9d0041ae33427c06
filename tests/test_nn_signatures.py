"""Constructors and functions take PyTorch's arguments, by name and in order."""

import inspect

import pytest

from reference import fg, needs_torch, only_fastgrad, torch

pytestmark = [needs_torch, only_fastgrad]

PLACES = ("nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.parametrize",
          "nn.utils.parametrizations", "optim.swa_utils")  # fmt: skip
# Their signatures are those of overloads, of the core's functions, or take anything.
OTHER = {"RNN", "LSTM", "GRU", "Module", "Generator"}


def resolve(module, path):
    for part in path.split("."):
        module = getattr(module, part)
    return module


def parameters(found):
    result = []
    for p in inspect.signature(found).parameters.values():
        default = p.default
        if default is not inspect.Parameter.empty and not isinstance(
            default, (bool, int, float, str, type(None))
        ):
            default = "..."
        result.append((p.name, p.kind.name, default))
    return result


def cases():
    for place in PLACES:
        if torch is None:
            return
        ours, theirs = resolve(fg, place), resolve(torch, place)
        for name in dir(ours):
            mine = getattr(ours, name)
            if name.startswith("_") or name in OTHER or not hasattr(theirs, name):
                continue
            if not (inspect.isclass(mine) or inspect.isfunction(mine)):
                continue
            try:
                inspect.signature(getattr(theirs, name))
            except ValueError:  # a function of PyTorch's core, which does not know its own
                continue
            if getattr(mine, "__module__", "").startswith("fastgrad"):
                yield f"{place}.{name}"


@pytest.mark.parametrize("path", list(cases()))
def test_signature(path):
    expected = parameters(resolve(torch, path))
    if {kind for _, kind, _ in expected} <= {"VAR_POSITIONAL", "VAR_KEYWORD"}:
        return  # PyTorch takes anything, and sorts it out itself
    assert parameters(resolve(fg, path)) == expected
