// What func.vmap records: see Note [Batches] in program/batch.h.
#pragma once

#include "bindings/python.h"

namespace fastgrad::py {

void add_example_recording_type(PyObject* module);

}  // namespace fastgrad::py
