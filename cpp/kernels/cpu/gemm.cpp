// Chooses among the own kernels, OpenBLAS and, for integers, plain loops.
#include "kernels/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <type_traits>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/blas_threads.h"
#include "kernels/cpu/gemm_small.h"
#include "kernels/cpu/gemm_tall.h"

namespace fastgrad {
namespace {

// Up to this size the small kernel beats OpenBLAS.
constexpr int64_t kSmall = 32;
// From so many multiplications on a product is shared among threads: those of doubles take twice as
// long.
constexpr double parallel_products(DType dtype) {
  return dtype == DType::Float64 ? 1 << 20 : 1 << 21;
}
// The same for many small ones, each of which takes as long as it would for some more.
constexpr double kParallelBatch = 1 << 20, kEachProduct = 1500;
constexpr double kBlasSmall = 1.1e6;  // OpenBLAS has another kernel below 10^6
constexpr int64_t kRowTile = 48, kColumnBand = 1024;
constexpr int64_t kOwnTile = 64;
// Elements of small results that `done` hears of at once.
constexpr int64_t kTold = 8192;

template <class T>
T* at(const Matrix& m, int64_t row = 0, int64_t col = 0) {
  return reinterpret_cast<T*>(m.data) + row * m.row_stride + col * m.col_stride;
}

template <class T>
void gemm_small(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, const T* from,
                int64_t from_row) {
  if (b.col_stride == 1 || b.cols == 1) {
    own_gemm(T{}).small(c.rows, c.cols, a.cols, at<T>(a), a.row_stride, a.col_stride, at<T>(b),
                        b.row_stride, at<T>(c), c.row_stride, alpha, from, from_row);
    return;
  }
  const OwnGemm<T>& own = own_gemm(T{});
  T packed[kSmall * kMaxPanelWidth];
  int64_t width = b.rows * b.cols < 64 ? b.cols : own.panel_width;
  for (int64_t j = 0; j < b.cols; j += width) {
    int64_t columns = std::min(width, b.cols - j);
    if (width == own.panel_width)
      own.pack(b.rows, columns, at<T>(b, 0, j), b.row_stride, b.col_stride, packed);
    else
      for (int64_t p = 0; p < b.rows; ++p)
        for (int64_t q = 0; q < columns; ++q) packed[p * width + q] = *at<T>(b, p, j + q);
    own.small(c.rows, columns, a.cols, at<T>(a), a.row_stride, a.col_stride, packed, width,
              at<T>(c, 0, j), c.row_stride, alpha, from ? from + j : nullptr, from_row);
  }
}

// How BLAS sees a matrix: row-major, transposed or not, or not at all.
struct BlasMatrix {
  CBLAS_TRANSPOSE transpose;
  int64_t ld;
};
bool as_blas(const Matrix& m, BlasMatrix& out) {
  if ((m.col_stride == 1 || m.cols == 1) && (m.row_stride >= m.cols || m.rows == 1)) {
    out = {CblasNoTrans, m.rows == 1 ? std::max<int64_t>(m.cols, 1) : m.row_stride};
    return out.ld <= INT_MAX;
  }
  if ((m.row_stride == 1 || m.rows == 1) && (m.col_stride >= m.rows || m.cols == 1)) {
    out = {CblasTrans, m.cols == 1 ? std::max<int64_t>(m.rows, 1) : m.col_stride};
    return out.ld <= INT_MAX;
  }
  return false;
}

Array packed_copy(DType dtype, const Matrix& m, DType to) {
  Array source;
  source.data = m.data;
  source.dtype = dtype;
  source.shape = {m.rows, m.cols};
  source.strides = {m.row_stride, m.col_stride};
  source.numel = m.rows * m.cols;
  source.contiguous = is_contiguous(source.shape, source.strides);
  Array copy = Array::empty(source.shape, to);
  if (copy.numel) {
    CastKernel cast = cast_kernel(dtype, to);
    int64_t from_size = static_cast<int64_t>(itemsize(dtype)),
            to_size = static_cast<int64_t>(itemsize(to));
    for (int64_t i = 0; i < m.rows; ++i)
      cast(m.data + i * m.row_stride * from_size, m.col_stride, copy.data + i * m.cols * to_size, 1,
           m.cols);
  }
  return copy;
}

inline int as_int(int64_t n) { return static_cast<int>(n); }

template <class T>
void blas_gemm(const BlasMatrix& ma, const Matrix& a, const BlasMatrix& mb, const Matrix& b,
               const Matrix& c, T alpha, T beta) {
  int k = as_int(a.cols), ldc = as_int(std::max(c.row_stride, c.cols));
  double multiplications = 1.0 * static_cast<double>(c.rows * c.cols) * k;
  LongWork long_work(multiplications);
  auto run = [&](const T* from_a, const T* from_b, T* to, int64_t rows, int64_t cols) {
    int m = as_int(rows), n = as_int(cols);
    if constexpr (std::is_same_v<T, float>)
      scipy_cblas_sgemm(CblasRowMajor, ma.transpose, mb.transpose, m, n, k, alpha, from_a,
                        as_int(ma.ld), from_b, as_int(mb.ld), beta, to, ldc);
    else
      scipy_cblas_dgemm(CblasRowMajor, ma.transpose, mb.transpose, m, n, k, alpha, from_a,
                        as_int(ma.ld), from_b, as_int(mb.ld), beta, to, ldc);
  };
  // A band of rows for each thread: BLAS adds up an element in the same order whichever rows it is
  // given. Not so with columns, whose bands therefore do not depend on the number of threads.
  bool shared = multiplications >= parallel_products(dtype_of<T>);
  bool by_rows = !shared || c.rows >= 2 * kRowTile;
  int64_t side = by_rows ? c.rows : c.cols, band = by_rows ? side : kColumnBand;
  // The last band must not be so small that BLAS would take another kernel.
  for (int64_t threads = shared && by_rows ? pool_size() : 1; threads > 1; --threads) {
    band = ((side + threads - 1) / threads + kRowTile - 1) / kRowTile * kRowTile;
    int64_t last = side % band ? side % band : band;
    if (static_cast<double>(last) / static_cast<double>(side) * multiplications >= kBlasSmall)
      break;
    band = side;
  }
  parallel_for(side, band, [&](int64_t begin, int64_t end) {
    if (by_rows)
      run(at<T>(a, begin, 0), at<T>(b), at<T>(c, begin, 0), end - begin, c.cols);
    else
      run(at<T>(a), at<T>(b, 0, begin), at<T>(c, 0, begin), c.rows, end - begin);
  });
}

// y = alpha * m·x + beta * y, with element strides for x and y.
template <class T>
void blas_gemv(const BlasMatrix& mm, const Matrix& m, const T* x, int64_t incx, T* y, int64_t incy,
               T alpha, T beta) {
  bool transposed = mm.transpose == CblasTrans;
  int rows = as_int(transposed ? m.cols : m.rows), cols = as_int(transposed ? m.rows : m.cols);
  if constexpr (std::is_same_v<T, float>)
    scipy_cblas_sgemv(CblasRowMajor, mm.transpose, rows, cols, alpha, at<T>(m), as_int(mm.ld), x,
                      as_int(incx), beta, y, as_int(incy));
  else
    scipy_cblas_dgemv(CblasRowMajor, mm.transpose, rows, cols, alpha, at<T>(m), as_int(mm.ld), x,
                      as_int(incx), beta, y, as_int(incy));
}

// Whether the own kernel is faster than OpenBLAS.
template <class T>
bool own_is_faster(int64_t m, int64_t n, int64_t k) {
  const OwnGemm<T>& own = own_gemm(T{});
  return own.blocks && n >= 8 && m >= 2 &&
         (m * n * k <= own.most_products || std::min({m, n, k}) >= own.least_side);
}
template <class T>
bool own_is_faster(const Matrix& a, const Matrix& b, const Matrix& c) {
  return (b.row_stride == 1 || b.col_stride == 1) && (a.row_stride == 1 || a.col_stride == 1) &&
         own_is_faster<T>(c.rows, c.cols, a.cols);
}

// Whether a product among many, with contiguous rows of b, is made with b as it lies, whatever a's
// strides: by the small kernel, or as the first of Note [Blocks] would do it.
template <class T>
bool is_small(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kStays = 32768 / sizeof(T), kMost = 64;
  if (m <= kSmall && n <= kSmall && k <= kSmall) return true;
  return std::max(m, k) <= kMost && n * k <= kStays && own_is_faster<T>(m, n, k);
}

// A product by tiles, shared among threads; see Note [Tiles].
template <class T>
void shared_gemm(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, const T* from,
                 int64_t from_row, const PieceDone& done, int64_t threads) {
  // Columns of b that are packed at a time: 8 MB. Rows of a transposed a: 4 MB.
  constexpr int64_t kMostColumns = 4096, kMostRows = 2048, kDepth = kPanelDepth<T>;
  // A task is some rows by the columns of a block. About so many for each thread balance what they
  // do, and more rows begin with less that was not fetched ahead.
  constexpr int64_t kLeastRows = 64, kTasks = 8;
  const TileSteps<T>& tiles = own_gemm(T{}).tiles;
  const bool turned = a.col_stride != 1;
  const auto up = [](int64_t n, int64_t step) { return (n + step - 1) / step * step; };
  const int64_t deepest = std::min(a.cols, kDepth), rows_held = turned ? kMostRows : c.rows,
                panels_size = up(std::min(c.cols, kMostColumns), tiles.width) * deepest,
                slab_size = turned ? std::min(c.rows, kMostRows) * deepest : 0;
  const int64_t blocks = (c.cols - 1) / tiles.columns(c.cols, deepest) + 1;
  Ref<Buffer> scratch =
      Buffer::allocate(static_cast<size_t>(panels_size + slab_size) * sizeof(T) + 64);
  T *panels = reinterpret_cast<T*>(scratch->data()), *slab = panels + panels_size;
  for (int64_t i0 = 0; i0 < c.rows; i0 += rows_held) {
    const int64_t rows = std::min(c.rows - i0, rows_held),
                  tasks = std::clamp(kTasks * threads / blocks, int64_t{1}, rows / kLeastRows + 1),
                  some = up((rows + tasks - 1) / tasks, tiles.rows),
                  pieces = (rows + some - 1) / some;
    for (int64_t p = 0; p < a.cols; p += kDepth) {
      const int64_t depth = std::min(a.cols - p, kDepth);
      for (int64_t j0 = 0; j0 < c.cols; j0 += kMostColumns / tiles.width * tiles.width) {
        const int64_t cols = std::min(c.cols - j0, kMostColumns / tiles.width * tiles.width),
                      panel_count = (cols + tiles.width - 1) / tiles.width;
        const bool packs_a = turned && j0 == 0;
        parallel_for(panel_count + (packs_a ? pieces : 0), 1, [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            if (t < panel_count) {
              const int64_t j = t * tiles.width;
              tiles.pack(depth, std::min(cols - j, tiles.width), at<T>(b, p, j0 + j), b.row_stride,
                         b.col_stride, panels + j * depth);
            } else {
              const int64_t i = (t - panel_count) * some;
              tiles.pack_slab(std::min(rows - i, some), depth, at<T>(a, i0 + i, p), a.row_stride,
                              a.col_stride, slab + i * depth);
            }
          }
        });
        const int64_t wide = tiles.columns(cols, depth);
        parallel_for((cols + wide - 1) / wide * pieces, 1, [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            const int64_t j = t / pieces * wide, i = t % pieces * some, row = i0 + i, col = j0 + j;
            T* to = at<T>(c, row, col);
            const T* add = p > 0 ? to : from ? from + row * from_row + col : nullptr;
            tiles.run(std::min(rows - i, some), std::min(cols - j, wide), depth,
                      turned ? slab + i * depth : nullptr, at<T>(a, row, p), a.row_stride,
                      panels + j * depth, to, c.row_stride, alpha, add,
                      p > 0 ? c.row_stride : from_row,
                      p + depth == a.cols ? done.at(row, col) : PieceDone());
          }
        });
      }
    }
  }
}

