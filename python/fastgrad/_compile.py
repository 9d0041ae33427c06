"""`fastgrad.compile`, the public function.

The work is done in C++: a call is recorded by `cpp/transforms/trace.cpp` and replayed by
`cpp/program/program.cpp`. What C++ cannot see is Python itself: `fastgrad._examine` looks there.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, overload

from fastgrad._core import CompiledFunction
from fastgrad._examine import examine

__all__ = ["compile"]

F = TypeVar("F", bound=Callable[..., Any])


@overload
def compile(
    fn: F,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> F: ...
@overload
def compile(
    fn: None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Callable[[F], F]: ...
def compile(
    fn: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """Records what a function does to tensors once, and replays it without Python from then on.

    The first call runs `fn` as it is and records it: operations, backward passes, writes in place,
    gradients left in `.grad`, steps of optimisers. Later calls replay that, in C++ and on memory
    that was laid out once, as long as everything that decided what was recorded is as it was:
    shapes, types and strides of tensors, other arguments, globals, closures, attributes, and the
    outcome of every `if` on a tensor's value. Whatever differs is recorded too, as another variant.
    A float among the arguments that varies becomes an input, unless more is done with it than
    arithmetic with numbers and tensors. The values of index tensors may vary as long as they are in
    range, masks as long as they select as many elements. Results are those of `fn`, bit for bit,
    but that a NaN may have another sign.

    New tensors for results take a good part of the time of a small function. A closure that reads
    captured tensors and copies what it makes into others, as in the second example, needs none:
    results are made in the buffers.

    A function that cannot be replayed, such as one that uses `.item()` or appends to a list
    outside, runs as it is, after one warning that says why and where.

    Args:
        fn: The function, method, or object to call. Absent when used as `@compile(...)`.
        fullgraph: Raises an error in place of that warning.
        dynamic: Every combination of shapes has a recording of its own, which costs some calls of
            `fn`. With True there may be 1024 of them, and further shapes run as they are; else
            `fn` runs uncompiled, after a warning, once there are 64.
        backend: Accepted for PyTorch's sake: there is one.
        mode: Accepted likewise.
        options: Accepted likewise.
        disable: Returns `fn` as it is.

    Returns:
        A callable with `stats()`, `graph()` and `dot()`; `__wrapped__` is `fn`. For a module, a
        module that holds it (`nn.modules.compiled.OptimizedModule`).

    Raises:
        RuntimeError: With `fullgraph=True`, when a call could not be recorded.

    Example:
        >>> import fastgrad as fg
        >>> @fg.compile
        ... def step(x):
        ...     y = (x * x).sum()
        ...     (g,) = fg.autograd.grad(y, x)
        ...     return x.detach() - 0.1 * g
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> step(x), step(x)
        (tensor([0.8000, 1.6000]), tensor([0.8000, 1.6000]))
        >>> step.stats()["replays"]
        1
        >>> value, slope = fg.zeros(()), fg.zeros(2)
        >>> @fg.compile
        ... def measure():
        ...     y = (x * x).sum()
        ...     value.copy_(y.detach())
        ...     slope.copy_(fg.autograd.grad(y, x)[0])
        >>> for _ in range(3):
        ...     measure()
        >>> value, slope
        (tensor(5.), tensor([2., 4.]))
    """
    if fn is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, disable=disable)
    if disable:
        return fn
    if not callable(fn):
        raise TypeError(f"compile expects a callable, got {type(fn).__name__}")
    if isinstance(fn, CompiledFunction):
        return fn
    compiled = CompiledFunction(fn, examine, fullgraph=fullgraph, dynamic=bool(dynamic))
    nn = sys.modules.get("fastgrad.nn")  # without it, fn is no module
    if nn is not None and isinstance(fn, nn.Module):
        from fastgrad.nn.modules.compiled import OptimizedModule

        return fn if isinstance(fn, OptimizedModule) else OptimizedModule(fn, compiled)
    return compiled
