#define FG_SINGLE
#define FG_SHORT_REGISTERS
#include "kernels/cpu/elementwise_single.h"

#if defined(__AVX512F__) && defined(__FMA__)
#include "kernels/cpu/elementwise_vector.h"

namespace fastgrad {
void fill_single_kernels_avx512(KernelTable& table) { fill_single_rows(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_single_kernels_avx512(KernelTable&) {}
}  // namespace fastgrad
#endif