template <class T>
void block_gemm(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, const T* from,
                int64_t from_row, const PieceDone& done) {
  const OwnGemm<T>& own = own_gemm(T{});
  int64_t m = c.rows, n = c.cols, k = a.cols;
  double multiplications = static_cast<double>(m * n) * static_cast<double>(k);
  LongWork long_work(multiplications);
  const int64_t threads = multiplications >= parallel_products(dtype_of<T>) ? pool_size() : 1;
  if (threads > 1 && own.tiles.suit(m, n, k, a.col_stride)) {
    shared_gemm<T>(a, b, c, alpha, from, from_row, done, threads);
    return;
  }
  // Any band gives the same bits: see Note [Panels]. Each band of rows packs all of b, and each
  // band of columns a transposed a.
  bool by_rows = m >= (a.col_stride == 1 ? 2 * n : n);
  int64_t side = by_rows ? m : n, tile = by_rows ? kOwnTile : own.panel_width;
  int64_t band = ((side + threads - 1) / threads + tile - 1) / tile * tile;
  int64_t bands = (side + band - 1) / band;
  int64_t need = own.block_scratch(by_rows ? band : m, by_rows ? n : band, k, a.col_stride);
  Ref<Buffer> scratch = Buffer::allocate(static_cast<size_t>(need * bands) * sizeof(T));
  parallel_for(side, band, [&](int64_t begin, int64_t end) {
    T* memory = reinterpret_cast<T*>(scratch->data()) + begin / band * need;
    int64_t row = by_rows ? begin : 0, col = by_rows ? 0 : begin;
    own.blocks(by_rows ? end - begin : m, by_rows ? n : end - begin, k, at<T>(a, row, 0),
               a.row_stride, a.col_stride, at<T>(b, 0, col), b.row_stride, b.col_stride,
               at<T>(c, row, col), c.row_stride, alpha,
               from ? from + row * from_row + col : nullptr, from_row, memory, done.at(row, col));
  });
}

