// Lines of few elements, taken apart into columns and put together again, once per instruction set.
//
// Rows of coordinates or colours are too short for a register each. Side by side in columns they
// fill registers, and what reduces or scans them works on as many lines at once as a register has
// lanes: ShortTiles in short_tiles.h.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace fastgrad {

// The longest lines that are taken apart.
inline constexpr int64_t kMostColumns = 16;

// m lines of n elements stand one after another, n <= kMostColumns: element k of line i at
// lines[i * n + k]. As columns it is at columns[k * step + i].
using SplitKernel = void (*)(const char* lines, int64_t m, char* columns, int64_t step);
using JoinKernel = void (*)(const char* columns, int64_t step, int64_t m, char* lines);

// The longest steps from element to element that are picked by registers.
inline constexpr int64_t kMostPicked = 8;
// to[i] = from[i * step], i < m, for steps of 2 to kMostPicked elements.
using PickKernel = void (*)(const char* from, int64_t step, char* to, int64_t m);
// to[i] = from[-i], i < m.
using TurnKernel = void (*)(const char* from, char* to, int64_t m);
// Words that are row_step bytes apart, each again and again for a row of `bytes` bytes.
using SpreadKernel = void (*)(const char* from, int64_t row_step, int64_t bytes, int64_t rows,
                              char* to);
// Both words in turn, 16 bytes again and again, the last time as many as there is room for.
using RepeatKernel = void (*)(uint64_t low, uint64_t high, char* to, int64_t bytes);

// Products of columns. Those of m elements are readable, and written, up to a multiple of 64 bytes.
template <class T>
struct ColumnProducts {
  // Lines times a matrix: out[j * step + i] is the sum over p of a[p * step + i] * b[p * cols + j].
  void (*times)(const T* a, int64_t depth, const T* b, int64_t cols, T* out, int64_t step,
                int64_t m);
  // Each column of a times each one of b: c[p * cols + q] += the sum over i < m, of which those
  // beyond m up to the multiple are zero.
  void (*dots)(const T* a, int64_t rows, const T* b, int64_t cols, double* c, int64_t step,
               int64_t m);
};

// Running sums and products, in double, along rows of n elements that stand one after another: each
// in the order of its elements. Null without AVX2.
struct RowOrder {
  bool reverse, exclusive;  // the latter of products alone
};
// The largest and the smallest elements so far, NaN once there is one, and their last places; of
// whole groups of rows. Return how many those are.
template <class T>
struct RowExtremes {
  int64_t (*largest)(const T* p, int64_t rows, int64_t n, T* q, int64_t* place);
  int64_t (*smallest)(const T* p, int64_t rows, int64_t n, T* q, int64_t* place);
};
// The same down the columns of so many rows, of which a register holds one at least: the largest
// elements, or the smallest ones where `flip` is -1, else 0. Null without AVX-512.
template <class T>
using ColumnExtremes = void (*)(const T* p, int64_t rows, int64_t columns, T flip, T* q,
                                int64_t* place);
template <class T>
struct RowScans : RowExtremes<T> {
  void (*sum)(const T* p, int64_t rows, int64_t n, RowOrder order, T* q);
  void (*product)(const T* p, int64_t rows, int64_t n, RowOrder order, T* q);
  // q = b + a[before] q[before], of whole groups of rows. Returns how many those are.
  int64_t (*linear)(const T* b, const T* a, int64_t rows, int64_t n, bool reverse, T* q);
};

struct ShortLineTable {
  // By the element's size, 1 << k bytes, and the length of a line. Null for 11, 13, 14 and 15,
  // which take as long to shuffle as to copy one by one, and for putting together less than 4
  // bytes.
  SplitKernel split[4][kMostColumns + 1];
  JoinKernel join[4][kMostColumns + 1];
  PickKernel pick32, pick64;  // of 4 and 8 bytes
  TurnKernel turn[4];         // by the element's size as above
  TurnKernel turn_threes;     // of 3 bytes; null without AVX2
  RepeatKernel repeat;
  SpreadKernel spread32, spread64;
  ColumnProducts<float> products_f32;
  ColumnProducts<double> products_f64;
  RowScans<float> scans_f32;
  RowScans<double> scans_f64;
  RowExtremes<int64_t> scans_i64;
  ColumnExtremes<int32_t> columns_i32;
  ColumnExtremes<int64_t> columns_i64;
};
// Null members where the compiler could not make them.
extern const ShortLineTable kShortLinesBaseline, kShortLinesAvx2, kShortLinesAvx512;

// The best for this processor.
const ShortLineTable& short_line_table();
// Null for what it does not do; lines of one element are their own column.
inline SplitKernel split_kernel(size_t itemsize, int64_t n) {
  if (n < 2 || n > kMostColumns || itemsize > 8) return nullptr;
  return short_line_table().split[std::countr_zero(itemsize)][n];
}
inline JoinKernel join_kernel(size_t itemsize, int64_t n) {
  if (n < 2 || n > kMostColumns || itemsize > 8) return nullptr;
  return short_line_table().join[std::countr_zero(itemsize)][n];
}
inline PickKernel pick_kernel(size_t itemsize) {
  return itemsize == 4 ? short_line_table().pick32 : short_line_table().pick64;
}
// Null but for elements of 1, 2, 4, 8 and perhaps 3 bytes.
inline TurnKernel turn_kernel(size_t itemsize) {
  const ShortLineTable& table = short_line_table();
  if (itemsize == 3) return table.turn_threes;
  return std::has_single_bit(itemsize) && itemsize <= 8 ? table.turn[std::countr_zero(itemsize)]
                                                        : nullptr;
}
inline SpreadKernel spread_kernel(size_t itemsize) {
  return itemsize == 4 ? short_line_table().spread32 : short_line_table().spread64;
}
// A word of 1, 2, 4, 8 or 16 bytes again and again; `bytes` is a multiple of its size.
void repeat_word(const char* word, int64_t size, char* to, int64_t bytes);
inline const auto& column_products(float) { return short_line_table().products_f32; }
inline const auto& row_scans(float) { return short_line_table().scans_f32; }
inline const auto& row_scans(double) { return short_line_table().scans_f64; }
inline const auto& row_scans(int64_t) { return short_line_table().scans_i64; }
inline auto column_extremes(int32_t) { return short_line_table().columns_i32; }
inline auto column_extremes(int64_t) { return short_line_table().columns_i64; }
inline const auto& column_products(double) { return short_line_table().products_f64; }

}  // namespace fastgrad
