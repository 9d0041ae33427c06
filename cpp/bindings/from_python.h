// Python data into tensors: numbers, nested sequences, arrays and tensors.
#pragma once

#include <optional>

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// A tensor with a copy of data. The element type, when absent, is that to which those of all the
// numbers promote: Python's float is the default type, NumPy's and tensors' numbers are of theirs.
Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype);
// fastgrad.tensor(data): the same, but warns when data is a tensor.
Tensor tensor_from_user(PyObject* data, std::optional<DType> dtype, const char* instead_of);

// The element type of a NumPy scalar, such as numpy.float32(1); fails for those that tensors lack.
std::optional<DType> numpy_scalar_dtype(PyObject* o);

}  // namespace fastgrad::py
