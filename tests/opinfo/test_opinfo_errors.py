"""Error inputs of every op: what PyTorch refuses is refused with the same exception class."""

from __future__ import annotations

import pytest

from opinfo.adapters import function_of
from opinfo.samples import (
    OPS,
    Failures,
    outside_the_api,
    over,
    reference_result,
    seed,
)
from reference import fg, leaves, same_class, to_fg, to_torch, torch

pytestmark = pytest.mark.filterwarnings("ignore")


@over("errors", lambda op: op.error_inputs_func is not None)
def test_errors(name: str) -> None:
    op = OPS[name]
    theirs, ours = function_of(torch, op), function_of(fg, op)
    seed(op)
    failures = Failures()
    for index, case in enumerate(op.error_inputs_func(op, "cpu")):
        sample = case.sample_input
        call = ([sample.input, *sample.args], sample.kwargs)
        if outside_the_api(call) or any(
            isinstance(leaf, torch.Tensor) and leaf.device.type != "cpu" for leaf in leaves(call)
        ):
            continue
        args, kwargs = to_torch(call)
        _, error = reference_result(lambda a=args, k=kwargs: theirs(*a, **k))
        if error is None:  # refused only by the checks of PyTorch's own test harness
            continue
        with failures.over(f"error input {index}: {str(error).splitlines()[0][:100]}"):
            our_args, our_kwargs = to_fg(call)
            with pytest.raises(Exception) as raised:
                ours(*our_args, **our_kwargs)
            assert same_class(raised.value, error), (
                f"expected {type(error).__name__}, got {raised.value!r}"
            )
            assert str(raised.value).strip(), "an error says what is wrong"
    failures.report()
