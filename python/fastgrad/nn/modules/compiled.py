"""What `fastgrad.compile` makes of a module: a module whose calls are replayed."""

from __future__ import annotations

from typing import Any

from fastgrad._core import CompiledFunction
from fastgrad.nn.modules.module import Module

_OWN = frozenset({"_orig_mod", "_compiled", "training"})


class OptimizedModule(Module):
    """A module whose calls are recorded and replayed; `fastgrad.compile(module)` makes it.

    The module stands in it as `_orig_mod`, and parameters are the same objects. Names of the state
    dictionary begin with `_orig_mod.`, as in PyTorch; other attributes are those of the module.

    Example:
        >>> model = fg.compile(fg.nn.Linear(2, 1))
        >>> model
        OptimizedModule(
          (_orig_mod): Linear(in_features=2, out_features=1, bias=True)
        )
        >>> model.in_features, list(model.state_dict())
        (2, ['_orig_mod.weight', '_orig_mod.bias'])
    """

    def __init__(self, module: Module, compiled: CompiledFunction) -> None:
        super().__init__()
        self._orig_mod = module
        object.__setattr__(self, "_compiled", compiled)
        object.__setattr__(self, "training", module.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the module returns."""
        return self._compiled(*args, **kwargs)

    def stats(self) -> dict[str, Any]:
        """Returns how often calls were recorded and replayed; see `fastgrad.compile`."""
        result: dict[str, Any] = self._compiled.stats()
        return result

    @property
    def __wrapped__(self) -> Module:
        """The module."""
        module: Module = self._orig_mod
        return module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in _OWN:  # not there yet, or not copied yet
                raise
        inner = self.__dict__["_compiled"] if name in ("graph", "dot", "save") else self._orig_mod
        return getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or "_compiled" not in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> OptimizedModule:
        import copy

        import fastgrad

        made: Any = fastgrad.compile(copy.deepcopy(self._orig_mod, memo))
        memo[id(self)] = made
        result: OptimizedModule = made
        return result
