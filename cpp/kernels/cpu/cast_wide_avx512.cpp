#include "kernels/cpu/cast_wide.h"

#if defined(__AVX512F__)
#include "kernels/cpu/cast_wide.inc"

namespace fastgrad {
void fill_wide_casts_avx512(WideCastTable& table) { fill_wide_casts(table); }
}  // namespace fastgrad
#else
namespace fastgrad {
void fill_wide_casts_avx512(WideCastTable&) {}
}  // namespace fastgrad
#endif
