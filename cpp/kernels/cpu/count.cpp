#include "kernels/count.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/radix.h"

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
    parallel_for(sought.numel, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = one_row ? 0 : i / per_row * n;
        const T v = value[i];
        // The first place whose edge is not before v; NaN compares false: it goes behind all.
        auto before = [&](int64_t k) {
          const T e = edge[row + (place ? place[row + k] : k)];
          return right ? !(e > v) : !(e >= v);
        };
        int64_t base = 0, length = n;
        while (length > 1) {  // without branches to guess
          const int64_t half = length / 2;
          base += before(base + half - 1) ? half : 0;
          length -= half;
        }
        to[i] = base + (length && before(base) ? 1 : 0);
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

// The order of single elements and where groups of equal ones begin.
template <class T>
void group_elements(const T* p, int64_t n, std::vector<int64_t>& order,
                    std::vector<int64_t>& starts, int64_t* inverse) {
  with_sorted_keys(p, n, false, [&](const auto* sorted) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t place = sorted[i].index;
      bool nan = false;
      if constexpr (std::is_floating_point_v<T>) nan = sorted[i].key == ~KeyOf<T>{0};
      if (i == 0 || nan || sorted[i].key != sorted[i - 1].key) starts.push_back(i);
      order[static_cast<size_t>(i)] = place;
      inverse[place] = static_cast<int64_t>(starts.size()) - 1;
    }
  });
}

}  // namespace

DistinctRows distinct_rows(const Array& x, bool consecutive) {
  const int64_t n = x.shape[0], width = n ? x.numel / n : 0;
  DType compute = compute_dtype(x.dtype);
  Array rows = as_contiguous(x, compute);
  std::vector<int64_t> order(static_cast<size_t>(n)), starts;
  std::iota(order.begin(), order.end(), 0);
  DistinctRows result;
  result.inverse = Array::empty(Dims{n}, DType::Int64);
  dispatch_real(compute, "unique", [&]<class T>(T) {
    const T* p = rows.ptr<T>();
    if (!consecutive && width == 1 && n > 0 && n <= int64_t{UINT32_MAX})
      return group_elements(p, n, order, starts, result.inverse.ptr<int64_t>());
    if (!consecutive)
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return compare_rows(p + a * width, p + b * width, width) < 0;
      });
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = order[static_cast<size_t>(i)];
      bool starts_group =
          i == 0 ||
          !equal_rows(p + row * width, p + order[static_cast<size_t>(i - 1)] * width, width);
      if (starts_group) starts.push_back(i);
      result.inverse.ptr<int64_t>()[row] = static_cast<int64_t>(starts.size()) - 1;
    }
  });
  const auto groups = static_cast<int64_t>(starts.size());
  Dims shape = x.shape;
  shape[0] = groups;
  result.values = Array::empty(shape, x.dtype);
  result.counts = Array::empty(Dims{groups}, DType::Int64);
  Array source = as_contiguous(x);
  const size_t bytes = static_cast<size_t>(width) * x.itemsize();
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t start = starts[static_cast<size_t>(g)];
    const int64_t end = g + 1 < groups ? starts[static_cast<size_t>(g + 1)] : n;
    result.counts.ptr<int64_t>()[g] = end - start;
    std::memcpy(result.values.data + static_cast<size_t>(g) * bytes,
                source.data + static_cast<size_t>(order[static_cast<size_t>(start)]) * bytes,
                bytes);
  }
  return result;
}

}  // namespace fastgrad
