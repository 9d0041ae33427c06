// Variances: every block in two passes around its own mean, blocks merged by the formula for the
// moments of a union. In double, so that float32 data with a large mean keep their digits.
#include <cmath>
#include <limits>

#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

struct Moments {
  double mean, squares;  // squares: of the distances from the mean
  double count;
};

template <class T>
struct MomentsReducer {
  using In = T;
  using Acc = Moments;
  static constexpr bool kOrdered = false;
  static Acc empty() { return {0, 0, 0}; }
  static Acc block(const T* p, int64_t n, int64_t) {
    Moments a{0, 0, static_cast<double>(n)};
    lanes(T{}).moments(p, n, &a.mean, &a.squares);
    return a;
  }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    constexpr int64_t kStrip = 512;
    double mean[kStrip], squares[kStrip];
    const T* part[kReduceRows];
    for (int64_t s = 0; s < m; s += kStrip) {
      const int64_t w = std::min(kStrip, m - s);
      for (int64_t i = 0; i < n; ++i) part[i] = row[i] + s;
      lanes(T{}).moments_rows(part, n, w, mean, squares);
      for (int64_t j = 0; j < w; ++j) acc[s + j] = {mean[j], squares[j], static_cast<double>(n)};
    }
  }
  static Acc merge(Acc a, Acc b) {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    double count = a.count + b.count, delta = b.mean - a.mean;
    return {a.mean + delta * (b.count / count),
            a.squares + b.squares + delta * delta * (a.count * b.count / count), count};
  }
};

}  // namespace

void reduce_var(const Array& x, DimSet dims, double correction, bool root, const Array& var,
                const Array* mean) {
  DType compute = compute_dtype(var.dtype);
  auto run = [&](const Array& v, const Array* m) {
    dispatch_float(compute, "var", [&]<class T>(T) {
      reduce_walk<MomentsReducer<T>>(x, dims, [&](int64_t i, const Moments& a) {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        double result = a.count > 0 ? a.squares / std::max(a.count - correction, 0.0) : nan;
        v.ptr<T>()[i] = static_cast<T>(root ? std::sqrt(result) : result);
        if (m) m->ptr<T>()[i] = static_cast<T>(a.count > 0 ? a.mean : nan);
      });
    });
  };
  with_output(var, compute, [&](const Array& v) {
    if (!mean) return run(v, nullptr);
    with_output(*mean, compute, [&](const Array& m) { run(v, &m); });
  });
}

}  // namespace fastgrad
