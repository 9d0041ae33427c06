// The Python object of a tensor: its life and its identity.
//
// Note [Wrappers]
// A TensorImpl has at most one wrapper, so `x.grad is x.grad` holds. Normally the wrapper owns the
// Impl and the Impl knows the wrapper by a borrowed pointer. When the last Python reference goes
// while C++ still owns the Impl (a graph, another tensor's .grad) and the wrapper carries something
// (a __dict__, a subclass), ownership flips: the Impl owns the wrapper until it is asked for again.
#pragma once

#include "bindings/python.h"
#include "core/tensor.h"

namespace fastgrad::py {

struct TensorObject {
  PyObject_HEAD TensorImpl* impl;  // owned, except while the Impl owns this object
  PyObject* dict;
  PyObject* weakrefs;
  bool tracked;  // by the garbage collector; exact type only
};

extern PyTypeObject* g_tensor_type;

void add_tensor_type(PyObject* module);

inline bool is_tensor(PyObject* o) {
  if (Py_TYPE(o) == g_tensor_type) return true;
  if (PyFloat_CheckExact(o) || PyLong_CheckExact(o)) return false;
  return PyType_IsSubtype(Py_TYPE(o), g_tensor_type);
}
inline TensorImpl* impl_of(PyObject* o) { return reinterpret_cast<TensorObject*>(o)->impl; }
inline Tensor tensor_of(PyObject* o) { return Tensor::share(impl_of(o)); }

// Lets the garbage collector see the tensor: it may have become part of a cycle.
void track(PyObject* tensor);

// A new reference to the wrapper of t; None when t is undefined.
PyObject* wrap(Tensor t);
PyObject* wrap(const Tensors& ts);  // a list
PyObject* wrap_tuple(const Tensors& ts);
// A wrapper of the given subclass for a tensor that has none yet.
PyObject* wrap_as(PyTypeObject* type, Tensor t);

}  // namespace fastgrad::py
