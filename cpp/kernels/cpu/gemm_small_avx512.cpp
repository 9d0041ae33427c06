#include "kernels/cpu/gemm_small.h"

#ifdef __AVX512F__
#if !defined(__clang__)  // GCC 12 takes its own intrinsics' undefined registers for a mistake
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#define FG_ROWS_AT_ONCE 8
#define FG_TILE_ROWS 8

namespace fastgrad {
namespace {

#include "kernels/cpu/registers.inc"

struct F64 : Doubles {
  static constexpr int kRows = FG_ROWS_AT_ONCE;
  static constexpr int kTileRows = FG_TILE_ROWS, kTileVectors = 3;
  static constexpr int64_t kMostProducts = int64_t{1} << 30, kLeastSide = 64;
  template <class F>
  [[gnu::always_inline]] static void transposed(const T* from, int64_t ld, F&& put) {
    V r[8], s[8];
    for (int i = 0; i < 8; ++i, from = opaque(from + ld)) r[i] = load(from);
    for (int i = 0; i < 8; i += 2) {  // pairs of rows in pairs of columns
      s[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
      s[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; ++i)
      for (int h = 0; h < 2; ++h) {  // columns i, i + 4 (h = 0) and i + 2, i + 6 (h = 1)
        V low = h ? _mm512_shuffle_f64x2(s[i], s[i + 2], 0xdd)
                  : _mm512_shuffle_f64x2(s[i], s[i + 2], 0x88);
        V high = h ? _mm512_shuffle_f64x2(s[i + 4], s[i + 6], 0xdd)
                   : _mm512_shuffle_f64x2(s[i + 4], s[i + 6], 0x88);
        put(i + 2 * h, _mm512_shuffle_f64x2(low, high, 0x88));
        put(i + 2 * h + 4, _mm512_shuffle_f64x2(low, high, 0xdd));
      }
  }
};
struct F32 : Floats {
  static constexpr int kRows = FG_ROWS_AT_ONCE;
  static constexpr int kTileRows = FG_TILE_ROWS, kTileVectors = 3;
  static constexpr int64_t kMostProducts = int64_t{1} << 30, kLeastSide = 64;
  // The elements of two strips, `step` apart.
  static void store_strips(T* p, int64_t step, V v) {
    _mm256_storeu_ps(p, _mm512_castps512_ps256(v));
    _mm256_storeu_ps(p + step, _mm512_extractf32x8_ps(v, 1));
  }
  template <class F>
  [[gnu::always_inline]] static void transposed(const T* from, int64_t ld, F&& put) {
    V r[16], s[16];
    for (int i = 0; i < 16; ++i, from = opaque(from + ld)) r[i] = load(from);
    for (int i = 0; i < 16; i += 2) {
      s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)  // r[i + c]: columns c, c + 4, c + 8, c + 12 of four rows
      for (int h = 0; h < 2; ++h) {
        __m512d x = _mm512_castps_pd(s[i + h]), y = _mm512_castps_pd(s[i + 2 + h]);
        r[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
        r[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
      }
    for (int c = 0; c < 4; ++c) {
      V low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88),
        low_odd = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd),
        high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88),
        high_odd = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
      put(c, _mm512_shuffle_f32x4(low, high, 0x88));
      put(c + 4, _mm512_shuffle_f32x4(low_odd, high_odd, 0x88));
      put(c + 8, _mm512_shuffle_f32x4(low, high, 0xdd));
      put(c + 12, _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd));
    }
  }
};
#include "kernels/cpu/gemm_blocks.inc"

}  // namespace

const SmallGemmTable kSmallGemmAvx512 = {own<F32>(), own<F64>()};

}  // namespace fastgrad
#else
namespace fastgrad {
const SmallGemmTable kSmallGemmAvx512 = {};
}
#endif
