// Cross entropy in one pass over the scores, and its gradient in another.
#include <cmath>
#include <limits>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/cpu/class_targets.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/softmax_lines.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

constexpr int64_t kMostPositions = 256;

// Neighbouring positions that are worked on together. Their classes lie one after the other, or in
// planes: then what is read class by class lies side by side.
struct Piece {
  int64_t number, first, count;  // positions [first, first + count)
  int64_t at;                    // of the first element
};
class Pieces {
 public:
  explicit Pieces(const ClassShape& s) : s_(s), rows(s.inner == 1) {
    const int64_t fits = kElements / std::max<int64_t>(s.classes, 1);
    width_ = rows ? kRows : std::clamp(fits / kRows * kRows, kRows, kMostPositions);
    of_image_ = ((rows ? s.batch : s.inner) - 1) / width_ + 1;
    count = (rows ? 1 : s.batch) * of_image_;
    if (s.batch * s.inner == 0) count = 0;
  }
  // Calls f(piece), in parallel.
  template <class F>
  void for_each(F&& f) const {
    const int64_t elements = width_ * std::max<int64_t>(s_.classes, 1);
    parallel_for(count, std::max<int64_t>(kParallelGrain / elements, 1),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) f(piece(i));
                 });
  }

 private:
  static constexpr int64_t kRows = 64, kElements = 8192;
  Piece piece(int64_t i) const {
    const int64_t image = i / of_image_, j = i % of_image_ * width_;
    if (rows) return {i, j, std::min(width_, s_.batch - j), j * s_.classes};
    return {i, image * s_.inner + j, std::min(width_, s_.inner - j),
            image * s_.classes * s_.inner + j};
  }
  const ClassShape& s_;
  int64_t width_, of_image_;

 public:
  bool rows;
  int64_t count;
};

template <class T>
void log_block(T* p, int64_t n) {
  static const BlockKernel kernel = block_kernel(ElementwiseOp::Log, dtype_of<T>);
  const char* in[] = {reinterpret_cast<const char*>(p)};
  kernel(reinterpret_cast<char*>(p), in, 0, n);
}
template <class T>
void multiply_block(T* p, const T* by, int64_t n) {
  static const BlockKernel kernel = block_kernel(ElementwiseOp::Mul, dtype_of<T>);
  const char* in[] = {reinterpret_cast<const char*>(p), reinterpret_cast<const char*>(by)};
  kernel(reinterpret_cast<char*>(p), in, 0, n);
}

