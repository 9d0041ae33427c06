// Products of vectors, matrices and batches of matrices.
//
// The functions of this file transpose by flag, so that a gradient rule needs no transposed view:
// mm(g, b, false, true) is g·bᵀ.
#pragma once

#include "core/apply.h"
#include "kernels/piece_done.h"

namespace fastgrad {

// PyTorch's matmul: vectors, matrices and broadcast batches, by the dimensions of a and b.
Tensor matmul(const Tensor& a, const Tensor& b);
// The same for a and b of two or more dimensions, whose last two may be transposed first.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);

// The kernels of Mm, Bmm and Addmm for callers that work on pieces of the result as they are
// finished; the matrices of a batch count as one below the other.
void eval_mm(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done);
void eval_bmm(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done);
void eval_addmm(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done);

Tensor mm(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);
Tensor bmm(const Tensor& a, const Tensor& b);
Tensor mv(const Tensor& a, const Tensor& x, bool transpose_a = false);
Tensor dot(const Tensor& a, const Tensor& b);
Tensor vdot(const Tensor& a, const Tensor& b);
// a·bᵀ over the last dimensions of both, all others kept.
Tensor inner(const Tensor& a, const Tensor& b);
Tensor outer(const Tensor& a, const Tensor& b);
// The sum of the products of two batches of matrices of the same batch dimensions.
Tensor sum_matmul(const Tensor& a, const Tensor& b, bool transpose_a = false,
                  bool transpose_b = false);

// beta * input + alpha * product; beta = 0 means that input's values, even NaN, do not count.
Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1,
             Scalar alpha = 1);
Tensor addmv(const Tensor& input, const Tensor& a, const Tensor& x, Scalar beta = 1,
             Scalar alpha = 1);
Tensor addr(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1,
            Scalar alpha = 1);
Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1,
              Scalar alpha = 1);
Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1,
               Scalar alpha = 1);

// The product of all matrices in the order of least work; the ends may be vectors.
Tensor multi_dot(std::span<const Tensor> matrices);
Tensor chain_matmul(std::span<const Tensor> matrices);
// Sum of products over dims_a of a and dims_b of b.
Tensor tensordot(const Tensor& a, const Tensor& b, DimSpan dims_a, DimSpan dims_b);

}  // namespace fastgrad
