#include "kernels/order.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <vector>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/radix.h"
#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/reduce_lanes.h"

namespace fastgrad {
namespace {

template <class T>
struct Entry {
  T value;
  int64_t index;
};

template <class T>
bool value_less(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a < b || (b != b && a == a);
  else
    return a < b;
}
// Ties by place in both directions.
template <class T>
bool ascending(const Entry<T>& a, const Entry<T>& b) {
  return value_less(a.value, b.value) || (!value_less(b.value, a.value) && a.index < b.index);
}
template <class T>
bool descending_order(const Entry<T>& a, const Entry<T>& b) {
  return value_less(b.value, a.value) || (!value_less(a.value, b.value) && a.index < b.index);
}
template <class T>
bool same_value(T a, T b) {
  return !value_less(a, b) && !value_less(b, a);
}

// The work on single lines, with the memory that it takes; one per thread.
template <class T>
class LineWorker {
 public:
  using Key = KeyOf<T>;
  explicit LineWorker(int64_t n) : n_(n) {}

  // The whole line in order.
  void sort(const T* p, bool descending, T* value, int64_t* index) {
    if (!radix_fits()) {
      if (n_ <= kRanked && sort_by_rank(p, descending, value, index)) return;
      std::vector<Entry<T>> line = entries(p);
      std::sort(line.begin(), line.end(), descending ? descending_order<T> : ascending<T>);
      put(line.data(), n_, value, index);
      return;
    }
    with_sorted_keys(p, n_, descending, [&](const auto* sorted) {
      for (int64_t i = 0; i < n_; ++i) {
        value[i] = p[sorted[i].index];
        index[i] = sorted[i].index;
      }
    });
  }

  // The first k of that order.
  void topk(const T* p, int64_t k, bool largest, T* value, int64_t* index) {
    if (largest)
      choose<true>(p, k, value, index);
    else
      choose<false>(p, k, value, index);
  }

  // The k-th in ascending order.
  Entry<T> kth(const T* p, int64_t k) {
    if (n_ <= kRanked) return kth_of_few(p, nullptr, n_, k);
    const int64_t digits = n_ < 1024 ? 256 : kMostDigits;
    if constexpr (std::is_floating_point_v<T>) {
      // Only those that lie in the same of many equal parts of the interval, where these are few.
      const auto [low, high] = interval(p);
      const double scale = static_cast<double>(digits - 1) / (high - low);
      auto part_of = [=, low = low](T v) {
        return static_cast<int64_t>((static_cast<double>(v) - low) * scale);
      };
      if (scale > 0 && std::isfinite(scale) && is_spread(p, part_of))
        if (const int64_t n = keep_digit(p, k, digits, n_ / 4, part_of))
          return kth_of_few(p, place_.data(), n, k);
    }
    // Only those that share the first digit with it, of the bits in which any two differ.
    const auto [least, varies] = spread(p);
    const int bits = std::countr_zero(static_cast<uint64_t>(digits));
    const int shift = std::max(0, static_cast<int>(std::bit_width(varies)) - bits);
    const Key mask = static_cast<Key>(digits - 1);
    const int64_t n = keep_digit(p, k, digits, n_, [&, least = least](T v) {
      return static_cast<int64_t>(((sort_key(v) - least) >> shift) & mask);
    });
    if (shift == 0) return at(p, place_[static_cast<size_t>(k)]);  // all these are equal
    return kth_of_few(p, place_.data(), n, k);
  }

  // The last one of the most frequent value, the least of these.
  Entry<T> mode(const T* p) {
    if (radix_fits()) {
      Entry<T> found{};
      with_sorted_keys(p, n_, false, [&](const auto* sorted) {
        const int64_t last =
            longest_run(n_, [&](int64_t i) { return sorted[i].key == sorted[i - 1].key; });
        found = at(p, sorted[last].index);
      });
      return found;
    }
    int32_t rank[kRanked];
    if (n_ <= kRanked && ranks(p, nullptr, n_, false, rank)) {
      int32_t order[kRanked];
      for (int64_t i = 0; i < n_; ++i) order[rank[i]] = static_cast<int32_t>(i);
      return at(p,
                order[longest_run(n_, [&](int64_t i) { return p[order[i]] == p[order[i - 1]]; })]);
    }
    std::vector<Entry<T>> line = entries(p);
    std::sort(line.begin(), line.end(), ascending<T>);
    return line[static_cast<size_t>(longest_run(n_, [&](int64_t i) {
      const auto k = static_cast<size_t>(i);
      return same_value(line[k].value, line[k - 1].value);
    }))];
  }

