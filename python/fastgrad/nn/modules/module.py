"""The base of all modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn.modules.attributes import Registry
from fastgrad.nn.modules.hooks import (
    Calls,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from fastgrad.nn.modules.state import State, _IncompatibleKeys  # noqa: F401  (as in PyTorch)
from fastgrad.nn.modules.traversal import Traversal

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Module",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]


def _indented(text: str) -> str:
    """Returns a text with all lines but the first moved to the right by two."""
    return text.replace("\n", "\n  ")


class Module(Calls, State, Traversal):
    """The base of everything with parameters: layers, losses and models.

    A subclass calls `super().__init__()`, assigns parameters, buffers and other modules to
    attributes, and defines `forward`. Calling the module calls `forward`.

    Example:
        >>> class Scale(fg.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = fg.nn.Parameter(fg.tensor(3.0))
        ...     def forward(self, x):
        ...         return self.factor * x
        >>> model = Scale()
        >>> model(fg.ones(2))
        tensor([3., 3.], grad_fn=<MulBackward0>)
        >>> [name for name, _ in model.named_parameters()]
        ['factor']
    """

    training: bool
    call_super_init: bool = False
    dump_patches: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs and not self.call_super_init:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"'{next(iter(kwargs))}'"
            )
        if args and not self.call_super_init:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but "
                f"{len(args) + 1} were given"
            )
        # Past __setattr__: none of these is a parameter, a buffer or a module.
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = Registry(self)
        own["_buffers"] = Registry(self)
        own["_non_persistent_buffers_set"] = set()
        own["_modules"] = Registry(self)
        for name in (
            "_forward_pre_hooks",
            "_forward_pre_hooks_with_kwargs",
            "_forward_hooks",
            "_forward_hooks_with_kwargs",
            "_forward_hooks_always_called",
            "_backward_pre_hooks",
            "_backward_hooks",
            "_state_dict_hooks",
            "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks",
            "_load_state_dict_post_hooks",
        ):
            own[name] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the module's output; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # ---- what changes all tensors

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Calls a function on every submodule and then on the module itself.

        Args:
            fn: `fn(module)`.

        Returns:
            The module.

        Example:
            >>> def ones(m):
            ...     if isinstance(m, fg.nn.Linear):
            ...         fg.nn.init.ones_(m.weight)
            >>> fg.nn.Sequential(fg.nn.Linear(2, 1)).apply(ones)[0].weight
            Parameter containing:
            tensor([[1., 1.]], requires_grad=True)
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replaces the values of all tensors; parameters remain the same objects."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for param in self._parameters.values():
            if param is not None:
                grad = param.grad
                param.data = fn(param.data)
                if grad is not None:
                    moved = fn(grad.data)
                    param.grad = moved.requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Converts all floating-point parameters and buffers, in place.

        Args:
            args: A dtype, a device, both, or a tensor whose dtype and device are taken.
            kwargs: `dtype`, `device`, `non_blocking`, `memory_format`.

        Returns:
            The module.

        Raises:
            TypeError: If the dtype is not one of floating point or complex.

        Example:
            >>> fg.nn.Linear(1, 1).to(fg.float64).weight.dtype
            fastgrad.float64
        """
        device, dtype = kwargs.get("device"), kwargs.get("dtype")
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, _core.dtype):
                dtype = arg
            elif isinstance(arg, (str, _core.device, int)) and not isinstance(arg, bool):
                device = arg
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, "
                f"but got desired dtype={dtype}"
            )

        def convert(tensor: Tensor) -> Tensor:
            floats = tensor.is_floating_point() or tensor.is_complex()
            if dtype is not None and floats:
                tensor = tensor.to(dtype)
            return tensor if device is None else tensor.to(device=device)

        return self._apply(convert)

    def type(self, dst_type: Any) -> Self:
        """Converts all parameters and buffers, whatever their dtype, in place.

        Args:
            dst_type: A dtype, or PyTorch's name of a tensor type.

        Returns:
            The module.
        """
        return self._apply(lambda tensor: tensor.type(dst_type))

    def _cast(self, dtype: Any) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Self:
        """Converts all floating-point parameters and buffers to float32, in place."""
        return self._cast(_core.float32)

    def double(self) -> Self:
        """Converts all floating-point parameters and buffers to float64, in place."""
        return self._cast(_core.float64)

    def half(self) -> Self:
        """Converts all floating-point parameters and buffers to float16, in place."""
        return self._cast(_core.float16)

    def bfloat16(self) -> Self:
        """Converts all floating-point parameters and buffers to bfloat16, in place."""
        return self._cast(_core.bfloat16)

    def cpu(self) -> Self:
        """Moves all parameters and buffers to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device: Any = None) -> Self:
        """Moves all parameters and buffers to a GPU, where the build supports one.

        Args:
            device: Which; the current one if not given.
        """
        return self._apply(lambda tensor: tensor.cuda(device) if device else tensor.cuda())

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Moves all parameters and buffers to a device without their values.

        Args:
            device: Where to.
            recurse: Includes those of submodules.
        """
        return self._apply(lambda t: _core.empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Self:
        """Returns the module: threads, with which fastgrad loads data, share memory anyway."""
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Lets gradients flow to all parameters, or not.

        Args:
            requires_grad: Whether they do.

        Returns:
            The module.

        Example:
            >>> fg.nn.Linear(1, 1).requires_grad_(False).weight.requires_grad
            False
        """
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Resets the gradients of all parameters.

        Args:
            set_to_none: Sets them to None instead of filling them with zeros.
        """
        params = list(self.parameters())
        if set_to_none:
            _core._clear_grads(params)
            return
        for param in params:
            if param.grad is not None:
                if param.grad.grad_fn is not None:
                    param.grad.detach_()
                else:
                    param.grad.requires_grad_(False)
                param.grad.zero_()

    def train(self, mode: bool = True) -> Self:
        """Puts the module and its submodules into training mode, or evaluation mode.

        Args:
            mode: True for training.

        Returns:
            The module.

        Raises:
            ValueError: If the mode is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Puts the module and its submodules into evaluation mode.

        Example:
            >>> fg.nn.Dropout(0.5).eval()(fg.ones(3))
            tensor([1., 1., 1.])
        """
        return self.train(False)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles the module's `forward` in place, with the arguments of `fastgrad.compile`."""
        import fastgrad

        self.forward = fastgrad.compile(self.forward, *args, **kwargs)  # type: ignore

    # ---- printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Returns what `print` shows between the parentheses; a subclass may define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()
        ]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"
