#include "kernels/count.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/key_lanes.h"
#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/sort_keys.h"

namespace fastgrad {

void histogram(const Array& x, double lo, double hi, const Array& out) {
  DType compute = compute_dtype(x.dtype);
  Array from = as_contiguous(x, compute);
  const int64_t bins = out.numel;
  std::vector<int64_t> counts(static_cast<size_t>(bins), 0);
  dispatch_float(compute, "histc", [&]<class T>(T) {
    const T low = static_cast<T>(lo), high = static_cast<T>(hi), scale = static_cast<T>(bins);
    const T* p = from.ptr<T>();
    // Where the range is so wide that products overflow, everything is made smaller.
    const T unit = std::isfinite((high - low) * scale) ? T(1) : T(0x1p-40);
    for (int64_t i = 0; i < from.numel; ++i) {
      if (!(p[i] >= low && p[i] <= high)) continue;
      const T bin = (p[i] * unit - low * unit) * scale / (high * unit - low * unit);
      ++counts[static_cast<size_t>(bin < scale ? std::min(static_cast<int64_t>(bin), bins - 1)
                                               : bins - 1)];
    }
  });
  cast_kernel(DType::Int64, out.dtype)(reinterpret_cast<const char*>(counts.data()), 1, out.data, 1,
                                       bins);
}

namespace {

// The places of values among n edges that lie so evenly that only the nearest edge is in doubt: one
// look instead of a search. False, and nothing done, where they lie otherwise.
template <class T>
bool find_evenly(const T* edge, int64_t n, const T* value, int64_t count, bool right, int64_t* to) {
  constexpr int64_t kFewest = 8, kMost = 1 << 16;  // so that places are exact enough
  if (n < kFewest || n > kMost || n > count) return false;
  const T first = edge[0], last = static_cast<T>(n - 1), step = (edge[n - 1] - first) / last,
          per_step = 1 / step;
  if (!(step > 0) || !std::isfinite(step) || !std::isfinite(per_step)) return false;
  bool even = true;
  for (int64_t k = 0; k < n; ++k)
    even &= std::abs((edge[k] - first) * per_step - static_cast<T>(k)) < T(0.25);
  if (!even) return false;
  constexpr int64_t kGrain = 8192;
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      // The edges before the nearest one are before v as well; NaN is beyond the last.
      const T v = value[i], at = (v - first) * per_step, below = at < last ? at : last;
      const auto k = static_cast<int64_t>((below > 0 ? below : T(0)) + T(0.5));
      to[i] = k + (right ? !(edge[k] > v) : !(edge[k] >= v));
    }
  });
  return true;
}

// How many of n edges are before a value: before(k) says whether the k-th is, and those that are
// come first. NaN compares false, so that it is behind all. The mask keeps compilers
// from making a branch, which nobody could guess.
template <class F>
int64_t first_not_before(int64_t n, F&& before) {
  int64_t base = 0, length = n;
  for (; length > 1; length -= length / 2)
    base += length / 2 & -int64_t{before(base + length / 2 - 1)};
  return base + (length && before(base) ? 1 : 0);
}

// The same for several values in one row: each step of one search waits for memory.
constexpr int64_t kFoundAtOnce = 8;
template <bool kRight, class T>
void find_in_row(const T* edge, int64_t n, const T* value, int64_t* to) {
  auto before = [](T e, T v) { return kRight ? !(e > v) : !(e >= v); };
  T v[kFoundAtOnce];
  int64_t base[kFoundAtOnce] = {};
  for (int64_t j = 0; j < kFoundAtOnce; ++j) v[j] = value[j];
  int64_t length = n;
  for (; length > 1; length -= length / 2) {
    const int64_t half = length / 2;
    const T* last = edge + half - 1;
#pragma GCC unroll 8
    for (int64_t j = 0; j < kFoundAtOnce; ++j)
      base[j] += half & -int64_t{before(last[base[j]], v[j])};
  }
  for (int64_t j = 0; j < kFoundAtOnce; ++j)
    to[j] = base[j] + (length && before(edge[base[j]], v[j]) ? 1 : 0);
}

}  // namespace

