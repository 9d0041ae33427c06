#include "kernels/attention.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/attention_lines.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"

namespace fastgrad {
namespace {

// Weights that are made at a time: they stay in the second-level cache.
constexpr int64_t kWeights = 64 * 1024;
constexpr int64_t kMaxRows = 256;

// The first element of each matrix of a batch, in elements.
std::vector<int64_t> batch_offsets(const Array& a, int64_t batch) {
  std::vector<int64_t> offsets;
  offsets.reserve(static_cast<size_t>(batch));
  for (int64_t b = 0; b < batch; ++b) {
    int64_t offset = 0, rest = b;
    for (size_t d = a.shape.size() - 2; d-- > 0; rest /= a.shape[d])
      offset += rest % a.shape[d] * a.strides[d];
    offsets.push_back(offset);
  }
  return offsets;
}

// An array of matrices, whose rows may lie apart: a part of a product for all heads is read as it
// lies there.
template <class T>
class Matrices {
 public:
  Matrices(const Array& a, int64_t batch)
      : data_(a.ptr<T>()),
        row_(a.strides[a.shape.size() - 2]),
        cols_(a.shape.back()),
        offsets_(batch_offsets(a, batch)) {}
  T* row(int64_t b, int64_t i) const { return data_ + offsets_[static_cast<size_t>(b)] + i * row_; }
  Matrix rows(int64_t b, int64_t i, int64_t m) const {
    return {reinterpret_cast<char*>(row(b, i)), m, cols_, row_, 1};
  }

 private:
  T* data_;
  int64_t row_, cols_;
  std::vector<int64_t> offsets_;
};

// The array itself where Matrices can read it, else a copy.
Array readable(const Array& a, DType d) {
  size_t n = a.shape.size();
  bool rows = a.dtype == d && a.strides[n - 1] == 1 && a.strides[n - 2] >= a.shape[n - 1];
  return rows ? a : as_contiguous(a, d);
}

template <class T>
Matrix matrix_at(T* data, int64_t rows, int64_t cols) {
  return {reinterpret_cast<char*>(data), rows, cols, cols, 1};
}

double multiplications(const AttentionShape& s) {
  return static_cast<double>(s.batch * s.queries) *
         static_cast<double>(s.keys * (s.depth + s.width));
}

// The mask's rows, by batch and query.
class Mask {
 public:
  Mask(const Array* mask, int64_t batch) : mask_(mask) {
    if (mask) offsets_ = batch_offsets(*mask, batch);
  }
  // Applies to n scores of one query.
  template <class T>
  void apply(int64_t batch, int64_t query, T* scores, int64_t n) const {
    if (!mask_) return;
    size_t dims = mask_->shape.size();
    int64_t at = offsets_[static_cast<size_t>(batch)] + query * mask_->strides[dims - 2];
    int64_t step = mask_->strides[dims - 1];
    const AttentionLines<T>& lines = attention_lines(T{});
    if (mask_->dtype == DType::Bool) {
      const bool* seen = mask_->ptr<bool>() + at;
      if (step == 1) return lines.hide(seen, scores, n);
      for (int64_t j = 0; j < n; ++j)
        if (!seen[j * step]) scores[j] = -std::numeric_limits<T>::infinity();
    } else {
      const T* more = mask_->ptr<T>() + at;
      if (step == 1) return lines.add(more, scores, n);
      for (int64_t j = 0; j < n; ++j) scores[j] += more[j * step];
    }
  }

 private:
  const Array* mask_;
  std::vector<int64_t> offsets_;
};

// One walk of forward or backward: its sizes and scratch memory.
template <class T>
class Walk {
 public:
  Walk(const AttentionShape& s, const Mask& mask) : shape_(s), mask_(mask) {
    rows_ = std::clamp<int64_t>(kWeights / std::max<int64_t>(s.keys, 1), 8, kMaxRows);
    weights.resize(static_cast<size_t>(rows_ * s.keys));
  }