void repeat_row(const char* row, const Matrix& c, size_t itemsize) {
  size_t bytes = static_cast<size_t>(c.cols) * itemsize;
  for (int64_t i = 0; i < c.rows; ++i)
    std::memcpy(c.data + i * c.row_stride * static_cast<int64_t>(itemsize), row, bytes);
}

// Whether o.done has heard of everything.
template <class T>
bool gemm_float(Matrix a, Matrix b, const Matrix& c, const GemmOptions& o) {
  const T alpha = o.alpha.to<T>();
  const T* from = o.accumulate ? at<T>(c) : reinterpret_cast<const T*>(o.row);
  const int64_t from_row = o.accumulate ? c.row_stride : 0;
  if (c.rows <= kSmall && c.cols <= kSmall && a.cols <= kSmall) {
    gemm_small<T>(a, b, c, alpha, from, from_row);
    return false;
  }
  if (!o.accumulate && gemm_tall<T>(a, b, c, alpha, from)) return false;
  if (gemm_wide<T>(a, b, c, alpha, from, from_row)) return false;
  FG_CHECK(c.rows <= INT_MAX && c.cols <= INT_MAX && a.cols <= INT_MAX && c.row_stride <= INT_MAX,
           "[matmul] matrices of ", c.rows, "x", a.cols, " and ", a.cols, "x", c.cols,
           " are too large for BLAS, whose sizes are limited to 2147483647; split the product");
  if (own_is_faster<T>(a, b, c)) {
    block_gemm<T>(a, b, c, alpha, from, from_row, o.done);
    return true;
  }
  one_blas_thread();
  if (o.row) repeat_row(o.row, c, sizeof(T));
  T beta = from ? T(1) : T(0);
  BlasMatrix ma, mb;
  Array held_a, held_b;
  auto usable = [](Matrix& m, BlasMatrix& blas, Array& held) {
    if (as_blas(m, blas)) return;
    held = packed_copy(dtype_of<T>, m, dtype_of<T>);
    m = {held.data, m.rows, m.cols, m.cols, 1};
    as_blas(m, blas);
  };
  auto vector_stride_fits = [](int64_t s) { return s != 0 && s > 0 && s <= INT_MAX; };
  if (c.cols == 1 && vector_stride_fits(b.rows == 1 ? 1 : b.row_stride)) {
    usable(a, ma, held_a);
    blas_gemv<T>(ma, a, at<T>(b), b.rows == 1 ? 1 : b.row_stride, at<T>(c),
                 std::max<int64_t>(c.row_stride, 1), alpha, beta);
    return false;
  }
  if (c.rows == 1 && vector_stride_fits(a.cols == 1 ? 1 : a.col_stride)) {
    Matrix bt = b.transposed();
    usable(bt, mb, held_b);
    blas_gemv<T>(mb, bt, at<T>(a), a.cols == 1 ? 1 : a.col_stride, at<T>(c), 1, alpha, beta);
    return false;
  }
  usable(a, ma, held_a);
  usable(b, mb, held_b);
  blas_gemm<T>(ma, a, mb, b, c, alpha, beta);
  return false;
}

