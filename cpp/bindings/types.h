// The small Python types: dtype, device, layout, memory_format, Size; and the exception of linear
// algebra.
#pragma once

#include "base/dtype.h"
#include "base/memory_format.h"
#include "base/shape.h"
#include "bindings/python.h"

namespace fastgrad::py {

void add_types(PyObject* module);

PyObject* wrap(DType d);  // the singleton, a new reference
bool is_dtype(PyObject* o);
// A fastgrad dtype, a NumPy dtype or scalar type, or Python's float, int, bool, complex.
DType to_dtype_arg(PyObject* o);
PyObject* make_size(DimSpan dims);  // fastgrad.Size
PyTypeObject* size_type();
PyObject* cpu_device();
bool is_device(PyObject* o);
// Accepts a device, "cpu", "cpu:0"; says what is missing for others.
void check_device(PyObject* o);
PyObject* strided_layout();
bool is_layout(PyObject* o);
bool is_memory_format(PyObject* o);
MemoryFormat to_memory_format(PyObject* o);
PyObject* linalg_error();

}  // namespace fastgrad::py
