"""Operations with a hand-written gradient: the Python side of :class:`Function`.

The core runs them. ``_core._apply_custom_function(cls, args)`` does, in this order:

1. makes ``ctx = cls._backward_cls()`` and sets ``ctx.needs_input_grad`` and ``ctx._tensor_inputs``
   (one bool per argument);
2. without recording, calls ``cls.forward(ctx, *args)``, or, where ``cls._splits_context``,
   ``cls.forward(*args)`` and then ``cls.setup_context(ctx, args, output)``;
3. reads ``ctx.to_save``, ``ctx.dirty_tensors``, ``ctx.non_differentiable`` and
   ``ctx.materialize_grads``;
4. if anything needs a gradient, makes a node called ``cls._backward_cls.__name__``, moves
   ``ctx.to_save`` into the node's saved tensors (so that version checks and saved-tensor hooks see
   them, and no output holds its own node) and sets ``ctx._load_saved`` to a function of no
   arguments that returns them as a tuple. The node owns the context, so that function must refer
   to the node weakly.

In backward the node calls ``ctx._run_backward(*grads)``, which returns one entry per argument.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from fastgrad import _core
from fastgrad._core import Tensor

__all__ = ["BackwardContext", "Function", "FunctionCtx", "FunctionMeta", "once_differentiable"]

_F = TypeVar("_F", bound=Callable[..., Any])


class FunctionCtx:
    """What ``forward`` leaves for ``backward``: saved tensors, marks, and any attribute you set.

    Attributes:
        needs_input_grad: One bool per argument of ``forward``: whether its gradient is wanted.
    """

    needs_input_grad: tuple[bool, ...] = ()
    to_save: tuple[Tensor | None, ...] = ()
    saved_for_forward: tuple[Tensor | None, ...] = ()
    dirty_tensors: tuple[Tensor, ...] = ()
    non_differentiable: tuple[Tensor, ...] = ()
    materialize_grads: bool = True
    _tensor_inputs: tuple[bool, ...] = ()
    _load_saved: Callable[[], tuple[Tensor | None, ...]] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``, where ``ctx.saved_tensors`` returns them.

        Unlike attributes of ``ctx``, they are checked for changes in place and can be inputs or
        outputs without keeping the graph alive. Call it at most once.

        Args:
            *tensors: Tensors, or None.

        Raises:
            TypeError: If one is neither.

        Example:
            >>> import fastgrad as fg
            >>> class Square(fg.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         ctx.save_for_backward(x)
            ...         return x * x
            ...     @staticmethod
            ...     def backward(ctx, g):
            ...         (x,) = ctx.saved_tensors
            ...         return 2 * x * g
            >>> x = fg.tensor(3.0, requires_grad=True)
            >>> Square.apply(x).backward()
            >>> x.grad
            tensor(6.)
        """
        self.to_save = _only_tensors("save_for_backward", tensors)

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``jvp``, where ``ctx.saved_tensors`` returns them.

        Args:
            *tensors: Tensors, or None.

        Raises:
            TypeError: If one is neither.
        """
        self.saved_for_forward = _only_tensors("save_for_forward", tensors)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to :meth:`save_for_backward`.

        Raises:
            RuntimeError: If one was changed in place since, or the graph has been freed.
        """
        return self.to_save if self._load_saved is None else self._load_saved()

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Declare inputs that ``forward`` changed in place; they must be among its outputs.

        Args:
            *tensors: Arguments of ``forward``.
        """
        self.dirty_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Declare outputs that have no gradient; ``backward`` still gets an argument for each.

        Args:
            *tensors: Outputs of ``forward``.
        """
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether absent gradients reach ``backward`` as zeros (the default) or as None.

        Args:
            value: True for zeros, False for None.
        """
        self.materialize_grads = value


def _only_tensors(caller: str, tensors: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
    for position, item in enumerate(tensors):
        if item is not None and not isinstance(item, Tensor):
            raise TypeError(
                f"{caller} can only save variables, but argument {position} is of type "
                f"{type(item).__name__}; keep other objects as attributes of ctx."
            )
    return tensors


class BackwardContext(FunctionCtx):
    """Base of the context classes; each Function has its own, named ``<Function>Backward``."""

    _forward_cls: ClassVar[type[Function]]

    def name(self) -> str:
        """Return the name of the node, as ``grad_fn`` shows it."""
        return type(self).__name__

    def _run_backward(self, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Call the user's backward and check the number and kinds of what it returns."""
        function = self._forward_cls
        backward: Callable[..., Any] = function.backward
        if function.vjp is not Function.vjp:
            if backward is not Function.backward:
                raise RuntimeError(
                    f"Implementing both 'backward' and 'vjp' for {function.__name__} is not "
                    "allowed: they are two names of the same rule. Keep one."
                )
            backward = function.vjp
        result = backward(self, *grads)
        gradients = result if isinstance(result, tuple) else (result,)

        name, expected = self.name(), len(self.needs_input_grad)
        extra = gradients[expected:]
        if len(gradients) < expected or any(gradient is not None for gradient in extra):
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {expected}, "
                f"got {len(gradients)})"
            )
        gradients = gradients[:expected]
        for position, gradient in enumerate(gradients):
            if gradient is None:
                continue
            if not isinstance(gradient, Tensor):
                raise RuntimeError(
                    f"expected Variable or None (got {type(gradient).__name__}) from {name} at "
                    f"position {position + 1}"
                )
            if not self._tensor_inputs[position]:
                raise RuntimeError(
                    f"function {name} returned a gradient different than None at position "
                    f"{position + 1}, but the corresponding forward input was not a Variable"
                )
        return gradients


