#include "bindings/from_python.h"

#include <cmath>
#include <cstring>

#include "bindings/arguments.h"
#include "bindings/buffer_protocol.h"
#include "bindings/creation_options.h"
#include "bindings/signature.h"
#include "bindings/traced_number.h"
#include "core/memory.h"

namespace fastgrad::py {
namespace {

constexpr size_t kMaxNesting = 64;

// One element: a number of any kind, or a tensor or array that holds one.
void store(PyObject* o, const Array& out, char* at) {
  auto convert = [&](const Array& a) {
    FG_CHECK_VALUE(a.numel == 1, "only one element tensors can be converted to Python scalars");
    cast_kernel(a.dtype, out.dtype)(a.data, 1, at, 1, 1);
  };
  if (is_tensor(o)) {
    watch_values(impl_of(o)->array);
    return convert(impl_of(o)->array);
  }
  if (!PyFloat_CheckExact(o) && !PyLong_CheckExact(o) && numpy_scalar_dtype(o))
    return convert(tensor_from_buffer(o, /*copy=*/true).array());
  dispatch_all(out.dtype, [&]<class T>(T) {
    T& v = *reinterpret_cast<T*>(at);
    if constexpr (is_complex(dtype_of<T>)) {
      Py_complex c = PyComplex_AsCComplex(o);
      if (c.real == -1.0 && PyErr_Occurred()) throw PythonError{};
      v = T(static_cast<typename T::value_type>(c.real),
            static_cast<typename T::value_type>(c.imag));
    } else if constexpr (std::is_same_v<T, bool>) {
      int truth = PyObject_IsTrue(o);
      check_status(truth);
      v = truth != 0;
    } else if constexpr (std::is_integral_v<T>) {
      if (PyFloat_Check(o)) {
        double d = PyFloat_AS_DOUBLE(o);
        check_holds(out.dtype, Scalar(d), name(out.dtype));
        v = static_cast<T>(d);
      } else {
        int64_t i = to_integer(o);
        check_holds(out.dtype, Scalar(i), name(out.dtype));
        v = static_cast<T>(i);
      }
    } else {
      double d = PyFloat_AsDouble(o);
      if (d == -1.0 && PyErr_Occurred()) throw PythonError{};
      v = Scalar(d).to<T>();
    }
  });
}

// Whether o is to be looked into. Tensors and arrays are not: they are read whole.
bool is_sequence(PyObject* o) {
  if (PyList_Check(o) || PyTuple_Check(o)) return true;
  return PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !PyDict_Check(o) &&
         !numpy_scalar_dtype(o);
}

// A tensor or an array inside of data.
std::optional<Array> whole_array(PyObject* o) {
  if (is_tensor(o)) return impl_of(o)->array;
  if (PyFloat_CheckExact(o) || PyLong_CheckExact(o) || PyList_CheckExact(o) || !is_ndarray(o))
    return std::nullopt;
  return tensor_from_buffer(o, /*copy=*/true).array();
}

[[noreturn]] void fail_text(PyObject* o) {
  fail(ErrorKind::Type, "new(): invalid data type '", type_name(o), "'");
}

// The sizes of nested data, found along its first elements.
Dims find_shape(PyObject* data) {
  Dims shape;
  Object at = Object::borrow(data);
  for (;;) {
    if (std::optional<Array> a = whole_array(at.get())) {
      for (int64_t n : a->shape) shape.push_back(n);
      return shape;
    }
    if (PyUnicode_Check(at.get()) || PyBytes_Check(at.get())) {
      FG_CHECK_VALUE(shape.empty(), "too many dimensions '", type_name(at.get()), "'");
      fail_text(at.get());
    }
    if (!is_sequence(at.get())) return shape;
    Py_ssize_t n = PySequence_Size(at.get());
    check_status(static_cast<int>(n));
    shape.push_back(n);
    if (n == 0) return shape;
    FG_CHECK_VALUE(shape.size() <= kMaxNesting, "too many dimensions '", type_name(at.get()),
                   "': data is nested more than ", kMaxNesting, " deep");
    at = own(PySequence_GetItem(at.get(), 0));
  }
}

// Checks that data is as regular as its first elements, and finds the common element type.
class Examination {
 public:
  explicit Examination(DimSpan shape, bool infer) : shape_(shape), infer_(infer) {}