void search_sorted(const Array& boundaries, const Array& values, const Array* sorter, bool right,
                   const Array& out) {
  DType compute = compute_dtype(boundaries.dtype);
  Array edges = as_contiguous(boundaries, compute), sought = as_contiguous(values, compute);
  Array order;
  if (sorter) order = as_contiguous(*sorter);
  const int64_t n = boundaries.shape.back();
  const int64_t rows = n ? boundaries.numel / n : 1;
  const int64_t per_row =
      boundaries.ndim() == 1 ? sought.numel : sought.numel / std::max<int64_t>(rows, 1);
  Array found = out.dtype == DType::Int64 ? out : Array::empty(out.shape, DType::Int64);
  dispatch_real(compute, "searchsorted", [&]<class T>(T) {
    const T *edge = edges.ptr<T>(), *value = sought.ptr<T>();
    const int64_t* place = sorter ? order.ptr<int64_t>() : nullptr;
    int64_t* to = found.ptr<int64_t>();
    const bool one_row = boundaries.ndim() == 1;
    constexpr int64_t kGrain = 8192;
    if constexpr (std::is_floating_point_v<T>)
      if (one_row && !place && find_evenly(edge, n, value, sought.numel, right, to)) return;
    parallel_for(sought.numel, kGrain, [&](int64_t begin, int64_t end) {
      int64_t i = begin;
      if (one_row && !place) {
        const auto find = right ? &find_in_row<true, T> : &find_in_row<false, T>;
        for (; i + kFoundAtOnce <= end; i += kFoundAtOnce) find(edge, n, value + i, to + i);
      }
      for (; i < end; ++i) {
        const int64_t row = one_row ? 0 : i / per_row * n;
        to[i] = first_not_before(n, [&](int64_t k) {
          const T e = edge[row + (place ? place[row + k] : k)];
          return right ? !(e > value[i]) : !(e >= value[i]);
        });
      }
    });
  });
  if (out.dtype != DType::Int64) copy_array(found, out);
}

namespace {

// -1, 0, 1; NaN after every number.
template <class T>
int compare_rows(const T* a, const T* b, int64_t width) {
  for (int64_t i = 0; i < width; ++i) {
    if (a[i] < b[i]) return -1;
    if (b[i] < a[i]) return 1;
    if constexpr (std::is_floating_point_v<T>) {
      bool nan_a = a[i] != a[i], nan_b = b[i] != b[i];
      if (nan_a != nan_b) return nan_a ? 1 : -1;
    }
  }
  return 0;
}
// NaN differs from itself here.
template <class T>
bool equal_rows(const T* a, const T* b, int64_t width) {
  for (int64_t i = 0; i < width; ++i)
    if (!(a[i] == b[i])) return false;
  return true;
}

// Which rows are equal. `order` is the one they are compared in, where it is not their own;
// `starts` has the places in it where a group begins.
struct Groups {
  Scratch<int64_t> order, starts;
  int64_t count = 0;
  explicit Groups(int64_t n) : order(n), starts(n + 1) {}
  // Whether the next place begins a group. Without a branch: nobody could guess it.
  int64_t add(int64_t place, bool begins) {
    starts.get()[count] = place;
    count += begins;
    return count - 1;
  }
};

// Elements of a compute type, by their keys.
template <class Key>
void group_sorted_elements(DType type, const void* p, int64_t n, Groups& groups, int64_t* inverse) {
  const Scratch<Key> memory(2 * n + kBehindKeys);
  Key *sorted = memory.get(), *key = sorted + n;
  int64_t* order = groups.order.get();
  const int64_t numbers = n - make_keys(type, p, n, false, key);
  sort_places(key, n, order, sorted);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t group = groups.add(i, i == 0 || i >= numbers || sorted[i] != sorted[i - 1]);
    if (inverse) inverse[order[i]] = group;
  }
}

