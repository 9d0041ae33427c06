// Copies and fills outside kernels, for ops and everything above: the recorder sees them.
#pragma once

#include "core/deferred.h"
#include "core/recorder.h"
#include "kernels/copy.h"
#include "kernels/fill.h"

namespace fastgrad::recorded {

extern const Primitive kCopy, kFill, kFillNumber;

void note_copy(const Array& src, const Array& dst);
void note_fill(const Array& dst, const Array& value);
void note_fill(const Array& dst, const Scalar& value);

inline void copy_array(const Array& src, const Array& dst) {
  deferred::settle(src);
  deferred::settle_before_write(dst);
  fastgrad::copy_array(src, dst);
  if (recorder()) [[unlikely]]
    note_copy(src, dst);
}
inline Array contiguous_copy(const Array& src, DType dtype) {
  deferred::settle(src);
  Array out = fastgrad::contiguous_copy(src, dtype);
  if (Recorder* r = recorder()) [[unlikely]] {
    r->fresh(out);
    note_copy(src, out);
  }
  return out;
}
inline Array contiguous_copy(const Array& src) { return recorded::contiguous_copy(src, src.dtype); }
inline Array as_contiguous(const Array& src, DType dtype) {
  return src.contiguous && src.dtype == dtype ? src : recorded::contiguous_copy(src, dtype);
}
inline Array as_contiguous(const Array& src) { return recorded::as_contiguous(src, src.dtype); }
inline void fill_array(const Array& dst, const Array& value) {
  deferred::settle(value);
  deferred::settle_before_write(dst);
  fastgrad::fill_array(dst, value);
  if (recorder()) [[unlikely]]
    note_fill(dst, value);
}
inline void fill_array(const Array& dst, const Scalar& value) {
  deferred::settle_before_write(dst);
  fastgrad::fill_array(dst, value);
  if (recorder()) [[unlikely]]
    note_fill(dst, value);
}
inline Array zeros(DimSpan shape, DType dtype) {
  Array out = Array::zeros(shape, dtype);
  if (Recorder* r = recorder()) [[unlikely]] {
    r->fresh(out);
    note_fill(out, Scalar(0));
  }
  return out;
}

}  // namespace fastgrad::recorded
