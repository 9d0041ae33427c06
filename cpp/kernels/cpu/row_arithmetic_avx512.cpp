#include "kernels/cpu/row_arithmetic.h"

#ifdef __AVX512F__
#include "kernels/cpu/row_arithmetic.inc"

namespace fastgrad {
void fill_row_arithmetic_avx512(RowArithmetic& table) { fill_row_arithmetic(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_row_arithmetic_avx512(RowArithmetic&) {}
}  // namespace fastgrad
#endif
