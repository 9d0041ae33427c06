"""How a module keeps its parameters, buffers and submodules.

Note [Attributes of modules]
A module keeps its parameters, buffers and submodules in three dictionaries, in the order of their
registration, as PyTorch does and as scripts rely on. PyTorch finds them by `__getattr__`, which
Python calls only after the ordinary lookup has failed, and which costs more than the arithmetic of
a small layer. Here the dictionaries are `Registry` objects, which enter what they are given into
the instance's `__dict__` as well: `self.weight` is then as cheap as any attribute, and whoever
writes `module._parameters["weight"] = p` still changes `module.weight`.

A registry knows its module by a weak reference, so that a module is freed as soon as the last
reference to it goes. It copies and pickles as a plain dictionary; the module makes registries of
them again.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from fastgrad._core import CompiledFunction, Tensor
from fastgrad.nn.parameter import Buffer, Parameter, typename

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_MISSING = object()


class Registry(dict[str, Any]):
    """A dictionary whose items are attributes of a module too.

    Args:
        owner: The module.
        items: What to begin with.

    Example:
        >>> m = fg.nn.Linear(1, 1)
        >>> m._parameters["bias"] = None
        >>> m.bias is None
        True
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Any, items: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._owner = weakref.ref(owner)
        if items:
            self.update(items)

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        owner = self._owner()
        if owner is not None:
            owner.__dict__[name] = value

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        owner = self._owner()
        if owner is not None:
            owner.__dict__.pop(name, None)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Enters several items."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Returns the item of this name, which is entered if it is not there."""
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        """Takes an item out and returns it."""
        if name not in self:
            return super().pop(name, *default)
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Takes the last item out and returns it with its name."""
        if not self:
            return super().popitem()
        name = next(reversed(self))
        return name, self.pop(name)

    def clear(self) -> None:
        """Takes all items out."""
        for name in list(self):
            del self[name]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


class Attributes:
    """What modules do when an attribute is read, set or deleted.

    Example:
        >>> from fastgrad.nn.modules.attributes import Attributes
        >>> issubclass(fg.nn.Module, Attributes)
        True
    """

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def _check_new_name(self, kind: str, name: Any, registry: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if "." in name:
            extra = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{extra}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in registry and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, which is then the attribute of this name.

        Args:
            name: A name without dots.
            param: The parameter, or None for one that the module does without.

        Raises:
            KeyError: If the name is not allowed, or is an attribute of another kind.
            TypeError: If it is not a parameter.

        Example:
            >>> m = fg.nn.Module()
            >>> m.register_parameter("scale", fg.nn.Parameter(fg.ones(1)))
            >>> [name for name, _ in m.named_parameters()]
            ['scale']
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_new_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{typename(param)}' object to parameter '{name}' "
                "(fastgrad.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                f"created explicitly. To express '{name}' as a function of another Tensor, compute "
                "the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a buffer: a tensor that is part of the state but not learned.

        Args:
            name: A name without dots.
            tensor: The tensor, or None.
            persistent: Whether it belongs to `state_dict`.

        Raises:
            KeyError: If the name is not allowed, or is an attribute of another kind.
            TypeError: If it is not a tensor.

        Example:
            >>> m = fg.nn.Module()
            >>> m.register_buffer("steps", fg.tensor(0))
            >>> dict(m.state_dict())
            {'steps': tensor(0)}
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_new_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(fastgrad Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Any) -> None:
        """Adds a submodule, which is then the attribute of this name.

        Args:
            name: A name without dots.
            module: The submodule, or None.

        Raises:
            KeyError: If the name is not allowed, or is an attribute of another kind.
            TypeError: If it is not a module.
        """
        if not isinstance(module, Attributes) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_new_name("module", name, self._modules)
        self._modules[name] = module

    def register_module(self, name: str, module: Any) -> None:
        """Does what `add_module` does."""
        self.add_module(name, module)

    def _remove_elsewhere(self, name: str, keep: str) -> None:
        """Takes a name out of all registries but one, and out of the instance."""
        own = self.__dict__
        for registry in _REGISTRIES:
            if registry != keep and name in own.get(registry, ()):
                del own[registry][name]
                self._non_persistent_buffers_set.discard(name)
        if name not in own.get(keep, ()):
            own.pop(name, None)

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in own:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._remove_elsewhere(name, "_parameters")
            self.register_parameter(name, value)
            return
        if isinstance(value, Attributes) and name not in own.get("_parameters", ()):
            if "_modules" not in own:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._remove_elsewhere(name, "_modules")
            self._modules[name] = value
            return
        if isinstance(value, Buffer) and name not in own.get("_parameters", ()):
            if "_buffers" not in own:
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            self._remove_elsewhere(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
            return
        self._set_plain(name, value)

    def _set_plain(self, name: str, value: Any) -> None:
        """Sets an attribute to a value that does not by itself belong into a registry."""
        own = self.__dict__
        if name in own.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    "(fastgrad.nn.Parameter or None expected)"
                )
            self._parameters[name] = None
        elif name in own.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(fastgrad.nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in own.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' "
                    "(fastgrad.nn.Buffer, fastgrad.Tensor or None expected)"
                )
            self._buffers[name] = value
        elif name in _REGISTRIES:
            object.__setattr__(self, name, Registry(self, value))
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Only what the ordinary lookup did not find comes here.
        own = self.__dict__
        for registry in _REGISTRIES:
            found = own.get(registry, {}).get(name, _MISSING)
            if found is not _MISSING:
                return found
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> Iterator[str]:
        names = {*dir(type(self)), *self.__dict__}
        return iter(sorted(name for name in names if not name[:1].isdigit()))

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        # What Module.compile put before the class's forward belongs to this object alone.
        if isinstance(state.get("forward"), CompiledFunction):
            del state["forward"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for registry in _REGISTRIES:
            if registry in state:
                self.__dict__[registry] = Registry(self, state[registry])
