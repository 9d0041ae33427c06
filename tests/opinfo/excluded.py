"""What of the owed OpInfos is not run, each with its reason.

A key is `op` or `op/check`, where `op` is an OpInfo's full name (or its name, for all variants of
it) and `check` the name of a test below without `test_`: function, method, operator, inplace, out,
gradient, second_gradient, errors, alias. `op/check/dtype` is one dtype of it.
"""

from __future__ import annotations

EXCLUDED: dict[str, str] = {
    "view_as_complex": "complex results",
    "addbmm/inplace": "PyTorch resizes a target that is too small instead of refusing it",
    "addbmm/inplace_gradient": "as addbmm/inplace",
    "linalg.norm.subgradients_at_zero/second_gradient": "PyTorch has NaN where we have 0",
    "T/errors": "the error inputs are a deprecation warning",
    "item/errors": "needs no OpInfo: tests/test_tensor_attributes.py has the texts",
    "__rdiv__/errors": "PyTorch calls a method of the number: an AttributeError that no user meets",
    "__rpow__/gradient": "negative bases: zero cotangents give 0 where PyTorch has NaN",
    "__rpow__/second_gradient": "as __rpow__/gradient",
    "polygamma/function": "PyTorch is wrong at the poles and keeps 5 digits",
    "kthvalue/errors": "out= that shares the input's memory is refused by PyTorch and safe here",
    "logcumsumexp/gradient": "PyTorch subtracts logarithms and keeps 3 digits of float32",
    "logcumsumexp/second_gradient": "PyTorch has NaN where a cotangent is exactly zero",
    "nn.functional.batch_norm": "moves its running moments: tests/test_neural_ops.py has it",
    "nn.functional.linear/out": "an out= that PyTorch does not document",
    "nn.functional.avg_pool2d/out": "as nn.functional.linear/out",
    "nn.functional.avg_pool3d/out": "as nn.functional.linear/out",
    "nn.functional.normalize/out": "as nn.functional.linear/out",
    "nn.functional.logsigmoid/out": "as nn.functional.linear/out",
    "nn.functional.hardshrink/out": "as nn.functional.linear/out",
    "nn.functional.softshrink/out": "as nn.functional.linear/out",
    "nn.functional.hardsigmoid/gradient/float64": "PyTorch's gradient has a 1/6 of float32",
    "nn.functional.local_response_norm/function/int64": "PyTorch takes a mean of whole numbers",
    "nn.functional.interpolate.bilinear/function/uint8": "PyTorch's weights have 15 bits",
    "nn.functional.interpolate.bicubic/function/uint8": "as bilinear",
    "nn.functional.grid_sample/second_gradient": "nearest: 0 without a graph; test_grid_sample.py",
    "nn.functional.softmin.with_dtype/function/uint8": "PyTorch negates uint8, then converts",
    "polygamma/method": "as polygamma/function",
    "polygamma/inplace": "as polygamma/function",
    "special.polygamma/function": "as polygamma/function",
}
