// The innermost loops of the reductions of integers and of truth, once per instruction set. Order
// does not matter to them, so that each set uses the lanes that it has.
#pragma once

#include <cstdint>

#include "kernels/cpu/reduce_lanes.h"

namespace fastgrad {

// Blocks have at most 1024 elements, sums of rows at most 64 of them, so that small counters do.
template <class T>
struct IntegerKernels {
  SumKernels<T, int64_t> sum;  // in 64 bits, where they wrap around
  LaneKernel<T> largest, smallest;
  RowKernel<T> largest_rows, smallest_rows;
  PlaceKernel<T> largest_place, smallest_place;
  // The first place of v, which is among the elements.
  int64_t (*find)(const T* p, int64_t n, T v);
};
// How many elements are not zero. Those of a floating-point type have a bit for the sign, which
// does not count.
template <class Bits>
struct TruthKernels {
  SumKernels<Bits, int64_t> of_integers, of_floats;  // the latter null for 8 bits
};
struct IntegerTable {
  SumKernels<int64_t, int64_t> product;  // wraps around
  IntegerKernels<uint8_t> u8;
  IntegerKernels<int8_t> i8;
  IntegerKernels<int16_t> i16;
  IntegerKernels<int32_t> i32;
  IntegerKernels<int64_t> i64;
  TruthKernels<int8_t> truth8;
  TruthKernels<int16_t> truth16;
  TruthKernels<int32_t> truth32;
  TruthKernels<int64_t> truth64;
};
// Null members where the compiler could not make them.
extern const IntegerTable kIntegersBaseline, kIntegersAvx2, kIntegersAvx512;

// The best for this processor.
const IntegerTable& integer_table();
inline const auto& integers(uint8_t) { return integer_table().u8; }
inline const auto& integers(int8_t) { return integer_table().i8; }
inline const auto& integers(int16_t) { return integer_table().i16; }
inline const auto& integers(int32_t) { return integer_table().i32; }
inline const auto& integers(int64_t) { return integer_table().i64; }
inline const auto& truth(int8_t) { return integer_table().truth8; }
inline const auto& truth(int16_t) { return integer_table().truth16; }
inline const auto& truth(int32_t) { return integer_table().truth32; }
inline const auto& truth(int64_t) { return integer_table().truth64; }

}  // namespace fastgrad
