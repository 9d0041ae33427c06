#include "kernels/cpu/half_arithmetic.h"

#if defined(__AVX512F__)
#include "kernels/cpu/half_arithmetic.inc"

namespace fastgrad {
void fill_half_arithmetic_avx512(HalfArithmetic& table) { fill_half_arithmetic(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_half_arithmetic_avx512(HalfArithmetic&) {}
}  // namespace fastgrad
#endif
