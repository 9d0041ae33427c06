// Contiguous loops for the rows of the op table, one per op and element type. Included by one
// translation unit per arity, so that they compile side by side.
#pragma once

#include "kernels/cpu/math.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

// The scalar formulas, as types: Functor::call<T>(a, b).
namespace formula {
using namespace ::fastgrad::math;
#define FG_UNARY(Id, name, types, F, ...)                 \
  struct Id {                                             \
    static constexpr OpTypes kTypes = OpTypes::types;     \
    template <class T>                                    \
    static auto call(T x) {                               \
      return F;                                           \
    }                                                     \
  };
#define FG_BINARY(Id, name, types, F, ...)                \
  struct Id {                                             \
    static constexpr OpTypes kTypes = OpTypes::types;     \
    template <class T>                                    \
    static auto call(T a, T b) {                          \
      return F;                                           \
    }                                                     \
  };
#define FG_TERNARY(Id, name, types, F, ...)               \
  struct Id {                                             \
    static constexpr OpTypes kTypes = OpTypes::types;     \
    template <class T>                                    \
    static auto call(T a, T b, T c) {                     \
      return F;                                           \
    }                                                     \
  };
#include "base/op_list.def"
}  // namespace formula

template <OpTypes types, class T>
constexpr bool supports() {
  constexpr bool is_bool = std::is_same_v<T, bool>;
  switch (types) {
    case OpTypes::F:
      return std::is_floating_point_v<T>;
    case OpTypes::N:
      return !is_bool;
    case OpTypes::I:
      return std::is_integral_v<T>;
    default:
      return true;
  }
}

template <class F, class T>
using ResultOf = std::conditional_t<F::kTypes == OpTypes::P, bool, T>;

template <class F, class T>
void unary_loop(char* out, const char* const* in, unsigned scalars, int64_t n) {
  using R = ResultOf<F, T>;
  const T* x = reinterpret_cast<const T*>(in[0]);
  R* y = reinterpret_cast<R*>(out);
  if (scalars) {
    R v = static_cast<R>(F::template call<T>(*x));
    for (int64_t i = 0; i < n; ++i) y[i] = v;
    return;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<R>(F::template call<T>(x[i]));
}

// kScalars is known at compile time, so that a scalar operand stays in a register.
template <class F, class T, unsigned kScalars>
void binary_run(char* out, const char* const* in, int64_t n) {
  using R = ResultOf<F, T>;
  const T* a = reinterpret_cast<const T*>(in[0]);
  const T* b = reinterpret_cast<const T*>(in[1]);
  R* y = reinterpret_cast<R*>(out);
  const T a0 = *a, b0 = *b;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    y[i] = static_cast<R>(F::template call<T>(kScalars & 1 ? a0 : a[i], kScalars & 2 ? b0 : b[i]));
}

template <class F, class T>
void binary_loop(char* out, const char* const* in, unsigned scalars, int64_t n) {
  switch (scalars) {
    case 0:
      return binary_run<F, T, 0>(out, in, n);
    case 1:
      return binary_run<F, T, 1>(out, in, n);
    case 2:
      return binary_run<F, T, 2>(out, in, n);
    default:
      return binary_run<F, T, 3>(out, in, n);
  }
}

template <class F, class T, unsigned kScalars>
void ternary_run(char* out, const char* const* in, int64_t n) {
  using R = ResultOf<F, T>;
  const T* a = reinterpret_cast<const T*>(in[0]);
  const T* b = reinterpret_cast<const T*>(in[1]);
  const T* c = reinterpret_cast<const T*>(in[2]);
  R* y = reinterpret_cast<R*>(out);
  const T a0 = *a, b0 = *b, c0 = *c;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    y[i] = static_cast<R>(F::template call<T>(kScalars & 1 ? a0 : a[i], kScalars & 2 ? b0 : b[i],
                                              kScalars & 4 ? c0 : c[i]));
}

template <class F, class T>
void ternary_loop(char* out, const char* const* in, unsigned scalars, int64_t n) {
  using Run = void (*)(char*, const char* const*, int64_t);
  static constexpr Run runs[8] = {ternary_run<F, T, 0>, ternary_run<F, T, 1>, ternary_run<F, T, 2>,
                                  ternary_run<F, T, 3>, ternary_run<F, T, 4>, ternary_run<F, T, 5>,
                                  ternary_run<F, T, 6>, ternary_run<F, T, 7>};
  runs[scalars](out, in, n);
}

template <class F, int kArity, class T>
constexpr BlockKernel kernel_for() {
  if constexpr (!supports<F::kTypes, T>())
    return nullptr;
  else if constexpr (kArity == 1)
    return unary_loop<F, T>;
  else if constexpr (kArity == 2)
    return binary_loop<F, T>;
  else
    return ternary_loop<F, T>;
}

// One row of the kernel table, in DType's order; half and complex types have no kernels.
struct KernelRow {
  BlockKernel k[kNumDTypes];
};
template <class F, int kArity>
constexpr KernelRow kernel_row() {
  return {{kernel_for<F, kArity, bool>(), kernel_for<F, kArity, uint8_t>(),
           kernel_for<F, kArity, int8_t>(), kernel_for<F, kArity, int16_t>(),
           kernel_for<F, kArity, int32_t>(), kernel_for<F, kArity, int64_t>(), nullptr, nullptr,
           kernel_for<F, kArity, float>(), kernel_for<F, kArity, double>(), nullptr, nullptr}};
}

}  // namespace
}  // namespace fastgrad
