// Registers to and from memory, whole and in part; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_real.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad {
namespace {

using math::vector::D;
using math::vector::F;
using math::vector::kRegisterBytes;

template <class T>
using Register = std::conditional_t<std::is_same_v<T, float>, F, D>;
template <class T>
constexpr int64_t kWidth = kRegisterBytes / static_cast<int64_t>(sizeof(T));

template <class T>
FG_INLINE Register<T> load(const T* p) {
  Register<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
FG_INLINE void store(T* p, Register<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// n <= kWidth elements, the rest 0.
#if defined(FG_WIDE_REGISTERS)
FG_INLINE F load_part(const float* p, int64_t n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
FG_INLINE D load_part(const double* p, int64_t n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
FG_INLINE void store_part(float* p, F v, int64_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
}
FG_INLINE void store_part(double* p, D v, int64_t n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
}
FG_INLINE bool any_above(F x, float bound) {
  return _mm512_cmp_ps_mask(x, _mm512_set1_ps(bound), _CMP_GT_OQ) != 0;
}
FG_INLINE bool any_above(D x, double bound) {
  return _mm512_cmp_pd_mask(x, _mm512_set1_pd(bound), _CMP_GT_OQ) != 0;
}
#else
FG_INLINE __m256i part_mask(F, int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FG_INLINE __m256i part_mask(D, int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
FG_INLINE F load_part(const float* p, int64_t n) {
  return _mm256_maskload_ps(p, part_mask(F{}, n));
}
FG_INLINE D load_part(const double* p, int64_t n) {
  return _mm256_maskload_pd(p, part_mask(D{}, n));
}
FG_INLINE void store_part(float* p, F v, int64_t n) {
  _mm256_maskstore_ps(p, part_mask(F{}, n), v);
}
FG_INLINE void store_part(double* p, D v, int64_t n) {
  _mm256_maskstore_pd(p, part_mask(D{}, n), v);
}
FG_INLINE bool any_above(F x, float bound) {
  return _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_set1_ps(bound), _CMP_GT_OQ)) != 0;
}
FG_INLINE bool any_above(D x, double bound) {
  return _mm256_movemask_pd(_mm256_cmp_pd(x, _mm256_set1_pd(bound), _CMP_GT_OQ)) != 0;
}
#endif

}  // namespace
}  // namespace fastgrad

#endif