// Integers of a small range are counted instead of sorted. False, and nothing done, for others.
template <class T>
bool group_counted_elements(const T* p, int64_t n, Groups& groups, int64_t* inverse) {
  constexpr uint64_t kRange = 1 << 14;
  constexpr int64_t kBlock = 1024;
  const auto& kernels = integers(T{});
  T least = p[0], most = p[0];
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = std::min(kBlock, n - i);
    least = std::min(least, kernels.smallest(p + i, m));
    most = std::max(most, kernels.largest(p + i, m));
    sum += static_cast<uint64_t>(kernels.sum.run(p + i, m));
  }
  auto offset = [least](T v) { return static_cast<uint64_t>(v) - static_cast<uint64_t>(least); };
  const uint64_t range = offset(most) + 1;
  if (range == 0 || range > kRange || range > static_cast<uint64_t>(n)) return false;
  if (range <= 2) {  // truth values: the sum says how many are greater
    const auto upper =
        static_cast<int64_t>(sum - static_cast<uint64_t>(least) * static_cast<uint64_t>(n));
    auto add = [&](T value, int64_t start) {
      groups.order.get()[start] = kernels.find(p, n, value);
      groups.add(start, true);
    };
    add(least, 0);
    if (upper) add(most, n - upper);
    for (int64_t i = 0; inverse && i < n; ++i) inverse[i] = p[i] != least;
    return true;
  }
  struct Value {
    int64_t first, count, rank;
  };
  std::vector<Value> values(range, Value{0, 0, 0});
  for (int64_t i = n; i-- > 0;) {
    Value& v = values[offset(p[i])];
    v.first = i;
    ++v.count;
  }
  int64_t start = 0;
  for (Value& v : values) {
    if (v.count == 0) continue;
    v.rank = groups.add(start, true);
    groups.order.get()[start] = v.first;
    start += v.count;
  }
  for (int64_t i = 0; inverse && i < n; ++i) inverse[i] = values[offset(p[i])].rank;
  return true;
}

// The first row of each group.
template <class Word>
void take_words(const Array& rows, const Groups& groups, bool in_order, const Array& to) {
  const Word* from = rows.ptr<Word>();
  for (int64_t g = 0; g < groups.count; ++g) {
    const int64_t start = groups.starts.get()[g];
    to.ptr<Word>()[g] = from[in_order ? start : groups.order.get()[start]];
  }
}

// Brings together what differs from the element before; null where there is none for such.
template <class T>
using ChangesKernel = int64_t (*)(const T* p, int64_t n, T* to);
template <class T>
ChangesKernel<T> changes_kernel(T) {
  return nullptr;
}
ChangesKernel<int32_t> changes_kernel(int32_t) { return key_table().narrow.changes; }
ChangesKernel<int64_t> changes_kernel(int64_t) { return key_table().wide.changes; }
ChangesKernel<float> changes_kernel(float) { return key_table().narrow.float_changes; }
ChangesKernel<double> changes_kernel(double) { return key_table().wide.float_changes; }

