"""What all optimisers share: parameter groups, state, state dicts and hooks."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any, ClassVar, TypeAlias

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import enable_grad
from fastgrad.optim import differentiable_rules
from fastgrad.utils.hooks import Hook, RemovableHandle

StateDict: TypeAlias = dict[str, Any]
Group: TypeAlias = dict[str, Any]
Params: TypeAlias = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]
ParamsT: TypeAlias = Params  # the name that optimisers of users import
Closure: TypeAlias = Callable[[], Any]

_global_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_post_hooks: OrderedDict[int, Hook] = OrderedDict()


class _RequiredParameter:
    """The default of an option that every parameter group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def _register(hooks: OrderedDict[int, Hook], hook: Hook, first: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if first:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls a hook before every step of every optimiser.

    Args:
        hook: `hook(optimizer, args, kwargs)`; returns None, or the args and kwargs to use instead.

    Returns:
        A handle whose `remove()` takes the hook out.

    Example:
        >>> import fastgrad as fg
        >>> from fastgrad.optim.optimizer import register_optimizer_step_pre_hook
        >>> x = fg.ones(1, requires_grad=True)
        >>> with register_optimizer_step_pre_hook(lambda opt, a, k: print(type(opt).__name__)):
        ...     fg.optim.SGD([x]).step()
        SGD
    """
    return _register(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Calls a hook after every step of every optimiser.

    Args:
        hook: `hook(optimizer, args, kwargs)`.

    Returns:
        A handle whose `remove()` takes the hook out.

    Example:
        >>> import fastgrad as fg
        >>> from fastgrad.optim.optimizer import register_optimizer_step_post_hook
        >>> x = fg.ones(1, requires_grad=True)
        >>> with register_optimizer_step_post_hook(lambda opt, a, k: print(type(opt).__name__)):
        ...     fg.optim.SGD([x]).step()
        SGD
    """
    return _register(_global_post_hooks, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a step method that calls the hooks of the optimiser and the global ones."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
        if not (before or after or _global_pre_hooks or _global_post_hooks):
            return step(self, *args, **kwargs)
        for hook in (*_global_pre_hooks.values(), *before.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                args, kwargs = changed
        result = step(self, *args, **kwargs)
        for hook in (*after.values(), *_global_post_hooks.values()):
            hook(self, args, kwargs)
        return result

    return hooked


class Optimizer:
    """The base of all optimisers.

    An optimiser keeps its parameters in `param_groups`, a list of dictionaries with the options of
    each group, and what it remembers of each parameter in `state`. Both can be read and changed at
    any time. A subclass defines `step`.

    Args:
        params: Tensors, (name, tensor) pairs, or dictionaries, one per group, each with `"params"`
            and the options that differ from the defaults.
        defaults: The options and their values where a group does not give them.

    Raises:
        TypeError: If `params` is one tensor, or a parameter is not a tensor.
        ValueError: If there is no parameter, one stands in two groups, one is not a leaf, or a
            group lacks a required option.

    Example:
        >>> class Halve(fg.optim.Optimizer):
        ...     def step(self, closure=None):
        ...         for group in self.param_groups:
        ...             for p in group["params"]:
        ...                 p.data.mul_(0.5)
        >>> x = fg.ones(2, requires_grad=True)
        >>> Halve([x], defaults={}).step()
        >>> x
        tensor([0.5000, 0.5000], requires_grad=True)
    """

    defaults: dict[str, Any]
    param_groups: list[Group]
    state: defaultdict[Any, Any]
    _opt_called: bool = False  # whether step() ever ran; for the order of schedulers' steps

    _HOOKS: ClassVar[tuple[str, ...]] = (
        "_optimizer_step_pre_hooks",
        "_optimizer_step_post_hooks",
        "_optimizer_state_dict_pre_hooks",
        "_optimizer_state_dict_post_hooks",
        "_optimizer_load_state_dict_pre_hooks",
        "_optimizer_load_state_dict_post_hooks",
    )
    _optimizer_step_pre_hooks: OrderedDict[int, Hook]
    _optimizer_step_post_hooks: OrderedDict[int, Hook]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Hook]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Hook]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Hook]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Hook]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                "but got fastgrad.Tensor; write [x] for one tensor x"
            )
        self.defaults = defaults
        for name in self._HOOKS:
            setattr(self, name, OrderedDict())
        self.state = defaultdict(dict)
        self.param_groups = []
        given: list[Any] = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in self._HOOKS:
            self.__dict__.setdefault(name, OrderedDict())
        for group in self.param_groups:  # of releases that had fewer options
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    def step(self, closure: Closure | None = None) -> Any:
        """Updates the parameters; every optimiser defines it.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            What the closure returned, or None.
        """
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Resets the gradients of all parameters.

        Args:
            set_to_none: Sets them to None. Otherwise they are filled with zeros, which the next
                step counts as gradients.

        Example:
            >>> x = fg.ones(1, requires_grad=True)
            >>> opt = fg.optim.SGD([x])
            >>> (x * 2).sum().backward()
            >>> opt.zero_grad()
            >>> x.grad is None
            True
        """
        for group in self.param_groups:
            if set_to_none:
                _core._clear_grads(group["params"])
                continue
            for p in group["params"]:
                if p.grad is not None:
                    if p.grad.grad_fn is not None:
                        p.grad.detach_()
                    else:
                        p.grad.requires_grad_(False)
                    p.grad.zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group of parameters with its own options.

        Args:
            param_group: `"params"` as for the optimiser itself, and options.

        Example:
            >>> x, y = fg.ones(1, requires_grad=True), fg.ones(1, requires_grad=True)
            >>> opt = fg.optim.SGD([x], lr=0.1)
            >>> opt.add_param_group({"params": y, "lr": 0.01})
            >>> [group["lr"] for group in opt.param_groups]
            [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        given = [params] if isinstance(params, Tensor) else list(params)
        names = [item[0] for item in given if isinstance(item, tuple)]
        if names and len(names) != len(given):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        tensors = [item[1] for item in given] if names else given
        param_group["params"] = tensors
        if names:
            param_group["param_names"] = names
        self._check_params(tensors)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        if self.param_groups and ("param_names" in self.param_groups[0]) != bool(names):
            raise ValueError(
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {'with' if names else 'without'} names to the optimizer"
            )
        self.param_groups.append(param_group)

    def _check_params(self, tensors: list[Any]) -> None:
        for p in tensors:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__module__}.{type(p).__qualname__}"
                )
            if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        ids = {id(p) for p in tensors}
        if len(ids) != len(tensors):
            import warnings

            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "each of them is updated as often as it is there",
                stacklevel=4,
            )
        if any(id(p) in ids for group in self.param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")

    def state_dict(self) -> StateDict:
        """Returns options and state, with parameters replaced by their numbers.

        The dictionary has the keys and the structure of PyTorch's, and shares its tensors with the
        optimiser.

        Returns:
            `{"state": {number: state}, "param_groups": [options with "params": numbers]}`.

        Example:
            >>> x = fg.ones(1, requires_grad=True)
            >>> x.sum().backward()
            >>> opt = fg.optim.SGD([x], lr=0.1, momentum=0.9)
            >>> opt.step()
            >>> opt.state_dict()["state"]
            {0: {'momentum_buffer': tensor([1.])}}
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups: list[Group] = []
        start = 0
        for group in self.param_groups:
            for i, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), i)
            start += len(group["params"])
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            (numbers[id(key)] if isinstance(key, Tensor) else key): value
            for key, value in self.state.items()
        }
        result: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Takes over options and state, of this optimiser's `state_dict` or PyTorch's.

        Tensors of the state get their parameter's element type, except counts. Arrays of other
        libraries, such as PyTorch's tensors, are copied.

        Args:
            state_dict: What `state_dict` returned, with the same number of groups, each with the
                same number of parameters.

        Raises:
            ValueError: If the groups do not fit.

        Example:
            >>> x = fg.ones(1, requires_grad=True)
            >>> opt, other = fg.optim.SGD([x], lr=0.1), fg.optim.SGD([x], lr=0.5)
            >>> opt.load_state_dict(other.state_dict())
            >>> opt.param_groups[0]["lr"]
            0.5
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        params = dict(
            zip(
                chain.from_iterable(s["params"] for s in saved),
                chain.from_iterable(g["params"] for g in groups),
            )
        )
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _adapted(value, params[key])
            else:
                state[key] = value
        for old, new in zip(groups, saved):
            new["params"] = old["params"]
            if "param_names" in old:
                new.setdefault("param_names", old["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls a hook before every step.

        Args:
            hook: `hook(optimizer, args, kwargs)`; returns None, or the args and kwargs to use.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls a hook after every step.

        Args:
            hook: `hook(optimizer, args, kwargs)`.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls a hook before `state_dict` does its work.

        Args:
            hook: `hook(optimizer)`.
            prepend: Calls it before the hooks that are registered already.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls a hook on what `state_dict` is about to return.

        Args:
            hook: `hook(optimizer, state_dict)`; returns None, or what to return instead.
            prepend: Calls it before the hooks that are registered already.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Calls a hook on a shallow copy of what `load_state_dict` is given.

        Args:
            hook: `hook(optimizer, state_dict)`; returns None, or what to load instead.
            prepend: Calls it before the hooks that are registered already.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Calls a hook after `load_state_dict` has done its work.

        Args:
            hook: `hook(optimizer)`.
            prepend: Calls it before the hooks that are registered already.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def _adapted(value: Any, param: Tensor, key: Any = None) -> Any:
    """Returns loaded state as this parameter needs it."""
    if not isinstance(value, Tensor) and hasattr(value, "__dlpack__"):
        value = _core.from_dlpack(value).clone()
    if isinstance(value, Tensor):
        return value if key == "step" else value.to(param.dtype)
    if isinstance(value, Mapping):
        return {k: _adapted(v, param, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_adapted(v, param) for v in value)
    return value


def scalar_state(value: Any) -> Tensor:
    """Returns a number of the state as a tensor: float64 if that is the default type, or float32.

    Example:
        >>> from fastgrad.optim.optimizer import scalar_state
        >>> scalar_state(0)
        tensor(0.)
    """
    is_double = _core.get_default_dtype() == _core.float64
    return _core.tensor(float(value), dtype=_core.float64 if is_double else _core.float32)


class CoreOptimizer(Optimizer):
    """The base of the optimisers whose step for one group is one call into the core.

    With `differentiable=True` it is a sequence of recorded operations instead, which changes the
    parameters in place as well. They are then values rather than leaves, such as `x.clone()` of a
    leaf x; and a loss that is to be differentiated twice is computed from `p.clone()`, because its
    graph needs the values that the step overwrites.

    Example:
        >>> from fastgrad.optim.optimizer import CoreOptimizer
        >>> issubclass(fg.optim.Adam, CoreOptimizer)
        True
    """

    # (group, state of all parameters, maker of one parameter's first state)
    _step_group: ClassVar[Callable[[Group, dict[Any, Any], Any], None]]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for kept in self.state.values():  # of releases that kept the count as a number
            if isinstance(kept, dict) and isinstance(kept.get("step"), (int, float)):
                kept["step"] = scalar_state(kept["step"])

    def step(self, closure: Closure | None = None) -> Any:
        """Updates every parameter that has a gradient, in place.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss; called once,
                with gradients enabled.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        step_group, new_state = type(self)._step_group, self._new_state
        for group in self.param_groups:
            if group["differentiable"]:
                with enable_grad():
                    differentiable_rules.step_group(self._rule, group, self.state, new_state)
            else:
                step_group(group, self.state, new_state)
        return loss

    @staticmethod
    def _rule(p: Tensor, g: Tensor, o: Group, s: dict[str, Any]) -> Any:
        """Returns the new value of a parameter: see differentiable_rules.py."""
        raise NotImplementedError

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        """Returns the state of a parameter before its first step."""
        raise NotImplementedError
