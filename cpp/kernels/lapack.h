// Linear algebra on batches of matrices.
//
// Inputs have any strides; outputs are row-major, have the batch dimensions of the input, and share
// no memory with it. float32 and float64 only. `info` is int32, one per matrix, as LAPACK says it:
// 0, or 1 plus the place where the algorithm stopped.
//
// Note [Row-major LAPACK]
// LAPACK reads memory by columns, so a row-major matrix is its transpose there. Where the
// transposed problem gives the answer as well, nothing is copied around: the lower Cholesky factor
// is computed as an upper one, QR as LQ, the U and Vᵀ of an SVD change places, and solving uses the
// factors a·P = L·U, with L lower triangular and U unit upper triangular, which are getrf's of aᵀ.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// a·P = L·U in one matrix; pivots (int32) are the column exchanges, counted from 1.
void lu_rows(const Array& a, const Array& factors, const Array& pivots, const Array& info);
// x = a⁻¹·x, or a⁻ᵀ·x, in place, from lu_rows. x is (..., n, k), with broadcast batch dimensions.
void lu_rows_solve(const Array& factors, const Array& pivots, bool transposed, const Array& x);
// sign and log|det| from lu_rows, or the determinant itself.
void lu_rows_logdet(const Array& factors, const Array& pivots, const Array& sign,
                    const Array& logabs);
void lu_rows_det(const Array& factors, const Array& pivots, const Array& det);
void invert(const Array& a, const Array& out, const Array& info);
// The matrix of cofactors, d det / d a, and its derivative along h, for singular matrices too.
void cofactors(const Array& a, const Array& out);
void cofactors_derivative(const Array& a, const Array& h, const Array& out);
// x = op(a)⁻¹·x, or x·op(a)⁻¹ when not `left`, in place. Batch dimensions of a broadcast to x's.
struct TriangularSolve {
  bool upper, transposed, unit, left;
};
void solve_triangular(const Array& a, const TriangularSolve& how, const Array& x);
// The triangle of a that is read is the one that is computed; the other one becomes zero.
void cholesky(const Array& a, bool upper, const Array& out, const Array& info);

// LAPACK's getrf, with pivots (int32) counted from 1: a = P·L·U.
void lu_factor(const Array& a, const Array& lu, const Array& pivots, const Array& info);
// q is (m, k) and r (k, n), with k = min(m, n), or k = m. q may be absent.
void qr(const Array& a, const Array* q, const Array& r);
// The reflectors below the diagonal of `reflectors` and R above: geqrf.
void qr_reflectors(const Array& a, const Array& reflectors, const Array& tau);
// The first columns of H1·H2·..., Hi = I - tau_i v_i v_iᵀ: orgqr.
void reflector_product(const Array& reflectors, const Array& tau, const Array& q);

// Eigenvalues in ascending order and (unless absent) eigenvectors in the columns of v.
void symmetric_eigen(const Array& a, bool lower, const Array& w, const Array* v, const Array& info);
// a = u·diag(s)·vh; u and vh may both be absent. Full when u is (m, m) and vh (n, n).
void svd(const Array& a, const Array* u, const Array& s, const Array* vh, const Array& info);

// The same of one matrix, row-major like what is written, with no more rows and columns than
// kSmallMatrix (kSmallSvd): no batch to walk over. They return info; where that is not 0 nothing
// else counts. v may be absent, and u with vh.
constexpr int64_t kSmallMatrix = 15, kSmallSvd = 6;
int small_cholesky(DType dtype, const char* a, int64_t n, bool upper, char* out);
int small_qr(DType dtype, const char* a, int64_t m, int64_t n, char* q, int64_t q_cols, char* r);
int small_eigen(DType dtype, const char* a, int64_t n, bool lower, char* w, char* v);
int small_svd(DType dtype, const char* a, int64_t m, int64_t n, char* u, int64_t u_cols, char* s,
              char* vh, int64_t vh_rows);

// Complex eigenvalues and (unless absent) right eigenvectors.
void general_eigen(const Array& a, const Array& w, const Array* v, const Array& info);

void matrix_exp(const Array& a, const Array& out);

// Least squares by gels ('s'), gelsy ('y'), gelsd ('d') or gelss ('v'): x is (..., n, k), b (...,
// m, k).
void least_squares(const Array& a, const Array& b, char driver, double rcond, const Array& x,
                   const Array& rank, const Array& singular_values, const Array& info);

}  // namespace fastgrad
