// fastgrad.Generator as Python sees it.
#pragma once

#include "bindings/python.h"
#include "ops/random.h"

namespace fastgrad::py {

void add_generator_type(PyObject* module);
bool is_generator(PyObject* o);
Generator& generator_of(PyObject* o);
// The object of the default generator, a new reference.
PyObject* default_generator_object();
// A seed as PyTorch takes it: an int64 or uint64; negative ones count from 2^64 down.
uint64_t to_seed(PyObject* o);
// A generator's state as a tensor of bytes.
PyObject* generator_state(Generator& g);
void set_generator_state(Generator& g, PyObject* state);

}  // namespace fastgrad::py