// Integers add up modulo 2^bits: signed overflow would be undefined in C++.
template <class T>
void gemm_integer(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, bool accumulate) {
  using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  constexpr int64_t kWidth = 128;
  U sums[kWidth];
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j0 = 0; j0 < c.cols; j0 += kWidth) {
      int64_t width = std::min(kWidth, c.cols - j0);
      std::fill_n(sums, width, U(0));
      for (int64_t p = 0; p < a.cols; ++p) {
        U x = static_cast<U>(*at<T>(a, i, p));
        const T* row = at<T>(b, p, j0);
        for (int64_t j = 0; j < width; ++j) sums[j] += x * static_cast<U>(row[j * b.col_stride]);
      }
      T* out = at<T>(c, i, j0);
      for (int64_t j = 0; j < width; ++j)
        out[j] = static_cast<T>(static_cast<U>(alpha) * sums[j] +
                                (accumulate ? static_cast<U>(out[j]) : U(0)));
    }
  }
}

void gemm_half(DType dtype, const Matrix& a, const Matrix& b, const Matrix& c,
               const GemmOptions& o) {
  Array fa = packed_copy(dtype, a, DType::Float32), fb = packed_copy(dtype, b, DType::Float32);
  Array fc = packed_copy(dtype, c, DType::Float32);
  GemmOptions in_floats = o;
  in_floats.done = {};
  gemm_float<float>(matrix_of(fa), matrix_of(fb), matrix_of(fc), in_floats);
  CastKernel cast = cast_kernel(DType::Float32, dtype);
  for (int64_t i = 0; i < c.rows; ++i)
    cast(fc.data + i * c.cols * 4, 1, c.data + i * c.row_stride * 2, 1, c.cols);
}

