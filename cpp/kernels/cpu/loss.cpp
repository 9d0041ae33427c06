#include "kernels/loss.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/softmax_lines.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

// Targets and the weights of classes, as the loops read them.
template <class T>
class Targets {
 public:
  Targets(const ClassShape& s, const Array& target, const Array* weight, int64_t ignore)
      : shape_(s),
        target_(as_contiguous(target, DType::Int64)),
        classes_(target_.ptr<int64_t>()),
        ignore_(ignore) {
    if (!weight) return;
    weight_ = as_contiguous(*weight, dtype_of<T>);
    weights_ = weight_.ptr<T>();
  }
  // The class at a position, or -1 where it counts for nothing.
  int64_t at(int64_t position) const {
    const int64_t t = classes_[position];
    if (t == ignore_) return -1;
    FG_CHECK_INDEX(t >= 0 && t < shape_.classes, "Target ", t, " is out of bounds for ",
                   shape_.classes, " classes (in nll_loss)");
    return t;
  }
  double weight(int64_t c) const { return weights_ ? static_cast<double>(weights_[c]) : 1.0; }

 private:
  const ClassShape& shape_;
  Array target_, weight_;
  const int64_t* classes_;
  const T* weights_ = nullptr;
  int64_t ignore_;
};

// Positions that make a chunk of work for a thread.
int64_t positions_at_once(const ClassShape& s) {
  return std::max<int64_t>(kParallelGrain / std::max<int64_t>(s.classes, 1), 1);
}

// Gathers losses of positions into what the reduction returns.
template <class T>
class Losses {
 public:
  Losses(Reduction r, const Array& out)
      : reduction_(r), out_(out), each_(r == Reduction::None ? out.ptr<T>() : nullptr) {}
  // f(position, &weight) is the loss of each of `count` positions.
  template <class F>
  void add(int64_t first, int64_t count, F&& f) {
    double sum = sum_, total = total_;  // members would go through memory each time
    for (int64_t position = first; position < first + count; ++position) {
      double weight;
      const double loss = f(position, &weight);
      total += weight;
      sum += loss;
      if (each_) each_[position] = static_cast<T>(loss);
    }
    sum_ = sum;
    total_ = total;
  }
  void finish(const Array& total) {
    *total.ptr<T>() = static_cast<T>(total_);
    if (reduction_ != Reduction::None)
      *out_.ptr<T>() = static_cast<T>(reduction_ == Reduction::Mean ? sum_ / total_ : sum_);
  }

 private:
  Reduction reduction_;
  Array out_;
  T* each_;
  double total_ = 0, sum_ = 0;
};

// The cotangent of one position's loss.
template <class T>
class Cotangents {
 public:
  Cotangents(Reduction r, const Array& g, const Array& total)
      : reduction_(r), g_(as_contiguous(g, dtype_of<T>)) {
    if (r == Reduction::Mean)
      scale_ = 1 / static_cast<double>(*as_contiguous(total, dtype_of<T>).template ptr<T>());
  }
  double at(int64_t position) const {
    return scale_ * static_cast<double>(g_.ptr<T>()[reduction_ == Reduction::None ? position : 0]);
  }

 private:
  Reduction reduction_;
  Array g_;
  double scale_ = 1;
};

template <class T>
void exp_block(T* p, int64_t n) {
  static const BlockKernel kernel = block_kernel(ElementwiseOp::Exp, dtype_of<T>);
  const char* in[] = {reinterpret_cast<const char*>(p)};
  kernel(reinterpret_cast<char*>(p), in, 0, n);
}

template <class T>
void log_block(T* p, int64_t n) {
  static const BlockKernel kernel = block_kernel(ElementwiseOp::Log, dtype_of<T>);
  const char* in[] = {reinterpret_cast<const char*>(p)};
  kernel(reinterpret_cast<char*>(p), in, 0, n);
}

// log(sum(exp(x))) of rows of n elements; NaN where the largest is not finite: differences from it,
// which make a loss, are not defined.
constexpr int64_t kRowsTogether = 64;
template <class T>
void log_sums_exp_of_rows(const T* x, int64_t rows, int64_t n, double* sums) {
  if (n == 0) {
    std::fill_n(sums, rows, -std::numeric_limits<double>::infinity());
    return;
  }
  T top[kRowsTogether], sum[kRowsTogether];
  if (n <= kMostInRow) {
    softmax_lines(T{}).top_sums(x, n, rows, n, top, sum);
    log_block(sum, rows);
    for (int64_t r = 0; r < rows; ++r)
      sums[r] = std::isfinite(top[r]) ? static_cast<double>(top[r]) + static_cast<double>(sum[r])
                                      : std::numeric_limits<double>::quiet_NaN();
    return;
  }
  for (int64_t r = 0; r < rows; ++r, x += n) {
    const T largest = lanes(T{}).largest(x, n);
    const double total = static_cast<double>(softmax_lines(T{}).exp_sum(x, largest, nullptr, n));
    sums[r] = std::isfinite(largest) ? static_cast<double>(largest) + std::log(total)
                                     : std::numeric_limits<double>::quiet_NaN();
  }
}

