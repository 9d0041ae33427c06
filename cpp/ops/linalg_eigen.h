// Eigenvalues, singular values, and what is made of them.
#pragma once

#include <array>

#include "core/apply.h"

namespace fastgrad {

// (eigenvalues, eigenvectors) of symmetric matrices, of which the lower or upper triangle is read.
std::array<Tensor, 2> linalg_eigh(const Tensor& a, bool lower);
Tensor linalg_eigvalsh(const Tensor& a, bool lower);
bool parse_uplo(const std::string& uplo);  // whether "L"
// (U, S, Vh)
std::array<Tensor, 3> linalg_svd(const Tensor& a, bool full_matrices);
Tensor linalg_svdvals(const Tensor& a);
// (eigenvalues, eigenvectors), complex and without gradients.
Tensors linalg_eig(const Tensor& a);
Tensor linalg_eigvals(const Tensor& a);

// Singular values up to max(atol, rtol * the largest) count as zero. Undefined tolerances have
// PyTorch's defaults; they may be tensors of the batch's shape.
struct RankTolerance {
  Tensor atol, rtol;
};
Tensor linalg_pinv(const Tensor& a, const RankTolerance& tolerance, bool hermitian);
// The gradient of a matrix of constant rank, given its pseudoinverse p and the cotangent of that:
// -pᵀ·g·pᵀ + (1 - a·p)·gᵀ·p·pᵀ + pᵀ·p·gᵀ·(1 - p·a).
Tensor pinv_gradient(const Tensor& a, const Tensor& p, const Tensor& g);
Tensor linalg_matrix_rank(const Tensor& a, const RankTolerance& tolerance, bool hermitian);

}  // namespace fastgrad