  // Calls f(batch, first query, queries, keys that they may see) for the batches [begin, end).
  template <class F>
  void for_blocks(int64_t begin, int64_t end, F&& f) const {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t i = 0; i < shape_.queries; i += rows_) {
        int64_t m = std::min(rows_, shape_.queries - i);
        f(b, i, m, shape_.causal ? std::min(shape_.keys, i + m) : shape_.keys);
      }
  }

  // weights = scale * q·kᵀ + mask for q's queries, from i on, and k's keys.
  void scores(const Matrix& q, const Matrix& k, int64_t b, int64_t i) {
    int64_t m = q.rows, n = k.rows;
    GemmOptions o;
    o.alpha = Scalar(shape_.scale);
    gemm(dtype_of<T>, q, k.transposed(), matrix_at(weights.data(), m, n), o);
    for (int64_t r = 0; r < m; ++r) {
      T* row = weights.data() + r * n;
      mask_.apply(b, i + r, row, n);
      if (shape_.causal)
        for (int64_t j = i + r + 1; j < n; ++j) row[j] = -std::numeric_limits<T>::infinity();
    }
  }

  void drop(const T* from, int64_t b, int64_t query, int64_t n, T* to) const {
    dropout_span(from, shape_.stream, (b * shape_.queries + query) * shape_.keys, shape_.dropout, n,
                 to);
  }

  std::vector<T> weights;

 private:
  const AttentionShape& shape_;
  const Mask& mask_;
  int64_t rows_;
};

// Arrays of a call, row-major and in the type to compute in.
Array typed_mask(const Array* mask, DType d) {
  if (!mask || mask->dtype == DType::Bool || mask->dtype == d) return mask ? *mask : Array();
  return contiguous_copy(*mask, d);
}

}  // namespace

void attention(const AttentionShape& s, const Array& q, const Array& k, const Array& v,
               const Array* mask, const Array& out, const Array& lse) {
  if (out.numel == 0) return;
  DType d = compute_dtype(q.dtype);
  Array hq = readable(q, d), hk = readable(k, d), hv = readable(v, d), hm = typed_mask(mask, d);
  Array to = out.dtype == d ? out : Array::empty(out.shape, d);
  {
    LongWork long_work(multiplications(s));
    dispatch_float(d, "scaled_dot_product_attention", [&]<class T>(T) {
      const AttentionLines<T>& lines = attention_lines(T{});
      Mask masks(mask ? &hm : nullptr, s.batch);
      int64_t shared = s.batch / s.sharing;
      Matrices<T> queries(hq, s.batch), keys(hk, shared), values(hv, shared), results(to, s.batch);
      parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
        Walk<T> walk(s, masks);
        walk.for_blocks(begin, end, [&](int64_t b, int64_t i, int64_t m, int64_t n) {
          int64_t kv = b / s.sharing;
          walk.scores(queries.rows(b, i, m), keys.rows(kv, 0, n), b, i);
          T scales[kMaxRows];
          for (int64_t r = 0; r < m; ++r) {
            T* row = walk.weights.data() + r * n;
            T top = n ? lanes(T{}).largest(row, n) : -std::numeric_limits<T>::infinity();
            double total = 0;
            if (top == -std::numeric_limits<T>::infinity())
              std::fill_n(row, n, T(0));  // a query that sees nothing
            else
              total = lines.exp_sum(row, top, n);
            scales[r] = total == 0 ? T(0) : static_cast<T>(1 / total);
            lse.ptr<T>()[b * s.queries + i + r] =
                static_cast<T>(static_cast<double>(top) + std::log(total));
            if (s.dropout > 0) walk.drop(row, b, i + r, n, row);
          }
          gemm(d, matrix_at(walk.weights.data(), m, n), values.rows(kv, 0, n),
               results.rows(b, i, m));
          for (int64_t r = 0; r < m; ++r) lines.scale(results.row(b, i + r), scales[r], s.width);
        });
      });
    });
  }
  if (to.data != out.data) copy_array(to, out);
}

