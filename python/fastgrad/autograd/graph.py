"""Tools that look at, or change, what the recorded graph keeps."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from fastgrad import _core
from fastgrad._core import Node, Tensor
from fastgrad.autograd.grad_mode import no_grad

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """Store what operations save for backward in another form.

    Inside the context ``pack_hook`` gets every tensor an operation saves, and the graph keeps what
    it returns; ``unpack_hook`` gets that object when backward needs the tensor. Of nested contexts
    only the innermost applies.

    Args:
        pack_hook: ``pack_hook(tensor) -> object``. It must not change the tensor; what it returns
            must not hold the tensor itself (``tensor.detach()`` is fine), or a cycle results.
        unpack_hook: ``unpack_hook(object) -> tensor`` with the values, shape and dtype that were
            packed.

    Example:
        >>> import fastgrad as fg
        >>> kept = []
        >>> def pack(t):
        ...     kept.append(t.shape)
        ...     return t.detach()
        >>> x = fg.ones(3, requires_grad=True)
        >>> with fg.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        ...     y = x.exp()
        >>> kept
        [fastgrad.Size([3])]
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        _core._push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc_info: object) -> None:
        _core._pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Keep what operations save for backward in CPU memory; bring it back when it is needed.

    Tensors that are on the CPU already are kept as they are.

    Args:
        pin_memory: Accepted for PyTorch's sake; fastgrad has no pinned memory, so True raises.
        device_type: The device type that tensors come from; they return where they were.

    Raises:
        ValueError: If ``pin_memory`` is True.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.ones(3, requires_grad=True)
        >>> with fg.autograd.graph.save_on_cpu():
        ...     y = (x * x).sum()
        >>> y.backward()
        >>> x.grad
        tensor([2., 2., 2.])
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        if pin_memory:
            raise ValueError(
                "[save_on_cpu] expected pin_memory=False, got True: fastgrad has no pinned memory."
            )
        self.device_type = device_type
        super().__init__(
            lambda t: (t.device, t.detach().cpu()), lambda packed: packed[1].to(packed[0])
        )


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Forbid saved-tensor hooks inside a ``with`` block.

    Args:
        error_message: Text of the RuntimeError that entering :class:`saved_tensors_hooks` raises.

    Example:
        >>> import fastgrad as fg
        >>> with fg.autograd.graph.disable_saved_tensors_hooks("not here"):
        ...     with fg.autograd.graph.save_on_cpu():
        ...         pass
        Traceback (most recent call last):
        RuntimeError: not here
    """
    before = _core._saved_tensors_hooks_disabled_message()
    _core._disable_saved_tensors_hooks(error_message)
    try:
        yield
    finally:
        _core._disable_saved_tensors_hooks(before)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell autograd that memory of ``tensor`` was changed behind its back.

    Operations and ``mark_dirty`` do this themselves; call it after writing through another library.

    Args:
        tensor: A tensor, or several.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.zeros(2)
        >>> fg.autograd.graph.increment_version(x)
        >>> x._version
        1
    """
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        if not t.is_inference():
            # Views share the version, so writing to an empty one bumps it and changes nothing.
            with no_grad():
                t.detach().as_strided((0,), (1,)).zero_()


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor arrives in the graph: a node, and which of its outputs."""

    node: Node
    output_nr: int


def _node_of(tensor: Tensor) -> Node:
    """Return the node that receives the gradient of ``tensor``: its creator, or its accumulator."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients."
        )
    enabled = _core.is_grad_enabled()
    _core._set_grad_enabled(True)
    try:
        # Any recorded operation on a leaf points at the leaf's accumulator.
        view_node = tensor.view_as(tensor).grad_fn
        node = view_node and view_node.next_functions[0][0]
        assert node is not None  # the view of a leaf that requires grad is recorded
        return node
    finally:
        _core._set_grad_enabled(enabled)


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Return the edge at which the gradient of ``tensor`` is computed.

    Args:
        tensor: A tensor that requires grad.

    Raises:
        RuntimeError: If it does not require grad.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.ones(2, requires_grad=True)
        >>> fg.autograd.graph.get_gradient_edge(x.sin()).node.name()
        'SinBackward0'
    """
    return GradientEdge(_node_of(tensor), tensor.output_nr)


class _Handles:
    """Removes several hooks at once."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


# More than any number of backward passes that run, or nest, at the same time.
_REMEMBERED_TASKS = 256


class _Gathered:
    """The gradients that one backward call has delivered so far."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.gradients: list[Tensor | None] = [None] * len(nodes)
        self.missing = sum(map(_core._will_engine_execute_node, nodes))


def register_multi_grad_hook(
    tensors: Sequence[Tensor],
    fn: Callable[..., None],
    *,
    mode: Literal["all", "any"] = "all",
) -> _Handles:
    """Call ``fn`` once per backward, when gradients of several tensors have been computed.

    Args:
        tensors: The tensors watched; with ``"all"``, each requires grad.
        fn: With ``"all"``, ``fn(gradients)`` gets a list with one gradient per tensor, None for a
            tensor that this backward does not reach, once all others are there. With ``"any"``,
            ``fn(gradient)`` gets the first one computed.
        mode: ``"all"`` or ``"any"``.

    Returns:
        A handle with ``remove()``.

    Raises:
        ValueError: If ``mode`` is neither.

    Example:
        >>> import fastgrad as fg
        >>> a, b = fg.ones(2, requires_grad=True), fg.ones(2, requires_grad=True)
        >>> handle = fg.autograd.graph.register_multi_grad_hook(
        ...     (a, b), lambda grads: print([g is not None for g in grads]))
        >>> (a * b).sum().backward()
        [True, True]
        >>> a.sum().backward()
        [True, False]
    """
    # Two threads may run backward through the same tensors; each has its own task.
    lock = threading.Lock()
    if mode == "any":
        served: set[int] = set()

        def first(grad: Tensor) -> None:
            task = _core._current_graph_task_id()
            with lock:
                if task in served:
                    return
                if len(served) == _REMEMBERED_TASKS:
                    # Ids grow, so the smallest ones are backward passes long finished.
                    served.difference_update(sorted(served)[: _REMEMBERED_TASKS // 2])
                served.add(task)
            fn(grad)

        return _Handles([t.register_hook(first) for t in tensors if t.requires_grad])
    if mode != "all":
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")

    nodes = [_node_of(t) for t in tensors]
    tasks: dict[int, _Gathered] = {}

    def deliver(index: int, grad: Tensor) -> None:
        task = _core._current_graph_task_id()
        with lock:
            gathered = tasks.get(task)
            if gathered is None:
                gathered = tasks[task] = _Gathered(nodes)
            gathered.gradients[index] = grad
            gathered.missing -= 1
            complete = gathered.missing == 0
            if complete:
                del tasks[task]
        if complete:
            fn(gathered.gradients)

    return _Handles(
        [t.register_hook(functools.partial(deliver, index)) for index, t in enumerate(tensors)]
    )
