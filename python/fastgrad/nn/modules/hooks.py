"""Calling a module, and the hooks that see the call.

A call without hooks is one test of an attribute and the call of `forward`. Registering a hook sets
the attribute, on the module or, for global hooks, on the class of all modules.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.function import Function
from fastgrad.nn.modules.attributes import Attributes
from fastgrad.utils.hooks import Hook, RemovableHandle

_global_forward_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_forward_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_forward_hooks_with_kwargs: set[int] = set()
_global_forward_hooks_always_called: set[int] = set()
_global_backward_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_backward_hooks: OrderedDict[int, Hook] = OrderedDict()


def _register(hooks: OrderedDict[int, Hook], hook: Hook, first: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if first:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _register_global(hooks: OrderedDict[int, Hook], hook: Hook) -> RemovableHandle:
    Calls._hooked = True
    return _register(hooks, hook)


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, args)` before the forward of every module; see `Module`'s own."""
    return _register_global(_global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Calls `hook(module, args, output)` after the forward of every module; see `Module`'s own."""
    handle = _register_global(_global_forward_hooks, hook)
    if with_kwargs:
        _global_forward_hooks_with_kwargs.add(handle.id)
    if always_call:
        _global_forward_hooks_always_called.add(handle.id)
    return handle


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, grad_output)` before the backward of every module; see `Module`'s own."""
    return _register_global(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, grad_input, grad_output)` after the backward of every module."""
    return _register_global(_global_backward_hooks, hook)


class _Watch:
    """One call of a module whose gradients hooks want to see."""

    def __init__(self, module: Any, pre_hooks: list[Hook], hooks: list[Hook]) -> None:
        self.module, self.pre_hooks, self.hooks = module, pre_hooks, hooks
        self.grad_output: tuple[Tensor | None, ...] = ()
        self.input_count = 0
        self.inputs_watched = False

    def outputs_reached(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in self.pre_hooks:
            changed = hook(self.module, grads)
            if changed is not None:
                grads = self._as_grads(changed, len(grads), "grad_output", "Backward pre hook")
        self.grad_output = grads
        if self.hooks and not self.inputs_watched:
            for hook in self.hooks:
                if hook(self.module, (None,) * self.input_count, grads) is not None:
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should "
                        "always return None or None for all gradients."
                    )
        return grads

    def inputs_reached(
        self, grads: tuple[Tensor | None, ...], places: list[int]
    ) -> tuple[Tensor | None, ...]:
        given: list[Tensor | None] = [None] * self.input_count
        for place, grad in zip(places, grads):
            given[place] = grad
        grad_input = tuple(given)
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = self._as_grads(
                    changed, self.input_count, "grad_input", "Backward hook"
                )
        return tuple(grad_input[place] for place in places)

    @staticmethod
    def _as_grads(changed: Any, count: int, what: str, who: str) -> tuple[Tensor | None, ...]:
        grads = changed if isinstance(changed, tuple) else (changed,)
        if len(grads) != count:
            raise RuntimeError(
                f"{who} returned an invalid number of {what}, got {len(grads)}, "
                f"but expected {count}"
            )
        return grads


class BackwardHookFunction(Function):
    """Passes tensors on, and lets `reached` see and change their gradients."""

    @staticmethod
    def forward(ctx: Any, reached: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        """Returns the tensors as they are."""
        ctx.reached = reached
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Returns what `reached` makes of the gradients."""
        return (None, *ctx.reached(grads))


def _watched(
    values: tuple[Any, ...], reached: Callable[..., Any]
) -> tuple[tuple[Any, ...], list[int]]:
    """Passes the tensors that require gradients through a node that calls `reached`."""
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not places or not _core.is_grad_enabled():
        return values, []
    passed = BackwardHookFunction.apply(
        lambda grads: reached(grads, places), *(values[i] for i in places)
    )
    result = list(values)
    for place, tensor in zip(places, passed):
        result[place] = tensor
    return tuple(result), places


