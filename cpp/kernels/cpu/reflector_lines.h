// The innermost loops of Householder factorisations, once per instruction set.
#pragma once

#include <cstdint>

namespace fastgrad {

// Columns of a panel, whose rows lie one behind the other.
inline constexpr int64_t kReflectorPanel = 32;

// Rows that are solved for at a time.
inline constexpr int64_t kSubstituted = 8;

// Vectors as long as a row.
template <class T>
struct RankTwo {
  const T *v, *w, *next;
};

template <class T>
struct ReflectorLines {
  // For each row x of a panel: x[c] *= scale, then x[j] -= x[c] * along[j] for j > c, where along
  // is 0 up to c. Adds x[c + 1] * x to sums, kReflectorPanel values (unless c is the last column).
  void (*reflect)(T* rows, int64_t n, int64_t c, T scale, const T* along, T* sums);
  // sums = the sum over rows of x[c] * x.
  void (*products)(const T* rows, int64_t n, int64_t c, T* sums);
  // For each of n rows x, `stride` elements apart: x -= v[i] * to.w + w[i] * to.v, then products[i]
  // = x·to.next, all for the elements [begin, end), whole cache lines.
  void (*rank_two)(T* rows, int64_t stride, int64_t n, const T* v, const T* w, const RankTwo<T>& to,
                   int64_t begin, int64_t end, T* products);
  // For a symmetric matrix, of which row i is kept from its diagonal's cache line on: rows [begin,
  // end) are treated like that, with v and w those of `to`, and the whole matrix is multiplied by
  // to.next: products, of whole cache lines, gets the result added.
  void (*rank_two_symmetric)(T* a, int64_t stride, int64_t begin, int64_t end, const RankTwo<T>& to,
                             T* products);
  // Like rank_two, but adds up weights[i] * x in sums.
  void (*rank_two_sums)(T* rows, int64_t stride, int64_t n, const T* v, const T* w,
                        const RankTwo<T>& to, const T* weights, int64_t begin, int64_t end,
                        T* sums);
  // The rotations of a sweep over rows x0 ... x[count], all of `cols` elements, whole cache lines:
  // from the last pair on, (x[i], x[i + 1]) becomes (c x[i] - s x[i + 1], s x[i] + c x[i + 1]),
  // with the i-th of c and s.
  void (*rotate)(T* rows, int64_t stride, int64_t count, const T* c, const T* s, int64_t cols);
  // Transposed, the T of Panel (linalg_reflectors.h) from the reflectors' products and factors.
  void (*combine)(const T* inner, const T* tau, int64_t count, T* t);
  // Up to kSubstituted rows of x, whole cache lines of columns, divided by a lower triangle of any
  // strides, given the inverses of its diagonal: t⁻¹·x.
  void (*substitute)(const T* t, int64_t row_step, int64_t col_step, const T* inverses,
                     int64_t rows, T* x, int64_t stride, int64_t cols);
  // products[i] = x·y for each of n rows x.
  void (*dots)(const T* rows, int64_t stride, int64_t n, const T* y, int64_t begin, int64_t end,
               T* products);
};
struct ReflectorLineTable {
  ReflectorLines<float> f32;
  ReflectorLines<double> f64;
};
// Null members where the compiler could not make them.
extern const ReflectorLineTable kReflectorLinesBaseline, kReflectorLinesAvx2, kReflectorLinesAvx512;

// The best for this processor.
const ReflectorLineTable& reflector_line_table();
inline const ReflectorLines<float>& reflector_lines(float) { return reflector_line_table().f32; }
inline const ReflectorLines<double>& reflector_lines(double) { return reflector_line_table().f64; }

}  // namespace fastgrad
