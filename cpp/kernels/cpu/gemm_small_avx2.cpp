#include "kernels/cpu/gemm_small.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#define FG_ROWS_AT_ONCE 6
#define FG_TILE_ROWS 6

namespace fastgrad {
namespace {

#include "kernels/cpu/registers.inc"

struct F64 : Doubles {
  static constexpr int kRows = FG_ROWS_AT_ONCE;
  static constexpr int kTileRows = FG_TILE_ROWS, kTileVectors = 2;
  static constexpr int64_t kMostProducts = 1 << 22, kLeastSide = INT64_MAX;
  template <class F>
  [[gnu::always_inline]] static void transposed(const T* from, int64_t ld, F&& put) {
    V a = load(from), b = load(from + ld), c = load(from + 2 * ld), d = load(from + 3 * ld);
    V ab = _mm256_unpacklo_pd(a, b), ab_odd = _mm256_unpackhi_pd(a, b);
    V cd = _mm256_unpacklo_pd(c, d), cd_odd = _mm256_unpackhi_pd(c, d);
    put(0, _mm256_permute2f128_pd(ab, cd, 0x20));
    put(1, _mm256_permute2f128_pd(ab_odd, cd_odd, 0x20));
    put(2, _mm256_permute2f128_pd(ab, cd, 0x31));
    put(3, _mm256_permute2f128_pd(ab_odd, cd_odd, 0x31));
  }
};
struct F32 : Floats {
  static constexpr int kRows = FG_ROWS_AT_ONCE;
  static constexpr int kTileRows = FG_TILE_ROWS, kTileVectors = 2;
  static constexpr int64_t kMostProducts = 1 << 24, kLeastSide = INT64_MAX;
  // The elements of one strip, which are fewer than those of a register.
  static void store_strips(T* p, int64_t, V v) { store(p, mask(kTileRows), v); }
  template <class F>
  [[gnu::always_inline]] static void transposed(const T* from, int64_t ld, F&& put) {
    V r[8], s[8];
    for (int i = 0; i < 8; ++i) r[i] = load(from + i * ld);
    for (int i = 0; i < 8; i += 2) {
      s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)  // r[i + c]: columns c and c + 4 of four rows
      for (int h = 0; h < 2; ++h) {
        r[i + 2 * h] = _mm256_shuffle_ps(s[i + h], s[i + 2 + h], 0x44);
        r[i + 2 * h + 1] = _mm256_shuffle_ps(s[i + h], s[i + 2 + h], 0xee);
      }
    for (int c = 0; c < 4; ++c) {
      put(c, _mm256_permute2f128_ps(r[c], r[c + 4], 0x20));
      put(c + 4, _mm256_permute2f128_ps(r[c], r[c + 4], 0x31));
    }
  }
};
#include "kernels/cpu/gemm_blocks.inc"

}  // namespace

const SmallGemmTable kSmallGemmAvx2 = {own<F32>(), own<F64>()};

}  // namespace fastgrad
#else
namespace fastgrad {
const SmallGemmTable kSmallGemmAvx2 = {};
}
#endif
