"""Calling a module with other tensors in the place of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastgrad._core import Tensor
from fastgrad.func.module_calls import functional_call
from fastgrad.nn.modules.module import Module

__all__ = ["functional_call"]


def _place(module: Module, path: str) -> tuple[dict[str, Any], str] | None:
    """Returns the registry that holds a tensor, and its name there."""
    parent, _, name = path.rpartition(".")
    try:
        owner = module.get_submodule(parent)
    except AttributeError:
        return None
    for registry in (owner._parameters, owner._buffers):
        if name in registry:
            return registry, name
    return None


def _tied(module: Module) -> dict[str, set[str]]:
    """Returns the names of every tensor that has several."""
    by_tensor: dict[int, set[str]] = {}
    for members in (module.named_parameters, module.named_buffers):
        for name, tensor in members(remove_duplicate=False):
            by_tensor.setdefault(id(tensor), set()).add(name)
    return {name: names for names in by_tensor.values() if len(names) > 1 for name in names}


@contextmanager
def _reparametrize_module(
    module: Module, tensors: Mapping[str, Tensor], tie_weights: bool = False, strict: bool = False
) -> Iterator[None]:
    given = dict(tensors)
    if tie_weights:
        for names in {frozenset(names) for names in _tied(module).values()}:
            values = [tensors[name] for name in names if name in tensors]
            if any(value is not values[0] for value in values):
                raise ValueError(
                    f"functional_call got multiple values for keys {sorted(names)}, which are tied."
                    " Consider using tie_weights=False"
                )
            given.update(dict.fromkeys(names, values[0]) if values else {})
    if strict:
        known = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        known |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
        missing, unexpected = sorted(known - set(given)), sorted(set(given) - known)
        if missing or unexpected:
            raise RuntimeError(f"Missing key(s): {missing}. Unexpected key(s): {unexpected}.")
    places = {path: _place(module, path) for path in given}
    unknown = [path for path, place in places.items() if place is None]
    if unknown and strict:
        raise RuntimeError(f"Unexpected key(s): {unknown}.")
    before = [(place, place[0][place[1]]) for place in places.values() if place is not None]
    try:
        for path, place in places.items():
            if place is not None:
                place[0][place[1]] = given[path]
        yield
    finally:
        for (registry, name), tensor in before:
            registry[name] = tensor
