#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/attention_lines.h"
#include "kernels/cpu/gemm_small.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/loss.h"
#include "storage/buffer.h"

namespace fastgrad {
namespace {

// Note [Blocks of attention]
// The weights of some queries and keys at a time are made, used and forgotten while they lie in the
// second-level cache. Keys and values are packed once for all queries of a head. Where keys are
// many, forward meets them block by block: a larger score that comes later scales down what was
// summed up before. Blocks depend on the sizes alone, not on the number of threads.
template <class T>
constexpr int64_t kQueries = 512 / sizeof(T);
constexpr int64_t kKeys = 256;  // a multiple of every panel's width
// The depth of what is packed and then summed up over keys: a panel stays in the first-level cache.
template <class T>
constexpr int64_t kDepth = 512 / sizeof(T);
// Of causal weights half of a block on the diagonal is made in vain: small blocks waste less.
template <class T>
int64_t queries_at_a_time(const AttentionShape& s) {
  return std::min(s.queries, s.causal ? kQueries<T> / 2 : kQueries<T>);
}

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
      : data_(a.ptr<T>()), row_(a.strides[a.shape.size() - 2]), offsets_(batch_offsets(a, batch)) {}
  T* row(int64_t b, int64_t i) const { return data_ + offsets_[static_cast<size_t>(b)] + i * row_; }
  int64_t stride() const { return row_; }

 private:
  T* data_;
  int64_t row_;
  std::vector<int64_t> offsets_;
};

// The array itself where Matrices can read it, else a copy.
Array readable(const Array& a, DType d) {
  size_t n = a.shape.size();
  bool rows = a.dtype == d && a.strides[n - 1] == 1 && a.strides[n - 2] >= a.shape[n - 1];
  return rows ? a : as_contiguous(a, d);
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
  explicit operator bool() const { return mask_; }
  // score = score * scale + mask for n scores of one query, from key `first` on.
  template <class T>
  void apply(int64_t batch, int64_t query, int64_t first, T scale, T* scores, int64_t n) const {
    size_t dims = mask_->shape.size();
    int64_t step = mask_->strides[dims - 1], at = offsets_[static_cast<size_t>(batch)] +
                                                  query * mask_->strides[dims - 2] + first * step;
    const AttentionLines<T>& lines = attention_lines(T{});
    if (mask_->dtype == DType::Bool) {
      const bool* seen = mask_->ptr<bool>() + at;
      if (step == 1) return lines.hide(seen, scale, scores, n);
      for (int64_t j = 0; j < n; ++j)
        scores[j] = seen[j * step] ? scores[j] * scale : -std::numeric_limits<T>::infinity();
    } else {
      const T* more = mask_->ptr<T>() + at;
      if (step == 1) return lines.add(more, scale, scores, n);
      for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] * scale + more[j * step];
    }
  }

 private:
  const Array* mask_;
  std::vector<int64_t> offsets_;
};

// What forward and backward have in common: how scores are made, and scratch memory.
template <class T>
class Walk {
 public:
  Walk(const AttentionShape& s, const Mask& mask, int64_t scratch)
      : shape_(s),
        mask_(mask),
        own_(own_gemm(T{})),
        rows_(queries_at_a_time<T>(s)),
        // Not a power of two: the rows of a column lie in different places of the cache.
        weights_row_((std::min(s.keys, kKeys) + kLine - 1) / kLine * kLine + kLine),
        // An empty sum is 0, whatever its scale.
        scale_(s.depth ? static_cast<T>(s.scale) : T(1)) {
    memory_ = Buffer::allocate(static_cast<size_t>(scratch) * sizeof(T));
    free_ = reinterpret_cast<T*>(memory_->data());
  }

  // The elements of a packed k x n matrix; of the weights of a block.
  static int64_t panels_size(int64_t k, int64_t n) {
    int64_t width = own_gemm(T{}).panel_width;
    return (n + width - 1) / width * width * k;
  }
  static int64_t weights_size(const AttentionShape& s) {
    return queries_at_a_time<T>(s) * (std::min(s.keys, kKeys) + 2 * kLine);
  }
  T* take(int64_t elements) {
    T* taken = free_;
    free_ += elements;
    return taken;
  }

