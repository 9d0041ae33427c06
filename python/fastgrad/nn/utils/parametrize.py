"""Parameters that are functions of other parameters.

A parametrized tensor is computed from the `original` one whenever the module reads it. The module's
class is replaced by a subclass of its own with a property of the tensor's name; the originals and
the functions are the submodule `parametrizations.<name>`, and so belong to the state.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.nn.modules.container import ModuleDict, ModuleList
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter

_cache_depth = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Computes every parametrized tensor at most once inside a `with` block.

    Example:
        >>> with fg.nn.utils.parametrize.cached():
        ...     pass
    """
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The functions of one tensor, and what they start from: `original`, or `original0` and so on.

    Example:
        >>> m = fg.nn.utils.parametrizations.weight_norm(fg.nn.Linear(2, 3))
        >>> [name for name, _ in m.parametrizations.weight.named_parameters()]
        ['original0', 'original1']
    """

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        first: Any = original
        with no_grad():
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    first = module.right_inverse(first)
        self.is_tensor = isinstance(first, Tensor)
        if self.is_tensor:
            # The parameter stays the same object, so that an optimiser that knows it goes on.
            with no_grad():
                original.data = first.data
            self._enter("original", original, original)
        else:
            self.ntensors = len(first)
            for i, tensor in enumerate(first):
                self._enter(f"original{i}", tensor, original)

    def _enter(self, name: str, tensor: Tensor, like: Tensor) -> None:
        if not isinstance(like, Parameter):
            self.register_buffer(name, tensor)
        elif isinstance(tensor, Parameter):
            self.register_parameter(name, tensor)
        else:
            self.register_parameter(name, Parameter(tensor, like.requires_grad))

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals so that the functions yield this value."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            values = [value] if self.is_tensor else list(value)
            for original, new in zip(self._originals(), values):
                original.data = new.to(original.dtype)

    def forward(self) -> Tensor:
        """Returns the parametrized tensor."""
        modules = list(self)
        value: Tensor = modules[0](*self._originals())
        for module in modules[1:]:
            value = module(value)
        return value


def _parametrized_class(module: Module) -> None:
    cls = type(module)

    def deepcopy(self: Any, memo: dict[int, Any]) -> Any:
        made = self.__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__dict__, memo))
        return made

    def getstate(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict()."
        )

    own = {"__deepcopy__": deepcopy, "__getstate__": getstate, "__module__": cls.__module__}
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), own)


def _add_property(module: Module, name: str) -> None:
    def read(self: Any) -> Tensor:
        functions = self.parametrizations[name]
        if not _cache_depth:
            value: Tensor = functions()
            return value
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = functions()
        return _cache[key]

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes a tensor of a module a function of itself, or of tensors in its place.

    Args:
        module: The module.
        tensor_name: Its parameter or buffer.
        parametrization: Computes the tensor from the original one. If it has a `right_inverse`,
            that is called first, and may return several tensors, which become the originals.
        unsafe: Allows that shape and dtype change.

    Returns:
        The module.

    Raises:
        ValueError: If there is no such tensor, or its shape or dtype would change.

    Example:
        >>> class Symmetric(fg.nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).mT
        >>> m = fg.nn.Linear(3, 3)
        >>> m = fg.nn.utils.parametrize.register_parametrization(m, "weight", Symmetric())
        >>> fg.equal(m.weight, m.weight.T)
        True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        functions: Any = module.parametrizations[tensor_name]
        if hasattr(parametrization, "right_inverse"):
            value = getattr(module, tensor_name)
            functions.append(parametrization)
            functions.right_inverse(value)
        else:
            functions.append(parametrization)
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    shape, dtype = original.shape, original.dtype
    functions = ParametrizationList([parametrization], original, unsafe)
    functions.train(module.training)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _parametrized_class(module)
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = functions
    _add_property(module, tensor_name)
    if not unsafe:
        with no_grad():
            value = getattr(module, tensor_name)
        if value.shape != shape or value.dtype != dtype:
            raise ValueError(
                "Registering a parametrization may not change the shape or dtype of the tensor, "
                f"unless `unsafe` flag is enabled: {tuple(shape)} of {dtype} became "
                f"{tuple(value.shape)} of {value.dtype}"
            )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Returns whether a module, or one tensor of it, is parametrized.

    Example:
        >>> fg.nn.utils.parametrize.is_parametrized(fg.nn.Linear(1, 1))
        False
    """
    found = module._modules.get("parametrizations")
    if found is None or not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes a tensor an ordinary parameter or buffer again.

    Args:
        module: The module.
        tensor_name: Its parametrized tensor.
        leave_parametrized: Keeps the computed value; otherwise the original one.

    Returns:
        The module.

    Raises:
        ValueError: If the tensor is not parametrized, or has several originals and the original
            value is asked for.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    table: Any = module.parametrizations
    functions = table[tensor_name]
    original = functions._originals()[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
        if functions.is_tensor:
            original.data = value
        elif isinstance(original, Parameter):
            original = Parameter(value, original.requires_grad)
        else:
            original = value
    elif not functions.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del table[tensor_name]
    if not len(table):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    if isinstance(original, Parameter):
        module.register_parameter(tensor_name, original)
    else:
        module.register_buffer(tensor_name, original)
    return module
