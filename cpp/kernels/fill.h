// Arrays filled with one value or with a progression.
#pragma once

#include <complex>

#include "base/scalar.h"
#include "storage/array.h"

namespace fastgrad {

// dst[...] = the first element of value, converted.
void fill_array(const Array& dst, const Array& value);
void fill_array(const Array& dst, const Scalar& value);

// out[i] = start + i * step; `out` is row-major. Integer arrays count in int64.
void fill_arange(const Array& out, double start, double step);
void fill_arange(const Array& out, int64_t start, int64_t step);
// numel values from start to end, both included, counted from the nearer end.
void fill_linspace(const Array& out, std::complex<double> start, std::complex<double> end);
// base ** linspace.
void fill_logspace(const Array& out, std::complex<double> start, std::complex<double> end,
                   double base);
// Ones on the main diagonal of a zeroed matrix.
void fill_eye(const Array& out);

}  // namespace fastgrad
