#include "program/direct.h"

namespace fastgrad {
namespace {

bool reads_one_element(const Place& p) {
  if (p.numel == 1) return true;
  for (size_t d = 0; d < p.shape.size(); ++d)
    if (p.shape[d] != 1 && p.strides[d] != 0) return false;
  return true;
}

// Rows that are shorter are better walked.
constexpr int64_t kMinRow = 8;

}  // namespace

bool is_direct(const Instruction& i, unsigned& scalars) {
  const Place& out = i.out[0];
  if (!out.contiguous || out.dtype != i.result) return false;
  scalars = 0;
  for (size_t k = 0; k < i.in.size(); ++k) {
    const Place& p = i.in[k];
    if (!p.defined()) {
      scalars |= 1u << k;
      continue;
    }
    if (p.dtype != i.compute) return false;
    bool overlaps = p.storage == out.storage;
    // Shapes differ by ones in front at most.
    if (p.contiguous && p.numel == out.numel) {
      if (overlaps && p.offset != out.offset) return false;
      continue;
    }
    if (!reads_one_element(p) || overlaps) return false;
    scalars |= 1u << k;
  }
  return true;
}

bool find_rows(const Instruction& i, RowForm& form) {
  const Place& out = i.out[0];
  size_t ndim = out.shape.size();
  if (!out.contiguous || out.dtype != i.result || ndim < 2 || out.numel == 0) return false;
  for (const Place& p : i.in)
    if (p.defined() && (p.dtype != i.compute || p.shape.size() > ndim ||
                        (p.storage == out.storage &&
                         !(p.contiguous && p.numel == out.numel && p.offset == out.offset))))
      return false;
  auto stride = [&](const Place& p, size_t d) -> int64_t {
    size_t missing = ndim - p.shape.size();
    return d < missing || p.shape[d - missing] == 1 ? 0 : p.strides[d - missing];
  };
  // Whether the dimensions [first, last) are passed in even steps; `step` is that of the last one.
  auto even = [&](const Place& p, size_t first, size_t last, int64_t& step) {
    step = 0;
    int64_t expected = 0;
    for (size_t d = last; d-- > first;) {
      if (out.shape[d] == 1) continue;
      int64_t s = stride(p, d);
      if (expected == 0 && step == 0) {
        step = s;
        if (s == 0) {
          for (size_t e = first; e < d; ++e)
            if (out.shape[e] != 1 && stride(p, e) != 0) return false;
          return true;
        }
      } else if (s != expected) {
        return false;
      }
      expected = s * out.shape[d];
    }
    return true;
  };
  for (size_t split = 1; split < ndim; ++split) {
    form = RowForm();
    form.rows = form.n = 1;
    for (size_t d = 0; d < ndim; ++d) (d < split ? form.rows : form.n) *= out.shape[d];
    if (form.n < kMinRow) return false;
    bool fits = true;
    for (size_t k = 0; fits && k < i.in.size(); ++k) {
      const Place& p = i.in[k];
      int64_t inner = 0, outer = 0;
      fits = !p.defined() || (even(p, split, ndim, inner) && even(p, 0, split, outer) &&
                              (inner == 0 || inner == 1));
      if (inner == 0) form.scalars |= 1u << k;
      form.in_step[k] = outer * static_cast<int64_t>(itemsize(i.compute));
    }
    form.out_step = form.n * static_cast<int64_t>(itemsize(i.result));
    if (fits) return true;
  }
  return false;
}

}  // namespace fastgrad
