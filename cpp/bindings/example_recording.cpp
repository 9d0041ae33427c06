#include "bindings/example_recording.h"

#include "base/threads.h"
#include "bindings/gil.h"
#include "bindings/tensor_object.h"
#include "program/batch.h"

namespace fastgrad::py {
namespace {

struct RecordingObject {
  PyObject_HEAD std::shared_ptr<ExampleRecording>* recording;
};
ExampleRecording& self_of(PyObject* o) {
  return **reinterpret_cast<RecordingObject*>(o)->recording;
}

Tensors tensors_in(PyObject* list) {
  Tensors all;
  for (Py_ssize_t k = 0; k < PyList_GET_SIZE(list); ++k) {
    PyObject* item = PyList_GET_ITEM(list, k);
    FG_CHECK_TYPE(is_tensor(item), "expected a Tensor, got ", type_name(item));
    all.push_back(tensor_of(item));
  }
  return all;
}

PyObject* make(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *inputs, *dims;
  if (!PyArg_ParseTuple(args, "O!O!:ExampleRecording", &PyList_Type, &inputs, &PyList_Type, &dims))
    return nullptr;
  return guarded([&]() -> PyObject* {
    enter_thread();
    Tensors tensors = tensors_in(inputs);
    Dims chosen;
    for (Py_ssize_t k = 0; k < PyList_GET_SIZE(dims); ++k)
      chosen.push_back(PyLong_AsLongLong(PyList_GET_ITEM(dims, k)));
    if (PyErr_Occurred()) throw PythonError{};
    FG_CHECK_VALUE(chosen.size() == tensors.size(), "expected a dimension for each input");
    auto recording = std::make_shared<ExampleRecording>(tensors, chosen);
    auto* self = reinterpret_cast<RecordingObject*>(check(type->tp_alloc(type, 0)));
    self->recording = new std::shared_ptr<ExampleRecording>(std::move(recording));
    return reinterpret_cast<PyObject*>(self);
  });
}
void dealloc(PyObject* o) {
  enter_thread();
  delete reinterpret_cast<RecordingObject*>(o)->recording;
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* enter(PyObject* self, PyObject*) {
  return guarded([&] {
    self_of(self).start();
    return wrap(self_of(self).examples());
  });
}
PyObject* leave(PyObject* self, PyObject*) {
  return guarded([&] {
    self_of(self).stop();
    return none();
  });
}
PyObject* wrote_to_copies(PyObject* self, PyObject*) {
  return guarded([&] { return boolean(self_of(self).wrote_to_copies()); });
}
PyObject* run(PyObject* self, PyObject* args) {
  PyObject *list, *again;
  long long from, until;
  int same_draws;
  if (!PyArg_ParseTuple(args, "O!LLpO:run", &PyList_Type, &list, &from, &until, &same_draws,
                        &again))
    return nullptr;
  return guarded([&]() -> PyObject* {
    Tensors results = tensors_in(list), out;
    CallAgain call =
        with_gil(again, [](PyObject* f) { return tensors_in(own(PyObject_CallNoArgs(f)).get()); });
    bool done;
    {
      ReleaseGil release;
      done = self_of(self).run(results, from, until, same_draws != 0, call, out);
    }
    return done ? wrap(out) : none();
  });
}

PyMethodDef methods[] = {
    {"enter", enter, METH_NOARGS, "Starts to record; returns the inputs of the first example."},
    {"leave", leave, METH_NOARGS, "Stops to record."},
    {"wrote_to_copies", wrote_to_copies, METH_NOARGS,
     "Whether the function wrote to copies of what is a view otherwise: its inputs, entries."},
    {"run", run, METH_VARARGS,
     "Returns batches of results: for tensors that the function returned, those of a range of "
     "examples, or None where they are the same for all. None: it must be called for each. Whether "
     "all have the same random numbers is the last argument but one; the last does call it, and "
     "returns the batches of the same tensors as a list."},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(make)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_methods, methods},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad._core._ExampleRecording", sizeof(RecordingObject), 0,
                    Py_TPFLAGS_DEFAULT, slots};

}  // namespace

void add_example_recording_type(PyObject* module) {
  Object type = own(PyType_FromSpec(&spec));
  check_status(PyModule_AddObjectRef(module, "_ExampleRecording", type.get()));
}

}  // namespace fastgrad::py
