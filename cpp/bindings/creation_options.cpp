#include "bindings/creation_options.h"

#include <cmath>
#include <limits>

#include "bindings/types.h"
#include "core/promotion.h"
#include "core/recorder.h"

namespace fastgrad::py {
namespace {

// How PyTorch's overflow errors call element types.
const char* c_name(DType d) {
  static constexpr const char* names[kNumDTypes] = {"bool",
                                                    "uint8_t",
                                                    "int8_t",
                                                    "int16_t",
                                                    "int",
                                                    "int64_t",
                                                    "c10::Half",
                                                    "c10::BFloat16",
                                                    "float",
                                                    "double",
                                                    "c10::complex<float>",
                                                    "c10::complex<double>"};
  return names[static_cast<int>(d)];
}

template <class T>
bool holds(double v) {
  if constexpr (std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_integral_v<T>) {
    double lowest = static_cast<double>(std::numeric_limits<T>::lowest());
    double highest = static_cast<double>(std::numeric_limits<T>::max());
    return v >= lowest && v <= highest;
  } else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return !std::isfinite(v) || std::isfinite(static_cast<float>(T(static_cast<float>(v))));
  } else if constexpr (is_complex(dtype_of<T>)) {
    return holds<typename T::value_type>(v);
  } else {
    return !std::isfinite(v) || std::abs(v) <= static_cast<double>(std::numeric_limits<T>::max());
  }
}

// Negative numbers wrap around in unsigned types, as PyTorch has it.
template <class T>
bool holds(int64_t v) {
  if constexpr (std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_integral_v<T>) {
    if (std::is_unsigned_v<T> && v < 0)
      return -v <= static_cast<int64_t>(std::numeric_limits<T>::max());
    return static_cast<int64_t>(static_cast<T>(v)) == v;
  } else {
    return holds<T>(static_cast<double>(v));
  }
}

}  // namespace

void check_holds(DType dtype, Scalar number, const char* type) {
  bool held = dispatch_all(dtype, [&]<class T>(T) {
    return number.is_float() ? holds<T>(number.to_double()) : holds<T>(number.to_int());
  });
  FG_CHECK(held, "value cannot be converted to type ", type, " without overflow: ",
           number.is_float() ? str(number.to_double()) : str(number.to_int()));
}

void refuse_pinning(bool pin_memory) {
  FG_CHECK(!pin_memory,
           "pin_memory=True requires a CUDA or other accelerator backend; fastgrad has none, so "
           "memory cannot be pinned");
}

void require_grad(const Tensor& t) {
  FG_CHECK(is_differentiable(t.dtype()),
           "Only Tensors of floating point and complex dtype can require gradients, "
           "got ",
           name(t.dtype()));
  t->leaf_requires_grad = true;
}

Options::Options(const Arguments& a, int first) : dtype(a.optional_dtype(first)) {
  if (a.has(first + 2)) check_device(a.object(first + 2));
  refuse_pinning(a.has(first + 3) && a.boolean(first + 3));
  requires_grad = a.has(first + 4) && a.boolean(first + 4);
}

PyObject* Options::finish(Tensor t) const {
  if (requires_grad) require_grad(t);
  return wrap(std::move(t));
}

DType Options::dtype_or(DType otherwise, const Arguments& a, int out) const {
  if (!a.has(out)) return dtype.value_or(otherwise);
  DType given = a.tensor(out).dtype();
  FG_CHECK(!dtype || *dtype == given, "dtype ", scalar_type_name(dtype.value_or(given)),
           " does not match dtype of out parameter (", scalar_type_name(given), ")");
  return given;
}

Array number_array(PyObject* number, std::optional<DType> dtype) {
  if (is_tensor(number)) return impl_of(number)->array;
  if (PyComplex_Check(number)) {
    DType d = dtype.value_or(to_complex(default_dtype()));
    Py_complex c = PyComplex_AsCComplex(number);
    FG_CHECK(is_complex(d) || c.imag == 0, "value cannot be converted to type ", c_name(d),
             " without overflow");
    Array a = Array::empty({}, is_complex(d) ? d : DType::Complex64);
    if (a.dtype == DType::Complex128)
      *a.ptr<std::complex<double>>() = {c.real, c.imag};
    else
      *a.ptr<std::complex<float>>() = {static_cast<float>(c.real), static_cast<float>(c.imag)};
    constant_values(a);
    return a;
  }
  Scalar s = to_number(number);
  Array a = Array::empty({}, dtype.value_or(s.dtype()));
  check_holds(a.dtype, s, c_name(a.dtype));
  dispatch_all(a.dtype, [&]<class T>(T) { *a.ptr<T>() = s.to<T>(); });
  constant_values(a);
  return a;
}

}  // namespace fastgrad::py