class FunctionMeta(type):
    """Gives every Function the class of its contexts, ``_backward_cls``."""

    _backward_cls: type[BackwardContext]
    _splits_context: bool

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls._backward_cls = type(name + "Backward", (BackwardContext,), {"_forward_cls": cls})
        # Function defines setup_context; whoever defines it again means it.
        cls._splits_context = sum("setup_context" in vars(c) for c in cls.__mro__) > 1


class Function(metaclass=FunctionMeta):
    """An operation whose gradient you write yourself.

    Subclass it with static methods ``forward`` and ``backward`` and call ``YourFunction.apply``.
    ``forward`` is not recorded; ``backward`` is, under ``create_graph=True``, so that it can be
    differentiated in turn.

    Example:
        >>> import fastgrad as fg
        >>> class Exp(fg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         y = x.exp()
        ...         ctx.save_for_backward(y)
        ...         return y
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (y,) = ctx.saved_tensors
        ...         return g * y
        >>> x = fg.tensor([0.0], requires_grad=True)
        >>> Exp.apply(x)
        tensor([1.], grad_fn=<ExpBackward>)
    """

    # Whether vmap may run forward and backward on batched tensors as they are.
    generate_vmap_rule: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all "
            "static, so you should invoke them on the class itself.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: the operation is called as ``YourFunction.apply(...)``."""
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is not supported. Make "
            f"forward and backward static methods and call {type(self).__name__}.apply(...)."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result: ``forward(ctx, *args)``, or ``forward(*args)`` with setup_context.

        Args:
            *args: The context, and what ``apply`` was given.
            **kwargs: Not passed by ``apply``, which makes positional arguments of them.

        Returns:
            A tensor, or a tuple of tensors and other objects.
        """
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Fill the context when ``forward`` is written without one.

        Args:
            ctx: The context.
            inputs: The arguments of ``apply``.
            output: What ``forward`` returned.
        """
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradients of the inputs, given those of the outputs.

        Args:
            ctx: The context.
            *grad_outputs: One per output of ``forward``.

        Returns:
            One tensor or None per argument of ``forward``.
        """
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Return the tangents of the outputs, given those of the inputs.

        Args:
            ctx: The context.
            *grad_inputs: One tensor or None per argument of ``forward``.

        Returns:
            One tensor or None per output.
        """
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """Return ``(output, out_dims)`` for batched arguments.

        Args:
            info: ``info.batch_size`` and ``info.randomness``.
            in_dims: Per argument, the dimension that is batched, or None.
            *args: The arguments.
        """
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod "
            "or set generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the operation and record it.

        Args:
            *args: Tensors and any other objects.
            **kwargs: Arguments of ``forward`` by name.

        Returns:
            What ``forward`` returns, with tensors attached to the graph.
        """
        if kwargs:
            import inspect

            # The placeholder takes the place of ctx, so that the names bind to the right ones.
            context = () if cls._splits_context else (None,)
            bound = inspect.signature(cls.forward).bind(*context, *args, **kwargs)
            bound.apply_defaults()
            if bound.kwargs:
                raise TypeError(
                    f"[{cls.__name__}.apply] cannot pass keyword-only arguments "
                    f"{sorted(bound.kwargs)} to forward; make them positional."
                )
            args = bound.args[len(context) :]
        return _core._apply_custom_function(cls, args)


class _RefuseDifferentiation(Function):
    """The identity, with a backward that only explains why there is none."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.detach() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def once_differentiable(backward: _F) -> _F:
    """Decorate a ``backward`` that cannot itself be differentiated.

    It runs without recording, and differentiating its result is an error, not a wrong number.

    Args:
        backward: The static method ``backward(ctx, *grads)``.

    Returns:
        The decorated function.

    Example:
        >>> import fastgrad as fg
        >>> class Double(fg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return 2 * x
        ...     @staticmethod
        ...     @fg.autograd.function.once_differentiable
        ...     def backward(ctx, g):
        ...         return 2 * g
        >>> x = fg.tensor(1.0, requires_grad=True)
        >>> g, = fg.autograd.grad(Double.apply(x), x, fg.ones((), requires_grad=True),
        ...                       create_graph=True)
        >>> g.backward()
        Traceback (most recent call last):
        RuntimeError: trying to differentiate twice a function that was marked with @once_differentiable
    """  # noqa: E501 - a doctest's expected line cannot be broken

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        recording = _core.is_grad_enabled()
        _core._set_grad_enabled(False)
        try:
            result = backward(ctx, *grads)
        finally:
            _core._set_grad_enabled(recording)
        if not recording or not any(isinstance(g, Tensor) and g.requires_grad for g in grads):
            return result
        outputs = result if isinstance(result, tuple) else (result,)
        places = [i for i, t in enumerate(outputs) if isinstance(t, Tensor)]
        if places:
            leaves = [outputs[i].detach().requires_grad_() for i in places]
            guarded = list(outputs)
            refusing = _RefuseDifferentiation.apply(*leaves)
            for place, tensor in zip(places, refusing, strict=True):
                guarded[place] = tensor
            outputs = tuple(guarded)
        return outputs if isinstance(result, tuple) else outputs[0]

    return wrapper  # type: ignore[return-value]
