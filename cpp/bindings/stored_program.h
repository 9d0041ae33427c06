// fastgrad.StoredProgram: a program that came from a file, on flat lists of tensors.
#pragma once

#include "bindings/python.h"

namespace fastgrad::py {

void add_stored_program_type(PyObject* module);

}  // namespace fastgrad::py
