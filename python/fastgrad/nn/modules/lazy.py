"""Modules that learn the size of their input from the first one they are given.

`LazyModuleMixin` is what they have in common. Their parameters are `UninitializedParameter`s until
then; the first call gives these their shapes, draws them, and makes the module one of the ordinary
class.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from fastgrad._core import Tensor
from fastgrad.autograd import no_grad
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import is_lazy

if TYPE_CHECKING:
    from typing_extensions import Self


class LazyModuleMixin(Module):
    """What a module needs in order to find sizes at its first call.

    A class derived from this one and from an ordinary module gives some parameters or buffers as
    `UninitializedParameter` or `UninitializedBuffer`, and gives them a shape in
    `initialize_parameters`, which receives the arguments of the first call.

    Attributes:
        cls_to_become: The class that the module takes on after that.

    Example:
        >>> layer = fg.nn.LazyLinear(3)
        >>> layer
        LazyLinear(in_features=0, out_features=3, bias=True)
        >>> layer(fg.ones(2, 5)).shape
        fastgrad.Size([2, 3])
        >>> layer
        Linear(in_features=5, out_features=3, bias=True)
    """

    cls_to_become: ClassVar[type[Module] | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(
            self._infer_parameters, with_kwargs=True
        )

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes; called with the arguments of the first call."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Returns whether a parameter or buffer has no shape yet."""
        own = itertools.chain(self._parameters.values(), self._buffers.values())
        return any(is_lazy(tensor) for tensor in own)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        lazy = {name: buffer for name, buffer in self._buffers.items() if is_lazy(buffer)}
        super()._apply(fn, recurse)
        for name, buffer in lazy.items():
            assert buffer is not None
            buffer.data = fn(buffer.data)
            self._buffers[name] = buffer
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        own: Any = itertools.chain(self._parameters.items(), self._buffers.items())
        for name, tensor in own:
            if is_lazy(tensor) and prefix + name in destination:
                destination[prefix + name] = tensor

    def _lazy_load_hook(self, state_dict: Any, prefix: str, *_: Any) -> None:
        """Gives the parameters the shapes they have in a state dictionary."""
        own: Any = itertools.chain(self._parameters.items(), self._buffers.items())
        for name, tensor in own:
            given = state_dict.get(prefix + name)
            if is_lazy(tensor) and given is not None and not is_lazy(given):
                with no_grad():
                    tensor.materialize(given.shape)

    @staticmethod
    def _infer_parameters(module: Any, args: Any, kwargs: Any = None) -> None:
        """Runs before the first call."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(
                f"module {module._get_name()} has not been fully initialized: "
                "initialize_parameters left a parameter without a shape"
            )
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become
