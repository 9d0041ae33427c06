"""Random sequences of views and in-place writes, run beside PyTorch.

One program works on a growing pool of tensors: it takes views of any of them, writes into any of
them, computes new ones, detaches and copies. After every step all tensors of both libraries agree
in value, version and flags, or both libraries refused the step; at the end the gradients of the
leaves agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from reference import fg, needs_torch, same_class, to_numpy, torch

pytestmark = needs_torch

Step = tuple[str, int, tuple[Any, ...]]


@st.composite
def view_arguments(draw: Any, shape: tuple[int, ...]) -> tuple[str, tuple[Any, ...]]:
    """Draws a view that is possible for a tensor of this shape."""
    ndim = len(shape)
    any_dim = st.integers(-ndim, ndim - 1) if ndim else st.just(0)
    dim = draw(any_dim)
    choices: list[tuple[str, tuple[Any, ...]]] = [
        ("unsqueeze", (draw(st.integers(-ndim - 1, ndim)),)),
        ("reshape", (-1,)),
        ("squeeze", ()),
        ("expand", (2, *shape)),
        ("detach", ()),
        ("contiguous", ()),
    ]
    if ndim:
        size = shape[dim]
        start = draw(st.integers(0, size))
        length = draw(st.integers(0, size - start))
        step = draw(st.integers(1, 2))
        choices += [
            ("transpose", (dim, draw(any_dim))),
            ("movedim", (dim, draw(any_dim))),
            ("narrow", (dim, start, length)),
            ("permute", tuple(draw(st.permutations(range(ndim))))),
            ("flatten", ()),
            ("slice", (start, size, step)),
            ("view", (int(np.prod(shape)),)),
        ]
        if size:
            index = draw(st.integers(-size, size - 1))
            choices += [
                ("select", (dim, index)),
                ("unbind", (dim, index)),
                ("split", (dim, draw(st.integers(1, size)))),
                ("unfold", (dim, draw(st.integers(1, size)), 1)),
            ]
        if ndim >= 2:
            choices.append(("diagonal", (draw(st.integers(-1, 1)),)))
    return draw(st.sampled_from(choices))


def apply_view(x: Any, name: str, args: tuple[Any, ...]) -> Any:
    if name == "slice":
        return x[slice(*args)]
    if name == "unbind":
        dim, index = args
        return x.unbind(dim)[index]
    if name == "split":
        dim, size = args
        return x.split(size, dim)[-1]
    return getattr(x, name)(*args)


WRITES = (
    "mul_",
    "add_scalar",
    "zero_",
    "copy_",
    "add_other",
    "mul_other",
    "setitem",
    "sub_scaled",
    "neg_",
)


class Pool:
    """The tensors of one library; every step acts on both libraries' pools alike."""

    def __init__(self, module: Any) -> None:
        self.module = module
        values = np.arange(1.0, 13.0).reshape(3, 4) / 10
        self.leaf = module.from_numpy(values.copy()).requires_grad_()
        self.scale = module.tensor(1.5, dtype=module.float64, requires_grad=True)
        self.tensors = [self.leaf * 1, module.from_numpy(values[::-1].copy())]

    def run(self, step: Step) -> None:
        kind, i, args = step
        x = self.tensors[i % len(self.tensors)]
        if kind == "view":
            self.tensors.append(apply_view(x, *args))
        elif kind == "compute":
            self.tensors.append(self.compute(x, *args))
        elif kind == "write":
            self.write(x, *args)
        elif kind == "no_grad_write":
            with self.module.no_grad():
                self.write(x, *args)
        else:
            self.tensors[i % len(self.tensors)] = x.detach()

    def compute(self, x: Any, how: int) -> Any:
        return [x * self.scale, x.sin(), x + 1, x.clone(), x.sum() * self.scale][how]

    def operand(self, x: Any, other: Any) -> Any:
        """What a write into x reads: PyTorch needs a copy where the two share memory."""
        if self.module is fg:
            return other
        shared = x.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
        return other.clone() if shared else other

    def write(self, x: Any, name: str, j: int) -> None:
        other = self.operand(x, self.tensors[j % len(self.tensors)])
        if name == "mul_":
            x.mul_(self.scale)
        elif name == "add_scalar":
            x.add_(0.25)
        elif name == "copy_":
            x.copy_(other)
        elif name == "add_other":
            x.add_(other)
        elif name == "mul_other":
            x.mul_(other)
        elif name == "setitem":
            x[0] = other.sum() * 0.1
        elif name == "sub_scaled":
            x.sub_(other, alpha=0.5)
        else:
            getattr(x, name)()

    def state(self) -> list[Any]:
        return [
            (t.requires_grad, t.is_leaf, t._version, t._is_view(), tuple(t.shape))
            for t in self.tensors
        ]

    def gradients(self) -> Any:
        total = sum((t * (k + 1)).sum() for k, t in enumerate(self.tensors))
        if not total.requires_grad:
            return None
        return self.module.autograd.grad(total, [self.leaf, self.scale], allow_unused=True)


@st.composite
def programs(draw: Any) -> list[Step]:
    """Draws steps; shapes are followed on a throw-away PyTorch pool, so views fit."""
    pool = Pool(torch)
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 12))):
        i = draw(st.integers(0, len(pool.tensors) - 1))
        kind = draw(
            st.sampled_from(["view"] * 4 + ["write"] * 4 + ["compute", "no_grad_write", "detach"])
        )
        args: tuple[Any, ...] = ()
        if kind == "view":
            args = draw(view_arguments(tuple(pool.tensors[i].shape)))
        elif kind == "compute":
            args = (draw(st.integers(0, 4)),)
        elif kind.endswith("write"):
            args = (draw(st.sampled_from(WRITES)), draw(st.integers(0, 7)))
        step = (kind, i, args)
        steps.append(step)
        try:
            pool.run(step)
        except Exception:
            break
    return steps


def attempt(call: Any) -> tuple[Any, Exception | None]:
    try:
        return call(), None
    except Exception as error:
        return None, error


@given(programs())
@examples(400)
def test_views_and_writes(steps: list[Step]) -> None:
    ours, theirs = Pool(fg), Pool(torch)
    for number, step in enumerate(steps):
        _, their_error = attempt(lambda step=step: theirs.run(step))
        _, our_error = attempt(lambda step=step: ours.run(step))
        where = f"step {number} {step}"
        if their_error is not None:
            assert our_error is not None, f"{where}: expected {their_error!r}"
            assert same_class(our_error, their_error), f"{where}: {our_error!r}"
            return
        assert our_error is None, f"{where}: {our_error!r}"
        their_state, their_error = attempt(theirs.state)
        if their_error is not None:  # an output of unbind or split whose base was written to
            return
        assert ours.state() == their_state, where
        for a, e in zip(ours.tensors, theirs.tensors, strict=True):
            np.testing.assert_allclose(to_numpy(a), to_numpy(e), rtol=1e-12, err_msg=where)
    expected, their_error = attempt(theirs.gradients)
    actual, our_error = attempt(ours.gradients)
    if their_error is not None:
        assert our_error is not None, f"expected {their_error!r}"
        assert same_class(our_error, their_error), repr(our_error)
        return
    assert our_error is None, repr(our_error)
    if expected is None:
        assert actual is None
        return
    for a, e in zip(actual, expected, strict=True):
        a_values = np.zeros(1) if a is None else to_numpy(a)
        e_values = np.zeros(1) if e is None else to_numpy(e)
        np.testing.assert_allclose(a_values + 0 * e_values, e_values + 0 * a_values, rtol=1e-10)
