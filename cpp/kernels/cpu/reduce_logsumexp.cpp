// log(sum(exp(x))), the largest element taken out of the sum.
#include <cmath>
#include <limits>

#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"
#include "kernels/cpu/softmax_lines.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

static_assert(kReduceBlock <= kMostInRow);

template <class T>
struct ScaledSum {
  T largest, sum;  // sum of exp(x - largest)
};

template <class T>
struct LogSumExpReducer {
  using In = T;
  using Acc = ScaledSum<T>;
  static constexpr bool kOrdered = false;
  static constexpr T kInf = std::numeric_limits<T>::infinity();
  static Acc empty() { return {-kInf, 0}; }
  static T larger(T a, T b) { return b > a || b != b ? b : a; }
  static void lines(const T* p, int64_t step, int64_t count, int64_t n, Acc* acc) {
    constexpr int64_t kStrip = 64;
    T largest[kStrip], sum[kStrip];
    for (int64_t i = 0; i < count; i += kStrip) {
      const int64_t m = std::min(kStrip, count - i);
      softmax_lines(T{}).top_sums(p + i * step, step, m, n, largest, sum);
      for (int64_t j = 0; j < m; ++j) acc[i + j] = {largest[j], sum[j]};
    }
  }
  static Acc block(const T* p, int64_t n, int64_t) {
    Acc acc;
    lines(p, 0, 1, n, &acc);
    return acc;
  }
  // sum * exp(from - to), for from <= to
  static T rescaled(T sum, T from, T to) {
    return from == to || sum == 0 ? sum : sum * std::exp(from - to);
  }
  static Acc merge(Acc a, Acc b) {
    T to = larger(a.largest, b.largest);
    if (to == kInf) return {to, kInf};
    return {to, rescaled(a.sum, a.largest, to) + rescaled(b.sum, b.largest, to)};
  }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    constexpr int64_t kStrip = 128;
    T largest[kStrip], shift[kStrip], total[kStrip];
    const T* part[kReduceRows];
    for (int64_t s = 0; s < m; s += kStrip) {
      const int64_t w = std::min(kStrip, m - s);
      for (int64_t i = 0; i < n; ++i) part[i] = row[i] + s;
      lanes(T{}).largest_rows(part, n, w, largest);
      for (int64_t j = 0; j < w; ++j) shift[j] = std::isinf(largest[j]) ? T(0) : largest[j];
      std::fill_n(total, w, T(0));
      for (int64_t i = 0; i < n; ++i) softmax_lines(T{}).exp_add(part[i], shift, nullptr, total, w);
      for (int64_t j = 0; j < w; ++j) acc[s + j] = {largest[j], total[j]};
    }
  }
};

// to += log(sum), which is overwritten.
template <class T>
void add_logarithms(T* sum, T* to, int64_t n) {
  static const BlockKernel log = block_kernel(ElementwiseOp::Log, dtype_of<T>);
  parallel_for(n, kParallelGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kReduceBlock) {
      const int64_t m = std::min(kReduceBlock, end - i);
      const char* in[] = {reinterpret_cast<const char*>(sum + i)};
      log(reinterpret_cast<char*>(sum + i), in, 0, m);
      for (int64_t j = i; j < i + m; ++j) to[j] += sum[j];
    }
  });
}

}  // namespace

void reduce_logsumexp(const Array& x, DimSet dims, const Array& out) {
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    dispatch_float(y.dtype, "logsumexp", [&]<class T>(T) {
      T* to = y.ptr<T>();
      const Array sums = Array::empty(y.shape, y.dtype);  // their logarithms are taken together
      reduce_walk<LogSumExpReducer<T>>(x, dims,
                                       [to, sum = sums.ptr<T>()](int64_t i, ScaledSum<T> s) {
                                         to[i] = s.largest;
                                         sum[i] = std::isinf(s.largest) ? T(1) : s.sum;
                                       });
      add_logarithms(sums.ptr<T>(), to, y.numel);
    });
  });
}

}  // namespace fastgrad