  T scale() const { return scale_; }
  int64_t rows() const { return rows_; }
  int64_t weights_row() const { return weights_row_; }
  // How many keys the m queries from i on see.
  int64_t visible(int64_t i, int64_t m) const {
    return shape_.causal ? std::min(shape_.keys, i + m) : shape_.keys;
  }
  // How many of the n keys from j on query i sees.
  int64_t visible_of(int64_t i, int64_t j, int64_t n) const {
    return shape_.causal ? std::clamp<int64_t>(i + 1 - j, 0, n) : n;
  }

  void pack(int64_t k, int64_t n, const T* b, int64_t b_row, int64_t b_col, T* panels) const {
    own_.pack(k, n, b, b_row, b_col, panels);
  }
  // Packs the transposes of keys x depth elements: blocks of keys begin at panels of their own.
  void pack_columns(int64_t depth, const T* rows, int64_t stride, T* panels) const {
    own_.pack(depth, shape_.keys, rows, 1, stride, panels);
  }
  // Packs keys x width elements, kDepth keys at a time, one after another.
  void pack_rows(int64_t width, const T* rows, int64_t stride, T* panels) const {
    for (int64_t j = 0; j < shape_.keys; j += kDepth<T>) {
      int64_t n = std::min(kDepth<T>, shape_.keys - j);
      own_.pack(n, width, rows + j * stride, stride, 1, panels + panels_size(j, width));
    }
  }
  // c = a·panels + from, of packed matrices k deep.
  void multiply(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col,
                const T* panels, T* c, int64_t c_row, const T* from) const {
    own_.panels(m, n, k, a, a_row, a_col, panels, k * own_.panel_width, c, c_row, from, c_row,
                nullptr);
  }
  // The same with contiguous rows of a, and of what pack_rows has made n keys from j on.
  void multiply_rows(int64_t m, int64_t width, int64_t j, int64_t n, const T* a, int64_t a_row,
                     const T* panels, T* c, int64_t c_row, const T* from) const {
    for (int64_t p = 0; p < n; p += kDepth<T>, from = c) {
      int64_t packed = std::min(kDepth<T>, shape_.keys - j - p);
      own_.panels(m, width, std::min(packed, n - p), a + p, a_row, 1,
                  panels + panels_size(j + p, width), packed * own_.panel_width, c, c_row, from,
                  c_row, nullptr);
    }
  }

  // Adds the mask to n scores of a query from key j on; the factor that they lack still, which is
  // positive.
  T masked(int64_t b, int64_t i, int64_t j, T* scores, int64_t n) const {
    if (mask_)
      mask_.apply(b, i, j, scale_, scores, n);
    else if (scale_ > 0)
      return scale_;
    else
      attention_lines(T{}).scale(scores, scale_, scores, n);
    return 1;
  }
  // Drops out n weights of a query from key j on.
  void drop(const T* from, int64_t b, int64_t i, int64_t j, int64_t n, T* to) const {
    dropout_span(from, shape_.stream, (b * shape_.queries + i) * shape_.keys + j, shape_.dropout, n,
                 to);
  }

 private:
  static constexpr int64_t kLine = 64 / sizeof(T);

  const AttentionShape& shape_;
  const Mask& mask_;
  const OwnGemm<T>& own_;
  int64_t rows_, weights_row_;
  T scale_;
  Ref<Buffer> memory_;
  T* free_;
};

// How many units of so many multiplications a thread takes at a time.
int64_t units_at_a_time(double multiplications) {
  constexpr double kWorthHandingOver = 1 << 20;
  return std::max<int64_t>(static_cast<int64_t>(kWorthHandingOver / (multiplications + 1)), 1);
}

template <class T>
struct Operands {
  Matrices<T> queries, keys, values, results;
  T* lse;
};

