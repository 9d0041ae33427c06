// The table of block kernels, filled by one translation unit per file of rows (base/op_*.def) and
// instruction set, so that they compile side by side.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

struct KernelTable {
  BlockKernel k[kNumElementwise][kNumDTypes] = {};
};

void fill_activation_kernels(KernelTable& table);
void fill_arithmetic_kernels(KernelTable& table);
void fill_comparison_kernels(KernelTable& table);
void fill_special_kernels(KernelTable& table);
void fill_transcendental_kernels(KernelTable& table);
// Divisions and the like of integers by those of int32, whose loops are the fastest: of all shorter
// ones, and of int64 where the numbers are small (elementwise_narrow.cpp).
constexpr bool goes_by_int32(ElementwiseOp op, size_t itemsize) {
  switch (op) {
    case ElementwiseOp::DivTrunc:
    case ElementwiseOp::FloorDivide:
    case ElementwiseOp::Remainder:
    case ElementwiseOp::Fmod:
    case ElementwiseOp::Gcd:
    case ElementwiseOp::Lcm:
    case ElementwiseOp::Pow:
      return itemsize < 4;
    default:
      return false;
  }
}
void fill_narrow_kernels(KernelTable& table);
// Special functions by loops over registers for those that they are made of
// (elementwise_composed_avx2.cpp); the table has scalar ones already.
void fill_composed_kernels_avx2(KernelTable& table);
// For one element; the table has kernels for any number already.
void fill_single_kernels(KernelTable& table);

// Note [Short arrays]
// A few operations on 512 bits now and then cost all the code around them: the processor lowers its
// clock while it expects more of them, and waits until the upper halves have power. The AVX-512
// kernels therefore hand short arrays to the kernels that they replace, which give the same bits:
// those of AVX2 or, where AVX-512 looks up in tables, those of elementwise_short_avx512.cpp. (NaN
// may have another sign.) With 128 in place of 32 the loss tanh(x w + b) exp(-x x) of 100 numbers
// and its gradients take 1.8 us instead of 1.3, and no other row of bench/eager.py or compile.py
// gains.
inline constexpr int64_t kShortArray = 32;

namespace {

template <BlockKernel kWide>
struct HandOver {
  static inline BlockKernel narrow = nullptr;
  static void run(char* out, const char* const* in, unsigned scalars, int64_t n) {
    if (n < kShortArray) return narrow(out, in, scalars, n);
    kWide(out, in, scalars, n);
  }
};

// Puts a kernel into its slot of the table.
template <BlockKernel kKernel>
[[maybe_unused]] void install(BlockKernel& slot) {
#if defined(__AVX512F__) && !defined(FG_SHORT_REGISTERS)
  if (slot) {
    HandOver<kKernel>::narrow = slot;
    slot = HandOver<kKernel>::run;
    return;
  }
#endif
  slot = kKernel;
}

}  // namespace

// Each replaces the kernels that gain by the wider registers; empty where the compiler could not
// make them. Only for processors that have them.
void fill_arithmetic_kernels_avx2(KernelTable& table);
void fill_vector_kernels_avx2(KernelTable& table);
void fill_comparison_kernels_avx2(KernelTable& table);
void fill_arithmetic_kernels_avx512(KernelTable& table);
void fill_short_vector_kernels_avx512(KernelTable& table);
void fill_vector_kernels_avx512(KernelTable& table);
void fill_comparison_kernels_avx512(KernelTable& table);

}  // namespace fastgrad