  void examine(PyObject* o, size_t depth) {
    if (depth == shape_.size() && examine_number(o)) return;
    if (std::optional<Array> a = whole_array(o)) {
      DimSpan rest = shape_.subspan(depth);
      FG_CHECK_VALUE(std::equal(rest.begin(), rest.end(), a->shape.begin(), a->shape.end()),
                     "expected a tensor or array of shape ", to_string(rest), " at dim ", depth,
                     ", got ", a->shape);
      add(a->dtype);
      return;
    }
    if (PyUnicode_Check(o) || PyBytes_Check(o)) fail_text(o);
    if (depth == shape_.size()) {
      FG_CHECK_TYPE(!is_sequence(o), "expected a number at dim ", depth, ", got a ", type_name(o),
                    ": earlier rows are not as deep");
      FG_CHECK(!infer_ || PyComplex_Check(o), "Could not infer dtype of ", type_name(o));
      return;
    }
    FG_CHECK_TYPE(is_sequence(o), "not a sequence: expected one of length ", shape_[depth],
                  " at dim ", depth, ", got a ", type_name(o));
    Object items = own(PySequence_Fast(o, "not a sequence"));
    Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
    FG_CHECK_VALUE(n == shape_[depth], "expected sequence of length ", shape_[depth], " at dim ",
                   depth, " (got ", n, ")");
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i)
      examine(PySequence_Fast_GET_ITEM(items.get(), i), depth + 1);
  }
  std::optional<DType> dtype() const { return dtype_; }

 private:
  bool examine_number(PyObject* o) {
    if (PyFloat_CheckExact(o)) return add(default_dtype());
    if (PyBool_Check(o)) return add(DType::Bool);
    if (PyLong_CheckExact(o)) return add(DType::Int64);
    if (std::optional<DType> d = numpy_scalar_dtype(o)) return add(*d);
    if (PyFloat_Check(o)) return add(default_dtype());
    if (PyLong_Check(o)) return add(DType::Int64);
    if (PyComplex_Check(o)) return add(to_complex(default_dtype()));
    return false;
  }
  bool add(DType d) {
    if (!dtype_ || *dtype_ != d) dtype_ = dtype_ ? promote_types(*dtype_, d) : d;
    return true;
  }

  DimSpan shape_;
  bool infer_;
  std::optional<DType> dtype_;
};

// Writes data, which was examined but may have changed since, from `at` on.
void fill(PyObject* o, DimSpan shape, const Array& out, char*& at) {
  if (!shape.empty() || is_tensor(o)) {
    if (std::optional<Array> a = whole_array(o)) {
      FG_CHECK_VALUE(std::equal(shape.begin(), shape.end(), a->shape.begin(), a->shape.end()),
                     "expected a tensor or array of shape ", to_string(shape), ", got ", a->shape);
      if (is_tensor(o)) watch_values(*a);
      Array rows = contiguous_copy(*a, out.dtype);
      std::memcpy(at, rows.data, static_cast<size_t>(rows.nbytes()));
      at += rows.nbytes();
      return;
    }
  }
  if (shape.empty()) {
    if (std::optional<Array> a =
            PyFloat_CheckExact(o) || PyLong_CheckExact(o) ? std::nullopt : whole_array(o))
      cast_kernel(a->dtype, out.dtype)(a->data, 1, at, 1, 1);
    else
      store(o, out, at);
    at += out.itemsize();
    return;
  }
  Object items = own(PySequence_Fast(o, "not a sequence"));
  for (int64_t i = 0; i < shape[0]; ++i) {
    FG_CHECK_VALUE(PySequence_Fast_GET_SIZE(items.get()) == shape[0],
                   "the data changed while it was read");
    fill(PySequence_Fast_GET_ITEM(items.get(), i), shape.subspan(1), out, at);
  }
}

// A list of Python floats, or of Python ints, as most lists are.
template <class T, class Read>
bool fill_flat(PyObject* list, PyTypeObject* type, T* out, Read read) {
  Py_ssize_t n = PyList_GET_SIZE(list);
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* o = PyList_GET_ITEM(list, i);
    if (Py_TYPE(o) != type) return false;
    out[i] = static_cast<T>(read(o));
  }
  return true;
}

