// Own products: of small matrices, where vector tails go by masks and nothing is packed, and with a
// matrix packed in panels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/piece_done.h"

namespace fastgrad {

// Keeps the compiler from seeing through p: else it keeps one pointer per row, which are more than
// there are registers.
template <class T>
[[gnu::always_inline]] inline T opaque(T p) {
  asm("" : "+r"(p));
  return p;
}

// c[i, j] = alpha * sum_p a[i * a_row + p * a_col] * b[p * b_row + j] + from[i * from_row + j], or
// without the last where `from` is null; it may be c, or one row for all (from_row 0). The rows of
// b, c and from are contiguous.
template <class T>
using SmallGemm = void (*)(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row,
                           int64_t a_col, const T* b, int64_t b_row, T* c, int64_t c_row, T alpha,
                           const T* from, int64_t from_row);

// Several such products, whose matrices are so many elements apart; `from`, where it is not null,
// moves on with c. With c_step 0 it is the sum of all of them.
struct GemmBatch {
  int64_t count, a_step, b_step, c_step;
};
template <class T>
using SmallGemms = void (*)(const GemmBatch& batch, int64_t m, int64_t n, int64_t k, const T* a,
                            int64_t a_row, int64_t a_col, const T* b, int64_t b_row, T* c,
                            int64_t c_row, T alpha, const T* from, int64_t from_row);

// Note [Panels]
// A matrix b (k x n) is packed as panels of some columns, two registers wide: a panel's row p is
// contiguous and its rows follow one another, the last panel filled up with zeros. A product walks
// over all rows of a with a piece of one panel that stays in the first-level cache. An element of c
// is the sum over p in order, by fused multiply-adds, in pieces of kPanelDepth, which are added to
// c one after another: it depends neither on the number of rows that a call is given nor on the
// number of threads.
template <class T>
inline constexpr int64_t kPanelDepth = 2048 / sizeof(T);
inline constexpr int64_t kMaxPanelWidth = 32;

// Writes panels of b, width columns each: k * width elements per panel.
template <class T>
using PackPanels = void (*)(int64_t k, int64_t n, const T* b, int64_t b_row, int64_t b_col,
                            T* panels);
// Memory that is used after a product, fetched into a cache meanwhile.
struct Upcoming {
  const char* at;
  int64_t bytes;
  const Upcoming* then;
};
// SmallGemm with a packed b, whose panels are `step` apart, and alpha 1; any depth is one piece.
// `next` is for contiguous rows of a.
template <class T>
using PanelGemm = void (*)(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row,
                           int64_t a_col, const T* panels, int64_t step, T* c, int64_t c_row,
                           const T* from, int64_t from_row, const Upcoming* next);

// Note [Blocks]
// A product of any size packs b in blocks that fit the second-level cache, kPanelDepth rows deep;
// or, where a has few rows, reads b as it lies or packs a instead. Each adds up in the order of
// Note [Panels], so that all give the same bits.
//
// Note [Tiles]
// A large product is made in tiles, whose sums fill nearly all registers: 8 rows of three of them
// take eleven loads for 24 multiply-adds. The panels are as wide as a tile. Strips of as many rows
// of a as a tile has are copied one after another and stay in the first-level cache while the
// panels pass by from the second, into which the next strip and each tile's part of c are fetched
// meanwhile. The rows of a transposed a, columns far apart, are packed all at once, as a slab.
// Threads that share such a product pack the panels and the slab together and then take tiles: some
// rows by the columns of a block at a time. Nothing is packed twice, and a thread that comes late
// leaves more to the others.
template <class T>
struct TileSteps {
  bool (*suit)(int64_t m, int64_t n, int64_t k, int64_t a_col);
  int64_t (*columns)(int64_t n, int64_t depth);  // of a block; whole tiles
  PackPanels<T> pack;                            // panels as wide as a tile
  // Rows from a multiple of `rows` on, of a whose rows are contiguous with one another.
  void (*pack_slab)(int64_t m, int64_t k, const T* a, int64_t a_row, int64_t a_col, T* slab);
  // A product of at most kPanelDepth; the slab is null where a is read as it lies.
  void (*run)(int64_t m, int64_t n, int64_t k, const T* slab, const T* a, int64_t a_row,
              const T* panels, T* c, int64_t c_row, T alpha, const T* from, int64_t from_row,
              const PieceDone& done);
  int64_t rows, width;  // of a tile
};

template <class T>
using BlockGemm = void (*)(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row,
                           int64_t a_col, const T* b, int64_t b_row, int64_t b_col, T* c,
                           int64_t c_row, T alpha, const T* from, int64_t from_row, T* scratch,
                           const PieceDone& done);

template <class T>
struct OwnGemm {
  SmallGemm<T> small;
  SmallGemms<T> batch;
  PackPanels<T> pack;
  PanelGemm<T> panels;
  BlockGemm<T> blocks;  // null: not faster than BLAS
  // The elements of its working memory.
  int64_t (*block_scratch)(int64_t m, int64_t n, int64_t k, int64_t a_col);
  TileSteps<T> tiles;
  int64_t panel_width;
  // With more multiplications BLAS is faster, unless no side is shorter.
  int64_t most_products, least_side;
};
struct SmallGemmTable {
  OwnGemm<float> f32;
  OwnGemm<double> f64;
};
// One per instruction set; null members where the compiler could not make them.
extern const SmallGemmTable kSmallGemmBaseline, kSmallGemmAvx2, kSmallGemmAvx512;

// The best for this processor.
const SmallGemmTable& small_gemm_table();
inline const OwnGemm<float>& own_gemm(float) { return small_gemm_table().f32; }
inline const OwnGemm<double>& own_gemm(double) { return small_gemm_table().f64; }

}  // namespace fastgrad
