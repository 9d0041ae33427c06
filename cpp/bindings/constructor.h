// fastgrad.Tensor(...): the constructor that PyTorch keeps from its first days.
#pragma once

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// tp_new of Tensor and of its subclasses.
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs);
// A tensor of the given sizes, with the given data, or on the memory of another tensor.
Tensor construct(PyObject* args, DType dtype);

}  // namespace fastgrad::py