 private:
  static Entry<T> at(const T* p, int64_t i) { return {p[i], i}; }

  static const auto& kernels() {
    if constexpr (std::is_floating_point_v<T>)
      return lanes(T{});
    else
      return integers(T{});
  }

  // Short lines, by counting who comes before whom: nothing to guess.
  static constexpr int64_t kRanked = 127;

  // Where in order each of n elements comes, those at `place` of p or the first ones. False where
  // the numbers cannot be compared exactly as float or double, or not several at a time.
  static bool ranks(const T* p, const int64_t* place, int64_t n, bool descending, int32_t* rank) {
    using Number = std::conditional_t<(sizeof(T) > 2) && !std::is_same_v<T, float>, double, float>;
    if (sizeof(Number) == 8 && isa() < Isa::Avx2) return false;
    constexpr int64_t kRegister = 16;  // whole ones are read
    Number key[kRanked + kRegister];
    T chosen[kRanked];
    if (place) {
      for (int64_t i = 0; i < n; ++i) chosen[i] = p[place[i]];
      p = chosen;
    }
    if constexpr (std::is_same_v<T, int64_t>) {  // by the bits of 1.5 * 2^52 + v
      uint64_t wide = 0;
      for (int64_t i = 0; i < n; ++i) {
        const auto v = static_cast<uint64_t>(p[i]);
        wide |= v + (uint64_t{1} << 51);
        key[i] = std::bit_cast<double>(v + std::bit_cast<uint64_t>(0x1.8p52)) - 0x1.8p52;
      }
      if (wide >> 52) return false;
    } else {
      int unordered = 0;
      for (int64_t i = 0; i < n; ++i) {
        key[i] = static_cast<Number>(p[i]);
        unordered |= key[i] != key[i];
      }
      if (unordered) return false;
    }
    if (descending)
      for (int64_t i = 0; i < n; ++i) key[i] = -key[i];
    std::fill_n(key + n, kRegister, Number(0));
    lanes(Number{}).ranks(key, n, rank);
    return true;
  }
  bool sort_by_rank(const T* p, bool descending, T* value, int64_t* index) const {
    int32_t rank[kRanked];
    if (!ranks(p, nullptr, n_, descending, rank)) return false;
    for (int64_t i = 0; i < n_; ++i) {
      value[rank[i]] = p[i];
      index[rank[i]] = i;
    }
    return true;
  }
  // The k-th in ascending order of those n, best few.
  Entry<T> kth_of_few(const T* p, const int64_t* place, int64_t n, int64_t k) {
    int32_t rank[kRanked];
    if (n <= kRanked && ranks(p, place, n, false, rank)) {
      int32_t found = 0;
      for (int64_t i = 0; i < n; ++i) found += rank[i] == k ? static_cast<int32_t>(i) : 0;
      return at(p, place ? place[found] : found);
    }
    line_.clear();
    for (int64_t i = 0; i < n; ++i) line_.push_back(at(p, place ? place[i] : i));
    auto wanted = line_.begin() + k;
    std::nth_element(line_.begin(), wanted, line_.end(), ascending<T>);
    return *wanted;
  }
  // How many share their digit with the k-th in ascending order, and which: k then counts among
  // those at place_. 0, and nothing done, where they are more than `most`.
  static constexpr int64_t kMostDigits = 2048;
  template <class F>
  int64_t keep_digit(const T* p, int64_t& k, int64_t digits, int64_t most, F&& digit_of) {
    int64_t count[kMostDigits];
    std::fill_n(count, digits, 0);
    for (int64_t i = 0; i < n_; ++i) ++count[digit_of(p[i])];
    int64_t digit = 0, left = k;
    for (; left >= count[digit]; ++digit) left -= count[digit];
    if (count[digit] > most) return 0;
    k = left;
    // Without a branch, which nobody could guess: there is room for one that does not count.
    place_.resize(static_cast<size_t>(count[digit] + 1));
    int64_t found = 0;
    for (int64_t i = 0; i < n_ && found < count[digit]; ++i) {
      place_[static_cast<size_t>(found)] = i;
      found += digit_of(p[i]) == digit;
    }
    return found;
  }
  // Whether few in a sample share their part with the one before: not where a far one stretches the
  // interval.
  template <class F>
  bool is_spread(const T* p, F&& part_of) const {
    constexpr int64_t kSample = 32;
    int64_t same = 0, before = -1;
    for (int64_t i = 0; i < kSample; ++i) {
      const int64_t part = part_of(p[i * n_ / kSample]);
      same += part == before;
      before = part;
    }
    return same <= kSample / 4;
  }
  // The smallest and the largest number, NaN where one is.
  std::pair<double, double> interval(const T* p) const {
    constexpr int64_t kAtOnce = 1024;
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (int64_t i = 0; i < n_; i += kAtOnce) {
      const int64_t n = std::min(kAtOnce, n_ - i);
      const double least = static_cast<double>(kernels().smallest(p + i, n));
      if (least != least) return {least, least};
      low = std::min(low, least);
      high = std::max(high, static_cast<double>(kernels().largest(p + i, n)));
    }
    return {low, high};
  }
  // A key that no key lies below, and the bits in which keys above that differ.
  std::pair<Key, Key> spread(const T* p) const {
    if constexpr (std::is_integral_v<T>) {
      T least = p[0], most = p[0];
      for (int64_t i = 1; i < n_; ++i) {
        least = p[i] < least ? p[i] : least;
        most = p[i] > most ? p[i] : most;
      }
      return {sort_key(least), sort_key(most) - sort_key(least)};
    } else {
      Key varies = 0;
      for (int64_t i = 1; i < n_; ++i) varies |= sort_key(p[i]) ^ sort_key(p[0]);
      return {Key{0}, varies};
    }
  }
  bool radix_fits() const { return n_ >= 128 && n_ <= int64_t{UINT32_MAX}; }