// A walk over the batch dimensions of out, with the offsets of a's and b's matrices.
struct BatchDims {
  Dims shape, a, b;  // sizes; strides in elements, 0 where broadcast
};

BatchDims batch_dims(const Array& a, const Array& b) {
  Dims sa(a.shape.begin(), a.shape.end() - 2), sb(b.shape.begin(), b.shape.end() - 2);
  BatchDims d;
  d.shape = broadcast(sa, sb);
  auto strides = [&](const Array& x, const Dims& have) {
    Dims s(d.shape.size(), 0);
    size_t shift = d.shape.size() - have.size();
    for (size_t i = 0; i < have.size(); ++i) s[i + shift] = have[i] == 1 ? 0 : x.strides[i];
    return s;
  };
  d.a = strides(a, sa);
  d.b = strides(b, sb);
  // Neighbouring dimensions that both walk alike become one.
  BatchDims merged;
  for (size_t i = 0; i < d.shape.size(); ++i) {
    if (d.shape[i] == 1) continue;
    if (!merged.shape.empty() && merged.a.back() == d.a[i] * d.shape[i] &&
        merged.b.back() == d.b[i] * d.shape[i]) {
      merged.shape.back() *= d.shape[i];
      merged.a.back() = d.a[i];
      merged.b.back() = d.b[i];
    } else {
      merged.shape.push_back(d.shape[i]);
      merged.a.push_back(d.a[i]);
      merged.b.push_back(d.b[i]);
    }
  }
  return merged;
}

}  // namespace

