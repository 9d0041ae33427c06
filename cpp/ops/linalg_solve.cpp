#include "ops/linalg_solve.h"

#include <cmath>
#include <limits>

#include "core/conditions.h"
#include "core/memory.h"
#include "kernels/lapack.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/matmul.h"
#include "ops/matrix_parts.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// X = op(A)⁻¹·B; attribute s[0]: whether op transposes.
Tensor solve_matrices(const Tensor& a, const Tensor& b, bool transposed) {
  return apply_multi(Op::Solve, {a, b}, Attrs(Scalar(transposed)))[0];
}

}  // namespace

// Outputs: X, the factors of A, their pivots, info. The last three are of use to the rule and to
// solve_ex; they are not differentiable.
FG_DEFINE_OP(Solve) = {
    .name = "linalg_solve",
    .backward_name = "LinalgSolveExBackward0",
    .num_outputs = 4,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          const Array &a = *in[0], &b = *in[1];
          DimSpan batch = batch_dims(a);
          Dims pivots(batch);
          pivots.push_back(a.shape.back());
          Dims x = broadcast(batch, batch_dims(b));
          x.push_back(b.shape[b.shape.size() - 2]);
          x.push_back(b.shape.back());
          out[0].dtype = out[1].dtype = a.dtype;
          out[2].dtype = out[3].dtype = DType::Int32;
          out[0].shape = x;
          out[1].shape = a.shape;
          out[2].shape = pivots;
          out[3].shape = Dims(batch);
        },
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          lu_rows(*in[0], out[1], out[2], out[3]);
          recorded::copy_array(in[1]->expanded(out[0].shape), out[0]);
          lu_rows_solve(out[1], out[2], at.flag(0), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (!c.g().defined()) return;
          bool transposed = c.attrs().flag(0);
          // Recorded, the solve must be differentiable in A; else the factors serve again.
          Tensor gb = grad_enabled() ? solve_matrices(c.in(0), c.g(), !transposed)
                                     : apply(Op::SolveFactored, {c.out(1), c.out(2), c.g()},
                                             Attrs(Scalar(!transposed)));
          if (c.needs(0))
            c.set(0, neg(transposed ? matmul(c.out(0), gb, false, true)
                                    : matmul(gb, c.out(0), false, true)));
          if (c.needs(1)) c.set(1, gb);
        },
    .save = {save_in(0) | save_out(0) | save_out(1) | save_out(2),
             save_in(0) | save_out(1) | save_out(2)},
    .nondifferentiable_outputs = 0b1110,
};

FG_DEFINE_OP(SolveFactored) = {
    .name = "solve_factored",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[2]->dtype;
          out[0].shape = in[2]->shape;
        },
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          recorded::copy_array(*in[2], out[0]);
          lu_rows_solve(*in[0], *in[1], at.flag(0), out[0]);
        },
};

// Attributes: s[0] bits upper 1, left 2, unit 4, transposed 8.
FG_DEFINE_OP(SolveTriangular) = {
    .name = "linalg_solve_triangular",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          const Array& b = *in[1];
          out[0].dtype = b.dtype;
          out[0].shape = broadcast(batch_dims(*in[0]), batch_dims(b));
          out[0].shape.push_back(b.shape[b.shape.size() - 2]);
          out[0].shape.push_back(b.shape.back());
        },
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          int64_t f = at.integer(0);
          recorded::copy_array(in[1]->expanded(out[0].shape), out[0]);
          solve_triangular(*in[0], {(f & 1) != 0, (f & 8) != 0, (f & 4) != 0, (f & 2) != 0},
                           out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          int64_t f = c.attrs().integer(0);
          bool upper = f & 1, left = f & 2, unit = f & 4, transposed = f & 8;
          Tensor gb = linalg_solve_triangular(c.in(0), c.g(), upper, left, unit, !transposed);
          if (c.needs(1)) c.set(1, gb);
          if (!c.needs(0)) return;
          // op(A)·X = B: the gradient of op(A) is -gb·Xᵀ; of X·op(A) = B it is -Xᵀ·gb.
          Tensor x = c.out();
          Tensor g = left == transposed
                         ? (left ? matmul(x, gb, false, true) : matmul(x, gb, true, false))
                         : (left ? matmul(gb, x, false, true) : matmul(gb, x, true, false));
          int64_t k = unit ? 1 : 0;
          c.set(0, neg(upper ? upper_triangle(g, k) : lower_triangle(g, -k)));
        },
    .save = {save_in(0) | save_out(0), save_in(0)},
};

