#include "kernels/attention.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"

namespace fastgrad {
namespace {

// Weights that are made at a time: they stay in the second-level cache.
constexpr int64_t kWeights = 64 * 1024;
constexpr int64_t kMaxRows = 256;

template <class T>
Matrix rows_of(const T* data, int64_t rows, int64_t cols) {
  return {reinterpret_cast<char*>(const_cast<T*>(data)), rows, cols, cols, 1};
}

double multiplications(const AttentionShape& s) {
  return static_cast<double>(s.batch * s.queries) *
         static_cast<double>(s.keys * (s.depth + s.width));
}

template <class T>
void exp_block(T* p, int64_t n) {
  static const BlockKernel kernel = block_kernel(ElementwiseOp::Exp, dtype_of<T>);
  const char* in[] = {reinterpret_cast<const char*>(p)};
  kernel(reinterpret_cast<char*>(p), in, 0, n);
}

// The mask's rows, by batch and query.
class Mask {
 public:
  Mask(const Array* mask, int64_t batch) : mask_(mask) {
    if (!mask) return;
    size_t n = mask->shape.size();
    offsets_.reserve(static_cast<size_t>(batch));
    for (int64_t b = 0; b < batch; ++b) {
      int64_t offset = 0, rest = b;
      for (size_t d = n - 2; d-- > 0;) {
        offset += rest % mask->shape[d] * mask->strides[d];
        rest /= mask->shape[d];
      }
      offsets_.push_back(offset);
    }
  }
  // Applies to n scores of one query.
  template <class T>
  void apply(int64_t batch, int64_t query, T* scores, int64_t n) const {
    if (!mask_) return;
    size_t dims = mask_->shape.size();
    int64_t at = offsets_[static_cast<size_t>(batch)] + query * mask_->strides[dims - 2];
    int64_t step = mask_->strides[dims - 1];
    if (mask_->dtype == DType::Bool) {
      const bool* seen = mask_->ptr<bool>() + at;
      for (int64_t j = 0; j < n; ++j)
        if (!seen[j * step]) scores[j] = -std::numeric_limits<T>::infinity();
    } else {
      const T* add = mask_->ptr<T>() + at;
      for (int64_t j = 0; j < n; ++j) scores[j] += add[j * step];
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

  // weights = scale * q·kᵀ + mask for m queries from i on and the first n keys.
  void scores(const T* q, const T* k, int64_t b, int64_t i, int64_t m, int64_t n) {
    GemmOptions o;
    o.alpha = Scalar(shape_.scale);
    gemm(dtype_of<T>, rows_of(q, m, shape_.depth), rows_of(k, n, shape_.depth).transposed(),
         rows_of(weights.data(), m, n), o);
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
  Array hq = as_contiguous(q, d), hk = as_contiguous(k, d), hv = as_contiguous(v, d);
  Array hm = typed_mask(mask, d);
  Array to = out.dtype == d ? out : Array::empty(out.shape, d);
  {
    LongWork long_work(multiplications(s));
    dispatch_float(d, "scaled_dot_product_attention", [&]<class T>(T) {
      Mask masks(mask ? &hm : nullptr, s.batch);
      parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
        Walk<T> walk(s, masks);
        walk.for_blocks(begin, end, [&](int64_t b, int64_t i, int64_t m, int64_t n) {
          int64_t kv = b / s.sharing;
          walk.scores(hq.ptr<T>() + (b * s.queries + i) * s.depth,
                      hk.ptr<T>() + kv * s.keys * s.depth, b, i, m, n);
          T scales[kMaxRows];
          for (int64_t r = 0; r < m; ++r) {
            T* row = walk.weights.data() + r * n;
            T top = n ? lanes(T{}).largest(row, n) : -std::numeric_limits<T>::infinity();
            double total = 0;
            if (top == -std::numeric_limits<T>::infinity()) {
              std::fill_n(row, n, T(0));  // a query that sees nothing
            } else {
              for (int64_t j = 0; j < n; ++j) row[j] -= top;
              exp_block(row, n);
              total = static_cast<double>(lanes(T{}).sum(row, n));
            }
            scales[r] = total == 0 ? T(0) : static_cast<T>(1 / total);
            lse.ptr<T>()[b * s.queries + i + r] =
                static_cast<T>(static_cast<double>(top) + std::log(total));
            if (s.dropout > 0) walk.drop(row, b, i + r, n, row);
          }
          T* target = to.ptr<T>() + (b * s.queries + i) * s.width;
          gemm(d, rows_of(walk.weights.data(), m, n),
               rows_of(hv.ptr<T>() + kv * s.keys * s.width, n, s.width),
               rows_of(target, m, s.width));
          for (int64_t r = 0; r < m; ++r)
            for (int64_t j = 0; j < s.width; ++j) target[r * s.width + j] *= scales[r];
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
  Array hg = as_contiguous(g, d), hq = as_contiguous(q, d), hk = as_contiguous(k, d),
        hv = as_contiguous(v, d), ho = as_contiguous(out, d), hm = typed_mask(mask, d);
  auto target = [&](const Array& a) {
    Array t = a.dtype == d ? a : Array::empty(a.shape, d);
    if (t.numel) std::memset(t.data, 0, static_cast<size_t>(t.nbytes()));
    return t;
  };
  Array tq = target(dq), tk = target(dk), tv = target(dv);
  if (hg.numel) {
    LongWork long_work(multiplications(s));
    dispatch_float(d, "scaled_dot_product_attention", [&]<class T>(T) {
      Mask masks(mask ? &hm : nullptr, s.batch);
      // Batches that share keys sum up their gradients: one thread takes them all.
      parallel_for(s.batch / s.sharing, 1, [&](int64_t begin, int64_t end) {
        Walk<T> walk(s, masks);
        std::vector<T> slopes(walk.weights.size()),
            dropped(s.dropout > 0 ? walk.weights.size() : 0);
        GemmOptions add, scaled, scaled_add;
        add.accumulate = scaled_add.accumulate = true;
        scaled.alpha = scaled_add.alpha = Scalar(s.scale);
        walk.for_blocks(
            begin * s.sharing, end * s.sharing, [&](int64_t b, int64_t i, int64_t m, int64_t n) {
              if (n == 0) return;
              int64_t kv = b / s.sharing, row0 = b * s.queries + i;
              const T *from_q = hq.ptr<T>() + row0 * s.depth,
                      *from_g = hg.ptr<T>() + row0 * s.width;
              const T *from_k = hk.ptr<T>() + kv * s.keys * s.depth,
                      *from_v = hv.ptr<T>() + kv * s.keys * s.width;
              walk.scores(from_q, from_k, b, i, m, n);
              gemm(d, rows_of(from_g, m, s.width), rows_of(from_v, n, s.width).transposed(),
                   rows_of(slopes.data(), m, n));
              const T* weights = walk.weights.data();
              for (int64_t r = 0; r < m; ++r) {
                T *p = walk.weights.data() + r * n, *slope = slopes.data() + r * n;
                T log_sum = lse.ptr<T>()[row0 + r];
                const T *go = from_g + r * s.width, *o = ho.ptr<T>() + (row0 + r) * s.width;
                double along = 0;
                for (int64_t j = 0; j < s.width; ++j) along += static_cast<double>(go[j] * o[j]);
                if (log_sum == -std::numeric_limits<T>::infinity()) {
                  std::fill_n(p, n, T(0));
                } else {
                  for (int64_t j = 0; j < n; ++j) p[j] -= log_sum;
                  exp_block(p, n);
                }
                if (s.dropout > 0) {
                  walk.drop(p, b, i + r, n, dropped.data() + r * n);
                  walk.drop(slope, b, i + r, n, slope);
                  weights = dropped.data();
                }
                T centre = static_cast<T>(along);
                for (int64_t j = 0; j < n; ++j) slope[j] = p[j] * (slope[j] - centre);
              }
              gemm(d, rows_of(weights, m, n).transposed(), rows_of(from_g, m, s.width),
                   rows_of(tv.ptr<T>() + kv * s.keys * s.width, n, s.width), add);
              gemm(d, rows_of(slopes.data(), m, n), rows_of(from_k, n, s.depth),
                   rows_of(tq.ptr<T>() + row0 * s.depth, m, s.depth), scaled);
              gemm(d, rows_of(slopes.data(), m, n).transposed(), rows_of(from_q, m, s.depth),
                   rows_of(tk.ptr<T>() + kv * s.keys * s.depth, n, s.depth), scaled_add);
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
