// Python's x[key], x[key] = value, `in` and iteration.
#pragma once

#include "bindings/python.h"

namespace fastgrad::py {

PyObject* get_item(PyObject* self, PyObject* key);
int set_item(PyObject* self, PyObject* key, PyObject* value);
int contains(PyObject* self, PyObject* value);
PyObject* iterate(PyObject* self);

}  // namespace fastgrad::py
