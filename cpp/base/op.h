// The identity of every op. Rows and blocks are listed in base/op_list.def.
#pragma once

#include <cstdint>

namespace fastgrad {

enum class Op : uint16_t {
#define FG_UNARY(Id, ...) Id,
#define FG_BINARY(Id, ...) Id,
#define FG_TERNARY(Id, ...) Id,
#define FG_FAMILY(Id, ...) Id,
#include "base/op_list.def"
  kCount
};
inline constexpr int kNumOps = static_cast<int>(Op::kCount);

enum : int {
  kNumElementwise = 0
#define FG_UNARY(...) +1
#define FG_BINARY(...) +1
#define FG_TERNARY(...) +1
#include "base/op_list.def"
};
inline constexpr bool is_elementwise(Op op) { return static_cast<int>(op) < kNumElementwise; }
inline constexpr int index(Op op) { return static_cast<int>(op); }

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