// Positions of one image whose classes are planes: neighbours are worked on together, class by
// class, so that what is read lies side by side.
class Tiles {
 public:
  explicit Tiles(const ClassShape& s)
      : s_(s), count_((s.inner + kMost - 1) / kMost), all_(s.batch * count_) {}
  static constexpr int64_t kMost = 64;
  // Calls f(first position, positions, first element), in parallel; f keeps `work`.
  template <class T, class F>
  void for_each(F&& f) const {
    int64_t grain = std::max<int64_t>(positions_at_once(s_) / kMost, 1);
    parallel_for(all_, grain, [&](int64_t begin, int64_t end) {
      std::vector<T> work(static_cast<size_t>(s_.classes * kMost));
      for (int64_t i = begin; i < end; ++i) {
        int64_t n = i / count_, at = i % count_ * kMost;
        f(n * s_.inner + at, std::min(kMost, s_.inner - at), n * s_.classes * s_.inner + at,
          work.data());
      }
    });
  }

 private:
  const ClassShape& s_;
  int64_t count_, all_;
};

// log(sum(exp(x))) over `classes` planes that are `step` apart, for n positions.
template <class T>
void log_sums_exp(const T* x, int64_t classes, int64_t step, int64_t n, T* work, double* sums) {
  T top[Tiles::kMost];
  std::copy_n(x, n, top);
  for (int64_t c = 1; c < classes; ++c)
    for (int64_t j = 0; j < n; ++j) {
      T v = x[c * step + j];
      top[j] = (v > top[j]) | (v != v) ? v : top[j];
    }
  for (int64_t c = 0; c < classes; ++c)
    for (int64_t j = 0; j < n; ++j) work[c * n + j] = x[c * step + j] - top[j];
  exp_block(work, classes * n);
  std::fill_n(sums, n, 0.0);
  for (int64_t c = 0; c < classes; ++c)
    for (int64_t j = 0; j < n; ++j) sums[j] += static_cast<double>(work[c * n + j]);
  for (int64_t j = 0; j < n; ++j)
    sums[j] = std::isfinite(top[j]) ? static_cast<double>(top[j]) + std::log(sums[j])
                                    : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void nll_loss(const ClassShape& s, const Array& scores, const Array& target, const Array* weight,
              Reduction reduction, int64_t ignore, const Array& loss, const Array& total) {
  DType d = compute_dtype(scores.dtype);
  Array from = as_contiguous(scores, d);
  Array wide_loss = Array::empty(loss.shape, d), wide_total = Array::empty({}, d);
  dispatch_float(d, "nll_loss", [&]<class T>(T) {
    Targets<T> targets(s, target, weight, ignore);
    Losses<T> losses(reduction, wide_loss);
    // Positions side by side, or one behind the classes of the other.
    const bool rows = s.inner == 1;
    const int64_t together = rows ? s.batch : s.inner, step = rows ? s.classes : 1,
                  plane = s.classes * s.inner;
    const T* source = from.ptr<T>();
    for (int64_t first = 0; first < s.batch * s.inner; first += together, source += plane)
      losses.add(first, together, [&](int64_t position, double* weight) {
        const int64_t t = targets.at(position);
        *weight = t < 0 ? 0 : targets.weight(t);
        if (t < 0) return 0.0;
        return -*weight * static_cast<double>(source[(position - first) * step + t * s.inner]);
      });
    losses.finish(wide_total);
  });
  copy_array(wide_loss, loss);
  copy_array(wide_total, total);
}

void nll_loss_adjoint(const ClassShape& s, const Array& g, const Array& target, const Array* weight,
                      const Array& total, Reduction reduction, int64_t ignore, const Array& dx) {
  with_compute_type(dx, [&](const Array& out) {
    if (out.numel == 0) return;
    std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
    dispatch_float(out.dtype, "nll_loss", [&]<class T>(T) {
      Targets<T> targets(s, target, weight, ignore);
      Cotangents<T> cotangents(reduction, g, total);
      for (int64_t n = 0; n < s.batch; ++n)
        for (int64_t i = 0; i < s.inner; ++i) {
          int64_t position = n * s.inner + i, t = targets.at(position);
          if (t >= 0)
            out.ptr<T>()[(n * s.classes + t) * s.inner + i] =
                static_cast<T>(-targets.weight(t) * cotangents.at(position));
        }
    });
  });
}

void cross_entropy(const ClassShape& s, const Array& scores, const Array& target,
                   const Array* weight, Reduction reduction, int64_t ignore, double smoothing,
                   const Array& loss, const Array& lse, const Array& total) {
  DType d = compute_dtype(scores.dtype);
  Array from = as_contiguous(scores, d);
  Array wide_loss = Array::empty(loss.shape, d), wide_lse = Array::empty(lse.shape, d),
        wide_total = Array::empty({}, d);
  dispatch_float(d, "cross_entropy", [&]<class T>(T) {
    Targets<T> targets(s, target, weight, ignore);
    double spread = smoothing / static_cast<double>(s.classes);
    const T* source = from.ptr<T>();
    T* log_sums = wide_lse.ptr<T>();
    std::vector<double> values(static_cast<size_t>(s.batch * s.inner), 0);
    // The weighted sum of log_sum - x over the classes; plain neighbours in lanes.
    auto sum_of_all = [&](const T* x, double log_sum) {
      constexpr int64_t kLanes = 8;
      double part[kLanes] = {};
      int64_t c = 0;
      if (!weight && s.inner == 1)
        for (; c + kLanes <= s.classes; c += kLanes)
          for (int64_t j = 0; j < kLanes; ++j) part[j] += log_sum - static_cast<double>(x[c + j]);
      for (; c < s.classes; ++c)
        part[0] += targets.weight(c) * (log_sum - static_cast<double>(x[c * s.inner]));
      return ((part[0] + part[4]) + (part[1] + part[5])) +
             ((part[2] + part[6]) + (part[3] + part[7]));
    };
    auto put = [&](int64_t position, const T* x, double log_sum) {
      int64_t t = targets.at(position);
      log_sums[position] = static_cast<T>(log_sum);
      if (t < 0) return;
      double v =
          (1 - smoothing) * targets.weight(t) * (log_sum - static_cast<double>(x[t * s.inner]));
      if (smoothing != 0) v += spread * sum_of_all(x, log_sum);
      values[static_cast<size_t>(position)] = v;
    };
    if (s.inner > 1 && s.classes > 0)
      Tiles(s).for_each<T>([&](int64_t first, int64_t n, int64_t at, T* work) {
        double sums[Tiles::kMost];
        log_sums_exp(source + at, s.classes, s.inner, n, work, sums);
        for (int64_t j = 0; j < n; ++j) put(first + j, source + at + j, sums[j]);
      });
    else
      parallel_for(s.batch * s.inner, positions_at_once(s), [&](int64_t begin, int64_t end) {
        double sums[kRowsTogether];
        for (int64_t first = begin, m; first < end; first += m) {
          m = std::min(kRowsTogether, end - first);
          const T* x = source + first * s.classes;
          log_sums_exp_of_rows(x, m, s.classes, sums);
          for (int64_t j = 0; j < m; ++j) put(first + j, x + j * s.classes, sums[j]);
        }
      });
    Losses<T> losses(reduction, wide_loss);
    losses.add(0, s.batch * s.inner, [&](int64_t position, double* weight) {
      const int64_t t = targets.at(position);
      *weight = t < 0 ? 0 : targets.weight(t);
      return values[static_cast<size_t>(position)];
    });
    losses.finish(wide_total);
  });
  copy_array(wide_loss, loss);
  copy_array(wide_lse, lse);
  copy_array(wide_total, total);
}

void cross_entropy_grad(const ClassShape& s, const Array& g, const Array& scores,
                        const Array& target, const Array* weight, const Array& lse,
                        const Array& total, Reduction reduction, int64_t ignore, double smoothing,
                        const Array& dx) {
  with_compute_type(dx, [&](const Array& out) {
    if (out.numel == 0) return;
    Array from = as_contiguous(scores, out.dtype), log_sums = as_contiguous(lse, out.dtype);
    dispatch_float(out.dtype, "cross_entropy", [&]<class T>(T) {
      Targets<T> targets(s, target, weight, ignore);
      Cotangents<T> cotangents(reduction, g, total);
      double spread = smoothing / static_cast<double>(s.classes), all_weights = 0;
      for (int64_t c = 0; c < s.classes; ++c) all_weights += targets.weight(c);
      const T *source = from.ptr<T>(), *sums = log_sums.ptr<T>();
      T* target_x = out.ptr<T>();
      if (s.inner > 1) {
        Tiles(s).for_each<T>([&](int64_t first, int64_t n, int64_t at, T* work) {
          T scale[Tiles::kMost], even[Tiles::kMost];
          bool counts[Tiles::kMost];
          for (int64_t j = 0; j < n; ++j) {
            int64_t t = targets.at(first + j);
            double cotangent = t < 0 ? 0 : cotangents.at(first + j);
            counts[j] = cotangent != 0;
            double own = counts[j] ? (1 - smoothing) * targets.weight(t) : 0;
            scale[j] = static_cast<T>(cotangent * (own + spread * all_weights));
            even[j] = static_cast<T>(cotangent * spread);
          }
          const T *x = source + at, *top = sums + first;
          for (int64_t c = 0; c < s.classes; ++c)
            for (int64_t j = 0; j < n; ++j) work[c * n + j] = x[c * s.inner + j] - top[j];
          exp_block(work, s.classes * n);
          for (int64_t c = 0; c < s.classes; ++c) {
            const T weight = static_cast<T>(targets.weight(c)), *p = work + c * n;
            T* to = target_x + at + c * s.inner;
            for (int64_t j = 0; j < n; ++j)
              to[j] = counts[j] ? p[j] * scale[j] - even[j] * weight : T(0);
          }
          for (int64_t j = 0; j < n; ++j) {
            if (!counts[j]) continue;
            int64_t t = targets.at(first + j);
            target_x[at + j + t * s.inner] -=
                static_cast<T>(cotangents.at(first + j) * (1 - smoothing) * targets.weight(t));
          }
        });
        return;
      }
      parallel_for(s.batch, positions_at_once(s), [&](int64_t begin, int64_t end) {
        T scale[kRowsTogether];
        double own[kRowsTogether], cotangent[kRowsTogether];
        for (int64_t first = begin, m; first < end; first += m) {
          m = std::min(kRowsTogether, end - first);
          for (int64_t j = 0; j < m; ++j) {
            const int64_t t = targets.at(first + j);
            cotangent[j] = t < 0 ? 0 : cotangents.at(first + j);
            own[j] = cotangent[j] == 0 ? 0 : (1 - smoothing) * targets.weight(t);
            scale[j] = static_cast<T>(cotangent[j] * (own[j] + spread * all_weights));
          }
          T* p = target_x + first * s.classes;
          softmax_lines(T{}).scaled_exp(source + first * s.classes, sums + first, scale, m,
                                        s.classes, p);
          for (int64_t j = 0; j < m; ++j, p += s.classes) {
            if (cotangent[j] == 0) {
              std::fill_n(p, s.classes, T(0));
              continue;
            }
            if (smoothing != 0)
              for (int64_t c = 0; c < s.classes; ++c)
                p[c] -= static_cast<T>(cotangent[j] * spread * targets.weight(c));
            p[targets.at(first + j)] -= static_cast<T>(cotangent[j] * own[j]);
          }
        }
      });
    });
  });
}

template <class T>
void dropout_span(const T* x, RandomStream s, int64_t first, double p, int64_t n, T* out) {
  constexpr int kBlocks = 16, kElements = 4 * kBlocks;
  // Kept are those whose 32 random bits are at least p of the way.
  auto threshold = static_cast<uint64_t>(std::ceil(p * 0x1p32));
  T scale = p < 1 ? static_cast<T>(1 / (1 - p)) : T(0);
  RandomBlock words[kBlocks];
  int64_t skip = first % 4, at = -skip;  // of the first block, elements that are not ours
  for (; at < n; at += kElements) {
    philox<kBlocks>(s.seed, s.block + static_cast<uint64_t>((first + at) / 4), 0, words);
    int64_t end = std::min<int64_t>(kElements, n - at);
    const uint32_t* bits = words[0].data();  // the blocks lie side by side
    for (int64_t k = at < 0 ? skip : 0; k < end; ++k)
      out[at + k] = bits[k] >= threshold ? x[at + k] * scale : T(0);
  }
}
template void dropout_span(const float*, RandomStream, int64_t, double, int64_t, float*);
template void dropout_span(const double*, RandomStream, int64_t, double, int64_t, double*);

void dropout(const Array& x, RandomStream s, double p, const Array& out) {
  with_compute_type(out, [&](const Array& wide) {
    Array from = as_contiguous(x, wide.dtype);
    dispatch_float(wide.dtype, "dropout", [&]<class T>(T) {
      parallel_for(wide.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
        dropout_span(from.ptr<T>() + begin, s, begin, p, end - begin, wide.ptr<T>() + begin);
      });
    });
  });
}

}  // namespace fastgrad
