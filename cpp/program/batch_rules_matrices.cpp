// How ops of linear algebra take a batch: see Note [Batches] in program/batch.h. They take any
// dimensions in front of matrices.
#include "core/memory.h"
#include "ops/reduction.h"
#include "program/batch_rules.h"

namespace fastgrad {
namespace {

using namespace batch_forms;

// Batches of matrices are broadcast, from the last dimension on.
void align_matrices(BatchedCall& c) {
  int64_t rank = std::max(c.rank(0), c.rank(1));
  for (size_t k : {0u, 1u})
    if (c.batched[k]) c.align(k, rank);
}
bool solve_triangular(BatchedCall& c) {
  align_matrices(c);
  return true;
}
bool solve(BatchedCall& c) {
  if (c.batched[0] || c.rank(0) != 2 || c.rank(1) != 2) {
    c.spread(0);
    align_matrices(c);
    return true;
  }
  // All right sides beside one another: the matrix is factored once.
  const int64_t rows = c.in[1].shape[1], columns = c.in[1].shape[2];
  c.fold(1, 1);
  OnArrays here;
  Tensors r = apply_multi(c.op, {as_tensor(c.in[0]), as_tensor(c.in[1])}, c.attrs);
  const Array& x = r[0].array();
  c.made.push_back(x.view(Dims{c.count, rows, columns},
                          Dims{columns * x.strides[1], x.strides[0], x.strides[1]}));
  for (size_t k = 1; k < r.size(); ++k)
    c.made.push_back(r[k].array().expanded(with_front(c.count, r[k].shape())));
  return true;
}
// Inputs: factors and pivots, row by row, and right sides.
bool solve_factored(BatchedCall& c) {
  c.spread(2);
  for (size_t k : {0u, 1u}) {
    if (!c.batched[k]) continue;
    c.in[k] = recorded::as_contiguous(c.in[k]);
    c.align(k, c.rank(2) - static_cast<int64_t>(k));
  }
  return true;
}
// Inputs: matrices and two tolerances for each.
bool pinv(BatchedCall& c) {
  c.spread(0);
  for (size_t k : {1u, 2u})
    if (c.batched[k]) c.align(k, c.rank(0) - 2);
  return true;
}
bool trace(BatchedCall& c) {
  const Array& a = c.in[0];
  c.in[0] = a.view(Dims{c.count, std::min(a.shape[1], a.shape[2])},
                   Dims{a.strides[0], a.strides[1] + a.strides[2]});
  c.op = Op::Sum;
  const DType type = is_integral(a.dtype, false) ? DType::Int64 : a.dtype;
  c.attrs = reduce_attrs(0b10, false, Scalar(static_cast<int64_t>(type)));
  return true;
}

constexpr BatchRule kRules[] = {
    {Op::Cholesky, as_it_is},
    {Op::Cofactor, as_it_is},
    {Op::Det, as_it_is},
    {Op::SLogDet, as_it_is},
    {Op::Inverse, as_it_is},
    {Op::MatrixExp, as_it_is},
    {Op::Eigh, as_it_is},
    {Op::Eigvalsh, as_it_is},
    {Op::Eig, as_it_is},
    {Op::LuFactor, as_it_is},
    {Op::Svd, as_it_is},
    {Op::Svdvals, as_it_is},
    {Op::Geqrf, as_it_is},
    {Op::Qr, as_it_is},
    {Op::CofactorGrad, all_alike},
    {Op::HouseholderProduct, all_alike},
    {Op::LeastSquares, all_alike},
    {Op::Cdist, all_alike},
    {Op::DistanceSlopes, all_alike},
    {Op::Pdist, as_it_is},
    {Op::Solve, solve},
    {Op::SolveFactored, solve_factored},
    {Op::SolveTriangular, solve_triangular},
    {Op::Pinv, pinv},
    {Op::Cross, along},
    {Op::Trace, trace},
};

}  // namespace

std::span<const BatchRule> matrix_batch_rules() { return kRules; }

}  // namespace fastgrad
