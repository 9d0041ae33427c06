#include "kernels/order.h"

#include <algorithm>
#include <vector>

#include "kernels/copy.h"

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

// Calls f(entries of a line, where its first result goes, step between results) for every line;
// f writes through `put`.
template <class T, class F>
void each_line(const Array& x, int64_t dim, const Array& values, const Array& indices, F&& f) {
  int64_t outer = 1, n = 1, inner = 1, results = 1;
  for (int64_t d = 0; d < x.ndim(); ++d)
    (d < dim ? outer : d == dim ? n : inner) *= x.shape[static_cast<size_t>(d)];
  if (outer * inner == 0) return;
  results = values.numel / (outer * inner);
  std::vector<Entry<T>> line(static_cast<size_t>(n));
  const T* from = x.ptr<T>();
  T* value = values.ptr<T>();
  int64_t* index = indices.ptr<int64_t>();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t c = 0; c < inner; ++c) {
      const T* p = from + o * n * inner + c;
      for (int64_t i = 0; i < n; ++i) line[static_cast<size_t>(i)] = {p[i * inner], i};
      const int64_t base = o * results * inner + c;
      f(line, [&](int64_t k, const Entry<T>& e) {
        value[base + k * inner] = e.value;
        index[base + k * inner] = e.index;
      });
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
Entry<T> kth(std::vector<Entry<T>>& line, int64_t k) {
  auto at = line.begin() + k;
  std::nth_element(line.begin(), at, line.end(), ascending<T>);
  return *at;
}

template <class T>
Entry<T> mode_of(std::vector<Entry<T>>& line) {
  std::sort(line.begin(), line.end(), ascending<T>);
  Entry<T> best{};
  size_t most = 0;
  for (size_t start = 0, end; start < line.size(); start = end) {
    for (end = start + 1; end < line.size() && same_value(line[end].value, line[start].value);)
      ++end;
    if (end - start > most) {
      most = end - start;
      best = line[end - 1];
    }
  }
  return best;
}

template <class T>
Entry<T> pick(std::vector<Entry<T>>& line, LinePick what, int64_t k) {
  if (what == LinePick::Kth) return kth(line, k);
  if (what == LinePick::Mode) return mode_of(line);
  auto is_nan = [](const Entry<T>& e) { return e.value != e.value; };
  auto first_nan = std::find_if(line.begin(), line.end(), is_nan);
  auto n = static_cast<int64_t>(line.size());
  if (first_nan != line.end()) {
    int64_t numbers = n - std::count_if(line.begin(), line.end(), is_nan);
    if (what == LinePick::Median || numbers == 0) return *first_nan;
    n = numbers;  // NaN sorts behind them
  }
  return kth(line, (n - 1) / 2);
}

}  // namespace

void sort_lines(const Array& x, int64_t dim, bool descending, const Array& values,
                const Array& indices) {
  in_compute_type("sort", x, values, [&]<class T>(T, const Array& from, const Array& to) {
    each_line<T>(from, dim, to, indices, [&](std::vector<Entry<T>>& line, auto&& put) {
      if (descending)
        std::sort(line.begin(), line.end(), descending_order<T>);
      else
        std::sort(line.begin(), line.end(), ascending<T>);
      for (size_t k = 0; k < line.size(); ++k) put(static_cast<int64_t>(k), line[k]);
    });
  });
}

void topk_lines(const Array& x, int64_t dim, bool largest, const Array& values,
                const Array& indices) {
  const int64_t k = values.ndim() ? values.shape[static_cast<size_t>(dim)] : values.numel;
  if (k == 0) return;
  in_compute_type("topk", x, values, [&]<class T>(T, const Array& from, const Array& to) {
    each_line<T>(from, dim, to, indices, [&](std::vector<Entry<T>>& line, auto&& put) {
      auto less = largest ? descending_order<T> : ascending<T>;
      auto end = line.begin() + k;
      if (k * 16 <= static_cast<int64_t>(line.size())) {
        std::partial_sort(line.begin(), end, line.end(), less);
      } else {
        if (end != line.end()) std::nth_element(line.begin(), end, line.end(), less);
        std::sort(line.begin(), end, less);
      }
      for (int64_t i = 0; i < k; ++i) put(i, line[static_cast<size_t>(i)]);
    });
  });
}

void pick_lines(const Array& x, int64_t dim, LinePick what, int64_t k, const Array& values,
                const Array& indices) {
  in_compute_type(
      "order statistics", x, values, [&]<class T>(T, const Array& from, const Array& to) {
        each_line<T>(from, dim, to, indices,
                     [&](std::vector<Entry<T>>& line, auto&& put) { put(0, pick(line, what, k)); });
      });
}

}  // namespace fastgrad