bool finishes_pieces(DType dtype, int64_t m, int64_t n, int64_t k) {
  if (dtype != DType::Float32 && dtype != DType::Float64) return false;
  // Large results of few multiplications are not shared among threads.
  if (m * n > kParallelGrain &&
      static_cast<double>(m * n) * static_cast<double>(k) < parallel_products(dtype))
    return false;
  return dtype == DType::Float32 ? own_is_faster<float>(m, n, k) : own_is_faster<double>(m, n, k);
}

namespace {

// Whether o.done has heard of everything.
bool multiply(DType dtype, const Matrix& a, const Matrix& b, const Matrix& c,
              const GemmOptions& options) {
  if (a.cols != 0 && dtype == DType::Float32) return gemm_float<float>(a, b, c, options);
  if (a.cols != 0 && dtype == DType::Float64) return gemm_float<double>(a, b, c, options);
  GemmOptions o = options;
  if (o.row) {
    repeat_row(o.row, c, itemsize(dtype));
    o.row = nullptr;
    o.accumulate = true;
  }
  if (a.cols == 0) {
    if (o.accumulate) return false;
    int64_t size = static_cast<int64_t>(itemsize(dtype));
    for (int64_t i = 0; i < c.rows; ++i)
      std::memset(c.data + i * c.row_stride * size, 0, static_cast<size_t>(c.cols * size));
    return false;
  }
  switch (dtype) {
    case DType::Float16:
    case DType::BFloat16:
      gemm_half(dtype, a, b, c, o);
      return false;
    default:
      dispatch_real(dtype, "matmul", [&]<class T>(T) {
        if constexpr (std::is_same_v<T, bool>)
          fail(ErrorKind::NotImplemented,
               "\"matmul\" not implemented for 'Bool'; convert first, e.g. with "
               ".to(fastgrad.int64)");
        else if constexpr (std::is_integral_v<T>)
          gemm_integer<T>(a, b, c, o.alpha.to<T>(), o.accumulate);
      });
      return false;
  }
}

}  // namespace

void gemm(DType dtype, const Matrix& a, const Matrix& b, const Matrix& c, const GemmOptions& o) {
  if (c.rows == 0 || c.cols == 0) return;
  if (multiply(dtype, a, b, c, o) || !o.done) return;
  parallel_for(c.rows, std::max<int64_t>(kParallelGrain / c.cols, 1),
               [&](int64_t begin, int64_t end) { o.done(begin, 0, end - begin, c.cols); });
}

