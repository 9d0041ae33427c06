// Written by hand, not in Python: entering and leaving would cost more than a small operation.
#include "bindings/grad_switch.h"

#include "bindings/types.h"
#include "core/modes.h"

namespace fastgrad::py {
namespace {

struct GradSwitchObject {
  PyObject_HEAD bool mode;
  bool before;
};

PyObject* g_mode_name = nullptr;

GradSwitchObject* as_switch(PyObject* self) { return reinterpret_cast<GradSwitchObject*>(self); }

// A switch to the class's `_mode`; with a function, that function wrapped.
PyObject* switch_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* function = Py_None;
  if (PyTuple_GET_SIZE(args) > 0 || kwargs) {
    static const char* names[] = {"function", nullptr};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &function))
      return nullptr;
  }
  PyObject* mode = PyObject_GetAttr(reinterpret_cast<PyObject*>(type), g_mode_name);
  if (!mode) return nullptr;
  const int on = PyObject_IsTrue(mode);
  Py_DECREF(mode);
  if (on < 0) return nullptr;
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  as_switch(self)->mode = on;
  as_switch(self)->before = grad_enabled();
  if (function == Py_None) return self;
  PyObject* wrapped = PyObject_CallOneArg(self, function);
  Py_DECREF(self);
  return wrapped;
}

PyObject* enter(PyObject* self, PyObject*) {
  as_switch(self)->before = grad_enabled();
  t_modes.grad = as_switch(self)->mode;
  Py_RETURN_NONE;
}
PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t) {
  t_modes.grad = as_switch(self)->before;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, "Sets grad mode."},
    {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(leave)), METH_FASTCALL,
     "Sets grad mode back to what it was."},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(switch_new)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("Sets grad mode to the class's `_mode`, and back.")},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad._core._GradSwitch", sizeof(GradSwitchObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

void add_grad_switch_type(PyObject* module) {
  g_mode_name = check(PyUnicode_InternFromString("_mode"));
  Object type = own(PyType_FromSpec(&spec));
  check_status(PyModule_AddObjectRef(module, "_GradSwitch", type.get()));
}

}  // namespace fastgrad::py