template <class T>
class Forward : Walk<T> {
 public:
  Forward(const AttentionShape& s, const Mask& mask, const Operands<T>& x)
      : Walk<T>(s, mask, scratch_size(s)), s_(s), x_(x) {
    keys_ = this->take(this->panels_size(s.depth, s.keys));
    values_ = this->take(this->panels_size(s.keys, s.width));
    weights_ = this->take(this->weights_size(s));
    sums_ = this->take(this->rows() * s.width);
  }

  // The m queries from i on of batch b.
  void run(int64_t b, int64_t i, int64_t m) {
    if (b / s_.sharing != packed_) pack(b / s_.sharing);
    std::fill_n(top_, m, -std::numeric_limits<T>::infinity());
    std::fill_n(total_, m, T(0));
    const int64_t end = this->visible(i, m);
    for (int64_t j = 0; j < end; j += kKeys) {
      int64_t n = std::min(kKeys, end - j);
      this->multiply(m, n, s_.depth, x_.queries.row(b, i), x_.queries.stride(), 1,
                     keys_ + j * s_.depth, weights_, this->weights_row(), nullptr);
      for (int64_t r = 0; r < m; ++r) weigh(b, i, j, n, r);
      this->multiply_rows(m, s_.width, j, n, weights_, this->weights_row(), values_, sums_,
                          s_.width, j ? sums_ : nullptr);
    }
    if (end == 0) std::fill_n(sums_, m * s_.width, T(0));
    for (int64_t r = 0; r < m; ++r)
      lines_.scale(sums_ + r * s_.width, total_[r] == 0 ? T(0) : 1 / total_[r],
                   x_.results.row(b, i + r), s_.width);
    lines_.log_sums(top_, total_, x_.lse + b * s_.queries + i, m);
  }

 private:
  static int64_t scratch_size(const AttentionShape& s) {
    return Walk<T>::panels_size(s.depth, s.keys) + Walk<T>::panels_size(s.keys, s.width) +
           Walk<T>::weights_size(s) + queries_at_a_time<T>(s) * s.width;
  }
  void pack(int64_t kv) {
    this->pack_columns(s_.depth, x_.keys.row(kv, 0), x_.keys.stride(), keys_);
    this->pack_rows(s_.width, x_.values.row(kv, 0), x_.values.stride(), values_);
    packed_ = kv;
  }
  // Makes weights, up to a factor, of the scores of query i + r and n keys from j on.
  void weigh(int64_t b, int64_t i, int64_t j, int64_t n, int64_t r) {
    T* row = weights_ + r * this->weights_row();
    int64_t seen = this->visible_of(i + r, j, n);
    T factor = this->masked(b, i + r, j, row, seen);
    T top = seen ? lanes(T{}).largest(row, seen) * factor : top_[r];
    if (top < top_[r] || std::isnan(top_[r])) top = top_[r];
    if (top == -std::numeric_limits<T>::infinity()) {
      std::fill_n(row, n, T(0));  // a query that sees nothing as yet
      return;
    }
    if (j > 0 && top != top_[r]) {
      T rest = std::exp(top_[r] - top);
      total_[r] *= rest;
      lines_.scale(sums_ + r * s_.width, rest, sums_ + r * s_.width, s_.width);
    }
    top_[r] = top;
    total_[r] += lines_.exp_sum(row, factor, top, seen);
    std::fill_n(row + seen, n - seen, T(0));
    if (s_.dropout > 0) this->drop(row, b, i + r, j, n, row);
  }

  const AttentionShape& s_;
  const Operands<T>& x_;
  const AttentionLines<T>& lines_ = attention_lines(T{});
  int64_t packed_ = -1;
  T *keys_, *values_, *weights_, *sums_;
  T top_[kQueries<T>], total_[kQueries<T>];
};

template <class T>
struct Gradients {
  Matrices<T> cotangents, to_queries, to_keys, to_values;
};