void batched_gemm(const Array& a, const Array& b, const Array& out, const BatchedGemm& o) {
  if (out.numel == 0) return;
  Matrix ma = matrix_of(a), mb = matrix_of(b), mc = matrix_of(out);
  if (o.transpose_a) ma = ma.transposed();
  if (o.transpose_b) mb = mb.transposed();
  if (a.shape.size() == 2 && b.shape.size() == 2) {
    gemm(out.dtype, ma, mb, mc, o);
    return;
  }
  BatchDims d = batch_dims(a, b);
  size_t n = d.shape.size();
  int64_t size = static_cast<int64_t>(out.itemsize());
  int64_t batches = numel_of(d.shape);
  GemmOptions options = o;
  if (o.sum_batches && batches == 0 && !o.accumulate)
    std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
  // One matrix b for all: the batches of a are more rows of one tall matrix.
  if (n == 1 && !o.sum_batches && d.b[0] == 0 && d.a[0] == ma.rows * ma.row_stride) {
    ma.rows *= batches;
    mc.rows *= batches;
    gemm(out.dtype, ma, mb, mc, options);
    return;
  }
  int64_t step = o.sum_batches ? 0 : mc.rows * mc.cols;
  const int64_t inner = n ? d.shape[n - 1] : 1, step_a = n ? d.a[n - 1] : 0,
                step_b = n ? d.b[n - 1] : 0;
  // Calls f(batch, count, offset of a, offset of b) for the batches of a range, as many at a time
  // as follow one another at the same distances.
  auto walk = [&](int64_t begin, int64_t end, auto&& f) {
    Dims index(n, 0);
    int64_t offset_a = 0, offset_b = 0, rest = begin;
    for (size_t k = n; k-- > 0; rest /= d.shape[k]) {
      index[k] = rest % d.shape[k];
      offset_a += index[k] * d.a[k];
      offset_b += index[k] * d.b[k];
    }
    for (int64_t i = begin, count; i < end; i += count) {
      count = n ? std::min(end - i, inner - index[n - 1]) : 1;
      f(i, count, offset_a, offset_b);
      if (n == 0) continue;
      offset_a += count * step_a;
      offset_b += count * step_b;
      index[n - 1] += count;
      for (size_t k = n - 1; index[k] == d.shape[k] && k > 0; --k) {
        offset_a += d.a[k - 1] - d.shape[k] * d.a[k];
        offset_b += d.b[k - 1] - d.shape[k] * d.b[k];
        index[k] = 0;
        ++index[k - 1];
      }
    }
  };
  // Many small products: what is the same for all is asked once. Some at a time tell of themselves.
  const int64_t at_once = o.done ? std::max<int64_t>(kTold / (mc.rows * mc.cols), 1) : INT64_MAX;
  auto run_small = [&]<class T>(T, int64_t begin, int64_t end) {
    const SmallGemms<T> multiply = own_gemm(T{}).batch;
    const T alpha = options.alpha.to<T>();
    bool adds = options.accumulate;
    walk(begin, end, [&](int64_t first, int64_t count, int64_t offset_a, int64_t offset_b) {
      for (int64_t done = 0, some; done < count; done += some) {
        some = std::min(count - done, at_once);
        const int64_t i = first + done;
        T* c = at<T>(mc) + i * step;
        multiply({some, step_a, step_b, step}, mc.rows, mc.cols, ma.cols,
                 at<T>(ma) + offset_a + done * step_a, ma.row_stride, ma.col_stride,
                 at<T>(mb) + offset_b + done * step_b, mb.row_stride, c, mc.row_stride, alpha,
                 adds ? c : nullptr, mc.row_stride);
        if (o.done) o.done(i * mc.rows, 0, some * mc.rows, mc.cols);
        if (o.sum_batches) adds = true;
      }
    });
  };
  const bool direct = (mb.col_stride == 1 || mb.cols == 1) && !o.row && ma.cols > 0;
  auto run = [&](int64_t begin, int64_t end) {
    if (direct && out.dtype == DType::Float32 && is_small<float>(mc.rows, mc.cols, ma.cols))
      return run_small(float{}, begin, end);
    if (direct && out.dtype == DType::Float64 && is_small<double>(mc.rows, mc.cols, ma.cols))
      return run_small(double{}, begin, end);
    GemmOptions each = options;
    walk(begin, end, [&](int64_t first, int64_t count, int64_t offset_a, int64_t offset_b) {
      for (int64_t i = first; i < first + count; ++i, offset_a += step_a, offset_b += step_b) {
        each.done = o.done.at(i * mc.rows, 0);
        gemm(out.dtype, {ma.data + offset_a * size, ma.rows, ma.cols, ma.row_stride, ma.col_stride},
             {mb.data + offset_b * size, mb.rows, mb.cols, mb.row_stride, mb.col_stride},
             {mc.data + i * step * size, mc.rows, mc.cols, mc.row_stride, mc.col_stride}, each);
        if (o.sum_batches) each.accumulate = true;
      }
    });
  };
  double each = static_cast<double>(mc.rows * mc.cols) * static_cast<double>(ma.cols);
  double all = (each + kEachProduct) * static_cast<double>(batches);
  // Products that are shared among threads themselves come one after another.
  if (o.sum_batches || all < kParallelBatch || each >= parallel_products(out.dtype))
    return run(0, batches);
  LongWork long_work(all);
  parallel_for(batches, (batches + 15) / 16, run);
}

}  // namespace fastgrad
