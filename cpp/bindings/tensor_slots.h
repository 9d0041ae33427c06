// The type slots of Tensor: operators, conversion to Python numbers, attributes.
#pragma once

#include <vector>

#include "bindings/python.h"
#include "core/tensor.h"

namespace fastgrad::py {

// Everything but construction and destruction (tensor_object.cpp).
std::vector<PyType_Slot> tensor_slots();
// Attributes such as shape, grad, data (tensor_attributes.cpp).
PyGetSetDef* tensor_attributes();
// What assigning to requires_grad does.
void change_requires_grad(const Tensor& t, bool on);

}  // namespace fastgrad::py
