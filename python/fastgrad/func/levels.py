"""One call of a transform: its inputs, what was recorded, and what leaves it.

Note [Levels]
Each call of a transform differentiates with respect to inputs of its own: a fresh leaf for an
input that is a constant so far, and an alias for one that is being differentiated already, by an
outer transform or by the user's own backward. A gradient is always asked for by name, for these
inputs; so a derivative can neither take an outer variable for its own nor add to anybody's
``.grad``.

What leaves the call must not depend on its fresh leaves, but must go on depending on whatever else
requires grad: aliased inputs, and tensors that the function took from outside. Whether there is any
of the latter is found by looking through the graph (:func:`reach`). If there is none, the
gradient is computed without a graph and values are detached. Otherwise everything keeps its graph,
and the fresh leaves stop requiring grad once they have served, by which other levels know that
they are not to be counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.utils.pytree import tree_flatten, tree_map, tree_unflatten

Argnums = int | tuple[int, ...]

_is_grad_enabled = _core.is_grad_enabled


# Whose leaves reach(output, own) finds in the history of an output: those of `own` alone; also some
# that do not require grad any more; also some that do.
OWN, RETIRED, OTHERS = range(3)
reach = _core._reach


def not_differentiable(name: str, x: Tensor) -> RuntimeError:
    """Return the error for an input that is not floating."""
    return RuntimeError(
        "only Tensors of floating point and complex dtype can require gradients: "
        f"[func.{name}] got an input of dtype {x.dtype}; convert it, for example with "
        "x.to(fastgrad.float64), or write 3.0 for 3."
    )


def as_input(name: str, value: Any) -> Tensor:
    """Return something to differentiate with respect to as a tensor."""
    if isinstance(value, Tensor):
        return value
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        from fastgrad._numpy_protocol import from_array

        return from_array(value)
    if isinstance(value, float | complex | int):
        return fg.tensor(value)
    raise ValueError(
        f"Thing passed to transform API must be Tensor, got {type(value)}: [func.{name}] "
        "differentiates with respect to tensors, arrays, floats, and trees of such."
    )


def fresh_input(name: str, x: Tensor) -> Tensor:
    """Return a leaf with the values of ``x`` that a level can call its own."""
    try:
        return x.detach().requires_grad_()
    except RuntimeError:
        raise not_differentiable(name, x) from None


def positions(argnums: Any, count: int) -> tuple[int, ...]:
    """Return ``argnums`` as indices into ``count`` positional arguments."""
    if type(argnums) is int and 0 <= argnums < count:
        return (argnums,)
    if isinstance(argnums, bool) or not isinstance(argnums, int | tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    chosen = argnums if isinstance(argnums, tuple) else (argnums,)
    if not chosen:
        raise RuntimeError("argnums must be non-empty")
    for i in chosen:
        if isinstance(i, bool) or not isinstance(i, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got an element {i!r}")
        if not -count <= i < count:
            raise RuntimeError(f"Got argnum={i}, but only {count} positional inputs")
    found = tuple(i % count for i in chosen)
    if len(set(found)) != len(found):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return found


class _Recording:
    """Records operations although the caller has switched it off."""

    def __enter__(self) -> None:
        self.inference = _core.is_inference_mode_enabled()
        if self.inference:
            _core._set_inference_mode(False)
        _core._set_grad_enabled(True)

    def __exit__(self, *exc_info: object) -> None:
        _core._set_grad_enabled(False)
        if self.inference:
            _core._set_inference_mode(True)


class Call:
    """One call of a function, recorded with respect to some of its arguments.

    Attributes:
        inputs: The level's own inputs, flat.
        spec: Structure of what was differentiated: of one argument, or a tuple of several.
        outputs: What the function returned, flat; as recorded, so not to be handed out.
        out_spec: Structure of what the function returned.
        aux: The function's second result, ready to be handed out; None without ``has_aux``.
        tracked: Whether derivatives can depend on something outside that requires grad.
    """

    __slots__ = (
        "_fresh",
        "_reach",
        "_visible",
        "aux",
        "inputs",
        "out_spec",
        "outputs",
        "spec",
        "tracked",
    )

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Argnums,
        has_aux: bool,
        accept: Callable[[Any], None],
    ) -> None:
        """Record a call.

        Args:
            name: Of the transform, for messages.
            func: The function to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            argnums: Which of ``args`` to differentiate.
            has_aux: Whether the function returns a pair of which only the first is differentiated.
            accept: Raises if it does not take the flat list of outputs.
        """
        # Whether the caller could differentiate the results at all.
        self._visible = _is_grad_enabled()
        if self._visible:
            self._run(name, func, args, kwargs, argnums, has_aux, accept)
        else:
            with _Recording():
                self._run(name, func, args, kwargs, argnums, has_aux, accept)

    def _run(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Argnums,
        has_aux: bool,
        accept: Callable[[Any], None],
    ) -> None:
        chosen = positions(argnums, len(args))
        tree = tuple(args[i] for i in chosen) if isinstance(argnums, tuple) else args[chosen[0]]
        leaves, self.spec = tree_flatten(tree)
        self.tracked = False
        self._reach = OWN
        self.inputs: list[Tensor] = []
        self._fresh: list[Tensor] = []
        for leaf in leaves:
            x = as_input(name, leaf)
            if self._visible and x.requires_grad:
                self.inputs.append(x.view_as(x))
                self.tracked = True
            else:
                own = fresh_input(name, x.clone() if x.is_inference() else x)
                self.inputs.append(own)
                self._fresh.append(own)
        tree = tree_unflatten(self.inputs, self.spec)
        called = list(args)
        for i, value in zip(chosen, tree if isinstance(argnums, tuple) else (tree,)):
            called[i] = value

        result = func(*called, **kwargs)
        aux = None
        if has_aux:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise RuntimeError(
                    f"{name}(f)(*args): output of function f should be a tuple: (output, aux) if "
                    "has_aux is True"
                )
            result, aux = result
        self.outputs, self.out_spec = tree_flatten(result)
        accept(self.outputs)
        if self._visible and not self.tracked:
            for y in self.outputs:
                self._reach = max(self._reach, reach(y, self._fresh))
            self.tracked = self._reach == OTHERS
        self.aux = self.handed_out(aux) if has_aux else None

    def handed_out(self, tree: Any) -> Any:
        """Return a tree with its tensors as the caller of the transform may see them."""

        def leave(value: Any) -> Any:
            if not isinstance(value, Tensor) or not value.requires_grad:
                return value
            aliased = len(self._fresh) < len(self.inputs)
            if self._visible and (aliased or reach(value, self._fresh) == OTHERS):
                return value
            return value.detach()

        return tree_map(leave, tree)

    def value(self) -> Any:
        """Return what the function returned."""
        outputs = self.outputs if self.tracked else [y.detach() for y in self.outputs]
        return tree_unflatten(outputs, self.out_spec)

    def pull(
        self,
        cotangents: Sequence[Tensor] | None,
        retain_graph: bool,
        create_graph: bool,
        outputs: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the gradients of the inputs; zeros for what the outputs do not depend on."""
        if outputs is None:
            outputs = self.outputs
        for y in outputs:
            if not y.requires_grad:
                kept = [i for i, y in enumerate(outputs) if y.requires_grad]
                if not kept:
                    return tuple(fg.zeros_like(x) for x in self.inputs)
                outputs = [outputs[i] for i in kept]
                cotangents = None if cotangents is None else [cotangents[i] for i in kept]
                break
        return _core._grad(outputs, self.inputs, cotangents, retain_graph, create_graph, True, True)

    def alone(self) -> bool:
        """Return whether backward from the outputs reaches this level's leaves and nothing else."""
        return self._visible and not self.tracked and self._reach == OWN

    def close(self) -> None:
        """Let other levels know that this one's leaves are not to be counted any more."""
        if self.tracked:
            self.reopen(False)

    def reopen(self, mode: bool = True) -> None:
        """Switch on, or off, that this level's leaves require grad."""
        for x in self._fresh:
            x.requires_grad_(mode)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def named_like(func: Callable[..., Any], derived: _Function) -> _Function:
    """Return ``derived`` with the name of ``func``, from which it was made.

    functools.wraps takes longer than the gradient of a small function.
    """
    derived.__name__ = getattr(func, "__name__", "func")
    derived.__wrapped__ = func  # type: ignore[attr-defined]
    return derived
