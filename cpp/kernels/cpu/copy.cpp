#include "kernels/copy.h"

#include <cstring>

namespace fastgrad {
namespace {

template <class From, class To>
To convert(From v) {
  constexpr bool from_half = std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>;
  constexpr bool to_half = std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>;
  constexpr bool from_complex = is_complex(dtype_of<From>), to_complex = is_complex(dtype_of<To>);
  if constexpr (std::is_same_v<From, To>) {
    return v;
  } else if constexpr (from_half) {
    return convert<float, To>(static_cast<float>(v));
  } else if constexpr (from_complex && !to_complex) {
    if constexpr (std::is_same_v<To, bool>)
      return v != From(0);
    else
      return convert<typename From::value_type, To>(v.real());
  } else if constexpr (from_complex) {
    return To(static_cast<typename To::value_type>(v.real()),
              static_cast<typename To::value_type>(v.imag()));
  } else if constexpr (to_complex) {
    return To(static_cast<typename To::value_type>(v), 0);
  } else if constexpr (to_half) {
    return To(static_cast<float>(v));
  } else if constexpr (std::is_same_v<To, bool>) {
    return v != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Through int64 as x86 does it: NaN, inf and out-of-range values give its "indefinite"
    // integer instead of undefined behaviour.
    constexpr From limit = From(9223372036854775808.0);
    int64_t wide = v >= -limit && v < limit ? static_cast<int64_t>(v) : INT64_MIN;
    return static_cast<To>(wide);
  } else {
    return static_cast<To>(v);
  }
}

template <class From, class To>
void cast(const char* src, int64_t ss, char* dst, int64_t ds, int64_t n) {
  const From* s = reinterpret_cast<const From*>(src);
  To* d = reinterpret_cast<To*>(dst);
  if (ss == 1 && ds == 1) {
    if constexpr (std::is_same_v<From, To>)
      std::memmove(d, s, static_cast<size_t>(n) * sizeof(To));
    else
      for (int64_t i = 0; i < n; ++i) d[i] = convert<From, To>(s[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) d[i * ds] = convert<From, To>(s[i * ss]);
  }
}

template <class From>
CastKernel cast_from(DType to) {
  switch (to) {
#define X(id, type, ...) \
  case DType::id:        \
    return cast<From, type>;
    FG_FOR_EACH_DTYPE(X)
#undef X
  }
  return nullptr;
}

}  // namespace

CastKernel cast_kernel(DType from, DType to) {
  switch (from) {
#define X(id, type, ...) \
  case DType::id:        \
    return cast_from<type>(to);
    FG_FOR_EACH_DTYPE(X)
#undef X
  }
  return nullptr;
}

StridedCursor::StridedCursor(DimSpan shape, DimSpan strides, int64_t start)
    : shape_(shape),
      strides_(strides),
      index_(shape.size(), 0),
      ndim_(static_cast<int64_t>(shape.size())) {
  for (int64_t d = ndim_ - 1; d >= 0 && start > 0; --d) {
    index_[d] = start % shape_[d];
    start /= shape_[d];
    offset_ += index_[d] * strides_[d];
  }
}

void StridedCursor::step(int64_t run) {
  int64_t d = ndim_ - 1;
  index_[d] += run;
  offset_ += run * strides_[d];
  while (d > 0 && index_[d] == shape_[d]) {
    offset_ += strides_[d - 1] - shape_[d] * strides_[d];
    index_[d] = 0;
    ++index_[--d];
  }
}

CollapsedDims collapse(DimSpan shape, std::span<const Array* const> arrays) {
  CollapsedDims c;
  c.strides.resize(arrays.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    bool merge = !c.shape.empty();
    for (size_t k = 0; merge && k < arrays.size(); ++k)
      merge = c.strides[k].back() == arrays[k]->strides[i] * shape[i];
    if (merge) {
      c.shape.back() *= shape[i];
      for (size_t k = 0; k < arrays.size(); ++k) c.strides[k].back() = arrays[k]->strides[i];
    } else {
      c.shape.push_back(shape[i]);
      for (size_t k = 0; k < arrays.size(); ++k) c.strides[k].push_back(arrays[k]->strides[i]);
    }
  }
  return c;
}

void copy_array(const Array& source, const Array& dst) {
  if (dst.numel == 0) return;
  Array src = source.shape == dst.shape ? source : source.expanded(dst.shape);
  bool same_place = src.data == dst.data && src.strides == dst.strides && src.dtype == dst.dtype;
  if (same_place) return;
  if (memory_overlaps(src, dst)) src = contiguous_copy(src);
  CastKernel kernel = cast_kernel(src.dtype, dst.dtype);
  if (src.contiguous && dst.contiguous) {
    kernel(src.data, 1, dst.data, 1, dst.numel);
    return;
  }
  const Array* both[] = {&dst, &src};
  CollapsedDims c = collapse(dst.shape, both);
  size_t n = c.shape.size();
  if (n == 0) {
    kernel(src.data, 1, dst.data, 1, 1);
    return;
  }
  int64_t inner = c.shape.back();
  int64_t outer = dst.numel / inner;
  SmallVector<int64_t, 8> index(n, 0);
  int64_t size_d = static_cast<int64_t>(dst.itemsize()),
          size_s = static_cast<int64_t>(src.itemsize());
  int64_t od = 0, os = 0;
  for (int64_t row = 0; row < outer; ++row) {
    kernel(src.data + os * size_s, c.strides[1][n - 1], dst.data + od * size_d, c.strides[0][n - 1],
           inner);
    for (size_t d = n - 1; d-- > 0;) {
      od += c.strides[0][d];
      os += c.strides[1][d];
      if (++index[d] < c.shape[d]) break;
      od -= c.shape[d] * c.strides[0][d];
      os -= c.shape[d] * c.strides[1][d];
      index[d] = 0;
    }
  }
}

Array contiguous_copy(const Array& src, DType dtype) {
  Array out = Array::empty(src.shape, dtype);
  if (src.contiguous)
    cast_kernel(src.dtype, dtype)(src.data, 1, out.data, 1, src.numel);
  else
    copy_array(src, out);
  return out;
}

Array as_contiguous(const Array& src, DType dtype) {
  return src.contiguous && src.dtype == dtype ? src : contiguous_copy(src, dtype);
}

}  // namespace fastgrad