  std::vector<Entry<T>> entries(const T* p) const {
    std::vector<Entry<T>> line(static_cast<size_t>(n_));
    for (int64_t i = 0; i < n_; ++i) line[static_cast<size_t>(i)] = {p[i], i};
    return line;
  }
  static void put(const Entry<T>* e, int64_t k, T* value, int64_t* index) {
    for (int64_t i = 0; i < k; ++i) {
      value[i] = e[i].value;
      index[i] = e[i].index;
    }
  }

  // The last place of the first longest run; same(i) says whether i continues that of i - 1.
  template <class Same>
  static int64_t longest_run(int64_t n, Same&& same) {
    int64_t run = 1, most = 1, last = 0;
    for (int64_t i = 1; i < n; ++i) {
      run = same(i) ? run + 1 : 1;
      last = run > most ? i : last;
      most = run > most ? run : most;
    }
    return last;
  }

  // The best so far of a line are few, and with them wait some that are better than the last of
  // them was. False, and nothing of use written, where ranks() is false.
  template <bool kLargest>
  bool choose_by_rank(const T* p, int64_t k, T* value, int64_t* index) const {
    constexpr int64_t kStep = 64;
    int64_t place[kRanked];
    int32_t rank[kRanked];
    const int64_t first = 4 * k >= n_ ? kRanked : (k / 16 + 1) * 32;
    int64_t waiting = std::min({n_, first, kRanked});
    for (int64_t i = 0; i < waiting; ++i) place[i] = i;
    for (int64_t next = waiting;;) {
      if (!ranks(p, place, waiting, kLargest, rank)) return false;
      if (next == n_) break;
      int64_t kept = 0;
      T bar = p[0];
      for (int64_t i = 0; i < waiting; ++i) {
        bar = rank[i] == k - 1 ? p[place[i]] : bar;
        place[kept] = place[i];
        kept += rank[i] < k;
      }
      waiting = kept;
      while (next < n_ && waiting + kStep <= kRanked) {
        const int64_t m = std::min(kStep, n_ - next);
        // Of equal ones the first counts. NaN has to be found, where it would be chosen.
        auto better = [bar](T v) { return kLargest ? !(v <= bar) : v < bar; };
        const T best = kLargest ? kernels().largest(p + next, m) : kernels().smallest(p + next, m);
        const bool any = kLargest ? !(best <= bar) : !(best >= bar);
        for (int64_t j = 0; any && j < m; ++j) {
          place[waiting] = next + j;
          waiting += better(p[next + j]);
        }
        next += m;
      }
    }
    int64_t order[kRanked];
    for (int64_t i = 0; i < waiting; ++i) order[rank[i]] = place[i];
    for (int64_t i = 0; i < k; ++i) {
      value[i] = p[order[i]];
      index[i] = order[i];
    }
    return true;
  }

