#include "bindings/arguments.h"

#include <cstring>

#include "bindings/buffer_protocol.h"
#include "bindings/signature.h"
#include "bindings/traced_number.h"
#include "bindings/types.h"
#include "ops/item.h"

namespace fastgrad::py {

int64_t to_integer(PyObject* o) {
  if (is_tensor(o)) return item(tensor_of(o)).to_int();
  Object index;
  PyObject* number = o;
  if (!PyLong_CheckExact(o)) {
    index = own(PyNumber_Index(o));
    number = index.get();
  }
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
  FG_CHECK_VALUE(!overflow, "Overflow when unpacking long long: ", text_of(o),
                 " does not fit an int64");
  if (v == -1 && PyErr_Occurred()) throw PythonError{};
  return v;
}

Scalar to_number(PyObject* o) {
  if (PyFloat_Check(o)) return Scalar(PyFloat_AS_DOUBLE(o));
  if (PyBool_Check(o)) return Scalar(o == Py_True);
  if (PyLong_Check(o)) {
    long long v = PyLong_AsLongLong(o);
    if (v == -1 && PyErr_Occurred()) throw PythonError{};
    return Scalar(v);
  }
  if (is_tensor(o)) return item(tensor_of(o));
  if (is_stand_in(o)) return Scalar(value_behind(o));
  FG_CHECK_KIND(ErrorKind::NotImplemented, !PyComplex_Check(o), "complex number ", text_of(o),
                ": arithmetic on complex tensors is not supported yet");
  Object plain = own(PyObject_CallMethod(o, "item", nullptr));  // a NumPy scalar
  FG_CHECK_TYPE(!std::strstr(Py_TYPE(plain.get())->tp_name, "numpy"), "expected a number, got ",
                type_name(o));
  return to_number(plain.get());
}

bool to_operand(PyObject* o, std::optional<Operand>& out, Tensor& keep) {
  if (is_tensor(o)) {
    keep = tensor_of(o);
    out.emplace(keep);
    return true;
  }
  if (PyFloat_Check(o) || PyLong_Check(o) || is_number(o)) {
    out.emplace(to_number(o));
    return true;
  }
  if (is_ndarray(o)) {
    keep = tensor_from_buffer(o, /*copy=*/false);
    out.emplace(keep);
    return true;
  }
  return false;
}

Operand Arguments::operand(int i) const {
  PyObject* o = slots_[i];
  if (is_tensor(o)) return Operand(tensor_of(o));  // the caller's reference keeps it alive
  return Operand(to_number(o));
}
Operand Arguments::operand_beside(DType type, int i, Tensor& keep) const {
  if (is_stand_in(slots_[i])) [[unlikely]]
    if (auto input = operand_behind(slots_[i], type)) {
      keep = *input;
      return Operand(keep);
    }
  return operand(i);
}
Scalar Arguments::number(int i) const { return to_number(slots_[i]); }
int64_t Arguments::integer(int i) const { return to_integer(slots_[i]); }
double Arguments::real(int i) const { return to_number(slots_[i]).to_double(); }
bool Arguments::boolean(int i) const {
  int truth = PyObject_IsTrue(slots_[i]);
  check_status(truth);
  return truth != 0;
}
Dims Arguments::ints(int i) const {
  PyObject* o = slots_[i];
  Dims out;
  if (!PyTuple_Check(o) && !PyList_Check(o)) {
    out.push_back(to_integer(o));
    return out;
  }
  Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  for (Py_ssize_t k = 0; k < n; ++k) out.push_back(to_integer(PySequence_Fast_ITEMS(o)[k]));
  return out;
}
Tensors Arguments::tensors(int i) const {
  PyObject* o = slots_[i];
  Tensors out;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  out.reserve(static_cast<size_t>(n));
  for (Py_ssize_t k = 0; k < n; ++k) out.push_back(tensor_of(PySequence_Fast_ITEMS(o)[k]));
  return out;
}
DType Arguments::dtype(int i) const { return to_dtype_arg(slots_[i]); }
MemoryFormat Arguments::memory_format(int i, MemoryFormat otherwise) const {
  return has(i) ? to_memory_format(slots_[i]) : otherwise;
}

std::optional<int64_t> Arguments::optional_integer(int i) const {
  return has(i) ? std::optional(integer(i)) : std::nullopt;
}
std::optional<double> Arguments::optional_real(int i) const {
  return has(i) ? std::optional(real(i)) : std::nullopt;
}
std::optional<Scalar> Arguments::optional_number(int i) const {
  return has(i) ? std::optional(number(i)) : std::nullopt;
}
std::optional<Dims> Arguments::optional_ints(int i) const {
  return has(i) ? std::optional(ints(i)) : std::nullopt;
}
std::optional<DType> Arguments::optional_dtype(int i) const {
  return has(i) ? std::optional(dtype(i)) : std::nullopt;
}
std::optional<bool> Arguments::optional_boolean(int i) const {
  return has(i) ? std::optional(boolean(i)) : std::nullopt;
}

void Arguments::refuse_shared_out(int out, std::initializer_list<int> inputs) const {
  if (!has(out) || !is_tensor(object(out))) return;
  for (int i : inputs)
    FG_CHECK(!memory_overlaps(tensor(out).array(), tensor(i).array()),
             "unsupported operation: some elements of the input tensor and the written-to tensor "
             "refer to a single "
             "memory location. Please clone() the tensor before performing the operation.");
}

}  // namespace fastgrad::py
