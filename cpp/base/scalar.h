// A Python number on its way to a kernel: bool, int or float, with its kind.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "base/dtype.h"

namespace fastgrad {

class Scalar {
 public:
  Scalar() : i_(0), kind_(DTypeKind::Int) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Scalar(T v) {
    if constexpr (std::is_same_v<T, bool>) {
      i_ = v;
      kind_ = DTypeKind::Bool;
    } else if constexpr (std::is_integral_v<T>) {
      i_ = static_cast<int64_t>(v);
      kind_ = DTypeKind::Int;
    } else {
      d_ = static_cast<double>(v);
      kind_ = DTypeKind::Float;
    }
  }

  DTypeKind kind() const { return kind_; }
  bool is_float() const { return kind_ == DTypeKind::Float; }
  double to_double() const { return is_float() ? d_ : static_cast<double>(i_); }
  int64_t to_int() const { return is_float() ? static_cast<int64_t>(d_) : i_; }
  bool to_bool() const { return is_float() ? d_ != 0 : i_ != 0; }
  template <class T>
  T to() const {
    if constexpr (std::is_same_v<T, bool>)
      return to_bool();
    else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
      return T(static_cast<float>(to_double()));
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(to_int());
    else
      return T(is_float() ? d_ : static_cast<double>(i_));
  }
  // Writes the number as one element of type d.
  void store(DType d, void* out) const {
    if (d == DType::Float64)
      *static_cast<double*>(out) = to_double();
    else
      store_other(d, out);
  }
  // The dtype a tensor made of this number has.
  DType dtype() const {
    return is_float() ? default_dtype() : kind_ == DTypeKind::Bool ? DType::Bool : DType::Int64;
  }
  bool operator==(const Scalar& o) const {
    return kind_ == o.kind_ && (is_float() ? d_ == o.d_ : i_ == o.i_);
  }

 private:
  void store_other(DType d, void* out) const;

  union {
    double d_;
    int64_t i_;
  };
  DTypeKind kind_;
};

}  // namespace fastgrad