FG_DEFINE_OP(Inverse) = {
    .name = "linalg_inv",
    .backward_name = "LinalgInvExBackward0",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[1].dtype = DType::Int32;
          out[1].shape = Dims(batch_dims(*in[0]));
        },
    .eval = [](const Attrs&, Inputs in, std::span<Array> out) { invert(*in[0], out[0], out[1]); },
    .vjp =
        [](VjpContext& c) {
          if (!c.g().defined()) return;
          Tensor y = c.out();
          c.set(0, neg(matmul(matmul(y, c.g(), true, false), y, false, true)));
        },
    .save = {save_out(0)},
    .nondifferentiable_outputs = 0b10,
};

// Note [Determinant of singular matrices]
// The determinant is a polynomial, so its gradient, the matrix of cofactors, exists everywhere,
// where det(A)·A⁻ᵀ is 0·inf. Cofactor computes it from the singular values where A is
// ill-conditioned, and CofactorGrad, its derivative, always. The third derivative divides by
// det(A).
FG_DEFINE_OP(Det) = {
    .name = "linalg_det",
    .backward_name = "LinalgDetBackward0",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = Dims(batch_dims(*in[0]));
        },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          Dims pivots(batch_dims(*in[0]));
          Array info = Array::empty(pivots, DType::Int32);
          pivots.push_back(in[0]->shape.back());
          Array factors = Array::empty(in[0]->shape, in[0]->dtype),
                p = Array::empty(pivots, DType::Int32);
          lu_rows(*in[0], factors, p, info);
          lu_rows_det(factors, p, out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          c.set(0, grad_mul(as_column(as_column(c.g())), apply(Op::Cofactor, {c.in(0)})));
        },
    .save = {save_in(0)},
};

FG_DEFINE_OP(Cofactor) = {
    .name = "cofactor",
    .infer = infer_as_input,
    .eval = [](const Attrs&, Inputs in, std::span<Array> out) { cofactors(*in[0], out[0]); },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::CofactorGrad, {c.in(0), c.g()})); },
    .save = {save_in(0)},
};

// D²det(A)[h, .]: the derivative of Cofactor along input 1.
FG_DEFINE_OP(CofactorGrad) = {
    .name = "cofactor_grad",
    .infer = infer_as_input,
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { cofactors_derivative(*in[0], *in[1], out[0]); },
    .vjp =
        [](VjpContext& c) {
          Tensor a = c.in(0), g = c.g();
          if (c.needs(1))
            c.set(1, apply(Op::CofactorGrad, {a, g}));  // a second derivative is symmetric
          if (!c.needs(0)) return;
          // <g, output> = f(C) / d with C the cofactors, d = det(A), and
          // f = <h, C><g, C> - tr(gᵀ·C·hᵀ·C).
          Tensor h = c.in(1), cof = apply(Op::Cofactor, {a});
          Tensor d = as_column(as_column(linalg_det(a)));
          auto inner_product = [](const Tensor& x, const Tensor& y) {
            return sum(mul(x, y), Dims{-2, -1}, true);
          };
          Tensor hc = inner_product(h, cof), gc = inner_product(g, cof);
          Tensor g_ct_h = matmul(matmul(g, cof, false, true), h, false, false);
          Tensor h_ct_g = matmul(matmul(h, cof, false, true), g, false, false);
          Tensor f_c = sub(add(mul(h, gc), mul(g, hc)), add(g_ct_h, h_ct_g));
          Tensor f = sub(mul(hc, gc),
                         inner_product(matmul(g, cof, true, false), matmul(cof, h, true, false)));
          c.set(0, sub(apply(Op::CofactorGrad, {a, div(f_c, d)}), mul(div(f, mul(d, d)), cof)));
        },
    .save = {save_in(0) | save_in(1), save_in(0)},
};

