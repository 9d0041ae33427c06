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
    int32_t count = 0;
    for (int64_t i = 0; i < n; ++i) count += p[i];
    return count;
  }
  static void row(Acc* acc, const bool* p, int64_t m, int64_t) {
    for (int64_t j = 0; j < m; ++j) acc[j] += p[j];
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
