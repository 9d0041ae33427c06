// Contiguous loops for rows of the op table, one per op and element type. Included by one
// translation unit per file of rows, which it names in FG_ROWS, and instruction set.
//
// A file for a wider instruction set defines FG_WIDE and fills the rows and types that gain by it;
// the table keeps the baseline's kernels elsewhere. Everything here is in the anonymous namespace
// or static, and nothing of the standard library is used that might be left as a function: a weak
// symbol compiled for AVX-512 might serve the whole program (tools/check_weak_symbols.py).
#pragma once

#include "base/isa.h"
#include "kernels/cpu/elementwise_formulas.h"
#include "kernels/cpu/elementwise_table.h"
#include "kernels/cpu/prefetch.h"

namespace fastgrad {
namespace {

template <OpTypes types, class T>
constexpr bool supports() {
  constexpr bool is_bool = std::is_same_v<T, bool>;
  switch (types) {
    case OpTypes::F:
    case OpTypes::R:
      return std::is_floating_point_v<T>;
    case OpTypes::N:
    case OpTypes::Q:
      return !is_bool;
    case OpTypes::I:
      return std::is_integral_v<T>;
    case OpTypes::J:
      return std::is_integral_v<T> && !is_bool;
    default:
      return true;
  }
}

#ifdef FG_WIDE
constexpr bool kWide = true;
#else
constexpr bool kWide = false;
#endif

// Whether a row is free of loops, calls and rare paths, so that wider registers help it.
template <class T>
constexpr bool is_straight(ElementwiseOp op) {
  switch (op) {
    case ElementwiseOp::DivTrunc:
      return std::is_floating_point_v<T> || math::kDividesInRegisters<T>;
    case ElementwiseOp::FloorDivide:
    case ElementwiseOp::Remainder:
    case ElementwiseOp::Fmod:
      return math::kDividesInRegisters<T>;
    case ElementwiseOp::Gcd:
    case ElementwiseOp::Lcm:
    case ElementwiseOp::Ldexp:
    case ElementwiseOp::Pow:
      return false;
    default:
      return true;
  }
}

// The types that are common enough to be worth their code in every instruction set: bytes only
// where they hold truth values.
template <OpTypes types, class T>
constexpr bool is_common() {
  return sizeof(T) >= 4 || (sizeof(T) == 1 && !std::is_same_v<T, int8_t> &&
                            (types == OpTypes::P || types == OpTypes::I || types == OpTypes::A));
}

// Or that have little else: shifts by several distances of words that are no register's.
constexpr bool is_shift(ElementwiseOp op) {
  return op == ElementwiseOp::BitwiseLeftShift || op == ElementwiseOp::BitwiseRightShift;
}

// Integers have all that they need from the registers of AVX2.
#if defined(__AVX512F__)
template <class T>
constexpr bool kGains = std::is_floating_point_v<T>;
#else
template <class T>
constexpr bool kGains = true;
#endif

template <class F, class T>
constexpr bool has_kernel() {
  return !(std::is_integral_v<T> && goes_by_int32(F::kOp, sizeof(T))) && supports<F::kTypes, T>() &&
         (!kWide || kGains<T>) &&
         (!kWide || (is_straight<T>(F::kOp) && (is_common<F::kTypes, T>() || is_shift(F::kOp))));
}

template <class F, class T>
using ResultOf = std::conditional_t<F::kTypes == OpTypes::P, bool, T>;

// Long arrays go through the kernel by the kilobyte, and what the next one needs is asked for
// first: Note [Prefetch].
constexpr int64_t kLong = 16384;
inline bool is_long(int64_t n) { return n >= kLong && gains_by_prefetch(); }
[[gnu::noinline]] void run_in_pieces(BlockKernel kernel, char* out, int64_t result_size,
                                     const char* const* in, int num_inputs, int64_t size,
                                     unsigned scalars, int64_t n) {
  const int64_t piece = 1024 / size;
  for (int64_t i = 0; i < n; i += piece) {
    const char* part[kMaxElementwiseInputs];
    for (int k = 0; k < num_inputs; ++k) {
      part[k] = in[k];
      if (scalars >> k & 1) continue;
      part[k] += i * size;
      for (int64_t b = 1024; b < 2048; b += kCacheLine) prefetch_line_to_read(part[k] + b);
    }
    char* to = out + i * result_size;
    for (int64_t b = piece * result_size; b < 2 * piece * result_size; b += kCacheLine)
      prefetch_line_to_write(to + b);
    kernel(to, part, scalars, n - i < piece ? n - i : piece);
  }
}
template <class F, class T>
constexpr bool kInPieces = is_straight<T>(F::kOp) && (std::is_floating_point_v<T> ||
                                                      (sizeof(T) >= 4 && F::kTypes != OpTypes::P));

template <class T>
void fill(T* y, T value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = value;
}

template <class F, class T>
void unary_loop(char* out, const char* const* in, unsigned scalars, int64_t n) {
  using R = ResultOf<F, T>;
  if (kInPieces<F, T> && is_long(n))
    return run_in_pieces(unary_loop<F, T>, out, sizeof(R), in, 1, sizeof(T), scalars, n);
  const T* x = reinterpret_cast<const T*>(in[0]);
  R* y = reinterpret_cast<R*>(out);
  if (scalars) {
    fill(y, static_cast<R>(F::template call<T>(*x)), n);
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
  if (n <= 0) return;
  if (kInPieces<F, T> && is_long(n))
    return run_in_pieces(binary_loop<F, T>, out, sizeof(ResultOf<F, T>), in, 2, sizeof(T), scalars,
                         n);
  switch (scalars) {
    case 0:
      return binary_run<F, T, 0>(out, in, n);
    case 1:
      return binary_run<F, T, 1>(out, in, n);
    case 2:
      return binary_run<F, T, 2>(out, in, n);
    default:
      binary_run<F, T, 0>(out, in, 1);
      auto* y = reinterpret_cast<ResultOf<F, T>*>(out);
      fill(y + 1, *y, n - 1);
  }
}

template <class F, class T>
void ternary_run(ResultOf<F, T>* y, const T* a, const T* b, const T* c, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    y[i] = static_cast<ResultOf<F, T>>(F::template call<T>(a[i], b[i], c[i]));
}

// Such as x between two numbers.
template <class F, class T>
void ternary_run(ResultOf<F, T>* y, const T* a, T b, T c, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    y[i] = static_cast<ResultOf<F, T>>(F::template call<T>(a[i], b, c));
}

// Other scalars are spread over a few registers: one loop instead of eight per op and type.
template <class F, class T>
void ternary_loop(char* out, const char* const* in, unsigned scalars, int64_t n) {
  if (kInPieces<F, T> && is_long(n) && !scalars)
    return run_in_pieces(ternary_loop<F, T>, out, sizeof(ResultOf<F, T>), in, 3, sizeof(T), scalars,
                         n);
  auto* y = reinterpret_cast<ResultOf<F, T>*>(out);
  const T* p[3];
  for (int k = 0; k < 3; ++k) p[k] = reinterpret_cast<const T*>(in[k]);
  if (!scalars) return ternary_run<F, T>(y, p[0], p[1], p[2], n);
  if (scalars == 6) return ternary_run<F, T>(y, p[0], *p[1], *p[2], n);
  constexpr int64_t kSpread = 64;
  alignas(64) T spread[3][kSpread];
  for (unsigned k = 0; k < 3; ++k) {
    if (!(scalars >> k & 1)) continue;
    fill(spread[k], *p[k], n < kSpread ? n : kSpread);
    p[k] = spread[k];
  }
  // A count that is known at compile time: registers without a loop around them.
  const int64_t step[3] = {scalars & 1 ? 0 : kSpread, scalars & 2 ? 0 : kSpread,
                           scalars & 4 ? 0 : kSpread};
  for (; n >= kSpread; n -= kSpread, y += kSpread) {
    ternary_run<F, T>(y, p[0], p[1], p[2], kSpread);
    for (int k = 0; k < 3; ++k) p[k] += step[k];
  }
  ternary_run<F, T>(y, p[0], p[1], p[2], n);
}

template <class F, int kArity, class T>
void install_for(BlockKernel& slot) {
  if constexpr (!has_kernel<F, T>())
    return;
  else if constexpr (kArity == 1)
    install<unary_loop<F, T>>(slot);
  else if constexpr (kArity == 2)
    install<binary_loop<F, T>>(slot);
  else
    install<ternary_loop<F, T>>(slot);
}

// One row of the kernel table; half and complex types have no kernels. Where the result is a truth
// value, truth values are as good as the bytes 0 and 1, over which the loops are without branches.
template <class F, int kArity>
void fill_row(BlockKernel* row) {
  using Truth = std::conditional_t<F::kTypes == OpTypes::P, uint8_t, bool>;
  install_for<F, kArity, Truth>(row[static_cast<int>(DType::Bool)]);
  install_for<F, kArity, uint8_t>(row[static_cast<int>(DType::UInt8)]);
  install_for<F, kArity, int8_t>(row[static_cast<int>(DType::Int8)]);
  install_for<F, kArity, int16_t>(row[static_cast<int>(DType::Int16)]);
  install_for<F, kArity, int32_t>(row[static_cast<int>(DType::Int32)]);
  install_for<F, kArity, int64_t>(row[static_cast<int>(DType::Int64)]);
  install_for<F, kArity, float>(row[static_cast<int>(DType::Float32)]);
  install_for<F, kArity, double>(row[static_cast<int>(DType::Float64)]);
}

void fill_rows(KernelTable& table) {
#define FG_UNARY(Id, ...) fill_row<formula::Id, 1>(table.k[index(ElementwiseOp::Id)]);
#define FG_BINARY(Id, ...) fill_row<formula::Id, 2>(table.k[index(ElementwiseOp::Id)]);
#define FG_TERNARY(Id, ...) fill_row<formula::Id, 3>(table.k[index(ElementwiseOp::Id)]);
#include "base/op_rows.def"
}

}  // namespace
}  // namespace fastgrad
