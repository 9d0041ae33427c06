#include "kernels/order.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/radix.h"
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
    line_.clear();
    constexpr int64_t kFew = 64;
    if (n_ < kFew) {
      line_ = entries(p);
    } else {  // only those that share the first digit with it, of the bits in which any two differ
      const Key first = sort_key(p[0]);
      Key varies = 0;
      for (int64_t i = 1; i < n_; ++i) varies |= sort_key(p[i]) ^ first;
      const int bits = n_ < 1024 ? 8 : 11;
      const int shift = std::max(0, static_cast<int>(std::bit_width(varies)) - bits);
      const Key mask = (Key{1} << bits) - 1;
      int64_t count[size_t{1} << 11];
      std::fill_n(count, size_t{1} << bits, 0);
      for (int64_t i = 0; i < n_; ++i) ++count[(sort_key(p[i]) >> shift) & mask];
      Key digit = 0;
      for (; k >= count[digit]; ++digit) k -= count[digit];
      line_.reserve(static_cast<size_t>(count[digit]));
      for (int64_t i = 0; i < n_; ++i)
        if (((sort_key(p[i]) >> shift) & mask) == digit) {
          if (shift == 0 && k-- == 0) return {p[i], i};  // all these are equal
          if (shift > 0) line_.push_back({p[i], i});
        }
    }
    auto at = line_.begin() + k;
    std::nth_element(line_.begin(), at, line_.end(), ascending<T>);
    return *at;
  }

  // The last one of the most frequent value, the least of these.
  Entry<T> mode(const T* p) {
    if (!radix_fits()) {
      std::vector<Entry<T>> line = entries(p);
      std::sort(line.begin(), line.end(), ascending<T>);
      size_t end = longest_run(line.size(), [&](size_t a, size_t b) {
        return same_value(line[a].value, line[b].value);
      });
      return line[end - 1];
    }
    Entry<T> found{};
    with_sorted_keys(p, n_, false, [&](const auto* sorted) {
      size_t end = longest_run(static_cast<size_t>(n_),
                               [&](size_t a, size_t b) { return sorted[a].key == sorted[b].key; });
      found = {p[sorted[end - 1].index], sorted[end - 1].index};
    });
    return found;
  }

 private:
  // A short line, by counting who comes before whom: nothing to guess. False, and nothing done,
  // where the numbers cannot be compared exactly as float or double, or not several at a time.
  static constexpr int64_t kRanked = 127;
  bool sort_by_rank(const T* p, bool descending, T* value, int64_t* index) const {
    using Number = std::conditional_t<(sizeof(T) > 2) && !std::is_same_v<T, float>, double, float>;
    if (sizeof(Number) == 8 && isa() < Isa::Avx2) return false;
    Number key[kRanked + 1] = {};  // whole registers
    int32_t rank[kRanked];
    bool ordered = true;
    for (int64_t i = 0; i < n_; ++i) {
      const auto v = static_cast<Number>(p[i]);
      key[i] = descending ? -v : v;
      if constexpr (std::is_same_v<T, int64_t>)
        ordered &= std::abs(v) < Number(int64_t{1} << 53);
      else
        ordered &= v == v;
    }
    if (!ordered) return false;
    lanes(Number{}).ranks(key, n_, rank);
    for (int64_t i = 0; i < n_; ++i) {
      value[rank[i]] = p[i];
      index[rank[i]] = i;
    }
    return true;
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

  // The end of the first longest run of equal places.
  template <class Same>
  static size_t longest_run(size_t n, Same&& same) {
    size_t most = 0, best = 0;
    for (size_t start = 0, end; start < n; start = end) {
      for (end = start + 1; end < n && same(end, start);) ++end;
      if (end - start > most) {
        most = end - start;
        best = end;
      }
    }
    return best;
  }

  template <bool kLargest>
  void choose(const T* p, int64_t k, T* value, int64_t* index) {
    auto less = [](const Entry<T>& a, const Entry<T>& b) {
      return kLargest ? descending_order<T>(a, b) : ascending<T>(a, b);
    };
    if (k * 4 > n_ && radix_fits()) {
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
  dispatch_real(compute, op, [&]<class T>(T) { f(T{}, from, to); });
  if (compute != values.dtype) copy_array(to, values);
}

template <class T>
Entry<T> pick(LineWorker<T>& worker, const T* p, int64_t n, LinePick what, int64_t k) {
  if (what == LinePick::Kth) return worker.kth(p, k);
  if (what == LinePick::Mode) return worker.mode(p);
  if constexpr (std::is_floating_point_v<T>) {
    int64_t nans = 0;
    for (int64_t i = 0; i < n; ++i) nans += p[i] != p[i];
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
