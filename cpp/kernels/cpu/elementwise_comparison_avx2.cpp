#include "kernels/cpu/elementwise_table.h"

#ifdef __AVX2__
#define FG_WIDE
#define FG_ROWS "base/op_comparison.def"
#include "kernels/cpu/elementwise_loops.h"

namespace fastgrad {
void fill_comparison_kernels_avx2(KernelTable& table) { fill_rows(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_comparison_kernels_avx2(KernelTable&) {}
}  // namespace fastgrad
#endif