// log(sum(exp(x))) of rows of n elements; NaN where the largest is not finite: differences from it,
// which make a loss, are not defined.
template <class T>
void log_sums_exp_of_rows(const T* x, int64_t rows, int64_t n, double* sums) {
  T top[kMostPositions], sum[kMostPositions];
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

// The same over `classes` planes that are `step` apart, for n positions.
template <class T>
void log_sums_exp_of_planes(const T* x, int64_t classes, int64_t step, int64_t n, double* sums) {
  constexpr int64_t kTogether = 16;  // sums of more would lose digits
  T top[kMostPositions], some[kMostPositions];
  const T* planes[kTogether];
  for (int64_t c = 0; c < classes; c += kTogether) {
    const int64_t m = std::min(kTogether, classes - c);
    for (int64_t k = 0; k < m; ++k) planes[k] = x + (c + k) * step;
    lanes(T{}).largest_rows(planes, m, n, c ? some : top);
    if (c)
      for (int64_t j = 0; j < n; ++j)
        top[j] = (some[j] > top[j]) | (some[j] != some[j]) ? some[j] : top[j];
  }
  for (int64_t c = 0; c < classes; c += kTogether) {
    std::fill_n(some, n, T(0));
    for (int64_t k = c; k < std::min(c + kTogether, classes); ++k)
      softmax_lines(T{}).exp_add(x + k * step, top, nullptr, some, n);
    for (int64_t j = 0; j < n; ++j) sums[j] = (c ? sums[j] : 0) + static_cast<double>(some[j]);
  }
  log_block(sums, n);
  for (int64_t j = 0; j < n; ++j) {
    const double v = static_cast<double>(top[j]) + sums[j];
    sums[j] = std::isfinite(top[j]) ? v : std::numeric_limits<double>::quiet_NaN();
  }
}

// What the gradient at a piece is made of: exp(x - shift) * scale - even * weight of the class, and
// at the target's class own less; 0 where a position does not count.
template <class T>
struct Shares {
  int64_t classes[kMostPositions];  // -1: it does not count
  T shift[kMostPositions], scale[kMostPositions], own[kMostPositions], even[kMostPositions];
  T counts[kMostPositions];  // not 0, or 0
  bool all_count = true;
};

// The logarithms of sums as shifts of type T, and exp(shift - logarithm).
template <class T>
void split_logarithms(const double* sums, int64_t n, T* shift, T* scale) {
  for (int64_t j = 0; j < n; ++j) shift[j] = static_cast<T>(sums[j]);
  if constexpr (sizeof(T) == sizeof(double)) {
    std::fill_n(scale, n, T(1));
  } else {
    constexpr T kSmall = T(1e-2);
    for (int64_t j = 0; j < n; ++j) {
      const T rest = static_cast<T>(sums[j] - static_cast<double>(shift[j]));
      scale[j] = 1 - rest * (1 - rest * T(0.5) * (1 - rest * (T(1) / 3)));
    }
    for (int64_t j = 0; j < n; ++j)
      if (std::abs(scale[j] - 1) > kSmall)
        scale[j] = static_cast<T>(std::exp(static_cast<double>(shift[j]) - sums[j]));
  }
}

}  // namespace

void cross_entropy(const ClassShape& s, const Array& scores, const Array& target,
                   const Array* weight, Reduction reduction, int64_t ignore, double smoothing,
                   const Array& loss, const Array& lse, const Array& total) {
  const DType d = compute_dtype(scores.dtype);
  const Array from = as_contiguous(scores, d);
  const Array wide_loss = Array::empty(loss.shape, d), wide_total = Array::empty({}, d);
  dispatch_float(d, "cross_entropy", [&]<class T>(T) {
    const Targets<T> targets(s, target, weight, ignore);
    const Pieces pieces(s);
    const double own = 1 - smoothing, spread = smoothing / static_cast<double>(s.classes);
    const int64_t step = pieces.rows ? s.classes : 1;  // to the next position
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
    T* const each = reduction == Reduction::None ? wide_loss.ptr<T>() : nullptr;
    struct Sums {
      double loss = 0, weight = 0;
    };
    std::vector<Sums> parts(static_cast<size_t>(pieces.count));
    pieces.for_each([&](const Piece& p) {
      double* log_sums = lse.ptr<double>() + p.first;
      const T* x = from.ptr<T>() + p.at;
      if (s.classes == 0)
        std::fill_n(log_sums, p.count, -std::numeric_limits<double>::infinity());
      else if (pieces.rows)
        log_sums_exp_of_rows(x, p.count, s.classes, log_sums);
      else
        log_sums_exp_of_planes(x, s.classes, s.inner, p.count, log_sums);
      Sums sums;
      for (int64_t j = 0; j < p.count; ++j, x += step) {
        const int64_t t = targets.at(p.first + j);
        double value = 0;
        if (t >= 0) {
          const double w = targets.weight(t);
          value = own * w * (log_sums[j] - static_cast<double>(x[t * s.inner]));
          if (smoothing != 0) value += spread * sum_of_all(x, log_sums[j]);
          sums.weight += w;
        }
        sums.loss += value;
        if (each) each[p.first + j] = static_cast<T>(value);
      }
      parts[static_cast<size_t>(p.number)] = sums;
    });
    Sums all;
    for (const Sums& part : parts) all = {all.loss + part.loss, all.weight + part.weight};
    *wide_total.ptr<T>() = static_cast<T>(all.weight);
    if (!each) *wide_loss.ptr<T>() = static_cast<T>(reduced(reduction, all.loss, all.weight));
  });
  copy_array(wide_loss, loss);
  copy_array(wide_total, total);
}

