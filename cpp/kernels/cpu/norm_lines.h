// The innermost loops of normalization, once per instruction set.
//
// Sums run in the same lanes on every one (256 bytes of them, over blocks that add up in double),
// so that all give the same bits.
#pragma once

#include <cstdint>

namespace fastgrad {

// All over n contiguous elements. w and b are lines, or null.
template <class T>
struct NormLines {
  double (*sum)(const T* x, int64_t n);
  // The sum of (x - m)^2.
  double (*squares)(const T* x, T m, int64_t n);
  // The sums of g * w and of g * w * (x - m).
  void (*products)(const T* g, const T* w, const T* x, T m, int64_t n, double* sum_g,
                   double* sum_gx);
  // y = (x - m) * scale * w + b
  void (*normalize)(const T* x, T m, T scale, const T* w, const T* b, int64_t n, T* y);
  // y = (x - m) * scale + shift
  void (*affine)(const T* x, T m, T scale, T shift, int64_t n, T* y);
  // dx = (g * w - mean_g - (x - m) * slope) * scale
  void (*gradient)(const T* g, const T* w, const T* x, T m, T mean_g, T slope, T scale, int64_t n,
                   T* dx);
  // dw += g * ((x - m) * scale), db += g
  void (*add_parameters)(const T* g, const T* x, T m, T scale, int64_t n, T* dw, T* db);

  // Of n columns side by side, over `rows` rows that are `step` apart, with numbers of its own for
  // each column. Adds to sums: of x, of (x - m)^2, of g and of g * (x - m).
  void (*column_sums)(const T* x, int64_t step, int64_t rows, int64_t n, double* sums);
  void (*column_squares)(const T* x, int64_t step, int64_t rows, int64_t n, const T* m,
                         double* sums);
  void (*column_products)(const T* g, const T* x, int64_t step, int64_t rows, int64_t n, const T* m,
                          double* sum_g, double* sum_gx);
  // The same as affine and gradient.
  void (*column_affine)(const T* x, int64_t step, int64_t rows, int64_t n, const T* m,
                        const T* scale, const T* shift, T* y);
  void (*column_gradient)(const T* g, const T* x, int64_t step, int64_t rows, int64_t n, const T* m,
                          const T* mean_g, const T* slope, const T* scale, T* dx);
};
struct NormLineTable {
  NormLines<float> f32;
  NormLines<double> f64;
};
// Null members where the compiler could not make them.
extern const NormLineTable kNormLinesBaseline, kNormLinesAvx2, kNormLinesAvx512;

// The best for this processor.
const NormLineTable& norm_line_table();
inline const NormLines<float>& norm_lines(float) { return norm_line_table().f32; }
inline const NormLines<double>& norm_lines(double) { return norm_line_table().f64; }

}  // namespace fastgrad