std::optional<Tensor> from_flat_list(PyObject* list, std::optional<DType> dtype) {
  Py_ssize_t n = PyList_GET_SIZE(list);
  if (n == 0) return std::nullopt;
  PyObject* first = PyList_GET_ITEM(list, 0);
  auto as_double = [](PyObject* o) { return PyFloat_AS_DOUBLE(o); };
  Dims shape{static_cast<int64_t>(n)};
  bool filled = false;
  Array a;
  if (PyFloat_CheckExact(first)) {
    DType d = dtype.value_or(default_dtype());
    if (d != DType::Float32 && d != DType::Float64) return std::nullopt;
    a = Array::empty(shape, d);
    filled = d == DType::Float32 ? fill_flat(list, &PyFloat_Type, a.ptr<float>(), as_double)
                                 : fill_flat(list, &PyFloat_Type, a.ptr<double>(), as_double);
  } else if (PyLong_CheckExact(first) && dtype.value_or(DType::Int64) == DType::Int64) {
    a = Array::empty(shape, DType::Int64);
    filled = fill_flat(list, &PyLong_Type, a.ptr<int64_t>(), to_integer);
  }
  if (!filled) return std::nullopt;
  constant_values(a);
  return Tensor(std::move(a));
}

Tensor from_number(PyObject* o, DType dtype) {
  Array a = Array::empty({}, dtype);
  store(o, a, a.data);
  constant_values(a);
  return Tensor(std::move(a));
}

Tensor from_nested(PyObject* data, std::optional<DType> dtype) {
  Dims shape = find_shape(data);
  Examination e(shape, !dtype);
  e.examine(data, 0);
  Array a = Array::empty(shape, dtype.value_or(e.dtype().value_or(default_dtype())));
  char* at = a.data;
  if (a.numel) fill(data, shape, a, at);
  constant_values(a);
  return Tensor(std::move(a));
}

}  // namespace

std::optional<DType> numpy_scalar_dtype(PyObject* o) {
  const char* type = Py_TYPE(o)->tp_name;
  if (std::strncmp(type, "numpy.", 6) != 0) return std::nullopt;
  const char* name = type + 6;
  if (std::strcmp(name, "bool_") == 0) name = "bool";
  if (std::strcmp(name, "longlong") == 0) name = "int64";
  for (int i = 0; i < kNumDTypes; ++i)
    if (std::strcmp(name, kDTypeInfo[i].name) == 0) return static_cast<DType>(i);
  static constexpr const char* kUnsupported[] = {
      "uint16",     "uint32",      "uint64", "ulonglong", "longdouble", "clongdouble",
      "datetime64", "timedelta64", "str_",   "bytes_",    "void",       "object_"};
  for (const char* other : kUnsupported)
    FG_CHECK_TYPE(std::strcmp(name, other) != 0, unsupported_array_text(name));
  return std::nullopt;
}

Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype) {
  if (PyFloat_CheckExact(data)) return from_number(data, dtype.value_or(default_dtype()));
  if (PyBool_Check(data)) return from_number(data, dtype.value_or(DType::Bool));
  if (PyLong_CheckExact(data)) return from_number(data, dtype.value_or(DType::Int64));
  if (g_stand_ins) [[unlikely]] {
    Object plain = without_stand_ins(data);
    if (plain.get() != data) return tensor_from_data(plain.get(), dtype);
  }
  if (PyList_CheckExact(data))
    if (std::optional<Tensor> t = from_flat_list(data, dtype)) return *t;
  if (std::optional<Array> a = whole_array(data)) {
    DType type = dtype.value_or(a->dtype);
    if (is_tensor(data)) return Tensor(recorded::contiguous_copy(*a, type));
    return Tensor(constant_values(contiguous_copy(*a, type)));
  }
  if (!is_sequence(data) && PyObject_HasAttrString(data, "__array__") &&
      !numpy_scalar_dtype(data)) {
    Object array = own(PyObject_CallMethod(data, "__array__", nullptr));
    FG_CHECK_TYPE(is_ndarray(array.get()),
                  "object __array__ method not producing an array: ", type_name(data));
    return tensor_from_data(array.get(), dtype);
  }
  return from_nested(data, dtype);
}

Tensor tensor_from_user(PyObject* data, std::optional<DType> dtype, const char* instead_of) {
  if (is_tensor(data))
    warn(
        str("To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than ",
            instead_of, "(sourceTensor)."));
  return tensor_from_data(data, dtype);
}

}  // namespace fastgrad::py
