// A strided view of a Buffer: what kernels see. No gradients, no Python.
#pragma once

#include "base/dtype.h"
#include "base/shape.h"
#include "storage/buffer.h"

namespace fastgrad {

struct Array {
  Ref<Buffer> buffer;
  char* data = nullptr;  // the first element: buffer->data() plus the offset
  int64_t numel = 0;
  DType dtype = DType::Float32;
  bool contiguous = true;  // row-major without gaps
  Dims shape;
  Dims strides;  // in elements

  int64_t ndim() const { return static_cast<int64_t>(shape.size()); }
  size_t itemsize() const { return fastgrad::itemsize(dtype); }
  int64_t nbytes() const { return numel * static_cast<int64_t>(itemsize()); }
  bool defined() const { return static_cast<bool>(buffer); }
  int64_t offset() const { return (data - buffer->data()) / static_cast<int64_t>(itemsize()); }
  template <class T>
  T* ptr() const {
    return reinterpret_cast<T*>(data);
  }

  // Uninitialised, row-major.
  static Array empty(DimSpan shape, DType dtype) {
    Array a;
    a.make_empty(shape, dtype);
    return a;
  }
  // The same, in a default-constructed array.
  void make_empty(DimSpan new_shape, DType type) {
    dtype = type;
    numel = new_shape.empty() ? 1 : set_rows(new_shape);
    buffer = Buffer::allocate(static_cast<size_t>(numel) * fastgrad::itemsize(type));
    data = buffer->data();
  }
  // The same, of the shape of a row-major array whose elements are not smaller.
  [[gnu::always_inline]] void make_like(const Array& rows, DType type) {
    dtype = type;
    numel = rows.numel;
    shape = rows.shape;
    int64_t* stride = strides.reset(shape.size());
    int64_t step = 1;
    for (size_t i = shape.size(); i-- > 0; step *= std::max<int64_t>(shape[i], 1)) stride[i] = step;
    buffer = Buffer::allocate(static_cast<size_t>(numel) * fastgrad::itemsize(type));
    data = buffer->data();
  }
  static Array empty_strided(DimSpan shape, DimSpan strides, DType dtype);
  static Array zeros(DimSpan shape, DType dtype);
  // The same memory in another shape; offset in elements from this array's first.
  Array view(DimSpan shape, DimSpan strides, int64_t offset = 0) const;
  // The same, in a default-constructed array.
  void make_view(const Array& of, DimSpan new_shape, DimSpan new_strides, int64_t offset);
  // The same, where shape and strides stand in this array already.
  void point_into(const Array& of, int64_t offset);

  // Views that kernels use for walking.
  Array expanded(DimSpan target) const;
  Array permuted(DimSpan order) const;
  Array narrowed(int64_t dim, int64_t start, int64_t length) const;
  // The sizes that cost no copy; contiguous arrays only.
  Array reshaped(DimSpan target) const;

 private:
  // Sets shape and row-major strides; returns the number of elements, whose bytes fit an int64.
  int64_t set_rows(DimSpan new_shape);
};

// Whether elements of a and b may share memory. They do not where they take turns, as columns do.
bool memory_overlaps(const Array& a, const Array& b);

}  // namespace fastgrad
