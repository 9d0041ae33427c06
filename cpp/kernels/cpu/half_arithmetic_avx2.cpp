#include "kernels/cpu/half_arithmetic.h"

#if defined(__AVX2__) && defined(__F16C__)
#include "kernels/cpu/half_arithmetic.inc"

namespace fastgrad {
void fill_half_arithmetic_avx2(HalfArithmetic& table) { fill_half_arithmetic(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_half_arithmetic_avx2(HalfArithmetic&) {}
}  // namespace fastgrad
#endif