// Runs of equal elements. There is room for as many as there are elements, so that nothing has to
// be counted before. Blocks in which none begins, or one with each element, are passed over as a
// whole where blocks before were such; in others nothing has a branch to guess: what may begin is
// written to the next place again and again until something does begin there.
template <class T>
class Runs {
 public:
  Runs(const T* p, int64_t n) : p_(p), n_(n) {}
  DistinctRows find(DType type, DistinctWanted wanted) const {
    auto array = [this](bool is_wanted, DType dtype) {
      return Array::empty(Dims{is_wanted ? n_ : 0}, dtype);
    };
    DistinctRows r{array(true, type), array(wanted.inverse, DType::Int64),
                   array(wanted.counts, DType::Int64)};
    if (n_ == 0) return r;
    const Places to{r.values.ptr<T>(), wanted.counts ? r.counts.ptr<int64_t>() : nullptr,
                    wanted.inverse ? r.inverse.ptr<int64_t>() : nullptr};
    to.value[0] = p_[0];
    if (to.begin) to.begin[0] = 0;
    if (to.inverse) to.inverse[0] = 0;
    if (const auto changes = to.begin || to.inverse ? nullptr : changes_kernel(T{})) {
      cut(r.values, 1 + changes(p_ + 1, n_ - 1, to.value + 1));
      return r;
    }
    const auto run = to.begin
                         ? to.inverse ? &Runs::run_block<true, true> : &Runs::run_block<true, false>
                     : to.inverse ? &Runs::run_block<false, true>
                                  : &Runs::run_block<false, false>;
    int64_t last = 0, ended = 0;  // the run that goes on; of how many the length is known
    int64_t begun = 1;            // in the block before
    int64_t full = 0;             // how many blocks before had one with each element
    for (int64_t i = 1; i < n_; i += kBlock) {
      const int64_t m = std::min(kBlock, n_ - i), before = last;
      if (begun == 0 && !differ(i, m)) {
        if (to.inverse) std::fill_n(to.inverse + i, m, last);
        continue;
      }
      if (full >= kOften && beginning(i, m) == m)
        last = put_all(i, m, last, to);
      else
        last = (this->*run)(i, m, last, to);
      begun = last - before;
      full = begun == m ? full + 1 : 0;
      if (to.begin)
        for (; ended < last; ++ended) to.begin[ended] = to.begin[ended + 1] - to.begin[ended];
    }
    if (to.begin) to.begin[last] = n_ - to.begin[last];
    cut(r.values, last + 1);
    if (to.begin) cut(r.counts, last + 1);
    return r;
  }

 private:
  static constexpr int64_t kBlock = 64, kOften = 4;
  struct Places {
    T* value;
    int64_t *begin, *inverse;  // or null
  };

  // Keeps the first n elements, and the memory of all unless that is mostly waste.
  static void cut(Array& a, int64_t n) {
    if (n == a.numel) return;
    const Array part = a.view(Dims{n}, Dims{1});
    a = n < a.numel / 2 ? contiguous_copy(part) : part;
  }

  using Counter = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;  // as wide as an element
  using Bits =
      std::conditional_t<sizeof(T) == 8, uint64_t,
                         std::conditional_t<sizeof(T) == 4, uint32_t,
                                            std::conditional_t<sizeof(T) == 2, uint16_t, uint8_t>>>;

  static Counter begins_at(const T* p) {
    if constexpr (std::is_same_v<T, int64_t>) {  // there may be no comparison of several at a time
      const auto x = static_cast<uint64_t>(p[0] ^ p[-1]);
      return static_cast<int64_t>((x | (0 - x)) >> 63);
    } else {
      return !(p[0] == p[-1]);
    }
  }
  // Whether a run may begin with the m elements from `at` on: not where all have the same bits,
  // which are no NaN's.
  bool differ(int64_t at, int64_t m) const {
    const T* p = p_ + at;
    Bits any = 0;
    for (int64_t j = 0; j < m; ++j)
      any = static_cast<Bits>(any | (std::bit_cast<Bits>(p[j]) ^ std::bit_cast<Bits>(p[j - 1])));
    return any != 0 || !(p[0] == p[0]);
  }
  int64_t beginning(int64_t at, int64_t m) const {
    const T* p = p_ + at;
    Counter sum = 0;
    for (int64_t j = 0; j < m; ++j) sum += begins_at(p + j);
    return sum;
  }
  // These take m elements from `at` on and return which run then goes on.
  template <bool kBegin, bool kInverse>
  int64_t run_block(int64_t at, int64_t m, int64_t last, const Places& to) const {
    T* value = to.value;
    int64_t *begin = to.begin, *inverse = to.inverse;
    for (int64_t i = at; i < at + m; ++i) {
      value[last + 1] = p_[i];
      if (kBegin) begin[last + 1] = i;
      last += p_[i] == p_[i - 1] ? 0 : 1;
      if (kInverse) inverse[i] = last;
    }
    return last;
  }
  int64_t put_all(int64_t at, int64_t m, int64_t last, const Places& to) const {
    std::copy_n(p_ + at, m, to.value + last + 1);
    for (int64_t j = 0; to.begin && j < m; ++j) to.begin[last + 1 + j] = at + j;
    for (int64_t j = 0; to.inverse && j < m; ++j) to.inverse[at + j] = last + 1 + j;
    return last + m;
  }

