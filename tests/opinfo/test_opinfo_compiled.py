"""Every op with an OpInfo compiled, with its gradient, and through a file and back."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from compiled import same
from opinfo.adapters import function_of
from opinfo.samples import DTYPES, OPS, Failures, Sample, first_dtype, over, samples
from reference import fg, leaves, only_fastgrad, torch, tree_map

pytestmark = [pytest.mark.filterwarnings("ignore"), only_fastgrad]

# Samples of an op that are run, with one in STRIDE of those behind them.
HEAD, STRIDE = 3, 11


class Slot(NamedTuple):
    """Stands for a tensor among the arguments."""

    number: int


def filled(tree: Any, given: tuple[Any, ...]) -> Any:
    if isinstance(tree, Slot):
        return given[tree.number]
    if isinstance(tree, (list, tuple)):
        items = [filled(item, given) for item in tree]
        return items if isinstance(tree, list) else tuple(items)
    if isinstance(tree, dict):
        return {key: filled(item, given) for key, item in tree.items()}
    return tree


def of_tensors(sample: Sample, gradients: bool) -> tuple[Callable[..., Any], list[Any]]:
    """Returns a function of nothing but the tensors among the arguments, and these."""
    args, kwargs = sample.in_fg()
    tensors: list[Any] = []

    def slot(leaf: Any) -> Any:
        if not isinstance(leaf, fg.Tensor):
            return leaf
        tensors.append(leaf.detach())
        return Slot(len(tensors) - 1)

    template = tree_map(slot, [list(args), kwargs])
    fn = function_of(fg, sample.op)

    def forward(*given: Any) -> Any:
        args, kwargs = filled(template, given)
        return fn(*args, **kwargs)

    def with_gradients(*given: Any) -> Any:
        given = tuple(x.detach().requires_grad_() if x.is_floating_point() else x for x in given)
        results = forward(*[x * 1 if x.is_floating_point() else x for x in given])
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        smooth = [y for y in results if y.requires_grad]
        if not smooth:
            return results
        total = sum(((y * y).sum() for y in smooth[1:]), (smooth[0] * smooth[0]).sum())
        wanted = [x for x in given if x.requires_grad]
        found = fg.autograd.grad(total, wanted, allow_unused=True)
        return [y.detach() for y in results], [g for g in found if g is not None]

    return (with_gradients if gradients else forward), tensors


def run(sample: Sample, gradients: bool) -> None:
    fn, tensors = of_tensors(sample, gradients)

    def call(f: Any) -> Any:
        fg.manual_seed(7)
        result = f(*[x.clone() for x in tensors])
        return list(result) if isinstance(result, (list, tuple)) else result

    try:
        expected = call(fn)
    except Exception:
        return  # test_opinfo_values compares errors
    if any(not isinstance(x, fg.Tensor) or "complex" in str(x.dtype) for x in leaves(expected)):
        return
    compiled = fg.compile(fn, fullgraph=True)
    for _ in range(2):
        assert same(call(compiled), expected), f"compiled\n{compiled.graph()}"
    if compiled.stats()["replays"] == 0:
        raise AssertionError(f"never replayed\n{compiled.graph()}")
    file = io.BytesIO()
    try:
        fg.save_program(compiled, file)
    except RuntimeError:
        # Rules about operands need not know what an op makes of nothing.
        assert any(x.numel() == 0 for x in tensors), compiled.graph()
        return
    assert same(call(fg.load_program(file)), expected), f"loaded\n{compiled.graph()}"


def _is_compiled(op: Any) -> bool:
    """Whether it has results, of a type that we have, and does not ask where memory begins."""
    return not op.name.startswith(("as_strided", "empty", "new_empty")) and any(
        getattr(torch, dtype) in op.supported_dtypes("cpu") for dtype in DTYPES
    )


@over("compiled", _is_compiled)
def test_compiled_and_stored(name: str, opinfo_full: bool) -> None:
    op = OPS[name]
    failures = Failures()
    for sample in samples(op, first_dtype(op), full=opinfo_full):
        if not opinfo_full and sample.index >= HEAD and sample.index % STRIDE:
            continue
        with failures.over(sample):
            run(sample, op.supports_autograd and sample.index % 2 == 0)
    failures.report()
