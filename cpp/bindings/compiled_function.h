// fastgrad.CompiledFunction: a function that is recorded once and then replayed.
#pragma once

#include "bindings/python.h"

namespace fastgrad::py {

void add_compiled_function_type(PyObject* module);

}  // namespace fastgrad::py