void cross_entropy_grad(const ClassShape& s, const Array& g, const Array& scores,
                        const Array& target, const Array* weight, const Array& lse,
                        const Array& total, Reduction reduction, int64_t ignore, double smoothing,
                        const Array& dx) {
  with_compute_type(dx, [&](const Array& out) {
    if (out.numel == 0) return;
    const Array from = as_contiguous(scores, out.dtype), log_sums = as_contiguous(lse);
    dispatch_float(out.dtype, "cross_entropy", [&]<class T>(T) {
      const Targets<T> targets(s, target, weight, ignore);
      const Cotangents<T> cotangents(reduction, g, total);
      const double spread = smoothing / static_cast<double>(s.classes);
      double all_weights = 0;
      for (int64_t c = 0; c < s.classes; ++c) all_weights += targets.weight(c);
      const bool alike = !weight && reduction != Reduction::None;
      const Pieces pieces(s);
      pieces.for_each([&](const Piece& p) {
        Shares<T> r;
        split_logarithms(log_sums.ptr<double>() + p.first, p.count, r.shift, r.scale);
        auto share = [&](int64_t j, int64_t t) {
          const double cotangent = t < 0 ? 0 : cotangents.at(p.first + j);
          const double own = t < 0 ? 0 : (1 - smoothing) * targets.weight(t);
          r.counts[j] = cotangent != 0;
          r.own[j] = static_cast<T>(cotangent * own);
          r.even[j] = static_cast<T>(cotangent * spread);
          return static_cast<T>(cotangent * (own + spread * all_weights));
        };
        int64_t least = s.classes;
        for (int64_t j = 0; j < p.count; ++j) {
          r.classes[j] = targets.at(p.first + j);
          least = std::min(least, r.classes[j]);
        }
        if (alike) {
          const T scale = share(0, 0);
          std::fill_n(r.own, p.count, r.own[0]);
          std::fill_n(r.even, p.count, r.even[0]);
          const T counts = r.counts[0];
          for (int64_t j = 0; j < p.count; ++j) {
            r.scale[j] *= scale;
            r.counts[j] = r.classes[j] < 0 ? T(0) : counts;
          }
          r.all_count = least >= 0 && counts != 0;
        } else {
          for (int64_t j = 0; j < p.count; ++j) {
            r.scale[j] *= share(j, r.classes[j]);
            r.all_count = r.all_count && r.counts[j] != 0;
          }
        }
        const T* x = from.ptr<T>() + p.at;
        T* to = out.ptr<T>() + p.at;
        if (pieces.rows) {
          softmax_lines(T{}).scaled_exp(x, r.shift, r.scale, p.count, s.classes, to);
          for (int64_t j = 0; j < p.count; ++j, to += s.classes) {
            if (r.counts[j] == 0) {
              std::fill_n(to, s.classes, T(0));
              continue;
            }
            if (smoothing != 0)
              for (int64_t c = 0; c < s.classes; ++c)
                to[c] -= r.even[j] * static_cast<T>(targets.weight(c));
            to[r.classes[j]] -= r.own[j];
          }
          return;
        }
        T sums[kMostPositions] = {};  // which nobody asks for
        for (int64_t c = 0; c < s.classes; ++c) {
          T* plane = to + c * s.inner;
          softmax_lines(T{}).exp_add(x + c * s.inner, r.shift, plane, sums, p.count);
          multiply_block(plane, r.scale, p.count);
          if (smoothing != 0) {
            const T w = static_cast<T>(targets.weight(c));
            for (int64_t j = 0; j < p.count; ++j) plane[j] -= r.even[j] * w;
          }
          if (!r.all_count)
            for (int64_t j = 0; j < p.count; ++j) plane[j] = r.counts[j] != 0 ? plane[j] : T(0);
        }
        for (int64_t j = 0; j < p.count; ++j)
          if (r.counts[j] != 0) to[j + r.classes[j] * s.inner] -= r.own[j];
      });
    });
  });
}

}  // namespace fastgrad
