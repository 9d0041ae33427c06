// Short arrays: registers of 256 bits with the results of those of 512.
#define FG_SHORT_REGISTERS
#include "kernels/cpu/elementwise_table.h"

#if defined(__AVX512F__) && defined(__FMA__)
#include "kernels/cpu/elementwise_vector.h"

namespace fastgrad {
void fill_short_vector_kernels_avx512(KernelTable& table) { fill_rows(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_short_vector_kernels_avx512(KernelTable&) {}
}  // namespace fastgrad
#endif
