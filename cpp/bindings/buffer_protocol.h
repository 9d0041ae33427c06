// Memory shared with NumPy and with whatever else knows Python's buffer protocol.
#pragma once

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// The slots that let memoryview(t) and numpy.asarray(t) see a tensor's memory.
int tensor_getbuffer(PyObject* self, Py_buffer* view, int flags);
void tensor_releasebuffer(PyObject* self, Py_buffer* view);

bool is_ndarray(PyObject* o);
// Whether o, which is no tensor, offers memory of numbers.
bool is_buffer(PyObject* o);
// A tensor over the memory of o, or a copy of it.
Tensor tensor_from_buffer(PyObject* o, bool copy);
// The error for arrays whose elements are of this NumPy type, named without "numpy.".
std::string unsupported_array_text(const char* type);
// The array that shares t's memory.
PyObject* numpy_array(PyObject* t);

}  // namespace fastgrad::py
