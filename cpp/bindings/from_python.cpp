#include "bindings/from_python.h"

#include <cstring>

#include "bindings/arguments.h"
#include "bindings/buffer_protocol.h"
#include "bindings/signature.h"
#include "kernels/copy.h"

namespace fastgrad::py {
namespace {

// What a nested sequence holds.
struct Layout {
  Dims shape;
  bool any_float = false, any_int = false, any_bool = false, any_complex = false;
  std::optional<DType> of_arrays;  // tensors and arrays among the leaves
};

bool is_sequence(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) || (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !is_tensor(o) && !is_number(o));
}

void examine(PyObject* o, size_t depth, Layout& l, bool first) {
  if (is_tensor(o) || (is_buffer(o) && !is_number(o))) {
    Tensor t = is_tensor(o) ? tensor_of(o) : tensor_from_buffer(o, false);
    for (int64_t n : t.shape()) {
      if (first) l.shape.push_back(n);
      ++depth;
    }
    l.of_arrays = l.of_arrays ? promote_types(*l.of_arrays, t.dtype()) : t.dtype();
    return;
  }
  if (PyFloat_Check(o)) { l.any_float = true; return; }
  if (PyBool_Check(o)) { l.any_bool = true; return; }
  if (PyLong_Check(o)) { l.any_int = true; return; }
  if (PyComplex_Check(o)) { l.any_complex = true; return; }
  if (is_number(o)) {
    Scalar s = to_number(o);
    (s.kind() == DTypeKind::Float ? l.any_float : s.kind() == DTypeKind::Bool ? l.any_bool : l.any_int) = true;
    return;
  }
  FG_CHECK_TYPE(is_sequence(o), "could not infer dtype of ", type_name(o));
  Object items = own(PySequence_Fast(o, "expected a sequence"));
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  if (first) {
    l.shape.push_back(n);
    FG_CHECK_VALUE(l.shape.size() <= 64, "too many dimensions in nested sequences");
  } else {
    FG_CHECK_VALUE(depth < l.shape.size(), "too many dimensions: a sequence stands where earlier rows have a number");
    FG_CHECK_VALUE(l.shape[depth] == n, "expected sequence of length ", l.shape[depth], " at dim ", depth, " (got ", n, ")");
  }
  for (Py_ssize_t i = 0; i < n; ++i) examine(PySequence_Fast_GET_ITEM(items.get(), i), depth + 1, l, first && i == 0);
}

template <class T>
void store(PyObject* o, T* out) {
  if constexpr (is_complex(dtype_of<T>)) {
    Py_complex c = PyComplex_AsCComplex(o);
    if (c.real == -1.0 && PyErr_Occurred()) throw PythonError{};
    *out = T(static_cast<typename T::value_type>(c.real), static_cast<typename T::value_type>(c.imag));
  } else {
    FG_CHECK_TYPE(!PyComplex_Check(o), "can't convert complex to ", name(dtype_of<T>));
    Scalar s = to_number(o);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      if (s.is_float()) FG_CHECK_VALUE(std::isfinite(s.to_double()), "cannot convert float ", s.to_double(), " to ", name(dtype_of<T>));
      FG_CHECK(s.is_float() || static_cast<int64_t>(static_cast<T>(s.to_int())) == s.to_int() || std::is_unsigned_v<T>,
               "value cannot be converted to type ", name(dtype_of<T>), " without overflow");
    }
    *out = s.to<T>();
  }
}

template <class T>
void fill(PyObject* o, DimSpan shape, DType dtype, T*& out) {
  if (is_tensor(o) || (is_buffer(o) && !is_number(o))) {
    Tensor t = is_tensor(o) ? tensor_of(o) : tensor_from_buffer(o, false);
    FG_CHECK_VALUE(std::equal(t.shape().begin(), t.shape().end(), shape.begin(), shape.end()),
                   "expected element of shape ", to_string(shape), ", got ", t.shape());
    Array a = contiguous_copy(t.array(), dtype);
    out = std::copy_n(a.ptr<T>(), a.numel, out);
    return;
  }
  if (shape.empty()) {
    store(o, out++);
    return;
  }
  FG_CHECK_TYPE(is_sequence(o), "expected a sequence of length ", shape[0], ", got ", type_name(o));
  Object items = own(PySequence_Fast(o, "expected a sequence"));
  FG_CHECK_VALUE(PySequence_Fast_GET_SIZE(items.get()) == shape[0], "expected sequence of length ", shape[0]);
  for (int64_t i = 0; i < shape[0]; ++i)
    fill(PySequence_Fast_GET_ITEM(items.get(), i), shape.subspan(1), dtype, out);
}

}  // namespace

Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype) {
  if (is_tensor(data)) return Tensor(contiguous_copy(impl_of(data)->array, dtype.value_or(impl_of(data)->array.dtype)));
  if (PyFloat_CheckExact(data)) {
    Array a = Array::empty({}, dtype.value_or(default_dtype()));
    dispatch_all(a.dtype, [&]<class T>(T) { store(data, a.ptr<T>()); });
    return Tensor(std::move(a));
  }
  if (is_buffer(data)) {
    Tensor t = tensor_from_buffer(data, true);
    return dtype && *dtype != t.dtype() ? Tensor(contiguous_copy(t.array(), *dtype)) : t;
  }
  Layout l;
  examine(data, 0, l, true);
  DType d;
  if (dtype) {
    d = *dtype;
  } else {
    std::optional<DType> numbers;
    if (l.any_complex) numbers = to_complex(default_dtype());
    else if (l.any_float || (!l.any_int && !l.any_bool)) numbers = default_dtype();
    else numbers = l.any_int ? DType::Int64 : DType::Bool;
    if (l.of_arrays && !l.any_complex && !l.any_float && !l.any_int && !l.any_bool) numbers = l.of_arrays;
    else if (l.of_arrays) numbers = promote_types(*numbers, *l.of_arrays);
    d = *numbers;
  }
  Array a = Array::empty(l.shape, d);
  dispatch_all(d, [&]<class T>(T) {
    T* out = a.ptr<T>();
    if (a.numel) fill(data, l.shape, d, out);
  });
  return Tensor(std::move(a));
}

}  // namespace fastgrad::py
