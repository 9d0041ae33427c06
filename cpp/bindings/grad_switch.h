// The context managers that switch recording on and off.
#pragma once

#include "bindings/python.h"

namespace fastgrad::py {

// `_core._GradSwitch`, the base of no_grad and enable_grad in autograd/grad_mode.py.
void add_grad_switch_type(PyObject* module);

}  // namespace fastgrad::py
