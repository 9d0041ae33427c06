// LU and QR factors, reflectors, least squares, the matrix exponential.
#pragma once

#include <array>

#include "core/apply.h"

namespace fastgrad {

struct Primitive;

// (LU, pivots, info) with A = P·L·U. The plain form raises when U has a zero on its diagonal.
Tensors linalg_lu_factor(const Tensor& a, bool pivot);
Tensors linalg_lu_factor_ex(const Tensor& a, bool pivot, bool check_errors);
// (P, L, U); empty tensors for what is not asked for.
Tensors lu_unpack(const Tensor& lu, const Tensor& pivots, bool unpack_data = true,
                  bool unpack_pivots = true);
Tensors linalg_lu(const Tensor& a, bool pivot);
Tensor linalg_lu_solve(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left,
                       bool adjoint);

enum class QrMode { Reduced, Complete, R };
QrMode parse_qr_mode(const std::string& mode);
// (Q, R); Q is empty in mode R.
std::array<Tensor, 2> linalg_qr(const Tensor& a, QrMode mode);
// (reflectors and R in one matrix, tau)
Tensors geqrf(const Tensor& a);
Tensor householder_product(const Tensor& a, const Tensor& tau);

// (solution, residuals, rank, singular values)
Tensors linalg_lstsq(const Tensor& a, const Tensor& b, std::optional<double> rcond,
                     std::optional<std::string> driver);
Tensor linalg_matrix_exp(const Tensor& a);

// What decompositions record besides ops.
std::span<const Primitive* const> matrix_primitives();

}  // namespace fastgrad
