// any, all, count_nonzero: reductions of the truth of elements.
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

// The number of elements that are true.
struct CountReducer {
  using In = bool;
  using Acc = int64_t;
  static constexpr bool kOrdered = false;
  static Acc empty() { return 0; }
  static Acc block(const bool* p, int64_t n, int64_t) {
    constexpr int64_t kLanes = 64;  // bytes, of which none overflows
    static_assert(kReduceBlock / kLanes < 256);
    uint8_t lane[kLanes] = {};
    int64_t i = 0, count = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t j = 0; j < kLanes; ++j) lane[j] = static_cast<uint8_t>(lane[j] + p[i + j]);
    for (uint8_t c : lane) count += c;
    for (; i < n; ++i) count += p[i];
    return count;
  }
  static void rows(const bool* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    constexpr int64_t kStrip = 256;
    uint8_t count[kStrip];
    for (int64_t s = 0; s < m; s += kStrip) {
      const int64_t w = std::min(kStrip, m - s);
      std::fill_n(count, w, uint8_t{0});
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < w; ++j) count[j] = static_cast<uint8_t>(count[j] + row[i][s + j]);
      std::copy_n(count, w, acc + s);
    }
  }
  static Acc merge(Acc a, Acc b) { return a + b; }
};

template <class F>
void write_truth(const Array& x, DimSet dims, const Array& out, F&& truth) {
  with_output(out, DType::Bool, [&](const Array& y) {
    reduce_walk<CountReducer>(x, dims,
                              [&](int64_t i, int64_t count) { y.ptr<bool>()[i] = truth(count); });
  });
}

}  // namespace

void count_nonzero(const Array& x, DimSet dims, const Array& out) {
  reduce_walk<CountReducer>(x, dims,
                            [&](int64_t i, int64_t count) { out.ptr<int64_t>()[i] = count; });
}

void reduce_any(const Array& x, DimSet dims, const Array& out) {
  write_truth(x, dims, out, [](int64_t count) { return count != 0; });
}

void reduce_all(const Array& x, DimSet dims, const Array& out) {
  int64_t total = x.numel ? x.numel / std::max<int64_t>(out.numel, 1) : 0;
  write_truth(x, dims, out, [total](int64_t count) { return count == total; });
}

}  // namespace fastgrad
