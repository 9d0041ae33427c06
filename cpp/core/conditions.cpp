#include "core/conditions.h"

#include <algorithm>
#include <cmath>

#include "kernels/copy.h"
#include "kernels/elementwise.h"
#include "kernels/index.h"

namespace fastgrad {
namespace {

// Whether `test` holds for every value.
template <class Test>
bool all(const Array& a, Test test) {
  Array rows = as_contiguous(a, compute_dtype(a.dtype));
  return dispatch_real(rows.dtype, "a condition", [&]<class T>(T) {
    const T* p = rows.ptr<T>();
    bool holds = true;
    for (int64_t i = 0; i < rows.numel; ++i) holds &= test(p[i]);
    return holds;
  });
}

bool in_range(const Attrs& attrs, const Array& a) {
  const int64_t low = attrs.integer(0), end = attrs.integer(1);
  if (DimSpan ignored = attrs.list(0); !ignored.empty())
    return all(a, [low, end, other = ignored[0]](auto v) {
      auto k = static_cast<int64_t>(v);
      return (k >= low && k < end) || k == other;
    });
  if (a.contiguous && a.dtype == DType::Int64) return indices_in_range(a, low, end);
  return all(a, [low, end](auto v) {
    auto k = static_cast<int64_t>(v);
    return k >= low && k < end;
  });
}

bool has_count(const Attrs& attrs, const Array& a) {
  Array rows = as_contiguous(a, DType::Bool);
  const bool* p = rows.ptr<bool>();
  return std::count(p, p + rows.numel, true) == attrs.integer(0);
}

bool has_total(const Attrs& attrs, const Array& a) {
  int64_t total = 0;
  return all(a,
             [&total](auto v) {
               auto k = static_cast<int64_t>(v);
               return k >= 0 && !__builtin_add_overflow(total, k, &total);
             }) &&
         total == attrs.integer(0);
}

bool has_distinct(const Attrs& attrs, const Array& a) {
  Array sorted = contiguous_copy(a, DType::Int64);
  int64_t* p = sorted.ptr<int64_t>();
  std::sort(p, p + sorted.numel);
  return std::unique(p, p + sorted.numel) - p == attrs.integer(0);
}

bool has_zero(const Attrs&, const Array& a) {
  return !all(a, [](auto v) { return static_cast<double>(v) != 0; });
}
bool all_finite(const Attrs&, const Array& a) {
  return all(a, [](auto v) { return std::isfinite(static_cast<double>(v)); });
}
bool within(const Attrs& attrs, const Array& a) {
  const double low = attrs.s[0].to_double(), high = attrs.s[1].to_double();
  return all(a, [low, high](auto v) {
    return static_cast<double>(v) >= low && static_cast<double>(v) <= high;
  });
}

}  // namespace

const Condition kInRange = {"in_range", in_range};
const Condition kSetCount = {"set_count", has_count};
const Condition kHasZero = {"has_zero", has_zero};
const Condition kAllFinite = {"all_finite", all_finite};
const Condition kWithin = {"within", within};
const Condition kTotal = {"total", has_total};
const Condition kDistinctCount = {"distinct_count", has_distinct};

std::span<const Condition* const> conditions() {
  static const Condition* const kAll[] = {&kInRange, &kSetCount, &kHasZero,      &kAllFinite,
                                          &kWithin,  &kTotal,    &kDistinctCount};
  return kAll;
}

}  // namespace fastgrad
