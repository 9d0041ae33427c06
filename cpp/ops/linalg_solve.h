// Linear systems, inverses, determinants, Cholesky.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// X with A·X = B (or X·A = B). B is a vector or a batch of vectors where its shape says so.
Tensor linalg_solve(const Tensor& a, const Tensor& b, bool left = true);
// (result, info), without an error when a matrix is singular.
Tensors linalg_solve_ex(const Tensor& a, const Tensor& b, bool left, bool check_errors);
// A triangle of A alone is read; A⁻ᵀ instead of A⁻¹ when `transposed`.
Tensor linalg_solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool left = true,
                               bool unitriangular = false, bool transposed = false);
// `op` is the name in the error.
Tensor linalg_inv(const Tensor& a, const char* op = "linalg.inv");
Tensors linalg_inv_ex(const Tensor& a, bool check_errors);

Tensor linalg_det(const Tensor& a);
// (sign, log|det|)
Tensors linalg_slogdet(const Tensor& a);
Tensor logdet(const Tensor& a);

Tensor linalg_cholesky(const Tensor& a, bool upper = false, const char* op = "linalg.cholesky");
// (L, info)
Tensors linalg_cholesky_ex(const Tensor& a, bool upper, bool check_errors);
// X with A·X = B, from the factor of A.
Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper = false);
Tensor cholesky_inverse(const Tensor& factor, bool upper = false);

Tensor linalg_tensorsolve(const Tensor& a, const Tensor& b, std::optional<Dims> dims);
Tensor linalg_tensorinv(const Tensor& a, int64_t ind);
Tensor linalg_matrix_power(const Tensor& a, int64_t n, const char* op = "linalg.matrix_power");

}  // namespace fastgrad
