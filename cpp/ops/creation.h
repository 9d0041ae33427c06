// New tensors: filled with a value, with a progression, or not at all. None has a history.
#pragma once

#include "base/memory_format.h"
#include "base/scalar.h"
#include "core/tensor.h"

namespace fastgrad {

Tensor empty(DimSpan shape, DType dtype);
Tensor empty(DimSpan shape, DType dtype, MemoryFormat format);
Tensor empty_strided(DimSpan shape, DimSpan strides, DType dtype);
// order[0] is the outermost dimension in memory.
Tensor empty_permuted(DimSpan shape, DimSpan order, DType dtype);
Tensor zeros(DimSpan shape, DType dtype);
// `value` is one element, of any type.
Tensor full(DimSpan shape, const Array& value, DType dtype);
Tensor full(DimSpan shape, Scalar value, DType dtype);

// Memory for a tensor like x; Preserve keeps the order of its dimensions.
Tensor empty_like(const Tensor& x, DType dtype, MemoryFormat format = MemoryFormat::Preserve);
Tensor ones_like(const Tensor& x);

// The values from start to end, end excluded.
Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype);
Tensor linspace(std::complex<double> start, std::complex<double> end, int64_t steps, DType dtype);
Tensor logspace(std::complex<double> start, std::complex<double> end, int64_t steps, double base,
                DType dtype);
Tensor eye(int64_t rows, int64_t columns, DType dtype);
// Row and column indices, as the two rows of a matrix, of a triangle of a matrix.
Tensor tril_indices(int64_t rows, int64_t columns, int64_t offset, DType dtype);
Tensor triu_indices(int64_t rows, int64_t columns, int64_t offset, DType dtype);

}  // namespace fastgrad
