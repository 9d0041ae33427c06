"""Trading time for memory: recompute intermediate results in backward instead of keeping them.

Note [Checkpoints keep places, not tensors]
While a checkpointed function runs, a pack hook gives each saved tensor a numbered place and keeps
nothing else. The first place that backward asks for runs the function again under a second pack
hook, which fills the places that are still wanted, in the same order, and stops the run when the
last one is filled. A value leaves its place when it is asked for, so memory is free again as
backward proceeds; if it is asked for twice (retain_graph), the function runs once more.

The arguments are kept by a custom Function, outside the hooks of the checkpoint itself but inside
those of any checkpoint around it. So an inner checkpoint's arguments are just some of the outer
one's saved tensors, and checkpoints nest without knowing of each other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import engine
from fastgrad.autograd.function import Function
from fastgrad.autograd.grad_mode import enable_grad, no_grad
from fastgrad.autograd.graph import saved_tensors_hooks

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

_ContextFn = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]

_debug_override: bool | None = None
_early_stop_override: bool | None = None


class CheckpointError(RuntimeError):
    """Raised when the second run of a checkpointed function differs from the first."""


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return two contexts that do nothing: the default ``context_fn``."""
    return nullcontext(), nullcontext()


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Override the ``debug`` argument of checkpoints inside a ``with`` block.

    Args:
        enabled: The value to use instead; None leaves the decision to the argument.
    """
    global _debug_override
    before, _debug_override = _debug_override, enabled
    try:
        yield
    finally:
        _debug_override = before


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Override the ``early_stop`` argument of checkpoints whose forward runs in a ``with`` block.

    Args:
        enable: Whether recomputation stops when all that is needed has been computed.
    """
    global _early_stop_override
    before, _early_stop_override = _early_stop_override, enable
    try:
        yield
    finally:
        _early_stop_override = before


