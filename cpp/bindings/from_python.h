// Python data into tensors: numbers, nested sequences, buffers (NumPy arrays).
#pragma once

#include <optional>

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// fastgrad.tensor(data): always a copy.
Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype);

}  // namespace fastgrad::py