FG_DEFINE_OP(SLogDet) = {
    .name = "linalg_slogdet",
    .backward_name = "LinalgSlogdetBackward0",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          for (Meta& m : out) {
            m.dtype = in[0]->dtype;
            m.shape = Dims(batch_dims(*in[0]));
          }
        },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          Dims pivots(batch_dims(*in[0]));
          Array info = Array::empty(pivots, DType::Int32);
          pivots.push_back(in[0]->shape.back());
          Array factors = Array::empty(in[0]->shape, in[0]->dtype),
                p = Array::empty(pivots, DType::Int32);
          lu_rows(*in[0], factors, p, info);
          lu_rows_logdet(factors, p, out[0], out[1]);
        },
    .vjp =
        [](VjpContext& c) {
          if (!c.g(1).defined()) return;  // the sign is piecewise constant
          Tensor a = c.in(0);
          Tensor inverse = apply_multi(Op::Inverse, {a})[0];
          c.set(0, grad_mul(as_column(as_column(c.g(1))), matrix_transpose(inverse)));
        },
    .save = {save_in(0)},
};

// Attribute s[0]: upper.
FG_DEFINE_OP(Cholesky) = {
    .name = "linalg_cholesky",
    .backward_name = "LinalgCholeskyExBackward0",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[1].dtype = DType::Int32;
          out[1].shape = Dims(batch_dims(*in[0]));
        },
    .eval = [](const Attrs& at, Inputs in,
               std::span<Array> out) { cholesky(*in[0], at.flag(0), out[0], out[1]); },
    .vjp =
        [](VjpContext& c) {
          if (!c.g().defined()) return;
          bool upper = c.attrs().flag(0);
          Tensor l = upper ? matrix_transpose(c.out()) : c.out();
          Tensor gl = upper ? matrix_transpose(c.g()) : c.g();
          // L⁻ᵀ·tril(Lᵀ·gL, diagonal halved)·L⁻¹, and of that the symmetric part.
          Tensor m = lower_triangle(matmul(l, gl, true, false));
          Tensor phi = sub(m, diagonal_matrix(mul(diagonal_of(m), 0.5)));
          Tensor right = linalg_solve_triangular(l, phi, false, false);
          c.set(0, symmetric_part(linalg_solve_triangular(l, right, false, true, false, true)));
        },
    .save = {save_out(0)},
    .nondifferentiable_outputs = 0b10,
};

namespace {

// The checks that A·X = B (or X·A = B) has matching shapes; b has at least two dimensions.
void check_system(const Tensor& a, const Tensor& b, bool left, const char* op) {
  FG_CHECK(a.size(-1) == b.size(left ? -2 : -1), op,
           ": Incompatible shapes of A and B for the equation ", left ? "AX = B" : "XA = B", " (",
           a.size(-2), "x", a.size(-1), " and ", b.size(-2), "x", b.size(-1), ")");
  broadcast(batch_dims(a), batch_dims(b));  // fails with PyTorch's text
}

// B counts as vectors where it is 1-d, or where it is A's shape without the last dimension.
bool is_batch_of_vectors(const Tensor& a, const Tensor& b) {
  if (b.ndim() == 1) return true;
  return b.ndim() == a.ndim() - 1 &&
         b.shape() == Dims(DimSpan(a.shape()).first(a.shape().size() - 1));
}

[[gnu::cold]] void fail_singular(const char* op, const Tensor& info, int64_t i) {
  fail(ErrorKind::Linalg, op, ": ", batch_text(info, i),
       "The solver failed because the input matrix is singular.");
}

[[gnu::cold]] void fail_inverse(const char* op, const Tensor& info, int64_t i, int32_t at) {
  fail(ErrorKind::Linalg, op, ": ", batch_text(info, i), "The diagonal element ", at,
       " is zero, the inversion could not be completed because the input matrix is singular.");
}

[[gnu::cold]] void fail_cholesky(const char* op, const Tensor& info, int64_t i, int32_t at) {
  fail(ErrorKind::Linalg, op, ": ", batch_text(info, i),
       "The factorization could not be completed because the input is not positive-definite (the "
       "leading minor of order ",
       at, " is not positive-definite).");
}

Tensors solve_checked(const Tensor& a, const Tensor& b, bool left, bool check_errors,
                      const char* op) {
  check_square(a, "linalg.solve");
  check_floating(a, "linalg.solve");
  check_same_dtype(a, b, "linalg.solve");
  bool vectors = is_batch_of_vectors(a, b);
  FG_CHECK(left || !vectors,
           "linalg.solve: Incompatible shapes of A and B for the equation XA = B (", a.size(-2),
           "x", a.size(-1), " and ", b.size(-1), "x1)");
  Tensor rhs = vectors ? as_column(b) : b;
  check_system(a, rhs, left, "linalg.solve");
  Tensors r = apply_multi(Op::Solve, {a, left ? rhs : matrix_transpose(rhs)}, Attrs(Scalar(!left)));
  if (check_errors) check_info(r[3], [&](int64_t i, int32_t) { fail_singular(op, r[3], i); });
  return {vectors ? without_column(r[0]) : left ? r[0] : matrix_transpose(r[0]), r[3]};
}

}  // namespace

