// The formula column of the op table as types: Functor::call<T>(a, b). Included by one translation
// unit per file of rows, which it names in FG_ROWS, and instruction set.
#pragma once

#include "base/elementwise_op.h"
#include "kernels/cpu/math.h"

#ifdef FG_VECTOR_ROWS
#include "kernels/cpu/vector_math.h"
#endif

#ifdef __GNUC__
#define FG_CALL [[gnu::always_inline]] static inline auto
#else
#define FG_CALL static inline auto
#endif

namespace fastgrad {
namespace {

namespace formula {
using namespace ::fastgrad::math;
#ifdef FG_VECTOR_ROWS
using math::vector::acos, math::vector::acosh, math::vector::asin, math::vector::asinh;
using math::vector::atan, math::vector::atan2, math::vector::atanh, math::vector::bce;
using math::vector::cos, math::vector::cosh;
using math::vector::digamma, math::vector::elu, math::vector::lgamma, math::vector::logaddexp;
using math::vector::entr, math::vector::ndtr, math::vector::xlog1py, math::vector::xlogy;
using math::vector::erf, math::vector::erfc, math::vector::erfinv, math::vector::exp,
    math::vector::exp2;
using math::vector::expm1, math::vector::fmod, math::vector::gelu, math::vector::gelu_grad;
using math::vector::gelu_tanh, math::vector::gelu_tanh_grad, math::vector::silu;
using math::vector::hypot, math::vector::log, math::vector::log10, math::vector::log1p;
using math::vector::log2, math::vector::pow, math::vector::remainder, math::vector::sigmoid,
    math::vector::sin, math::vector::sqrt;
using math::vector::logaddexp2, math::vector::logit, math::vector::mish, math::vector::mish_grad;
using math::vector::silu_grad, math::vector::softplus, math::vector::softplus_grad;
using math::vector::sinc, math::vector::sinc_grad;
using math::vector::sinh, math::vector::tan, math::vector::tanh;
#endif
#define FG_UNARY(Id, name, types, F, ...)                   \
  struct Id {                                               \
    static constexpr ElementwiseOp kOp = ElementwiseOp::Id; \
    static constexpr OpTypes kTypes = OpTypes::types;       \
    template <class T>                                      \
    FG_CALL call(T x) {                                     \
      return F;                                             \
    }                                                       \
  };
#define FG_BINARY(Id, name, types, F, ...)                  \
  struct Id {                                               \
    static constexpr ElementwiseOp kOp = ElementwiseOp::Id; \
    static constexpr OpTypes kTypes = OpTypes::types;       \
    template <class T>                                      \
    FG_CALL call(T a, T b) {                                \
      return F;                                             \
    }                                                       \
  };
#define FG_TERNARY(Id, name, types, F, ...)                 \
  struct Id {                                               \
    static constexpr ElementwiseOp kOp = ElementwiseOp::Id; \
    static constexpr OpTypes kTypes = OpTypes::types;       \
    template <class T>                                      \
    FG_CALL call(T a, T b, T c) {                           \
      return F;                                             \
    }                                                       \
  };
#include "base/op_rows.def"
}  // namespace formula

}  // namespace
}  // namespace fastgrad
