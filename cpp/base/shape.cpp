#include "base/shape.h"

#include <algorithm>

namespace fastgrad {

std::string to_string(DimSpan dims) {
  std::string s = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i) s += ", ";
    s += std::to_string(dims[i]);
  }
  return s + "]";
}

int64_t checked_numel(DimSpan shape) {
  int64_t n = 1;
  bool zero = false;
  for (int64_t d : shape) {
    FG_CHECK(d >= 0, "Trying to create tensor with negative dimension ", d, ": ", to_string(shape));
    if (d == 0) zero = true;
  }
  if (zero) return 0;
  for (int64_t d : shape)
    FG_CHECK(!__builtin_mul_overflow(n, d, &n),
             "Storage size calculation overflowed with sizes=", to_string(shape),
             ": more elements than an int64 can count");
  return n;
}

Dims contiguous_strides(DimSpan shape) {
  Dims s(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    s[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return s;
}

bool is_contiguous(DimSpan shape, DimSpan strides) {
  int64_t step = 1;
  bool in_order = true;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;  // whatever the strides say of no elements
    if (shape[i] == 1) continue;
    in_order = in_order && strides[i] == step;
    step *= shape[i];
  }
  return in_order;
}

bool may_overlap_itself(DimSpan shape, DimSpan strides) {
  // Sorted by stride, each stride must step over everything the smaller ones reach.
  SmallVector<std::pair<int64_t, int64_t>, 8> dims;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return false;
    if (shape[i] > 1) dims.push_back({std::abs(strides[i]), shape[i]});
  }
  std::sort(dims.begin(), dims.end());
  int64_t reach = 0;
  for (auto [stride, n] : dims) {
    if (stride <= reach) return true;
    reach += stride * (n - 1);
  }
  return false;
}

Extent extent(DimSpan shape, DimSpan strides) {
  Extent e{0, 0};
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t span = (shape[i] - 1) * strides[i];
    (span < 0 ? e.lo : e.hi) += span;
  }
  return e;
}

std::optional<Dims> try_broadcast(DimSpan a, DimSpan b) {
  if (a.size() < b.size()) std::swap(a, b);
  Dims out(a);
  size_t shift = a.size() - b.size();
  for (size_t i = 0; i < b.size(); ++i) {
    int64_t x = a[i + shift], y = b[i];
    if (x == y || y == 1) continue;
    if (x != 1) return std::nullopt;
    out[i + shift] = y;
  }
  return out;
}

Dims broadcast(DimSpan a, DimSpan b) {
  if (auto out = try_broadcast(a, b)) return *out;
  int64_t n = static_cast<int64_t>(std::max(a.size(), b.size()));
  for (int64_t i = n - 1; i >= 0; --i) {
    int64_t ia = i - (n - static_cast<int64_t>(a.size())),
            ib = i - (n - static_cast<int64_t>(b.size()));
    if (ia < 0 || ib < 0 || a[ia] == b[ib] || a[ia] == 1 || b[ib] == 1) continue;
    fail(ErrorKind::Runtime, "The size of tensor a (", a[ia], ") must match the size of tensor b (",
         b[ib], ") at non-singleton dimension ", i, "; the shapes are ", to_string(a), " and ",
         to_string(b));
  }
  fail(ErrorKind::Runtime, "shapes ", to_string(a), " and ", to_string(b), " do not broadcast");
}

bool is_expandable_to(DimSpan shape, DimSpan desired) {
  if (shape.size() > desired.size()) return false;
  size_t shift = desired.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != desired[i + shift] && shape[i] != 1) return false;
  return true;
}

int64_t wrap_dim(int64_t dim, int64_t ndim) {
  int64_t n = std::max<int64_t>(ndim, 1);
  FG_CHECK_INDEX(dim >= -n && dim < n, "Dimension out of range (expected to be in range of [", -n,
                 ", ", n - 1, "], but got ", dim, ")");
  return dim < 0 ? dim + n : dim;
}

Dims wrap_dims(DimSpan dims, int64_t ndim, bool empty_is_all) {
  Dims out;
  if (dims.empty() && empty_is_all) {
    for (int64_t i = 0; i < ndim; ++i) out.push_back(i);
    return out;
  }
  for (int64_t d : dims) {
    int64_t w = wrap_dim(d, ndim);
    FG_CHECK(std::find(out.begin(), out.end(), w) == out.end(), "dim ", w,
             " appears multiple times in the list of dims");
    out.push_back(w);
  }
  if (ndim == 0) out.clear();
  return out;
}

std::optional<Dims> view_strides(DimSpan shape, DimSpan strides, DimSpan target) {
  Dims out(target.size());
  if (numel_of(shape) == 0) {
    if (std::equal(shape.begin(), shape.end(), target.begin(), target.end())) return Dims(strides);
    return contiguous_strides(target);
  }
  // Walk from the right over chunks of dimensions that are contiguous with one another.
  int64_t t = static_cast<int64_t>(target.size()) - 1;
  int64_t chunk_stride = shape.empty() ? 1 : strides.back();
  int64_t chunk = 1, viewed = 1;
  for (int64_t i = static_cast<int64_t>(shape.size()) - 1; i >= 0; --i) {
    chunk *= shape[i];
    bool chunk_ends = i == 0 || (shape[i - 1] != 1 && strides[i - 1] != chunk * chunk_stride);
    if (!chunk_ends) continue;
    while (t >= 0 && (viewed < chunk || target[t] == 1)) {
      out[t] = viewed * chunk_stride;
      viewed *= target[t];
      --t;
    }
    if (viewed != chunk) return std::nullopt;
    if (i > 0) {
      chunk_stride = strides[i - 1];
      chunk = viewed = 1;
    }
  }
  for (; t >= 0; --t) {  // only ones are left (or the source is 0-d)
    if (target[t] != 1) return std::nullopt;
    out[t] = chunk_stride;
  }
  return out;
}

Dims infer_size(DimSpan target, int64_t numel) {
  int64_t known = 1, unknown = -1;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == -1) {
      FG_CHECK(unknown < 0, "only one dimension can be inferred");
      unknown = static_cast<int64_t>(i);
    } else {
      FG_CHECK(target[i] >= 0, "invalid shape dimension ", target[i]);
      known *= target[i];
    }
  }
  Dims out(target);
  bool fits = numel == known || (unknown >= 0 && known > 0 && numel % known == 0);
  FG_CHECK(fits, "shape '", to_string(target), "' is invalid for input of size ", numel);
  if (unknown >= 0) {
    FG_CHECK(known != 0, "cannot reshape tensor of 0 elements into shape ", to_string(target),
             " because the unspecified dimension size -1 can be any value and is ambiguous");
    out[unknown] = numel / known;
  }
  return out;
}

DimSet dim_set(DimSpan dims, int64_t ndim) {
  FG_CHECK(ndim <= 64, "only tensors with up to 64 dims are supported, got ", ndim);
  if (dims.empty()) return ndim == 0 ? 0 : ~DimSet{0} >> (64 - ndim);
  DimSet set = 0;
  for (int64_t d : dims) {
    int64_t w = wrap_dim(d, ndim);
    FG_CHECK(!contains(set, static_cast<size_t>(w)), "dim ", w,
             " appears multiple times in the list of dims");
    set |= DimSet{1} << w;
  }
  return ndim == 0 ? 0 : set;
}

Dims reduced_shape(DimSpan shape, DimSet dims, bool keepdim) {
  Dims out;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!contains(dims, i))
      out.push_back(shape[i]);
    else if (keepdim)
      out.push_back(1);
  }
  return out;
}

}  // namespace fastgrad
