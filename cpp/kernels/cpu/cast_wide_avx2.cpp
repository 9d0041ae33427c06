#include "kernels/cpu/cast_wide.h"

#if defined(__AVX2__) && defined(__F16C__)
#include "kernels/cpu/cast_wide.inc"

namespace fastgrad {
void fill_wide_casts_avx2(WideCastTable& table) { fill_wide_casts(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_wide_casts_avx2(WideCastTable&) {}
}  // namespace fastgrad
#endif
