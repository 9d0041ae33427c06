// The identity of the elementwise ops and what their columns mean; see base/op_rows.def.
#pragma once

#include <cstdint>

namespace fastgrad {

enum class ElementwiseOp : uint16_t {
#define FG_UNARY(Id, ...) Id,
#define FG_BINARY(Id, ...) Id,
#define FG_TERNARY(Id, ...) Id,
#include "base/op_rows.def"
  kCount
};
inline constexpr int kNumElementwise = static_cast<int>(ElementwiseOp::kCount);
inline constexpr int index(ElementwiseOp op) { return static_cast<int>(op); }

// Which element types a row computes in.
//   F  floating point; integers and bool are promoted to the default dtype
//   R  floating point only          N  every real type but bool
//   Q  like N; bool is promoted to int64
//   A  every real type              P  like A, with a bool result
//   I  integers and bool            J  integers
enum class OpTypes : uint8_t { F, R, N, Q, A, P, I, J };

// Values a gradient rule reads: inputs A (also X), B, C and the output Y.
enum SaveMask : uint8_t { kNone = 0, A = 1, X = 1, B = 2, C = 4, Y = 8 };

}  // namespace fastgrad