  const T* p_;
  int64_t n_;
};

}  // namespace

DistinctRows distinct_rows(const Array& x, bool consecutive, DistinctWanted wanted) {
  const int64_t n = x.shape[0], width = n ? x.numel / n : 0;
  DType compute = compute_dtype(x.dtype);
  Array rows = as_contiguous(x, compute);
  if (compute == DType::Bool) rows.dtype = compute = DType::UInt8;  // the bytes 0 and 1
  DistinctRows result;
  if (consecutive && width == 1 && rows.itemsize() == x.itemsize()) {
    dispatch_real(compute, "unique_consecutive",
                  [&]<class T>(T) { result = Runs<T>(rows.ptr<T>(), n).find(x.dtype, wanted); });
    return result;
  }
  Groups groups(n);
  result.inverse = Array::empty(Dims{wanted.inverse ? n : 0}, DType::Int64);
  int64_t* inverse = wanted.inverse ? result.inverse.ptr<int64_t>() : nullptr;
  dispatch_real(compute, "unique", [&]<class T>(T) {
    const T* p = rows.ptr<T>();
    if (consecutive && width == 1) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t group = groups.add(i, i == 0 || !(p[i] == p[i - 1]));
        if (inverse) inverse[i] = group;
      }
      return;
    }
    if (!consecutive && width == 1 && n > 0 && n <= int64_t{UINT32_MAX}) {
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
        if (group_counted_elements(p, n, groups, inverse)) return;
      return group_sorted_elements<KeyOf<T>>(compute, p, n, groups, inverse);
    }
    int64_t* order = groups.order.get();
    std::iota(order, order + n, 0);
    if (!consecutive)
      std::stable_sort(order, order + n, [&](int64_t a, int64_t b) {
        return compare_rows(p + a * width, p + b * width, width) < 0;
      });
    for (int64_t i = 0; i < n; ++i) {
      const int64_t group = groups.add(
          i, i == 0 || !equal_rows(p + order[i] * width, p + order[i - 1] * width, width));
      if (inverse) inverse[order[i]] = group;
    }
  });
  groups.starts.get()[groups.count] = n;
  Dims shape = x.shape;
  shape[0] = groups.count;
  result.values = Array::empty(shape, x.dtype);
  result.counts = Array::empty(Dims{wanted.counts ? groups.count : 0}, DType::Int64);
  const int64_t* starts = groups.starts.get();
  for (int64_t g = 0; g < result.counts.numel; ++g)
    result.counts.ptr<int64_t>()[g] = starts[g + 1] - starts[g];
  Array source = as_contiguous(x);
  const bool in_order = consecutive;
  const size_t bytes = static_cast<size_t>(width) * x.itemsize();
  switch (bytes) {
    case 1:
      take_words<uint8_t>(source, groups, in_order, result.values);
      break;
    case 2:
      take_words<uint16_t>(source, groups, in_order, result.values);
      break;
    case 4:
      take_words<uint32_t>(source, groups, in_order, result.values);
      break;
    case 8:
      take_words<uint64_t>(source, groups, in_order, result.values);
      break;
    default:
      for (int64_t g = 0; g < groups.count; ++g) {
        const int64_t row = in_order ? starts[g] : groups.order.get()[starts[g]];
        std::memcpy(result.values.data + static_cast<size_t>(g) * bytes,
                    source.data + static_cast<size_t>(row) * bytes, bytes);
      }
  }
  return result;
}

}  // namespace fastgrad
