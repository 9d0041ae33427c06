// any, all, count_nonzero: reductions of the truth of elements.
#include "kernels/copy.h"
#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

// The number of elements that are true, from their bits.
template <class Bits, bool kFloat>
struct CountReducer {
  using In = Bits;
  using Acc = int64_t;
  static constexpr bool kOrdered = false;
  static const auto& kernels() {
    return kFloat ? truth(Bits{}).of_floats : truth(Bits{}).of_integers;
  }
  static Acc empty() { return 0; }
  static Acc block(const In* p, int64_t n, int64_t) { return kernels().run(p, n); }
  static void rows(const In* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    kernels().rows(row, n, m, acc);
  }
  static Acc merge(Acc a, Acc b) { return a + b; }
};

// Calls store(output index, how many are true).
template <class Store>
void count(const Array& x, DimSet dims, Store store) {
  Array bits = x;
  auto walk = [&]<class Bits, bool kFloat>(CountReducer<Bits, kFloat>) {
    bits.dtype = dtype_of<Bits>;
    reduce_walk<CountReducer<Bits, kFloat>>(bits, dims, store);
  };
  if (is_complex(x.dtype)) {
    bits = as_contiguous(x, DType::Bool);
    return walk(CountReducer<int8_t, false>{});
  }
  const bool is_float = is_floating(x.dtype);
  switch (x.itemsize()) {
    case 1:
      return walk(CountReducer<int8_t, false>{});
    case 2:
      return is_float ? walk(CountReducer<int16_t, true>{}) : walk(CountReducer<int16_t, false>{});
    case 4:
      return is_float ? walk(CountReducer<int32_t, true>{}) : walk(CountReducer<int32_t, false>{});
    default:
      return is_float ? walk(CountReducer<int64_t, true>{}) : walk(CountReducer<int64_t, false>{});
  }
}

template <class F>
void write_truth(const Array& x, DimSet dims, const Array& out, F&& answer) {
  with_output(out, DType::Bool, [&](const Array& y) {
    count(x, dims,
          [answer, to = y.ptr<bool>()](int64_t i, int64_t found) { to[i] = answer(found); });
  });
}

}  // namespace

void count_nonzero(const Array& x, DimSet dims, const Array& out) {
  constexpr int64_t kShortLine = 64;  // of bytes, which sums have better loops for
  if (x.dtype == DType::Bool && x.numel < kShortLine * out.numel) return reduce_sum(x, dims, out);
  count(x, dims, [to = out.ptr<int64_t>()](int64_t i, int64_t found) { to[i] = found; });
}

namespace {
// Of bytes the largest or the smallest says it, taken as bits. Whether it was done here.
bool reduce_bytes(const Array& x, DimSet dims, bool any, const Array& out) {
  if (x.itemsize() != 1 || x.numel == 0) return false;
  if (x.dtype == DType::Bool && out.dtype == DType::Bool) {
    reduce_extreme(x, dims, any, &out, nullptr);
    return true;
  }
  Array bits = x;
  bits.dtype = DType::UInt8;
  const Array found = Array::empty(out.shape, DType::UInt8);
  reduce_extreme(bits, dims, any, &found, nullptr);
  with_output(out, DType::Bool, [&](const Array& y) { copy_array(found, y); });
  return true;
}
}  // namespace

void reduce_any(const Array& x, DimSet dims, const Array& out) {
  if (reduce_bytes(x, dims, true, out)) return;
  write_truth(x, dims, out, [](int64_t found) { return found != 0; });
}

void reduce_all(const Array& x, DimSet dims, const Array& out) {
  if (reduce_bytes(x, dims, false, out)) return;
  int64_t total = x.numel ? x.numel / std::max<int64_t>(out.numel, 1) : 0;
  write_truth(x, dims, out, [total](int64_t found) { return found == total; });
}

}  // namespace fastgrad
