"""OpInfo samples: which are run, how they are converted, and how failures are gathered."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from opinfo.adapters import COMPARED_BY, exists
from opinfo.excluded import EXCLUDED
from opinfo.owed import OWED
from reference import (
    COMPLEX,
    FLOATING,
    INTEGRAL,
    assert_same,
    dtype_name,
    fg,
    leaves,
    needs_torch,
    tensors,
    to_fg,
    to_torch,
    torch,
    tree_map,
)

if torch is not None:
    from torch.testing._internal.common_methods_invocations import op_db
else:
    op_db = []

OPS: dict[str, Any] = {op.full_name: op for op in op_db if op.name in OWED and exists(fg, op.name)}
DTYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool")
# Run of each op and dtype: the first samples, and one in STRIDE of the rest, chosen by hash.
HEAD, STRIDE = 40, 4
_TENSOR_OPTIONS = ("memory_format", "layout", "pin_memory")


@dataclass
class Sample:
    """One call of an op: arguments are torch's, copied before each use."""

    op: Any
    index: int
    input: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    process: Callable[[Any], Any] = field(repr=False)

    def describe(self) -> str:
        def brief(leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor):
                strides = "" if leaf.is_contiguous() else f" strides {tuple(leaf.stride())}"
                return f"<{dtype_name(leaf.dtype)} {tuple(leaf.shape)}{strides}>"
            return leaf

        arguments = tree_map(brief, [self.input, *self.args])
        return f"sample {self.index}: args {arguments} kwargs {tree_map(brief, self.kwargs)}"

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [self.input, *self.args], self.kwargs

    def in_fg(self) -> tuple[list[Any], dict[str, Any]]:
        return to_fg(self.arguments())

    def in_torch(self) -> tuple[list[Any], dict[str, Any]]:
        return to_torch(self.arguments())


def over(check: str, wanted: Callable[[Any], bool], dtypes: tuple[str, ...] = ()) -> Any:
    """Parametrizes a test over the ops `wanted` (and over `dtypes`, where they are named)."""
    names = [
        name
        for name, op in OPS.items()
        if wanted(op)
        and not {name, op.name, f"{name}/{check}", f"{op.name}/{check}"} & EXCLUDED.keys()
    ]
    if not dtypes:
        found = [pytest.param(name, id=name) for name in names]
        return pytest.mark.parametrize("name", found or [pytest.param("", marks=needs_torch)])
    pairs = [
        pytest.param(name, dtype, id=f"{name}-{dtype}")
        for name in names
        for dtype in dtypes
        if getattr(torch, dtype) in OPS[name].supported_dtypes("cpu")
        and f"{name}/{check}/{dtype}" not in EXCLUDED
    ]
    return pytest.mark.parametrize(
        ("name", "dtype"), pairs or [pytest.param("", "", marks=needs_torch)]
    )


def seed(op: Any) -> None:
    """Seeds everything an OpInfo draws samples from."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed asks every accelerator as well
    random.seed(0)
    np.random.seed(zlib.crc32(op.full_name.encode()))


def outside_the_api(arguments: Any) -> bool:
    """Complex and sparse tensors, memory layouts, and more dimensions than NumPy carries."""
    unknown = (torch.memory_format, torch.layout, torch.Generator)
    return any(
        isinstance(leaf, (*unknown, complex))
        or (isinstance(leaf, torch.dtype) and dtype_name(leaf) not in FLOATING[:2] + INTEGRAL)
        or (
            isinstance(leaf, torch.Tensor)
            and (
                leaf.layout != torch.strided or dtype_name(leaf.dtype) in COMPLEX or leaf.ndim > 64
            )
        )
        for leaf in leaves(arguments)
    )


def samples(op: Any, dtype: str, *, full: bool, requires_grad: bool = False) -> Iterator[Sample]:
    """Yields the samples to run for an op and dtype, always the same ones."""
    seed(op)
    # `op.sample_inputs` would walk the stack for the running test, at 100 ms a call.
    generated = op.sample_inputs_func(op, "cpu", getattr(torch, dtype), requires_grad)
    for index, sample in enumerate(generated):
        chosen = full or index < HEAD or zlib.crc32(f"{op.full_name}{index}".encode()) % STRIDE == 0
        if not chosen:
            continue
        kwargs = {k: v for k, v in sample.kwargs.items() if k not in _TENSOR_OPTIONS}
        if outside_the_api([sample.input, sample.args, kwargs]) or kwargs.get("dropout_p"):
            continue
        yield Sample(
            op, index, sample.input, tuple(sample.args), kwargs, sample.output_process_fn_grad
        )


def first_dtype(op: Any) -> str:
    """Returns the dtype that stands for an op where one is enough: float64 where it has it."""
    return next(d for d in DTYPES if getattr(torch, d) in op.supported_dtypes("cpu"))


def reference_result(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Runs PyTorch's side; a sample that PyTorch itself rejects yields its exception."""
    try:
        return call(), None
    except Exception as error:
        return None, error


def is_comparable(expected: Any) -> bool:
    """Whether a result stays within the dtypes fastgrad computes in."""
    return all(dtype_name(t.dtype) in FLOATING[:2] + INTEGRAL for t in tensors(expected))


def assert_same_result(actual: Any, expected: Any, sample: Sample, **tolerance: Any) -> None:
    compare = COMPARED_BY.get(sample.op.name)
    if compare is not None:
        compare(actual, expected, sample)
    else:
        assert_same(actual, expected, **tolerance)


class Failures:
    """Gathers what fails over the samples of one op, so that one run shows all of it."""

    SHOWN = 4

    def __init__(self) -> None:
        self.count = 0
        self.ran = 0
        self.messages: list[str] = []

    @contextmanager
    def over(self, sample: Any) -> Iterator[None]:
        self.ran += 1
        try:
            yield
        except Exception as error:
            self.count += 1
            if len(self.messages) < self.SHOWN:
                where = sample.describe() if isinstance(sample, Sample) else str(sample)
                text = "\n    ".join(itertools.islice(str(error).strip().splitlines(), 12))
                self.messages.append(f"{where}\n    {type(error).__name__}: {text}")

    def report(self) -> None:
        """Fails the test if any sample failed; skips it if there was none to run."""
        if self.count:
            pytest.fail(
                f"{self.count} of {self.ran} samples failed\n" + "\n".join(self.messages),
                pytrace=False,
            )
