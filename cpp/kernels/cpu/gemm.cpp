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

namespace fastgrad {
namespace {

// Up to this size the small kernel beats OpenBLAS.
constexpr int64_t kSmall = 32;
// From so many multiplications on a product is shared among threads.
constexpr double kParallelProducts = 1 << 21;
constexpr double kBlasSmall = 1.1e6;  // OpenBLAS has another kernel below 10^6
constexpr int64_t kRowTile = 48, kColumnBand = 1024;
constexpr int64_t kOwnTile = 64;

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
  bool shared = multiplications >= kParallelProducts;
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

template <class T>
void block_gemm(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, const T* from,
                int64_t from_row, const PieceDone& done) {
  const OwnGemm<T>& own = own_gemm(T{});
  int64_t m = c.rows, n = c.cols, k = a.cols;
  double multiplications = static_cast<double>(m * n) * static_cast<double>(k);
  LongWork long_work(multiplications);
  // Any band gives the same bits: see Note [Panels]. Each band of rows packs all of b, and each
  // band of columns a transposed a.
  bool by_rows = m >= (a.col_stride == 1 ? 2 * n : n);
  int64_t side = by_rows ? m : n, bands = multiplications >= kParallelProducts ? pool_size() : 1;
  int64_t tile = by_rows ? kOwnTile : own.tile_width;
  int64_t band = ((side + bands - 1) / bands + tile - 1) / tile * tile;
  bands = (side + band - 1) / band;
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
      static_cast<double>(m * n) * static_cast<double>(k) < kParallelProducts)
    return false;
  return dtype == DType::Float32 ? own_is_faster<float>(m, n, k) : own_is_faster<double>(m, n, k);
}

Matrix matrix_of(const Array& a) {
  size_t n = a.shape.size();
  return {a.data, a.shape[n - 2], a.shape[n - 1], a.strides[n - 2], a.strides[n - 1]};
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
  // Calls f(batch, offset of a, offset of b) for the batches of a range.
  auto walk = [&](int64_t begin, int64_t end, auto&& f) {
    Dims index(n, 0);
    int64_t offset_a = 0, offset_b = 0, rest = begin;
    for (size_t k = n; k-- > 0; rest /= d.shape[k]) {
      index[k] = rest % d.shape[k];
      offset_a += index[k] * d.a[k];
      offset_b += index[k] * d.b[k];
    }
    for (int64_t i = begin; i < end; ++i) {
      f(i, offset_a, offset_b);
      for (size_t k = n; k-- > 0;) {
        offset_a += d.a[k];
        offset_b += d.b[k];
        if (++index[k] < d.shape[k]) break;
        offset_a -= d.shape[k] * d.a[k];
        offset_b -= d.shape[k] * d.b[k];
        index[k] = 0;
      }
    }
  };
  // Many small products: what is the same for all is asked once.
  auto run_small = [&]<class T>(T, int64_t begin, int64_t end) {
    const SmallGemm<T> multiply = own_gemm(T{}).small;
    const T alpha = options.alpha.to<T>();
    bool adds = options.accumulate;
    walk(begin, end, [&](int64_t i, int64_t offset_a, int64_t offset_b) {
      T* c = at<T>(mc) + i * step;
      multiply(mc.rows, mc.cols, ma.cols, at<T>(ma) + offset_a, ma.row_stride, ma.col_stride,
               at<T>(mb) + offset_b, mb.row_stride, c, mc.row_stride, alpha, adds ? c : nullptr,
               mc.row_stride);
      if (o.done) o.done(i * mc.rows, 0, mc.rows, mc.cols);
      if (o.sum_batches) adds = true;
    });
  };
  const bool small = mc.rows <= kSmall && mc.cols <= kSmall && ma.cols <= kSmall && ma.cols > 0 &&
                     mc.rows > 0 && (mb.col_stride == 1 || mb.cols == 1) && !o.row;
  auto run = [&](int64_t begin, int64_t end) {
    if (small && out.dtype == DType::Float32) return run_small(float{}, begin, end);
    if (small && out.dtype == DType::Float64) return run_small(double{}, begin, end);
    GemmOptions each = options;
    walk(begin, end, [&](int64_t i, int64_t offset_a, int64_t offset_b) {
      each.done = o.done.at(i * mc.rows, 0);
      gemm(out.dtype, {ma.data + offset_a * size, ma.rows, ma.cols, ma.row_stride, ma.col_stride},
           {mb.data + offset_b * size, mb.rows, mb.cols, mb.row_stride, mb.col_stride},
           {mc.data + i * step * size, mc.rows, mc.cols, mc.row_stride, mc.col_stride}, each);
      if (o.sum_batches) each.accumulate = true;
    });
  };
  double each = static_cast<double>(mc.rows * mc.cols) * static_cast<double>(ma.cols);
  double all = each * static_cast<double>(batches);
  // Products that are shared among threads themselves come one after another.
  if (o.sum_batches || all < kParallelProducts || each >= kParallelProducts) return run(0, batches);
  LongWork long_work(all);
  parallel_for(batches, (batches + 15) / 16, run);
}

}  // namespace fastgrad