template <class T>
class Backward : Walk<T> {
 public:
  Backward(const AttentionShape& s, const Mask& mask, const Operands<T>& x, const Gradients<T>& g)
      : Walk<T>(s, mask, scratch_size(s)), s_(s), x_(x), g_(g) {
    key_columns_ = this->take(this->panels_size(s.depth, s.keys));
    key_rows_ = this->take(this->panels_size(s.keys, s.depth));
    value_columns_ = this->take(this->panels_size(s.width, s.keys));
    queries_ = this->take(this->panels_size(this->rows(), s.depth));
    cotangents_ = this->take(this->panels_size(this->rows(), s.width));
    weights_ = this->take(this->weights_size(s));
    slopes_ = this->take(this->weights_size(s));
  }

  // All queries that read the keys and values kv.
  void run(int64_t kv) {
    this->pack_columns(s_.depth, x_.keys.row(kv, 0), x_.keys.stride(), key_columns_);
    this->pack_rows(s_.depth, x_.keys.row(kv, 0), x_.keys.stride(), key_rows_);
    this->pack_columns(s_.width, x_.values.row(kv, 0), x_.values.stride(), value_columns_);
    for (int64_t j = 0; j < s_.keys; ++j) {
      std::fill_n(g_.to_keys.row(kv, j), s_.depth, T(0));
      std::fill_n(g_.to_values.row(kv, j), s_.width, T(0));
    }
    for (int64_t b = kv * s_.sharing; b < (kv + 1) * s_.sharing; ++b)
      for (int64_t i = 0; i < s_.queries; i += this->rows())
        add(kv, b, i, std::min(this->rows(), s_.queries - i));
  }

 private:
  static int64_t scratch_size(const AttentionShape& s) {
    int64_t rows = queries_at_a_time<T>(s);
    return Walk<T>::panels_size(s.depth, s.keys) + Walk<T>::panels_size(s.keys, s.depth) +
           Walk<T>::panels_size(s.width, s.keys) + Walk<T>::panels_size(rows, s.depth) +
           Walk<T>::panels_size(rows, s.width) + 2 * Walk<T>::weights_size(s);
  }

  // Adds what the m queries from i on contribute.
  void add(int64_t kv, int64_t b, int64_t i, int64_t m) {
    const T *queries = x_.queries.row(b, i), *cotangents = g_.cotangents.row(b, i);
    const int64_t query_row = x_.queries.stride(), cotangent_row = g_.cotangents.stride(),
                  row = this->weights_row(), end = this->visible(i, m);
    this->pack(m, s_.depth, queries, query_row, 1, queries_);
    this->pack(m, s_.width, cotangents, cotangent_row, 1, cotangents_);
    for (int64_t r = 0; r < m; ++r)
      along_[r] = static_cast<T>(
          lines_.dot(g_.cotangents.row(b, i + r), x_.results.row(b, i + r), s_.width));
    T* to_queries = g_.to_queries.row(b, i);
    for (int64_t j = 0; j < end; j += kKeys) {
      int64_t n = std::min(kKeys, end - j);
      this->multiply(m, n, s_.depth, queries, query_row, 1, key_columns_ + j * s_.depth, weights_,
                     row, nullptr);
      this->multiply(m, n, s_.width, cotangents, cotangent_row, 1, value_columns_ + j * s_.width,
                     slopes_, row, nullptr);
      for (int64_t r = 0; r < m; ++r) slope(b, i, j, n, r);
      T *to_values = g_.to_values.row(kv, j), *to_keys = g_.to_keys.row(kv, j);
      this->multiply(n, s_.width, m, weights_, 1, row, cotangents_, to_values,
                     g_.to_values.stride(), to_values);
      this->multiply(n, s_.depth, m, slopes_, 1, row, queries_, to_keys, g_.to_keys.stride(),
                     to_keys);
      this->multiply_rows(m, s_.depth, j, n, slopes_, row, key_rows_, to_queries,
                          g_.to_queries.stride(), j ? to_queries : nullptr);
    }
    for (int64_t r = 0; end == 0 && r < m; ++r)
      std::fill_n(g_.to_queries.row(b, i + r), s_.depth, T(0));
  }
  // Makes the weights of query i + r and n keys from j on of their scores, and the scores' gradient
  // of the weights'.
  void slope(int64_t b, int64_t i, int64_t j, int64_t n, int64_t r) {
    T *weights = weights_ + r * this->weights_row(), *slopes = slopes_ + r * this->weights_row();
    const T log_sum = x_.lse[b * s_.queries + i + r];
    int64_t seen = log_sum == -std::numeric_limits<T>::infinity() ? 0  // it sees nothing
                                                                  : this->visible_of(i + r, j, n);
    T factor = this->masked(b, i + r, j, weights, seen);
    if (s_.dropout > 0) this->drop(slopes, b, i + r, j, seen, slopes);
    lines_.slopes(weights, slopes, factor, log_sum, along_[r], this->scale(), seen);
    if (s_.dropout > 0) this->drop(weights, b, i + r, j, seen, weights);
    std::fill_n(weights + seen, n - seen, T(0));
    std::fill_n(slopes + seen, n - seen, T(0));
  }