class _RandomState:
    """The random generator as it was when this object was made."""

    def __init__(self) -> None:
        self._state = fg.get_rng_state()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Go back to that state inside a ``with`` block, and forward again after it."""
        now = fg.get_rng_state()
        fg.set_rng_state(self._state)
        try:
            yield
        finally:
            fg.set_rng_state(now)


class _StopRecomputation(Exception):
    """Leaves the second run once everything needed is there."""


class _Place:
    """Stands in the graph for one saved tensor."""

    __slots__ = ("__weakref__", "index")

    def __init__(self, index: int) -> None:
        self.index = index


# A value goes away with its place, also if backward never asks for it.
_Values = weakref.WeakKeyDictionary[_Place, Tensor]


class _KeepArguments(Function):
    """Saves tensors as any operation would, and computes nothing."""

    @staticmethod
    def forward(ctx: Any, frame: _Frame, anchor: Tensor, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        frame.arguments = ctx
        return anchor.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise AssertionError("the arguments of a checkpoint are kept by a node nothing depends on")


def _where_saved() -> str:
    """Return the innermost lines of the current stack that are not in this file."""
    import traceback

    stack = [f for f in traceback.extract_stack() if f.filename != __file__]
    return "".join(traceback.format_list(stack[-3:]))


class _Frame:
    """One call of a checkpointed function: its places, and how to fill them again."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        preserve_rng_state: bool,
        recompute_context: AbstractContextManager[Any],
        check_metadata: bool,
        early_stop: bool,
        debug: bool,
    ) -> None:
        self.function = function
        self.random = _RandomState() if preserve_rng_state else None
        self.recompute_context = recompute_context
        self.check_metadata = check_metadata
        self.early_stop = early_stop
        self.debug = debug
        self.places: list[weakref.ref[_Place]] = []
        self.metadata: list[tuple[Any, ...]] = []
        self.origins: list[str] = []
        self.values = _Values()
        self.forward_done = False
        self.arguments: Any = None

    # -- the arguments -----------------------------------------------------------------------

    def keep(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep the arguments until the second run."""
        self._names = list(kwargs)
        flat = [*args, *kwargs.values()]
        self._is_tensor = [isinstance(item, Tensor) for item in flat]
        # Tensors go where saved tensors go; their slots here must not hold them a second time.
        self._others = [None if isinstance(item, Tensor) else item for item in flat]
        self._requires_grad = [isinstance(item, Tensor) and item.requires_grad for item in flat]
        tensors = [item for item in flat if isinstance(item, Tensor)]
        # The node lives as long as its output does.
        with enable_grad():
            self._owner = _KeepArguments.apply(
                weakref.proxy(self), fg.empty(0, requires_grad=True), *tensors
            )

    def recall(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments, tensors detached from their history."""
        tensors = iter(self.arguments.saved_tensors)
        flat = list(self._others)
        for i, is_tensor in enumerate(self._is_tensor):
            if is_tensor:
                flat[i] = next(tensors).detach().requires_grad_(self._requires_grad[i])
        split = len(flat) - len(self._names)
        return flat[:split], dict(zip(self._names, flat[split:], strict=True))

    # -- the first run -----------------------------------------------------------------------

    def pack(self, tensor: Tensor) -> _Place:
        """Give a saved tensor its place (first run)."""
        place = _Place(len(self.places))
        self.places.append(weakref.ref(place))
        if self.check_metadata:
            self.metadata.append(_metadata(tensor))
        if self.debug:
            self.origins.append(_where_saved())
        return place

    def unpack(self, place: _Place) -> Tensor:
        """Return the value that belongs to a place, running the function again if need be."""
        if place not in self.values:
            self.recompute()
        return self.values.pop(place)

    # -- the second run ----------------------------------------------------------------------

    def recompute(self) -> None:
        """Run the function again and fill the places that something still holds."""
        args, kwargs = self.recall()
        run = _Recomputation(self)
        restored = self.random.restored() if self.random is not None else nullcontext()
        try:
            with (
                restored,
                self.recompute_context,
                enable_grad(),
                saved_tensors_hooks(run.pack, lambda tensor: tensor),
            ):
                self.function(*args, **kwargs)
        except _StopRecomputation:
            pass
        run.check()
        self.values = run.values


class _Recomputation:
    """What one second run has saved so far."""

    def __init__(self, frame: _Frame) -> None:
        self.frame = frame
        self.count = 0
        self.values = _Values()
        self.different: list[str] = []
        self.origins: list[str] = []

    def pack(self, tensor: Tensor) -> Tensor:
        """Take a tensor that the second run saves."""
        frame, index = self.frame, self.count
        self.count += 1
        tensor = tensor.detach()
        if index >= len(frame.places):
            # Backward inside the function itself: the first run has not come as far yet.
            if not frame.forward_done:
                return tensor
            raise CheckpointError(
                "[checkpoint] trying to save more tensors during recomputation than "
                "during the original forward pass." + self._hint()
            )
        if frame.debug:
            self.origins.append(_where_saved())
        place = frame.places[index]()
        if place is not None:
            self.values[place] = tensor
            if frame.check_metadata and _metadata(tensor) != frame.metadata[index]:
                self.different.append(
                    f"tensor at position {index}:\n"
                    f"saved metadata: {_describe(frame.metadata[index])}\n"
                    f"recomputed metadata: {_describe(_metadata(tensor))}\n"
                )
                if frame.debug:
                    self.different[-1] += (
                        f"saved at:\n{frame.origins[index]}recomputed at:\n{self.origins[index]}"
                    )
        if frame.early_stop and self.count == len(frame.places):
            raise _StopRecomputation
        return tensor

    def check(self) -> None:
        """Compare with the first run."""
        frame = self.frame
        if self.count < len(frame.places):
            raise CheckpointError(
                "[checkpoint] A different number of tensors was saved during the "
                "original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(frame.places)}\n"
                f"Number of tensors saved during recomputation: {self.count}." + self._hint()
            )
        if self.different:
            raise CheckpointError(
                "[checkpoint] Recomputed values for the following tensors have "
                "different metadata than during the forward pass.\n"
                + "".join(self.different)
                + self._hint()
            )

    def _hint(self) -> str:
        if not self.frame.debug:
            return (
                "\nThe function must do the same each time. Pass debug=True to checkpoint() to "
                "see where the two runs saved tensors."
            )
        first = "".join(f"[{i}]\n{lines}" for i, lines in enumerate(self.frame.origins))
        second = "".join(f"[{i}]\n{lines}" for i, lines in enumerate(self.origins))
        return f"\nSaved during the original forward:\n{first}Saved during recomputation:\n{second}"


def _metadata(tensor: Tensor) -> tuple[Any, ...]:
    return (tuple(tensor.shape), tensor.dtype, tensor.device)


def _describe(metadata: tuple[Any, ...]) -> str:
    shape, dtype, device = metadata
    return f"{{'shape': {shape}, 'dtype': {dtype}, 'device': {device}}}"


class CheckpointFunction(Function):
    """The reentrant variant: forward records nothing, backward runs a backward of its own."""

    @staticmethod
    def forward(
        ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any
    ) -> Any:
        """Run the function without recording."""
        if not any(isinstance(arg, Tensor) and arg.requires_grad for arg in args):
            import warnings

            warnings.warn(
                "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=3
            )
        ctx.run_function = run_function
        ctx.random = _RandomState() if preserve_rng_state else None
        ctx.others = [None if isinstance(arg, Tensor) else arg for arg in args]
        ctx.places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        ctx.requires_grad = [args[i].requires_grad for i in ctx.places]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Run the function again, recording, and then its backward."""
        if not _core._is_checkpoint_valid():
            raise RuntimeError(
                "When use_reentrant=True, checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                "either set use_reentrant=False, or call .backward() without passing the `inputs` "
                "argument."
            )
        inputs = list(ctx.others)
        for place, tensor, wanted in zip(
            ctx.places, ctx.saved_tensors, ctx.requires_grad, strict=True
        ):
            inputs[place] = tensor.detach().requires_grad_(wanted)
        restored = ctx.random.restored() if ctx.random is not None else nullcontext()
        with restored, enable_grad():
            outputs = ctx.run_function(*inputs)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        wanted = [
            (output, grad)
            for output, grad in zip(outputs, grads, strict=True)
            if isinstance(output, Tensor) and output.requires_grad
        ]
        if not wanted:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        engine.backward([output for output, _ in wanted], [grad for _, grad in wanted])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in inputs))


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: _ContextFn = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function(*args, **kwargs)`` without keeping its intermediate results for backward.

    Backward calls it a second time to get them. It must do the same both times.

    Args:
        function: What to run.
        *args: Its arguments.
        use_reentrant: True for PyTorch's older variant, which records nothing in forward, always
            runs the function in full and does not work with ``autograd.grad``. None means False.
        preserve_rng_state: Whether random numbers of the second run are those of the first.
        context_fn: Returns two context managers, for the first and the second run.
        determinism_check: ``"default"`` compares shapes, dtypes and devices of what the two runs
            save, ``"none"`` does not.
        debug: Whether errors show where both runs saved their tensors.
        early_stop: Whether the second run ends as soon as it has computed what is needed.
        **kwargs: Keyword arguments of the function; not with ``use_reentrant=True``.

    Returns:
        What the function returns.

    Raises:
        ValueError: If an argument does not go with ``use_reentrant=True``, or
            ``determinism_check`` is not one of the two.
        CheckpointError: In backward, if the second run differs from the first.

    Example:
        >>> import fastgrad as fg
        >>> from fastgrad.utils.checkpoint import checkpoint
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> y = checkpoint(lambda x: (x * x).exp(), x, use_reentrant=False)
        >>> y.sum().backward()
        >>> x.grad
        tensor([  5.4366, 218.3926])
    """
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError(
                "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
            )
        return CheckpointFunction.apply(function, preserve_rng_state, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'], but got {determinism_check}"
        )
    forward_context, recompute_context = context_fn()
    if not _core.is_grad_enabled():
        with forward_context:
            return function(*args, **kwargs)
    frame = _Frame(
        function,
        preserve_rng_state=preserve_rng_state,
        recompute_context=recompute_context,
        check_metadata=determinism_check == "default",
        early_stop=early_stop if _early_stop_override is None else _early_stop_override,
        debug=debug if _debug_override is None else _debug_override,
    )
    frame.keep(args, kwargs)
    with saved_tensors_hooks(frame.pack, frame.unpack), forward_context:
        result = function(*args, **kwargs)
    frame.forward_done = True
    return result


def checkpoint_sequential(
    functions: Sequence[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """Apply functions one after the other, checkpointed in segments; the last one is not.

    Args:
        functions: The functions, or a module whose children they are (``nn.Sequential``).
        segments: Number of segments of equal length; the last one takes the rest as well.
        input: The argument of the first function.
        use_reentrant: As for :func:`checkpoint`.
        preserve_rng_state: As for :func:`checkpoint`.

    Returns:
        What the last function returns.

    Example:
        >>> import fastgrad as fg
        >>> from fastgrad.utils.checkpoint import checkpoint_sequential
        >>> x = fg.tensor(0.5, requires_grad=True)
        >>> checkpoint_sequential([fg.sin, fg.cos, fg.exp, fg.tanh], 2, x).backward()
        >>> x.grad
        tensor(-0.0301)
    """
    children = getattr(functions, "children", None)
    steps: list[Callable[[Any], Any]] = list(functions if children is None else children())

    def chain(part: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for step in part:
                value = step(value)
            return value

        return run

    length = len(steps) // segments
    first_kept = length * (segments - 1)
    for start in range(0, first_kept, length):
        input = checkpoint(
            chain(steps[start : start + length]),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve_rng_state,
        )
    return chain(steps[first_kept:])(input)
