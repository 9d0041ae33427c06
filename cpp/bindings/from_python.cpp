#include "bindings/from_python.h"

#include <cstring>

#include "bindings/arguments.h"
#include "bindings/signature.h"
#include "kernels/copy.h"

namespace fastgrad::py {
namespace {

DType dtype_of_format(const char* format, Py_ssize_t size) {
  const char* f = format ? format : "B";
  if (*f == '=' || *f == '@' || *f == '<') ++f;
  bool complex = *f == 'Z';
  if (complex) ++f;
  FG_CHECK_TYPE(*f != '>' && *f != '!', "given a buffer with non-native byte order; convert it first, "
                "e.g. with .astype(a.dtype.newbyteorder('='))");
  switch (*f) {
    case '?':
      return DType::Bool;
    case 'e':
      return DType::Float16;
    case 'f':
      return complex ? DType::Complex64 : DType::Float32;
    case 'd':
      return complex ? DType::Complex128 : DType::Float64;
    case 'B':
      return DType::UInt8;
    case 'b': case 'h': case 'i': case 'l': case 'q': case 'n':
      switch (size) {
        case 1: return DType::Int8;
        case 2: return DType::Int16;
        case 4: return DType::Int32;
        case 8: return DType::Int64;
      }
      break;
  }
  fail(ErrorKind::Type, "can't convert a buffer with element format '", format ? format : "B",
       "' to a tensor. The supported types are: float64, float32, float16, complex64, complex128, "
       "int64, int32, int16, int8, uint8, and bool.");
}

void release_buffer(void* context) {
  AcquireGil gil;
  auto* view = static_cast<Py_buffer*>(context);
  PyBuffer_Release(view);
  delete view;
}

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

bool is_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_Check(o); }

Tensor tensor_from_buffer(PyObject* data, bool copy) {
  auto view = std::make_unique<Py_buffer>();
  bool read_only = false;
  if (PyObject_GetBuffer(data, view.get(), PyBUF_RECORDS) < 0) {
    PyErr_Clear();
    read_only = true;
    check_status(PyObject_GetBuffer(data, view.get(), PyBUF_RECORDS_RO));
  }
  struct Release {
    Py_buffer* v;
    ~Release() {
      if (v) PyBuffer_Release(v);
    }
  } release{view.get()};
  DType dtype = dtype_of_format(view->format, view->itemsize);
  Dims shape, strides;
  for (int i = 0; i < view->ndim; ++i) {
    shape.push_back(view->shape[i]);
    FG_CHECK_VALUE(view->strides[i] >= 0 || copy, "At least one stride in the given numpy array is negative, and "
                   "tensors with negative strides are not currently supported. (You can probably work around "
                   "this by making a copy of your array with array.copy().)");
    FG_CHECK_VALUE(view->strides[i] % view->itemsize == 0, "given numpy array strides not a multiple of the "
                   "element byte size. Copy the numpy array to reallocate the memory.");
    strides.push_back(view->strides[i] / view->itemsize);
  }
  Array a;
  a.dtype = dtype;
  a.shape = shape;
  a.strides = strides;
  a.numel = checked_numel(shape);
  a.contiguous = is_contiguous(shape, strides);
  a.data = static_cast<char*>(view->buf);
  if (copy) {
    a.buffer = Buffer::foreign(view->buf, 0, nullptr, nullptr);
    return Tensor(contiguous_copy(a));
  }
  if (read_only)
    warn("The given NumPy array is not writable, and fastgrad does not support non-writable tensors. "
         "This means writing to this tensor will result in undefined behavior. You may want to copy "
         "the array to protect its data or make it writable before converting it to a tensor.");
  size_t reach = a.numel == 0 ? 0 : static_cast<size_t>(extent(shape, strides).hi + 1) * a.itemsize();
  release.v = nullptr;
  void* start = view->buf;
  a.buffer = Buffer::foreign(start, reach, view.release(), release_buffer);
  return Tensor(std::move(a));
}

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