  template <bool kLargest>
  void choose(const T* p, int64_t k, T* value, int64_t* index) {
    auto less = [](const Entry<T>& a, const Entry<T>& b) {
      return kLargest ? descending_order<T>(a, b) : ascending<T>(a, b);
    };
    if ((n_ <= kRanked || k <= kRanked / 2) && choose_by_rank<kLargest>(p, k, value, index)) return;
    constexpr int64_t kSortedSoon = 2048;
    if ((k * 4 > n_ || n_ <= kSortedSoon) && radix_fits()) {
      with_sorted_keys(p, n_, kLargest, [&](const auto* sorted) {
        for (int64_t i = 0; i < k; ++i) {
          value[i] = p[sorted[i].index];
          index[i] = sorted[i].index;
        }
      });
      return;
    }
    // A heap of the best so far, the worst of them on top. Later elements have to be strictly
    // better than that: of equal ones the first counts.
    line_.clear();
    for (int64_t i = 0; i < k; ++i) line_.push_back({p[i], i});
    std::make_heap(line_.begin(), line_.end(), less);
    T bar = line_.front().value;
    auto better = [&bar](T v) {
      if constexpr (std::is_floating_point_v<T>)
        return kLargest ? (v > bar) | ((v != v) & (bar == bar))
                        : (v < bar) | ((bar != bar) & (v == v));
      else
        return kLargest ? v > bar : v < bar;
    };
    constexpr int64_t kStep = 32;
    for (int64_t i = k; i < n_; i += kStep) {
      const int64_t m = std::min(kStep, n_ - i);
      if (m == kStep) {
        int any = 0;
        for (int64_t j = 0; j < kStep; ++j) any |= better(p[i + j]);
        if (!any) continue;
      }
      for (int64_t j = 0; j < m; ++j) {
        if (!better(p[i + j])) continue;
        std::pop_heap(line_.begin(), line_.end(), less);
        line_.back() = {p[i + j], i + j};
        std::push_heap(line_.begin(), line_.end(), less);
        bar = line_.front().value;
      }
    }
    std::sort_heap(line_.begin(), line_.end(), less);
    put(line_.data(), k, value, index);
  }

