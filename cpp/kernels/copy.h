// Copies and conversions between strided arrays.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// n elements, strides in elements; converts as C++ does (float to bool: != 0; complex to real:
// the real part).
using CastKernel = void (*)(const char* src, int64_t src_stride, char* dst, int64_t dst_stride,
                            int64_t n);
CastKernel cast_kernel(DType from, DType to);

// dst[...] = src[...]; same shape or src broadcastable; types may differ; overlap is allowed.
void copy_array(const Array& src, const Array& dst);
// Rows of `bytes` bytes that are these steps apart.
void copy_rows(const char* from, int64_t from_step, char* to, int64_t to_step, int64_t bytes,
               int64_t rows);
// A row-major copy, converted when dtype differs.
Array contiguous_copy(const Array& src, DType dtype);
inline Array contiguous_copy(const Array& src) { return contiguous_copy(src, src.dtype); }
// src itself when it is row-major and of that type, else a copy.
Array as_contiguous(const Array& src, DType dtype);
inline Array as_contiguous(const Array& src) { return as_contiguous(src, src.dtype); }

// Runs f on an output of type `compute`: out itself, or a temporary that is converted into it.
template <class F>
void with_output(const Array& out, DType compute, F&& f) {
  if (out.dtype == compute) {
    f(out);
    return;
  }
  Array wide = Array::empty(out.shape, compute);
  f(wide);
  copy_array(wide, out);
}
// The same with float32 for half types.
template <class F>
void with_compute_type(const Array& out, F&& f) {
  with_output(out, compute_dtype(out.dtype), f);
}

// Walks n positions of a strided array in row-major order, from any position.
class StridedCursor {
 public:
  StridedCursor(DimSpan shape, DimSpan strides, int64_t start);
  // Calls f(element_offset, stride, count) for runs along the last dimension.
  template <class F>
  void advance(int64_t n, F&& f) {
    if (ndim_ == 0) {
      f(int64_t{0}, int64_t{0}, n);
      return;
    }
    int64_t inner = shape_[ndim_ - 1], stride = strides_[ndim_ - 1];
    while (n > 0) {
      int64_t run = inner - index_[ndim_ - 1];
      if (run > n) run = n;
      f(offset_, stride, run);
      n -= run;
      step(run);
    }
  }

 private:
  void step(int64_t run);
  SmallVector<int64_t, 8> shape_, strides_, index_;
  int64_t ndim_;
  int64_t offset_ = 0;
};

// Merges neighbouring dimensions that every array walks alike; all have the same shape.
struct CollapsedDims {
  Dims shape;
  SmallVector<Dims, 4> strides;  // one per array
};
CollapsedDims collapse(DimSpan shape, std::span<const Array* const> arrays);

}  // namespace fastgrad
