#include "bindings/constructor.h"

#include "base/threads.h"
#include "bindings/arguments.h"
#include "bindings/buffer_protocol.h"
#include "bindings/from_python.h"
#include "bindings/signature.h"
#include "bindings/types.h"
#include "core/promotion.h"
#include "ops/creation.h"

namespace fastgrad::py {
namespace {

bool all_integers(PyObject* tuple) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
    if (!is_integer(PyTuple_GET_ITEM(tuple, i))) return false;
  return true;
}

Tensor of_sizes(PyObject* tuple, DType dtype) {
  Dims shape;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
    shape.push_back(to_integer(PyTuple_GET_ITEM(tuple, i)));
  return empty(shape, dtype);
}

}  // namespace

Tensor construct(PyObject* args, DType dtype) {
  FG_CHECK_TYPE(PyTuple_Check(args), "new(): expected a tuple of arguments, got ", type_name(args));
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  if (n == 0) return empty(Dims{0}, dtype);
  PyObject* first = PyTuple_GET_ITEM(args, 0);
  if (n == 1) {
    if (is_tensor(first)) {
      Tensor t = tensor_of(first);
      FG_CHECK_TYPE(t.dtype() == dtype, "expected ", scalar_type_name(dtype), " (got ",
                    scalar_type_name(t.dtype()), ")");
      return t.detach();
    }
    if (PyObject_TypeCheck(first, size_type())) return of_sizes(first, dtype);
    FG_CHECK_TYPE(!PyUnicode_Check(first) && !PyBytes_Check(first), "new(): invalid data type '",
                  type_name(first), "'");
    bool sequence =
        PyList_Check(first) || PyTuple_Check(first) || is_buffer(first) || PySequence_Check(first);
    if (sequence && !is_number(first)) return tensor_from_data(first, dtype);
  }
  FG_CHECK_TYPE(all_integers(args), "new(): data must be a sequence (got ", type_name(first), ")");
  return of_sizes(args, dtype);
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  enter_thread();
  return guarded([&] {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    // A subclass may have an __init__ with keywords of its own.
    while (type == g_tensor_type && kwargs && PyDict_Next(kwargs, &at, &key, &value)) {
      FG_CHECK_TYPE(text_of(key) == "device",
                    "new() received an invalid combination of arguments: unexpected keyword '",
                    text_of(key),
                    "'; make tensors with fastgrad.tensor(data, dtype=..., requires_grad=...)");
      check_device(value);
    }
    bool tensor = PyTuple_GET_SIZE(args) == 1 && is_tensor(PyTuple_GET_ITEM(args, 0));
    DType dtype = tensor ? impl_of(PyTuple_GET_ITEM(args, 0))->array.dtype : default_dtype();
    return wrap_as(type, construct(args, dtype));
  });
}

}  // namespace fastgrad::py