  int64_t n_;
  std::vector<Entry<T>> line_;
  std::vector<int64_t> place_;
};

// Calls f(worker, line, where its values go, where its indices go) for every line, on several
// threads. Lines across memory are brought together first.
template <class T, class F>
void each_line(const Array& x, int64_t dim, const Array& values, const Array& indices, F&& f) {
  int64_t outer = 1, n = 1, inner = 1;
  for (int64_t d = 0; d < x.ndim(); ++d)
    (d < dim ? outer : d == dim ? n : inner) *= x.shape[static_cast<size_t>(d)];
  const int64_t lines = outer * inner;
  if (lines == 0) return;
  const int64_t results = values.numel / lines;
  Array from = x, value_out = values, index_out = indices;
  const bool across = inner > 1 && n > 1;
  if (across) {
    from = contiguous_copy(x.view(Dims{outer, inner, n}, Dims{n * inner, 1, inner}));
    value_out = Array::empty(Dims{outer, inner, results}, values.dtype);
    index_out = Array::empty(Dims{outer, inner, results}, DType::Int64);
  }
  const T* p = from.ptr<T>();
  T* value = value_out.ptr<T>();
  int64_t* index = index_out.ptr<int64_t>();
  constexpr int64_t kGrain = 8192;
  parallel_for(lines, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)),
               [&](int64_t begin, int64_t end) {
                 LineWorker<T> worker(n);
                 for (int64_t l = begin; l < end; ++l)
                   f(worker, p + l * n, value + l * results, index + l * results);
               });
  if (across) {
    Dims shape{outer, inner, results}, strides{results * inner, 1, inner};
    copy_array(value_out, values.view(shape, strides));
    copy_array(index_out, indices.view(shape, strides));
  }
}

// Runs f<T>(x, values) in the compute type of x; values are exact in either.
template <class F>
void in_compute_type(const char* op, const Array& x, const Array& values, F&& f) {
  DType compute = compute_dtype(x.dtype);
  Array from = as_contiguous(x, compute);
  Array to = compute == values.dtype ? values : Array::empty(values.shape, compute);
  Array bytes = to;
  if (compute == DType::Bool) from.dtype = bytes.dtype = DType::UInt8;  // the bytes 0 and 1
  dispatch_real(from.dtype, op, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>) f(T{}, from, bytes);
  });
  if (compute != values.dtype) copy_array(to, values);
}

template <class T>
Entry<T> pick(LineWorker<T>& worker, const T* p, int64_t n, LinePick what, int64_t k) {
  if (what == LinePick::Kth) return worker.kth(p, k);
  if (what == LinePick::Mode) return worker.mode(p);
  if constexpr (std::is_floating_point_v<T>) {
    int any = 0;
    for (int64_t i = 0; i < n; ++i) any |= p[i] != p[i];
    int64_t nans = 0;
    for (int64_t i = 0; any && i < n; ++i) nans += p[i] != p[i];
    if (nans && (what == LinePick::Median || nans == n)) {
      int64_t first = 0;
      while (p[first] == p[first]) ++first;
      return {p[first], first};
    }
    n -= nans;  // they sort behind the numbers
  }
  return worker.kth(p, (n - 1) / 2);
}

}  // namespace

void sort_lines(const Array& x, int64_t dim, bool descending, const Array& values,
                const Array& indices) {
  in_compute_type("sort", x, values, [&]<class T>(T, const Array& from, const Array& to) {
    each_line<T>(from, dim, to, indices,
                 [&](LineWorker<T>& worker, const T* p, T* value, int64_t* index) {
                   worker.sort(p, descending, value, index);
                 });
  });
}

void topk_lines(const Array& x, int64_t dim, bool largest, const Array& values,
                const Array& indices) {
  const int64_t k = values.ndim() ? values.shape[static_cast<size_t>(dim)] : values.numel;
  if (k == 0) return;
  in_compute_type("topk", x, values, [&]<class T>(T, const Array& from, const Array& to) {
    each_line<T>(from, dim, to, indices,
                 [&](LineWorker<T>& worker, const T* p, T* value, int64_t* index) {
                   worker.topk(p, k, largest, value, index);
                 });
  });
}

void pick_lines(const Array& x, int64_t dim, LinePick what, int64_t k, const Array& values,
                const Array& indices) {
  const int64_t n = x.ndim() ? x.shape[static_cast<size_t>(dim)] : 1;
  in_compute_type("order statistics", x, values,
                  [&]<class T>(T, const Array& from, const Array& to) {
                    each_line<T>(from, dim, to, indices,
                                 [&](LineWorker<T>& worker, const T* p, T* value, int64_t* index) {
                                   Entry<T> e = pick(worker, p, n, what, k);
                                   *value = e.value;
                                   *index = e.index;
                                 });
                  });
}

}  // namespace fastgrad