class Calls(Attributes):
    """What a module does when it is called.

    Example:
        >>> from fastgrad.nn.modules.hooks import Calls
        >>> issubclass(fg.nn.Module, Calls)
        True
    """

    _hooked: bool = False  # whether any hook of calls was ever registered here
    forward: Callable[..., Any]

    _forward_pre_hooks: OrderedDict[int, Hook]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks: OrderedDict[int, Hook]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _backward_pre_hooks: OrderedDict[int, Hook]
    _backward_hooks: OrderedDict[int, Hook]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls `forward`, between the hooks that are registered."""
        if self._hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    _call_impl = __call__

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        try:
            return self._run_hooked(args, kwargs, called)
        except Exception:
            for number, hook, with_kwargs, always in self._all_forward_hooks():
                if always and number not in called:
                    try:
                        hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
                    except Exception as error:
                        warnings.warn(
                            "module forward hook with ``always_call=True`` raised an exception "
                            f"that was silenced as another error was raised in forward: {error}",
                            stacklevel=3,
                        )
            raise

    def _all_forward_hooks(self) -> list[tuple[int, Hook, bool, bool]]:
        return [
            (
                number,
                hook,
                number in _global_forward_hooks_with_kwargs,
                number in _global_forward_hooks_always_called,
            )
            for number, hook in _global_forward_hooks.items()
        ] + [
            (
                number,
                hook,
                number in self._forward_hooks_with_kwargs,
                number in self._forward_hooks_always_called,
            )
            for number, hook in self._forward_hooks.items()
        ]

    def _run_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> Any:
        for number, hook in [*_global_forward_pre_hooks.items(), *self._forward_pre_hooks.items()]:
            if number in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of "
                            f"(new_args, new_kwargs), but got {changed}."
                        )
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        watch = self._new_watch()
        if watch is not None:
            watch.input_count = len(args)
            if watch.hooks:
                args, places = _watched(args, watch.inputs_reached)
                watch.inputs_watched = bool(places)
        result = self.forward(*args, **kwargs)
        for number, hook, with_kwargs, _ in self._all_forward_hooks():
            called.add(number)
            changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            if changed is not None:
                result = changed
        return result if watch is None else _watch_outputs(watch, result)

    def _new_watch(self) -> _Watch | None:
        pre_hooks = [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
        hooks = [*self._backward_hooks.values(), *_global_backward_hooks.values()]
        return _Watch(self, pre_hooks, hooks) if pre_hooks or hooks else None

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls a hook before every forward.

        Args:
            hook: `hook(module, args)`; returns None, or the arguments to use instead.
            prepend: Calls it before the hooks that are registered already.
            with_kwargs: Calls `hook(module, args, kwargs)`, which may return a pair of both.

        Returns:
            A handle whose `remove()` takes the hook out.

        Example:
            >>> m = fg.nn.Identity()
            >>> handle = m.register_forward_pre_hook(lambda module, args: args[0] * 2)
            >>> m(fg.ones(1))
            tensor([2.])
        """
        self._hooked = True
        handle = _register(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Calls a hook after every forward.

        Args:
            hook: `hook(module, args, output)`; returns None, or the output to use instead.
            prepend: Calls it before the hooks that are registered already.
            with_kwargs: Calls `hook(module, args, kwargs, output)`.
            always_call: Calls it also when forward raised an error, with None for the output.

        Returns:
            A handle whose `remove()` takes the hook out.

        Example:
            >>> m = fg.nn.Identity()
            >>> handle = m.register_forward_hook(lambda module, args, output: output + 1)
            >>> m(fg.ones(1))
            tensor([2.])
        """
        self._hooked = True
        handle = _register(self._forward_hooks, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls a hook when the gradients with respect to the outputs are known.

        Args:
            hook: `hook(module, grad_output)`; returns None, or the gradients to use instead.
            prepend: Calls it before the hooks that are registered already.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        self._hooked = True
        return _register(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls a hook when the gradients with respect to the inputs are known.

        Args:
            hook: `hook(module, grad_input, grad_output)`, with None in the place of arguments that
                have no gradient; returns None, or the `grad_input` to use instead.
            prepend: Calls it before the hooks that are registered already.

        Returns:
            A handle whose `remove()` takes the hook out.

        Example:
            >>> m = fg.nn.ReLU()
            >>> handle = m.register_full_backward_hook(lambda m, gi, go: print(gi, go))
            >>> x = fg.tensor([-1.0, 1.0], requires_grad=True)
            >>> m(x).sum().backward()
            (tensor([0., 1.]),) (tensor([1., 1.]),)
        """
        self._hooked = True
        return _register(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """Does what `register_full_backward_hook` does, under PyTorch's old name for it."""
        return self.register_full_backward_hook(hook)


def _watch_outputs(watch: _Watch, result: Any) -> Any:
    """Passes a module's outputs on, a tensor or a tuple or list of values."""
    values = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    count = len(values)

    def reached(grads: tuple[Tensor | None, ...], places: list[int]) -> tuple[Any, ...]:
        given: list[Tensor | None] = [None] * count
        for place, grad in zip(places, grads):
            given[place] = grad
        seen = watch.outputs_reached(tuple(given))
        return tuple(seen[place] for place in places)

    passed, _ = _watched(values, reached)
    if isinstance(result, Tensor):
        return passed[0]
    if hasattr(result, "_fields"):
        return type(result)(*passed)
    return type(result)(passed) if isinstance(result, (tuple, list)) else result
