#include "kernels/cpu/row_arithmetic.h"

#ifdef __AVX2__
#include "kernels/cpu/row_arithmetic.inc"

namespace fastgrad {
void fill_row_arithmetic_avx2(RowArithmetic& table) { fill_row_arithmetic(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_row_arithmetic_avx2(RowArithmetic&) {}
}  // namespace fastgrad
#endif
