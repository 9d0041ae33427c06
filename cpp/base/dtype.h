// Element types, their facts, and PyTorch's promotion rules.
#pragma once

#include <bit>
#include <complex>
#include <cstdint>
#include <string>

#include "base/errors.h"

namespace fastgrad {

// IEEE half and bfloat16: storage types. Arithmetic happens in float.
struct Half {
  uint16_t bits = 0;
  Half() = default;
  explicit Half(float f);
  explicit operator float() const;
};
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float f);
  explicit operator float() const;
};

// One row per element type: id, C++ type, torch's name, kind, short alias (or "").
#define FG_FOR_EACH_DTYPE(X)                                        \
  X(Bool, bool, "bool", Bool, "")                                   \
  X(UInt8, uint8_t, "uint8", Int, "")                               \
  X(Int8, int8_t, "int8", Int, "")                                  \
  X(Int16, int16_t, "int16", Int, "short")                          \
  X(Int32, int32_t, "int32", Int, "int")                            \
  X(Int64, int64_t, "int64", Int, "long")                           \
  X(Float16, ::fastgrad::Half, "float16", Float, "half")            \
  X(BFloat16, ::fastgrad::BFloat16, "bfloat16", Float, "")          \
  X(Float32, float, "float32", Float, "float")                      \
  X(Float64, double, "float64", Float, "double")                    \
  X(Complex64, std::complex<float>, "complex64", Complex, "cfloat") \
  X(Complex128, std::complex<double>, "complex128", Complex, "cdouble")

enum class DType : uint8_t {
#define X(id, ...) id,
  FG_FOR_EACH_DTYPE(X)
#undef X
};
inline constexpr int kNumDTypes = 12;
inline constexpr size_t kMaxItemSize = 16;

// Ordered: a higher kind wins in promotion.
enum class DTypeKind : uint8_t { Bool, Int, Float, Complex };

struct DTypeInfo {
  const char* name;
  const char* alias;
  uint8_t size;
  DTypeKind kind;
};
inline constexpr DTypeInfo kDTypeInfo[kNumDTypes] = {
#define X(id, type, name, kind, alias) {name, alias, sizeof(type), DTypeKind::kind},
    FG_FOR_EACH_DTYPE(X)
#undef X
};

inline constexpr const DTypeInfo& info(DType d) { return kDTypeInfo[static_cast<int>(d)]; }
inline constexpr const char* name(DType d) { return info(d).name; }
inline constexpr size_t itemsize(DType d) { return info(d).size; }
inline constexpr DTypeKind kind(DType d) { return info(d).kind; }
inline constexpr bool is_floating(DType d) { return kind(d) == DTypeKind::Float; }
inline constexpr bool is_complex(DType d) { return kind(d) == DTypeKind::Complex; }
inline constexpr bool is_integral(DType d, bool include_bool) {
  return kind(d) == DTypeKind::Int || (include_bool && d == DType::Bool);
}
inline constexpr bool is_differentiable(DType d) { return kind(d) >= DTypeKind::Float; }
inline std::ostream& operator<<(std::ostream& out, DType d) { return out << name(d); }

template <class T>
struct DTypeOf;
#define X(id, type, ...)                      \
  template <>                                 \
  struct DTypeOf<type> {                      \
    static constexpr DType value = DType::id; \
  };
FG_FOR_EACH_DTYPE(X)
#undef X
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// The type that arithmetic on d is done in: half types compute in float.
inline constexpr DType compute_dtype(DType d) {
  return d == DType::Float16 || d == DType::BFloat16 ? DType::Float32 : d;
}
inline constexpr DType to_complex(DType d) {
  return d == DType::Float64 ? DType::Complex128 : DType::Complex64;
}
inline constexpr DType to_real(DType d) {
  return d == DType::Complex128 ? DType::Float64 : d == DType::Complex64 ? DType::Float32 : d;
}

DType promote_types(DType a, DType b);
// Whether torch allows writing a result of type `from` into a tensor of type `to`.
bool can_cast(DType from, DType to);

DType default_dtype();
void set_default_dtype(DType d);
// Floating-point as it is; integer and bool become the default dtype.
inline DType to_float_dtype(DType d) { return kind(d) >= DTypeKind::Float ? d : default_dtype(); }
DType parse_dtype(const std::string& name);

// Calls f with a value of d's C++ type: dispatch(d, [&]<class T>(T) { ... }).
template <class F>
decltype(auto) dispatch_all(DType d, F&& f) {
  switch (d) {
#define X(id, type, ...) \
  case DType::id:        \
    return f(type{});
    FG_FOR_EACH_DTYPE(X)
#undef X
  }
  fail(ErrorKind::Type, "unknown dtype");
}

// Real arithmetic types only (bool, integers, float32, float64); the op is named in the error.
template <class F>
decltype(auto) dispatch_real(DType d, const char* op, F&& f) {
  switch (d) {
    case DType::Bool:
      return f(bool{});
    case DType::UInt8:
      return f(uint8_t{});
    case DType::Int8:
      return f(int8_t{});
    case DType::Int16:
      return f(int16_t{});
    case DType::Int32:
      return f(int32_t{});
    case DType::Int64:
      return f(int64_t{});
    case DType::Float32:
      return f(float{});
    case DType::Float64:
      return f(double{});
    default:
      fail(ErrorKind::NotImplemented, "[", op, "] not implemented for dtype ", name(d),
           "; convert first, e.g. with .to(fastgrad.float32)");
  }
}

template <class F>
decltype(auto) dispatch_float(DType d, const char* op, F&& f) {
  switch (d) {
    case DType::Float32:
      return f(float{});
    case DType::Float64:
      return f(double{});
    default:
      fail(ErrorKind::Runtime, "[", op, "] expected a float32 or float64 tensor, got ", name(d),
           "; convert it first, e.g. with .to(fastgrad.float64)");
  }
}

}  // namespace fastgrad
