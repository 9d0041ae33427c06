"""State dictionaries of modules: taking them and loading them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.nn.modules.attributes import Attributes
from fastgrad.nn.parameter import Parameter
from fastgrad.utils.hooks import Hook, RemovableHandle

_EXTRA_STATE = "_extra_state"
StateDict = OrderedDict[str, Any]


class _StateDict(OrderedDict[str, Any]):
    """An ordered dictionary that prints as one; `_metadata` holds the modules' versions."""

    _metadata: OrderedDict[str, Any]


_StateDict.__name__ = _StateDict.__qualname__ = "OrderedDict"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(_Keys):
    """The result of `load_state_dict`."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, "
            f"unexpected_keys={self.unexpected_keys!r})"
        )

    __str__ = __repr__


def as_tensor(value: Any) -> Any:
    """Returns an array of another library, such as PyTorch's tensors, as a tensor.

    Example:
        >>> from fastgrad.nn.modules.state import as_tensor
        >>> as_tensor(np.ones(2))
        tensor([1., 1.], dtype=fastgrad.float64)
    """
    if isinstance(value, Tensor) or not hasattr(value, "__dlpack__"):
        return value
    if getattr(value, "requires_grad", False):
        value = value.detach()
    try:
        return _core.from_dlpack(value)
    except (BufferError, RuntimeError):  # memory that is not to be written
        return _core.tensor(value)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


class State(Attributes):
    """A module's `state_dict`, `load_state_dict` and the hooks of both.

    Example:
        >>> from fastgrad.nn.modules.state import State
        >>> issubclass(fg.nn.Module, State)
        True
    """

    _version: int = 1
    _state_dict_hooks: OrderedDict[int, Hook]
    _state_dict_pre_hooks: OrderedDict[int, Hook]
    _load_state_dict_pre_hooks: OrderedDict[int, Hook]
    _load_state_dict_post_hooks: OrderedDict[int, Hook]

    def get_extra_state(self) -> Any:
        """Returns what `state_dict` shall hold beside tensors; a module may define it."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called."
        )

    def set_extra_state(self, state: Any) -> None:
        """Takes back what `get_extra_state` returned."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called."
        )

    def _has_extra(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(State, method)

    def state_dict(
        self,
        *args: Any,
        destination: Any = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> Any:
        """Returns the parameters and persistent buffers by name, of submodules too.

        Args:
            args: PyTorch's old order of the arguments that follow.
            destination: A dictionary to fill; a new one if not given.
            prefix: What the names begin with.
            keep_vars: Leaves the tensors connected to the graph. Otherwise they are detached; they
                share the memory of the module's in any case.

        Returns:
            An ordered dictionary, whose `_metadata` holds the versions of the modules.

        Example:
            >>> fg.nn.Sequential(fg.nn.Linear(2, 1), fg.nn.ReLU()).state_dict().keys()
            odict_keys(['0.weight', '0.bias'])
        """
        if args:
            old = dict(zip(("destination", "prefix", "keep_vars"), args))
            destination = old.get("destination", destination)
            prefix, keep_vars = old.get("prefix", prefix), old.get("keep_vars", keep_vars)
        if destination is None:
            destination = _StateDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, local_metadata)
            if getattr(hook, "_from_public_api", False):
                if changed is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif changed is not None:
                destination = changed
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars else param.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if self._has_extra("get_extra_state"):
            destination[prefix + _EXTRA_STATE] = self.get_extra_state()

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Copies this module's own entries; what goes wrong is added to the lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        own: dict[str, Any] = {
            name: buffer
            for name, buffer in self._buffers.items()
            if name not in self._non_persistent_buffers_set
        }
        for name, tensor in itertools.chain(self._parameters.items(), own.items()):
            if tensor is None:
                continue
            key = prefix + name
            if key in state_dict:
                message = self._load_tensor(name, tensor, key, state_dict[key], assign)
                if message:
                    error_msgs.append(message)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA_STATE
        if self._has_extra("set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            known = {*self._modules, *self._parameters, *own}
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    first, _, rest = key[len(prefix) :].partition(".")
                    if first not in known or (rest and first not in self._modules):
                        unexpected_keys.append(key)

    def _load_tensor(self, name: str, tensor: Tensor, key: str, given: Any, assign: bool) -> str:
        """Takes over one tensor; returns what is wrong with it, or nothing."""
        given = as_tensor(given)
        if not isinstance(given, Tensor):
            return (
                f'While copying the parameter named "{key}", expected fastgrad.Tensor or '
                f"Tensor-like object from checkpoint but received {type(given)}"
            )
        if tensor.dim() == 0 and given.dim() == 1 and len(given) == 1:
            given = given[0]  # as releases of PyTorch before 0.4 saved them
        if given.shape != tensor.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {given.shape} from "
                f"checkpoint, the shape in current model is {tensor.shape}."
            )
        try:
            with no_grad():
                if not assign:
                    tensor.copy_(given)
                elif isinstance(tensor, Parameter):
                    if not isinstance(given, Parameter):
                        given = Parameter(given, requires_grad=tensor.requires_grad)
                    setattr(self, name, given)
                else:
                    setattr(self, name, given)
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{tensor.size()} and whose dimensions in the checkpoint are {given.size()}, "
                f"an exception occurred : {error.args}."
            )
        return ""

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copies parameters and buffers from a state dictionary, by name.

        Args:
            state_dict: What `state_dict` returned, of this library or of PyTorch.
            strict: Raises an error if a name is missing or not known here.
            assign: Makes the given tensors the module's own, instead of copying their values.

        Returns:
            The missing and the unexpected names.

        Raises:
            RuntimeError: If `strict` and the names differ, or if a shape does.
            TypeError: If it is not a dictionary.

        Example:
            >>> m = fg.nn.Linear(1, 1)
            >>> m.load_state_dict({"weight": fg.ones(1, 1), "bias": fg.zeros(1)})
            <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []

        def load(module: Any, part: Any, prefix: str) -> None:
            local = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local["assign_to_params_buffers"] = assign
            module._load_from_state_dict(part, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    start = f"{prefix}{name}."
                    load(child, {k: v for k, v in part.items() if k.startswith(start)}, start)
            result = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, result) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be modified, "
                        "it should be done inplace."
                    )

        load(self, state, "")
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}"
            )
        return _IncompatibleKeys(missing, unexpected)

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, prefix, keep_vars)` before `state_dict` does its work.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _entered(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, state_dict, prefix, local_metadata)` on the filled dictionary.

        Returns:
            A handle whose `remove()` takes the hook out.
        """

        def in_place(*args: Any) -> Any:
            return hook(*args)

        in_place._from_public_api = True  # type: ignore[attr-defined]
        return _entered(self._state_dict_hooks, in_place)

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """Calls a hook as `register_state_dict_post_hook` does; it may return a new dictionary."""
        return _entered(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls a hook before the module's own entries are loaded.

        Args:
            hook: `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
                unexpected_keys, error_msgs)`.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Hook, with_module: bool = False
    ) -> RemovableHandle:
        called: Callable[..., Any] = _WithModule(hook, self) if with_module else hook
        return _entered(self._load_state_dict_pre_hooks, called)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, incompatible_keys)` after a module was loaded.

        The two lists of `incompatible_keys` may be changed in place.

        Returns:
            A handle whose `remove()` takes the hook out.
        """
        return _entered(self._load_state_dict_post_hooks, hook)


class _WithModule:
    """A hook that gets its module as the first argument."""

    def __init__(self, hook: Hook, module: Any) -> None:
        self.hook, self.module = hook, module

    def __call__(self, *args: Any) -> Any:
        return self.hook(self.module, *args)


def _entered(hooks: OrderedDict[int, Hook], hook: Hook) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle
