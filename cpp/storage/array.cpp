#include "storage/array.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace fastgrad {
namespace {

size_t checked_bytes(int64_t count, DimSpan shape, DType dtype) {
  int64_t bytes = 0;
  FG_CHECK(!__builtin_mul_overflow(count, static_cast<int64_t>(itemsize(dtype)), &bytes),
           "Storage size calculation overflowed with sizes=", to_string(shape), " and dtype ",
           name(dtype));
  return static_cast<size_t>(bytes);
}

}  // namespace

int64_t Array::set_rows(DimSpan new_shape) {
  size_t n = new_shape.size();
  int64_t *size = shape.reset(n), *stride = strides.reset(n);
  int64_t step = 1;
  bool empty = false, bad = false;
  for (size_t i = n; i-- > 0;) {
    size[i] = new_shape[i];
    stride[i] = step;
    empty |= size[i] == 0;
    bad |= size[i] < 0;
    bad |= __builtin_mul_overflow(step, std::max<int64_t>(size[i], 1), &step);
  }
  if (bad) [[unlikely]]
    checked_numel(new_shape);  // says what is wrong; an overflow beside a size of 0 is not
  int64_t count = empty ? 0 : step;
  checked_bytes(count, new_shape, dtype);
  return count;
}

Array Array::empty_strided(DimSpan shape, DimSpan strides, DType dtype) {
  Array a;
  a.dtype = dtype;
  a.numel = checked_numel(shape);
  a.shape.assign(shape.begin(), shape.end());
  a.strides.assign(strides.begin(), strides.end());
  a.contiguous = is_contiguous(shape, strides);
  int64_t count = a.numel == 0 ? 0 : extent(shape, strides).hi + 1;
  a.buffer = Buffer::allocate(checked_bytes(count, shape, dtype));
  a.data = a.buffer->data();
  return a;
}

Array Array::zeros(DimSpan shape, DType dtype) {
  Array a = empty(shape, dtype);
  std::memset(a.data, 0, static_cast<size_t>(a.nbytes()));
  return a;
}

Array Array::view(DimSpan new_shape, DimSpan new_strides, int64_t offset) const {
  Array a;
  a.make_view(*this, new_shape, new_strides, offset);
  return a;
}

void Array::make_view(const Array& of, DimSpan new_shape, DimSpan new_strides, int64_t offset) {
  shape.assign(new_shape.begin(), new_shape.end());
  strides.assign(new_strides.begin(), new_strides.end());
  point_into(of, offset);
}

void Array::point_into(const Array& of, int64_t offset) {
  buffer = of.buffer;
  dtype = of.dtype;
  data = of.data + offset * static_cast<int64_t>(of.itemsize());
  numel = numel_of(shape);
  contiguous = is_contiguous(shape, strides);
}

Array Array::expanded(DimSpan target) const {
  Dims s(target.size(), 0);
  size_t shift = target.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i)
    s[i + shift] = shape[i] == 1 && target[i + shift] != 1 ? 0 : strides[i];
  return view(target, s);
}

Array Array::permuted(DimSpan order) const {
  Dims sh(order.size()), st(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    sh[i] = shape[order[i]];
    st[i] = strides[order[i]];
  }
  return view(sh, st);
}

Array Array::narrowed(int64_t dim, int64_t start, int64_t length) const {
  Dims sh = shape;
  sh[dim] = length;
  return view(sh, strides, start * strides[dim]);
}

Array Array::reshaped(DimSpan target) const { return view(target, contiguous_strides(target)); }

namespace {

// The longest and the shortest step, in elements.
struct Steps {
  int64_t longest = 0, shortest = INT64_MAX;
};
Steps steps(const Array& a) {
  Steps s;
  for (size_t d = 0; d < a.shape.size(); ++d) {
    const int64_t step = std::abs(a.strides[d]);
    if (a.shape[d] == 1 || step == 0) continue;
    s.longest = std::max(s.longest, step);
    s.shortest = std::min(s.shortest, step);
  }
  return s;
}

// What the elements of `a` reach of each period of memory, given in elements.
Extent reach(const Array& a, int64_t period) {
  Dims strides = a.strides;
  for (int64_t& step : strides)
    if (step % period == 0) step = 0;
  return extent(a.shape, strides);
}

// Whether the two keep to parts of their own of each period, as columns of one matrix do.
bool alternate(const Array& a, const Array& b, int64_t period) {
  const auto size = static_cast<int64_t>(a.itemsize());
  const Extent of_a = reach(a, period), of_b = reach(b, period);
  const int64_t bytes = period * size;
  const int64_t from = (b.data + of_b.lo * size) - (a.data + of_a.lo * size);
  const int64_t distance = (from % bytes + bytes) % bytes;
  return distance >= (of_a.hi - of_a.lo + 1) * size &&
         distance + (of_b.hi - of_b.lo + 1) * size <= bytes;
}

}  // namespace

bool memory_overlaps(const Array& a, const Array& b) {
  if (a.numel == 0 || b.numel == 0) return false;
  Extent ea = extent(a.shape, a.strides), eb = extent(b.shape, b.strides);
  auto at = [](const Array& x, int64_t element) {
    return x.data + element * static_cast<int64_t>(x.itemsize());
  };
  if (at(a, ea.lo) >= at(b, eb.hi + 1) || at(b, eb.lo) >= at(a, ea.hi + 1)) return false;
  if (a.itemsize() != b.itemsize()) return true;
  const Steps s = steps(a);
  return s.longest == 0 || (!alternate(a, b, s.longest) && !alternate(a, b, s.shortest));
}

}  // namespace fastgrad
