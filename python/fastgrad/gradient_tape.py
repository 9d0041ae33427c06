"""TensorFlow's GradientTape on fastgrad's graph.

Note [Tapes]
fastgrad records whatever requires grad, whether a tape is active or not. A tape remembers when it
was recording, in sequence numbers of graph nodes; its gradients flow through nodes of these times
only. Where the graph leads to an older or younger node, the gradient ends: the node stays unused if
it leads to no source, and is fed zeros otherwise.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Node, Tensor
from fastgrad.func.jacobians import one_hot_vectors
from fastgrad.utils.pytree import tree_flatten, tree_structure, tree_unflatten
from fastgrad.variable import Variable

__all__ = ["GradientTape"]

_FOREVER = 2**62
# How _core._trace_route met a source: not at all, as a leaf, as what a node computed that the tape
# recorded, or another node.
_NEVER, _LEAF, _RECORDED, _OLDER = range(4)
_clock = _core._clock
_SINGLE = tree_structure(0)


class _Active(threading.local):
    """The tapes that are recording in this thread."""

    def __init__(self) -> None:
        self.tapes: list[GradientTape] = []


_active = _Active()


def _share_accessed() -> None:
    """Tell the tapes that are recording which variables have been used since the last call."""
    if not _active.tapes:
        return
    for v in _core._take_used_variables():
        if isinstance(v, Variable) and v.trainable:
            for tape in _active.tapes:
                if tape._watch_variables:
                    tape._accessed[v._number] = v


class _Route:
    """How gradients flow from targets to sources.

    Used as a context in which gradients can be pulled: it switches on what has to require grad and
    feeds zeros to the borders.

    Attributes:
        targets: Those that depend on anything.
        kept: Their indices.
        wanted: The sources that a gradient arrives at.
        connected: Per source, whether it is one of these.
        borders: Nodes that the tape did not record but recorded ones depend on.
        create_graph: Whether the gradients are recorded in turn.
    """

    __slots__ = (
        "_handles",
        "_switched",
        "borders",
        "connected",
        "create_graph",
        "kept",
        "targets",
        "wanted",
    )

    def __init__(
        self,
        targets: list[Tensor],
        kept: list[int],
        sources: list[Tensor],
        connected: list[bool],
        borders: list[Node],
        create_graph: bool,
    ) -> None:
        self.targets = targets
        self.kept = kept
        self.wanted = [s for s, arrives in zip(sources, connected) if arrives]
        self.connected = connected
        self.borders = borders
        self.create_graph = create_graph
        self._switched: list[Tensor] = []
        self._handles: list[Any] = []

    def __enter__(self) -> _Route:
        for t in (*self.wanted, *self.targets):
            if not t.requires_grad:
                self._switched.append(t)
                t.requires_grad_()
        for node in self.borders:
            self._handles.append(node.register_prehook(_zeros_instead))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for t in self._switched:
            t.requires_grad_(False)
        for handle in self._handles:
            handle.remove()

    def pull(self, seeds: list[Tensor] | None) -> list[Tensor | None]:
        """Return the gradients of all sources; None where none arrives."""
        if not self.wanted:
            return [None] * len(self.connected)
        if seeds is not None and len(self.kept) != len(seeds):
            seeds = [seeds[i] for i in self.kept]
        found = _core._grad(self.targets, self.wanted, seeds, True, self.create_graph, True, True)
        if len(found) == len(self.connected):
            return list(found)
        arrived = iter(found)
        return [next(arrived) if arrives else None for arrives in self.connected]


class GradientTape:
    """Records operations inside a ``with`` block, for differentiation afterwards.

    Operations on trainable variables (:class:`fastgrad.Variable`), on tensors that require grad and
    on tensors that are watched are recorded. Gradients computed inside the block of another tape
    are recorded by that one, which gives derivatives of higher order.

    Args:
        persistent: Whether gradients can be computed more than once.
        watch_accessed_variables: Whether variables are watched without being asked for.

    Raises:
        ValueError: If a tape is entered that is recording already.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.Variable(2.0)
        >>> with fg.GradientTape() as outer:
        ...     with fg.GradientTape() as inner:
        ...         y = x**3
        ...     slope = inner.gradient(y, x)
        >>> slope.item(), outer.gradient(slope, x)
        (12.0, tensor(12.))
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._watch_variables = watch_accessed_variables
        self._recording = False
        self._used = False
        self._times: list[int] = []  # starts and ends in turns
        self._watched: dict[int, Tensor] = {}
        # Watched tensors that require grad only because, and only while, this tape records.
        self._switched: list[Tensor] = []
        # Trainable variables that were used while this tape recorded.
        self._accessed: dict[int, Variable] = {}

    def __enter__(self) -> GradientTape:
        if self._recording:
            raise ValueError(
                "Tape is still recording. This can happen if you try to re-enter an already-active "
                "tape."
            )
        self._start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._recording:
            self._stop()

    def _start(self) -> None:
        _share_accessed()
        self._recording = True
        self._times += (_clock(), _FOREVER)
        for t in self._switched:
            t.requires_grad_()
        _active.tapes.append(self)
        if len(_active.tapes) == 1:
            _core._watch_variables(True)

    def _stop(self) -> None:
        _share_accessed()
        self._recording = False
        self._times[-1] = _clock()
        _active.tapes.remove(self)
        if not _active.tapes:
            _core._watch_variables(False)
        for t in self._switched:
            for other in _active.tapes:
                if id(t) in other._watched:  # it turns the tensor off when it ends
                    if all(t is not known for known in other._switched):
                        other._switched.append(t)
                    break
            else:
                t.requires_grad_(False)

    def watch(self, tensor: Any) -> None:
        """Record operations on tensors that would not be recorded by themselves.

        Args:
            tensor: A tensor or a nested structure of tensors. Of integer ones there are no
                gradients: a warning says so.

        Raises:
            ValueError: If something else is given.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.tensor(3.0)
            >>> with fg.GradientTape() as tape:
            ...     tape.watch(x)
            ...     y = x * x
            >>> tape.gradient(y, x)
            tensor(6.)
        """
        for t in tree_flatten(tensor)[0]:
            if not isinstance(t, Tensor):
                raise ValueError(
                    f"Passed in object {t!r} of type {type(t).__name__!r}, not a fastgrad.Tensor "
                    "or fastgrad.Variable."
                )
            if not (t.dtype.is_floating_point or t.dtype.is_complex):
                warnings.warn(
                    "The dtype of the watched tensor must be floating (e.g. fastgrad.float32), got "
                    f"{t.dtype}",
                    stacklevel=2,
                )
                continue
            self._watched[id(t)] = t
            if not t.requires_grad:
                self._switched.append(t)
                if self._recording:
                    t.requires_grad_()

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Suspend this tape inside a ``with`` block.

        Raises:
            ValueError: If the tape is not recording.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.Variable(3.0)
            >>> with fg.GradientTape() as tape:
            ...     y = x * x
            ...     with tape.stop_recording():
            ...         size = y * y
            >>> tape.gradient(size, x) is None
            True
        """
        if not self._recording:
            raise ValueError("Tape is not recording.")
        self._stop()
        try:
            yield
        finally:
            self._start()

    def reset(self) -> None:
        """Forget everything recorded and watched so far, and go on recording.

        Raises:
            ValueError: If the tape is not recording.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.Variable(3.0)
            >>> with fg.GradientTape() as tape:
            ...     y = x * x
            ...     tape.reset()
            >>> tape.gradient(y, x) is None
            True
        """
        if not self._recording:
            raise ValueError("Tape is not recording.")
        self._stop()
        self._times.clear()
        self._watched.clear()
        self._accessed.clear()
        self._switched.clear()
        self._start()

    def watched_variables(self) -> tuple[Variable, ...]:
        """Return the variables that the tape watches, oldest first.

        Those given to :meth:`watch` and, with ``watch_accessed_variables``, the trainable variables
        that were used in differentiable operations while it recorded.

        Example:
            >>> import fastgrad as fg
            >>> x, y = fg.Variable(3.0, name="x"), fg.Variable(4.0, name="y")
            >>> with fg.GradientTape() as tape:
            ...     square = x * x
            >>> [v.name for v in tape.watched_variables()]
            ['x']
        """
        if self._recording:
            _share_accessed()
        found = {v._number: v for v in self._watched.values() if isinstance(v, Variable)}
        found.update(self._accessed)
        return tuple(v for _, v in sorted(found.items()))

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: Any = "none",
    ) -> Any:
        """Return the gradient of the sum of ``target`` with respect to ``sources``.

        Args:
            target: A tensor or a nested structure of tensors.
            sources: A tensor or variable, or a nested structure of such.
            output_gradients: What to multiply the elements of ``target`` with, in its structure;
                None stands for 1.
            unconnected_gradients: ``"none"`` or ``"zero"``: what to return for a source that
                ``target`` does not depend on.

        Returns:
            The gradients in the structure of ``sources``.

        Raises:
            RuntimeError: At the second call for a tape that is not persistent.
            TypeError: If ``target`` or ``sources`` hold something else.
            ValueError: If ``unconnected_gradients`` is something else.

        Example:
            >>> import fastgrad as fg
            >>> a, b = fg.Variable(3.0), fg.Variable(4.0)
            >>> with fg.GradientTape() as tape:
            ...     z = a**2 + a * b
            >>> tape.gradient(z, {"a": a, "b": b})
            {'a': tensor(10.), 'b': tensor(3.)}
        """
        zero = _wants_zeros(unconnected_gradients)
        self._use()
        targets, structure = _tensors(target, "target")
        flat, spec = _tensors(sources, "sources")
        seeds: list[Tensor] | None = None
        if output_gradients is not None or any(t.dim() for t in targets):
            seeds = [fg.ones_like(t) for t in targets]
        if seeds is not None and output_gradients is not None:
            try:
                given = structure.flatten_up_to(output_gradients)
            except ValueError as error:
                raise ValueError(
                    f"[GradientTape.gradient] output_gradients do not match the target: {error}"
                ) from None
            for i, g in enumerate(given):
                if g is not None:
                    seeds[i] = fg.as_tensor(g, dtype=targets[i].dtype)
        route = self._route(targets, flat)
        with route:
            gradients = route.pull(seeds)
        if zero:
            gradients = [
                fg.zeros_like(s).detach() if g is None else g for g, s in zip(gradients, flat)
            ]
        return tree_unflatten(gradients, spec)

    def jacobian(
        self,
        target: Tensor,
        sources: Any,
        unconnected_gradients: Any = "none",
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """Return the Jacobian of ``target`` with respect to ``sources``.

        Args:
            target: A tensor.
            sources: A tensor or variable, or a nested structure of such.
            unconnected_gradients: As for :meth:`gradient`.
            parallel_iterations: No effect.
            experimental_use_pfor: No effect.

        Returns:
            In the structure of ``sources``, tensors of shape ``target.shape + source.shape``.

        Raises:
            RuntimeError: As for :meth:`gradient`.
            TypeError: As for :meth:`gradient`.
            ValueError: As for :meth:`gradient`.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.Variable([1.0, 2.0])
            >>> with fg.GradientTape() as tape:
            ...     y = x**2
            >>> tape.jacobian(y, x)
            tensor([[2., 0.],
                    [0., 4.]])
        """
        zero = _wants_zeros(unconnected_gradients)
        self._use()
        _tensors([target], "target")
        flat, spec = _tensors(sources, "sources")
        seeds = ([e] for e in one_hot_vectors(target.numel(), target))
        columns = self._columns(target, flat, seeds, 0)
        blocks: list[Any] = []
        for source, column in zip(flat, columns):
            if column is None and zero:
                column = fg.zeros((target.numel(), *source.shape), dtype=source.dtype)
            blocks.append(
                None if column is None else column.reshape((*target.shape, *source.shape))
            )
        return tree_unflatten(blocks, spec)

    def batch_jacobian(
        self,
        target: Tensor,
        source: Tensor,
        unconnected_gradients: Any = "none",
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """Return the Jacobians of ``target[i]`` with respect to ``source[i]``, stacked.

        Element i of ``target`` must depend on element i of ``source`` alone.

        Args:
            target: A tensor of shape ``[b, y1, ...]``.
            source: A tensor of shape ``[b, x1, ...]``.
            unconnected_gradients: As for :meth:`gradient`.
            parallel_iterations: No effect.
            experimental_use_pfor: No effect.

        Returns:
            A tensor of shape ``[b, y1, ..., x1, ...]``.

        Raises:
            RuntimeError: As for :meth:`gradient`.
            ValueError: If the first dimensions differ.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.Variable([[1.0, 2.0], [3.0, 4.0]])
            >>> with fg.GradientTape() as tape:
            ...     y = x**2
            >>> tape.batch_jacobian(y, x)
            tensor([[[2., 0.],
                     [0., 4.]],
            <BLANKLINE>
                    [[6., 0.],
                     [0., 8.]]])
        """
        zero = _wants_zeros(unconnected_gradients)
        _tensors([target, source], "target and source")
        if target.dim() == 0 or source.dim() == 0 or target.shape[0] != source.shape[0]:
            raise ValueError(
                f"Need first dimension of target shape {tuple(target.shape)} and source shape "
                f"{tuple(source.shape)} to match."
            )
        self._use()
        count = target[0].numel() if target.shape[0] else 0
        seeds = ([e.expand(target.shape)] for e in one_hot_vectors(count, target[:1]))
        (column,) = self._columns(target, [source], seeds, 1)
        shape = (*target.shape, *source.shape[1:])
        if column is None:
            return fg.zeros(shape, dtype=source.dtype) if zero else None
        return column.reshape(shape)

    def _use(self) -> None:
        """Take the one use that a tape has unless it is persistent."""
        if self._persistent:
            return
        if self._used:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of gradients "
                "(or jacobians); make it with persistent=True"
            )
        self._used = True
        if self._recording:
            self._stop()

    def _columns(
        self, target: Tensor, sources: list[Tensor], seeds: Iterator[list[Tensor]], dim: int
    ) -> list[Tensor | None]:
        """Return per source the gradients for each seed, stacked."""
        with self._route([target], sources) as route:
            rows = [route.pull(row) for row in seeds]
        columns: list[Tensor | None] = []
        for i in range(len(sources)):
            found = [g for g in (row[i] for row in rows) if g is not None]
            columns.append(fg.stack(found, dim) if found else None)
        return columns

    def _route(self, targets: list[Tensor], sources: list[Tensor]) -> _Route:
        """Look for the sources in the recorded part of the graph; see Note [Tapes]."""
        watched = self._watched
        kept = [i for i, t in enumerate(targets) if t.requires_grad or id(t) in watched]
        used = [targets[i] for i in kept]
        met, borders, outside = _core._trace_route(used, sources, self._times)
        connected = []
        for s, how in zip(sources, met):
            by_itself = how == _RECORDED or (how == _LEAF and self._watch_variables)
            connected.append(by_itself or (how != _NEVER and id(s) in watched))
        # `outside`: somebody else may be differentiating with respect to a tensor.
        create_graph = fg.is_grad_enabled() and (outside or bool(_active.tapes))
        return _Route(used, kept, sources, connected, borders, create_graph)


def _zeros_instead(gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    return tuple(None if g is None else fg.zeros_like(g) for g in gradients)


def _tensors(tree: Any, what: str) -> tuple[list[Tensor], Any]:
    """Return the tensors in a nested structure, and the structure."""
    if isinstance(tree, Tensor):
        return [tree], _SINGLE
    leaves, spec = tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"[GradientTape] expected {what} to be tensors, or a nested structure of tensors, "
                f"got {type(leaf).__name__}."
            )
    return leaves, spec


def _wants_zeros(unconnected_gradients: Any) -> bool:
    value = getattr(unconnected_gradients, "value", unconnected_gradients)
    if value not in ("none", "zero"):
        raise ValueError(
            f"Unknown value for unconnected_gradients: {unconnected_gradients!r}; expected "
            "'none' or 'zero'."
        )
    return bool(value == "zero")
