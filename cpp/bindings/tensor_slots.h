// The type slots of Tensor: operators, conversion to Python numbers, attributes.
#pragma once

#include <vector>

#include "bindings/python.h"

namespace fastgrad::py {

// Everything but construction and destruction (tensor_object.cpp).
std::vector<PyType_Slot> tensor_slots();
// Attributes such as shape, grad, data (tensor_attributes.cpp).
PyGetSetDef* tensor_attributes();

}  // namespace fastgrad::py