Tensor linalg_solve(const Tensor& a, const Tensor& b, bool left) {
  return solve_checked(a, b, left, true, "linalg.solve")[0];
}

Tensors linalg_solve_ex(const Tensor& a, const Tensor& b, bool left, bool check_errors) {
  return solve_checked(a, b, left, check_errors, "linalg.solve_ex");
}

Tensor linalg_solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool left,
                               bool unitriangular, bool transposed) {
  check_square(a, "linalg.solve_triangular");
  check_matrices(b, "linalg.solve_triangular", "B");
  check_floating(a, "linalg.solve_triangular");
  check_same_dtype(a, b, "linalg.solve_triangular");
  check_system(a, b, left, "linalg.solve_triangular");
  return apply(Op::SolveTriangular, {a, b},
               Attrs(int64_t{upper} | int64_t{left} << 1 | int64_t{unitriangular} << 2 |
                     int64_t{transposed} << 3));
}

Tensor linalg_inv(const Tensor& a, const char* op) {
  check_square(a, op);
  check_floating(a, op);
  Tensors r = apply_multi(Op::Inverse, {a});
  check_info(r[1], [&](int64_t i, int32_t at) { fail_inverse(op, r[1], i, at); });
  return r[0];
}

Tensors linalg_inv_ex(const Tensor& a, bool check_errors) {
  check_square(a, "linalg.inv");
  check_floating(a, "linalg.inv");
  Tensors r = apply_multi(Op::Inverse, {a});
  if (check_errors)
    check_info(r[1], [&](int64_t i, int32_t at) { fail_inverse("linalg.inv_ex", r[1], i, at); });
  return r;
}

Tensor linalg_det(const Tensor& a) {
  check_square(a, "linalg.det");
  check_floating(a, "linalg.det");
  return apply(Op::Det, {a});
}

Tensors linalg_slogdet(const Tensor& a) {
  check_square(a, "linalg.slogdet");
  check_floating(a, "linalg.slogdet");
  return apply_multi(Op::SLogDet, {a});
}

Tensor logdet(const Tensor& a) {
  check_square(a, "logdet");
  check_floating(a, "logdet");
  Tensors r = apply_multi(Op::SLogDet, {a});
  return where(eq(r[0], -1), std::numeric_limits<double>::quiet_NaN(), r[1]);
}

Tensor linalg_cholesky(const Tensor& a, bool upper, const char* op) {
  check_square(a, op);
  check_floating(a, op);
  if (is_small_matrix(a)) {
    Tensor out = Tensor::empty_like(a.array(), a.dtype());
    if (small_cholesky(a.dtype(), a.array().data, a.shape()[0], upper, out.array().data) == 0) {
      record_outputs(Op::Cholesky, a, Attrs(Scalar(upper)), {&out, 1});
      return out;
    }
  }
  Tensors r = apply_multi(Op::Cholesky, {a}, Attrs(Scalar(upper)));
  check_info(r[1], [&](int64_t i, int32_t at) { fail_cholesky(op, r[1], i, at); });
  return r[0];
}

