"""Functions of one example as functions of a batch: :func:`vmap`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.func.levels import named_like
from fastgrad.utils.pytree import TreeSpec, tree_flatten, tree_unflatten

__all__ = ["vmap"]

Dims = Any  # an int, None, or a tree of them

# To record one example and run it for all takes about as long as so many calls.
_FEWEST_AT_ONCE = 4


def _spread(dims: Dims, spec: TreeSpec) -> list[Any] | None:
    """Return ``dims`` for each leaf, or None if they do not fit: it may be a prefix of the tree."""
    if spec.type is None:
        return [dims]
    if dims is None or isinstance(dims, int):
        return [dims] * spec.num_leaves
    if not isinstance(dims, spec.type) and not (
        isinstance(dims, list | tuple) and issubclass(spec.type, list | tuple)
    ):
        return None
    if isinstance(dims, dict):
        keys = spec._keys()
        if set(dims) != set(keys):
            return None
        below = [dims[key] for key in keys]
    else:
        below = list(dims)
    if len(below) != len(spec.children):
        return None
    parts = [_spread(d, child) for d, child in zip(below, spec.children)]
    if any(part is None for part in parts):
        return None
    return [d for part in parts if part is not None for d in part]


def _checked_dim(dim: Any, x: Any, name: str) -> int | None:
    """Return the dimension of an input over which to map, from the front."""
    where = f"vmap({name}, in_dims=..., ...)(<inputs>): "
    if dim is None:
        return None
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ValueError(
            f"{where}Got in_dim={dim} for an input but in_dim must be either an integer dimension "
            "or None."
        )
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{where}Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot "
            "vmap over non-Tensor arguments, please use None as the respective in_dim"
        )
    if not -x.dim() <= dim < x.dim():
        raise ValueError(
            f"{where}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
            f"{x.dim()} so expected in_dim to satisfy -{x.dim()} <= in_dim < {x.dim()}."
        )
    return dim % x.dim()


def _input_dims(
    args: tuple[Any, ...], in_dims: Dims, name: str
) -> tuple[list[Any], TreeSpec, list[int | None], int]:
    """Return the inputs flat, their structure, the dimension of each, and how many examples."""
    if not isinstance(in_dims, int | tuple):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a "
            "(potentially nested) tuple matching the structure of inputs, got: "
            f"{type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
            "trying to vmap over a function with no inputs. The latter is unsupported."
        )
    leaves, spec = tree_flatten(args)
    given = _spread(in_dims, spec)
    if given is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the "
            f"structure of inputs. in_dims has structure {tree_flatten(in_dims)[1]} but inputs has "
            f"structure {spec}."
        )
    dims = [_checked_dim(d, x, name) for d, x in zip(given, leaves)]
    sizes = [x.shape[d] for x, d in zip(leaves, dims) if d is not None]
    if not sizes:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Expected at least one Tensor to vmap "
            "over"
        )
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return leaves, spec, dims, sizes[0]


def _examples(leaves: list[Any], dims: list[int | None], count: int) -> list[tuple[Any, ...]]:
    """Return the inputs of each example."""
    columns: list[Sequence[Any]] = []
    for x, dim in zip(leaves, dims):
        columns.append([x] * count if dim is None else x.unbind(dim))
    return list(zip(*columns))


def _same(values: Sequence[Any]) -> bool:
    first = values[0]
    if isinstance(first, Tensor):
        return all(isinstance(v, Tensor) and _core.equal(v, first) for v in values[1:])
    return all(v is first or v == first for v in values[1:])


def _joined(values: Sequence[Any], dim: Any, name: str) -> Any:
    """Return one output of all examples as one tensor."""
    if dim is not None and not isinstance(dim, int):
        raise ValueError(
            f"vmap({name}, ..., out_dims={dim})(<inputs>): out_dims is not compatible with the "
            "structure of `outputs`"
        )
    if dim is None:
        if not _same(values):
            raise ValueError(
                f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None: "
                "the output is not the same for all examples"
            )
        return values[0]
    for v in values:
        if not isinstance(v, Tensor):
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(v)}. Did "
                "you mean to set out_dims= to None for output?"
            )
        if v.shape != values[0].shape:
            raise ValueError(
                f"vmap({name}, ...): `{name}` must return tensors of one shape for all examples, "
                f"got {tuple(values[0].shape)} and {tuple(v.shape)}"
            )
    return _core.stack(list(values), dim)


def _outputs(results: list[Any], out_dims: Dims, name: str) -> Any:
    """Return what a function returned for each example as a batch."""
    first, spec = tree_flatten(results[0])
    dims = _spread(out_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with "
            f"the structure of `outputs`. out_dims has structure {tree_flatten(out_dims)[1]} but "
            f"outputs has structure {spec}."
        )
    rows = [first]
    for result in results[1:]:
        row, other = tree_flatten(result)
        if other != spec:
            raise ValueError(
                f"vmap({name}, ...): `{name}` must return the same structure for all examples, got "
                f"{spec} and {other}"
            )
        rows.append(row)
    joined = [_joined(column, d, name) for column, d in zip(zip(*rows), dims)]
    return tree_unflatten(joined, spec)


def _moved(y: Tensor, dim: int) -> Tensor:
    """Return a batch with the examples, which are in front, at ``dim``."""
    if not -y.dim() <= dim < y.dim():
        return _core.stack([y[0]], dim)  # says so
    return y.movedim(0, dim).contiguous()


def _all_same(batch: Tensor) -> bool:
    return _core.equal(batch, batch[:1].expand(batch.shape))


def _one_batch(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    """Return chunks of a batch as one; None where there is no batch."""
    batches = [p for p in parts if p is not None]
    if len(batches) > 1:
        return _core.cat(batches)
    return batches[0] if batches else None


def _at_once(
    recording: _core._ExampleRecording,
    result: Any,
    count: int,
    chunk: int,
    same: bool,
    again: Callable[[], list[Tensor]],
    out_dims: Dims,
    name: str,
) -> tuple[bool, Any]:
    """Return whether all examples could be computed as the first one, and the outputs if so.

    Args:
        recording: Of the first example.
        result: What the function returned for it.
        count: How many examples there are.
        chunk: How many to compute at a time, unless results require grad.
        same: Whether they have the same random numbers.
        again: Calls the function for each example; returns batches of the tensors.
        out_dims: As for :func:`vmap`.
        name: Of the function.
    """
    leaves, spec = tree_flatten(result)
    dims = _spread(out_dims, spec)
    if dims is None:
        _outputs([result], out_dims, name)  # raises
        return False, None
    tensors = [y for y in leaves if isinstance(y, Tensor)]
    if any(y.requires_grad for y in tensors):
        chunk = count
    parts = []
    for start in range(0, count, chunk):
        part = recording.run(tensors, start, min(start + chunk, count), same, again)
        if part is None:
            return False, None
        parts.append(part)
    columns = zip(*parts)
    joined = []
    for y, dim in zip(leaves, dims):
        batch = _one_batch(next(columns)) if isinstance(y, Tensor) else None
        if not isinstance(y, Tensor) or not (dim is None or isinstance(dim, int)):
            joined.append(_joined([y], dim, name))  # raises, or is the value
        elif dim is None:
            values = [y] if batch is None or _all_same(batch) else [batch, None]
            joined.append(_joined(values, None, name))
        else:
            if batch is None:
                batch = y.expand(count, *y.shape)
            joined.append(_moved(batch, dim))
    return True, tree_unflatten(joined, spec)


def _of_no_examples(
    call: Callable[..., Any], leaves: list[Any], dims: list[int | None], out_dims: Dims, name: str
) -> Any:
    """Return empty batches of what the function returns for zeros."""
    made = [
        x if d is None else x.new_zeros([n for i, n in enumerate(x.shape) if i != d])
        for x, d in zip(leaves, dims)
    ]
    flat, spec = tree_flatten(_outputs([call(made)], out_dims, name))
    of_one = _spread(out_dims, spec) or []
    empty = [y if d is None else y.narrow(d, 0, 0) for y, d in zip(flat, of_one)]
    return tree_unflatten(empty, spec)


def vmap(
    func: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function of a batch, made of a function of one example.

    ``func`` is called for the first example while a recorder looks on; all examples are then
    computed at once, derivatives included. Where that cannot be, because examples take different
    branches, values become Python numbers, or memory outside is written to, ``func`` is called for
    each example, and what it returns is stacked. Transforms nest either way, and gradients pass.

    Args:
        func: Returns tensors, or a tree of them, of the same shapes for all examples.
        in_dims: Which dimension of each input counts the examples; None for inputs that all
            examples share. One for all, or a tuple (of trees) in the structure of the arguments.
        out_dims: Where that dimension shall be in each output; None for outputs that are the same
            for all examples.
        randomness: ``"different"`` or ``"same"`` random numbers for the examples; ``"error"``
            refuses functions that draw from the global generator.
        chunk_size: How many examples to compute at once, for less memory; all when None.

    Returns:
        The function of a batch. All examples share its keyword arguments.

    Raises:
        ValueError: If ``in_dims`` or ``out_dims`` do not fit, examples are of different number, or
            an output is not a tensor.
        RuntimeError: If random numbers are drawn with ``randomness="error"``.

    Example:
        >>> import fastgrad as fg
        >>> fg.vmap(fg.dot)(fg.ones(2, 3), fg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        tensor([ 6., 15.])
        >>> w, x = fg.tensor([1.0, 2.0]), fg.eye(2)
        >>> fg.vmap(fg.func.grad(lambda w, x: (w @ x) ** 2), in_dims=(None, 0))(w, x)
        tensor([[2., 0.],
                [0., 4.]])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, spec, dims, count = _input_dims(args, in_dims, name)

        def call(example: Sequence[Any]) -> Any:
            return func(*tree_unflatten(example, spec), **kwargs)

        def again() -> list[Tensor]:
            rows = []
            for example in _examples(leaves, dims, count):
                if before is not None:
                    fg.set_rng_state(before)
                row = tree_flatten(call(example))[0]
                rows.append([y for y in row if isinstance(y, Tensor)])
            return [_core.stack(list(column)) for column in zip(*rows)]

        def check_random() -> None:
            if randomness == "error" and _core._rng_position() != start:
                raise RuntimeError(
                    "vmap: called random operation while in randomness error mode. Please either "
                    "use the 'same' or 'different' randomness flags on vmap or perform the "
                    "randomness operation out of vmap"
                )

        if count == 0:
            return _of_no_examples(call, leaves, dims, out_dims, name)
        start = _core._rng_position()
        before = fg.get_rng_state() if randomness == "same" else None
        results = []
        if count >= _FEWEST_AT_ONCE:
            mapped = [i for i, d in enumerate(dims) if d is not None]
            recording = _core._ExampleRecording(
                [leaves[i] for i in mapped], [d for d in dims if d is not None]
            )
            first = list(leaves)
            try:
                for i, x in zip(mapped, recording.enter()):
                    first[i] = x
                result = call(first)
            finally:
                recording.leave()
            if randomness != "error" or _core._rng_position() == start:
                same = randomness == "same"
                done, outputs = _at_once(
                    recording, result, count, chunk_size or count, same, again, out_dims, name
                )
                if done:
                    return outputs
            if not recording.wrote_to_copies():
                results.append(result)
                check_random()
        for example in _examples(leaves, dims, count)[len(results) :]:
            if before is not None:
                fg.set_rng_state(before)
            results.append(call(example))
            check_random()
        return _outputs(results, out_dims, name)

    return named_like(func, batched)