void attention_grad(const AttentionShape& s, const Array& g, const Array& q, const Array& k,
                    const Array& v, const Array* mask, const Array& out, const Array& lse,
                    const Array& dq, const Array& dk, const Array& dv) {
  DType d = compute_dtype(q.dtype);
  Array hg = readable(g, d), hq = readable(q, d), hk = readable(k, d), hv = readable(v, d),
        ho = readable(out, d), hm = typed_mask(mask, d);
  // Its memory has no gaps, in whichever order its dimensions lie.
  auto target = [&](const Array& a) {
    Array t = a.dtype == d ? a : Array::empty(a.shape, d);
    if (t.numel) std::memset(t.data, 0, static_cast<size_t>(t.nbytes()));
    return t;
  };
  Array tq = target(dq), tk = target(dk), tv = target(dv);
  if (hg.numel) {
    LongWork long_work(multiplications(s));
    dispatch_float(d, "scaled_dot_product_attention", [&]<class T>(T) {
      const AttentionLines<T>& lines = attention_lines(T{});
      Mask masks(mask ? &hm : nullptr, s.batch);
      int64_t shared = s.batch / s.sharing;
      Matrices<T> queries(hq, s.batch), keys(hk, shared), values(hv, shared),
          cotangents(hg, s.batch), results(ho, s.batch), to_q(tq, s.batch), to_k(tk, shared),
          to_v(tv, shared);
      // Batches that share keys sum up their gradients: one thread takes them all.
      parallel_for(shared, 1, [&](int64_t begin, int64_t end) {
        Walk<T> walk(s, masks);
        std::vector<T> slopes(walk.weights.size()),
            dropped(s.dropout > 0 ? walk.weights.size() : 0);
        GemmOptions add, scaled, scaled_add;
        add.accumulate = scaled_add.accumulate = true;
        scaled.alpha = scaled_add.alpha = Scalar(s.scale);
        walk.for_blocks(
            begin * s.sharing, end * s.sharing, [&](int64_t b, int64_t i, int64_t m, int64_t n) {
              if (n == 0) return;
              int64_t kv = b / s.sharing;
              Matrix from_q = queries.rows(b, i, m), from_g = cotangents.rows(b, i, m),
                     from_k = keys.rows(kv, 0, n);
              walk.scores(from_q, from_k, b, i);
              gemm(d, from_g, values.rows(kv, 0, n).transposed(), matrix_at(slopes.data(), m, n));
              T* weights = walk.weights.data();
              for (int64_t r = 0; r < m; ++r) {
                T *p = walk.weights.data() + r * n, *slope = slopes.data() + r * n;
                T log_sum = lse.ptr<T>()[b * s.queries + i + r];
                double along = lines.dot(cotangents.row(b, i + r), results.row(b, i + r), s.width);
                if (log_sum == -std::numeric_limits<T>::infinity())
                  std::fill_n(p, n, T(0));
                else
                  lines.exp(p, log_sum, n);
                if (s.dropout > 0) {
                  walk.drop(p, b, i + r, n, dropped.data() + r * n);
                  walk.drop(slope, b, i + r, n, slope);
                  weights = dropped.data();
                }
                lines.slopes(p, slope, static_cast<T>(along), n);
              }
              Matrix changes = matrix_at(slopes.data(), m, n);
              gemm(d, matrix_at(weights, m, n).transposed(), from_g, to_v.rows(kv, 0, n), add);
              gemm(d, changes, from_k, to_q.rows(b, i, m), scaled);
              gemm(d, changes.transposed(), from_q, to_k.rows(kv, 0, n), scaled_add);
            });
      });
    });
  }
  auto finish = [](const Array& made, const Array& wanted) {
    if (made.data != wanted.data) copy_array(made, wanted);
  };
  finish(tq, dq);
  finish(tk, dk);
  finish(tv, dv);
}

}  // namespace fastgrad