Tensors linalg_cholesky_ex(const Tensor& a, bool upper, bool check_errors) {
  check_square(a, "linalg.cholesky");
  check_floating(a, "linalg.cholesky");
  Tensors r = apply_multi(Op::Cholesky, {a}, Attrs(Scalar(upper)));
  if (check_errors)
    check_info(r[1],
               [&](int64_t i, int32_t at) { fail_cholesky("linalg.cholesky_ex", r[1], i, at); });
  return r;
}

Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper) {
  FG_CHECK(b.ndim() >= 2, "b should have at least 2 dimensions, but has ", b.ndim(),
           " dimensions instead");
  FG_CHECK(factor.ndim() >= 2, "u should have at least 2 dimensions, but has ", factor.ndim(),
           " dimensions instead");
  check_square(factor, "cholesky_solve");
  FG_CHECK(factor.size(-1) == b.size(-2),
           "Incompatible matrix sizes for cholesky_solve: each A matrix is ", factor.size(-1),
           " by ", factor.size(-1), " but each b matrix is ", b.size(-2), " by ", b.size(-1));
  // A = L·Lᵀ, or Uᵀ·U.
  Tensor y = linalg_solve_triangular(factor, b, upper, true, false, upper);
  return linalg_solve_triangular(factor, y, upper, true, false, !upper);
}

Tensor cholesky_inverse(const Tensor& factor, bool upper) {
  check_square(factor, "cholesky_inverse");
  check_floating(factor, "cholesky_inverse");
  int64_t n = factor.size(-1);
  Tensor diagonal = contiguous(diagonal_of(factor.detach()));
  watch_condition(kHasZero, {}, diagonal.array(), false);
  for (int64_t i = 0; i < diagonal.numel(); ++i) {
    bool zero = diagonal.dtype() == DType::Float32 ? diagonal.array().ptr<float>()[i] == 0
                                                   : diagonal.array().ptr<double>()[i] == 0;
    FG_CHECK_KIND(
        ErrorKind::Linalg, !zero, "cholesky_inverse: ",
        factor.ndim() > 2 ? str("(Batch element ", i / n, "): ") : std::string(),
        "The diagonal element ", i % n + 1,
        " is zero, the inversion could not be completed because the input matrix is singular.");
  }
  return cholesky_solve(identity_like(factor, n), factor, upper);
}

Tensor linalg_tensorsolve(const Tensor& a, const Tensor& b, std::optional<Dims> dims) {
  Tensor m = a;
  if (dims) {
    Dims moved, order;
    for (int64_t d : *dims) moved.push_back(wrap_dim(d, a.ndim()));
    for (int64_t i = 0; i < a.ndim(); ++i)
      if (std::find(moved.begin(), moved.end(), i) == moved.end()) order.push_back(i);
    for (int64_t d : moved) order.push_back(d);
    m = permute(a, order);
  }
  size_t k = std::min(static_cast<size_t>(b.ndim()), m.shape().size());
  Dims result(DimSpan(m.shape()).subspan(k));
  int64_t rows = numel_of(DimSpan(m.shape()).first(k)), cols = numel_of(result);
  FG_CHECK(rows == cols,
           "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
           "prod(self.shape[:other.ndim]), but got ",
           cols, " != ", rows);
  return reshape(linalg_solve(reshape(m, Dims{rows, cols}), reshape(b, Dims{b.numel()})), result);
}

Tensor linalg_tensorinv(const Tensor& a, int64_t ind) {
  FG_CHECK(ind > 0, "Expected a strictly positive integer for 'ind', but got ", ind);
  size_t k = std::min(static_cast<size_t>(ind), a.shape().size());
  DimSpan shape(a.shape());
  Dims result(shape.subspan(k));
  int64_t rows = numel_of(shape.first(k)), cols = numel_of(result);
  FG_CHECK(rows == cols,
           "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
           "prod(self.shape[:ind]), but got ",
           cols, " != ", rows);
  for (int64_t n : shape.first(k)) result.push_back(n);
  return reshape(linalg_inv(reshape(a, Dims{rows, cols})), result);
}

Tensor linalg_matrix_power(const Tensor& a, int64_t n, const char* op) {
  check_square(a, op);
  if (n == 0)  // the identity, which stays in a's graph with gradient zero
    return where(Tensor(recorded::zeros({}, DType::Bool)), a, identity_like(a, a.size(-1)));
  if (n < 0) {
    FG_CHECK(n != std::numeric_limits<int64_t>::min(), op, ": the exponent is too small");
    return linalg_matrix_power(linalg_inv(a), -n, op);
  }
  // The binary digits of n, lowest first.
  Tensor square = a, result;
  for (;; square = matmul(square, square)) {
    if (n & 1) result = result.defined() ? matmul(result, square) : square;
    n >>= 1;
    if (n == 0) break;
  }
  return result.is(a) ? clone(a) : result;
}

}  // namespace fastgrad
