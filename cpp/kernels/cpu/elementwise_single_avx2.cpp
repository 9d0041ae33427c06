#define FG_SINGLE
#include "kernels/cpu/elementwise_single.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/cpu/elementwise_vector.h"

namespace fastgrad {
void fill_single_kernels_avx2(KernelTable& table) { fill_single_rows(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_single_kernels_avx2(KernelTable&) {}
}  // namespace fastgrad
#endif