  const AttentionShape& s_;
  const Operands<T>& x_;
  const Gradients<T>& g_;
  const AttentionLines<T>& lines_ = attention_lines(T{});
  T *key_columns_, *key_rows_, *value_columns_, *queries_, *cotangents_, *weights_, *slopes_;
  T along_[kQueries<T>];
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
      Mask masks(mask ? &hm : nullptr, s.batch);
      int64_t shared = s.batch / s.sharing, rows = queries_at_a_time<T>(s),
              blocks = (s.queries + rows - 1) / rows;
      Operands<T> x{{hq, s.batch}, {hk, shared}, {hv, shared}, {to, s.batch}, lse.ptr<T>()};
      // Whole heads, whose keys are packed once, where there are enough for all threads; else so
      // many blocks that packing does not count.
      constexpr int64_t kManyHeads = 8, kBlocks = 4;
      int64_t units =
          std::max(units_at_a_time(multiplications(s) / static_cast<double>(s.batch * blocks)),
                   s.batch >= kManyHeads ? blocks : std::min(blocks, kBlocks));
      parallel_for(s.batch * blocks, units, [&](int64_t begin, int64_t end) {
        Forward<T> forward(s, masks, x);
        for (int64_t u = begin; u < end; ++u) {
          int64_t i = u % blocks * rows;
          forward.run(u / blocks, i, std::min(rows, s.queries - i));
        }
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
  auto target = [&](const Array& a) { return a.dtype == d ? a : Array::empty(a.shape, d); };
  Array tq = target(dq), tk = target(dk), tv = target(dv);
  if (hg.numel) {
    LongWork long_work(multiplications(s));
    dispatch_float(d, "scaled_dot_product_attention", [&]<class T>(T) {
      Mask masks(mask ? &hm : nullptr, s.batch);
      int64_t shared = s.batch / s.sharing;
      Operands<T> x{{hq, s.batch}, {hk, shared}, {hv, shared}, {ho, s.batch}, lse.ptr<T>()};
      Gradients<T> gradients{{hg, s.batch}, {tq, s.batch}, {tk, shared}, {tv, shared}};
      // Batches that share keys sum up their gradients: one thread takes them all.
      int64_t units = units_at_a_time(multiplications(s) / static_cast<double>(shared));
      parallel_for(shared, units, [&](int64_t begin, int64_t end) {
        Backward<T> backward(s, masks, x, gradients);
        for (int64_t kv = begin; kv < end; ++kv) backward.run(kv);
      });
    });
  } else {
    // Their memory has no gaps, in whichever order its dimensions lie.
    for (const Array* a : {&tq, &tk, &tv})
      if (a->numel) std::memset(a->data, 0, static_cast<size_t>(a->nbytes()));
  }
  auto finish = [](const Array& made, const Array& wanted) {
    if (made.data != wanted.data) copy_array(made, wanted);
  };
  finish(tq, dq);
  finish(tk, dk);
  finish(tv, dv);
}

}  // namespace fastgrad
