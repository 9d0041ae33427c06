#include "bindings/return_types.h"

#include <cstring>

namespace fastgrad::py {
namespace {

std::vector<ReturnType*>& all_types() {
  static std::vector<ReturnType*> types;
  return types;
}

// "fastgrad.return_types.max(\nvalues=tensor(2.),\nindices=tensor(0))", as PyTorch prints it.
PyObject* repr(PyObject* self) {
  return guarded([&] {
    std::string text = str(Py_TYPE(self)->tp_name, "(");
    Object fields =
        own(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(self)), "__match_args__"));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
      Object value = own(PyObject_Repr(PyTuple_GET_ITEM(self, i)));
      text += str(i ? "," : "", "\n", text_of(PyTuple_GET_ITEM(fields.get(), i)), "=",
                  text_of(value.get()));
    }
    return PyUnicode_FromString((text + ")").c_str());
  });
}

// What a struct sequence does, but that it would look up in the type's dictionary how many fields
// there are: these have no hidden ones.
void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  PyTypeObject* type = Py_TYPE(self);
  for (Py_ssize_t i = 0; i < Py_SIZE(self); ++i) Py_XDECREF(PyTuple_GET_ITEM(self, i));
  type->tp_free(self);
  Py_DECREF(type);
}

}  // namespace

ReturnType::ReturnType(const char* name, std::initializer_list<const char*> fields)
    : name_(name), fields_(fields) {
  all_types().push_back(this);
}

PyObject* ReturnType::operator()(std::span<const Tensor> values) const {
  // PyStructSequence_New() would look up in the type's dictionary how many fields there are, twice.
  Object tuple = own(type_->tp_alloc(type_, static_cast<Py_ssize_t>(fields_.size())));
  Py_ssize_t i = 0;
  for (const Tensor& t : values) PyStructSequence_SET_ITEM(tuple.get(), i++, check(wrap(t)));
  return tuple.release();
}

void add_return_types(PyObject* module) {
  Object sub = own(PyModule_New("fastgrad.return_types"));
  for (ReturnType* t : all_types()) {
    t->full_name_ = str("fastgrad.return_types.", t->name_);
    std::vector<PyStructSequence_Field> fields;
    for (const char* f : t->fields_) fields.push_back({f, nullptr});
    fields.push_back({nullptr, nullptr});
    PyStructSequence_Desc desc = {t->full_name_.c_str(), nullptr, fields.data(),
                                  static_cast<int>(t->fields_.size())};
    t->type_ = reinterpret_cast<PyTypeObject*>(
        check(reinterpret_cast<PyObject*>(PyStructSequence_NewType(&desc))));
    t->type_->tp_repr = repr;
    t->type_->tp_dealloc = dealloc;
    PyType_Modified(t->type_);
    check_status(
        PyObject_SetAttrString(sub.get(), t->name_, reinterpret_cast<PyObject*>(t->type_)));
  }
  check_status(PyObject_SetAttrString(module, "return_types", sub.get()));
}

}  // namespace fastgrad::py
