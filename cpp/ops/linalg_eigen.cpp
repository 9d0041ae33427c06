// Note [Repeated eigenvalues]
// The gradient of eigenvectors divides by differences of eigenvalues. Where two of them agree up to
// rounding, the eigenvectors are not determined, but many results are: a sum of eigenvalues, a
// projection on the whole eigenspace. For these the numerator vanishes as well, and the quotient is
// taken as 0. Where the numerator does not vanish, the result depends on the choice of
// eigenvectors, has no derivative, and the gradient is inf or large. "Vanish" is meant relative to
// rounding. The rule sees cotangents only, which cannot tell every function of repeated eigenvalues
// apart: a matrix function V·f(W)·Vᵀ is differentiated exactly by its own op (matrix_exp,
// matrix_power, inv).
#include "ops/linalg_eigen.h"

#include <cmath>
#include <limits>

#include "core/conditions.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/gemm.h"
#include "kernels/lapack.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/extreme.h"
#include "ops/matmul.h"
#include "ops/matrix_parts.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

double epsilon_of(DType d) {
  return d == DType::Float32 ? std::numeric_limits<float>::epsilon()
                             : std::numeric_limits<double>::epsilon();
}

// numerator / gap, and 0 where both are zero up to the given sizes of rounding errors.
Tensor quotient_or_zero(const Tensor& numerator, const Tensor& gap, const Tensor& numerator_size,
                        const Tensor& gap_size) {
  Tensor no_gap = le(abs(gap.detach()), gap_size.detach());
  Tensor vanishes = mul(no_gap, le(abs(numerator.detach()), numerator_size.detach()));
  return where(vanishes, 0, div(numerator, where(vanishes, 1, gap)));
}

// The rounding error of matrices (..., k, k), or of vectors made rows (..., 1, k).
Tensor rounding_of(const Tensor& m) {
  double factor = 10.0 * static_cast<double>(m.size(-1)) * epsilon_of(m.dtype());
  return mul(amax(abs(m.detach()), Dims{-2, -1}, true), factor);
}

Tensor as_row(const Tensor& x) { return unsqueeze(x, -2); }

// V·diag(d)·W
Tensor spectral_product(const Tensor& v, const Tensor& d, const Tensor& w, bool transpose_w) {
  return matmul(scale_columns(v, d), w, false, transpose_w);
}

void eigh_vjp(VjpContext& c) {
  Tensor v = c.out(1);
  if (v.size(-1) == 0 || !c.g(1).defined()) {
    if (c.g(0).defined()) c.set(0, spectral_product(v, c.g(0), v, true));
    return;
  }
  Tensor w = c.out(0), m = matmul(v, c.g(1), true, false);
  Tensor p = mul(sub(m, matrix_transpose(m)), 0.5);
  Tensor gaps = sub(as_row(w), as_column(w));
  Tensor core = quotient_or_zero(p, gaps, rounding_of(m), rounding_of(as_row(w)));
  if (c.g(0).defined()) core = add(core, diagonal_matrix(c.g(0)));
  c.set(0, matmul(matmul(v, core), v, false, true));
}

// With X and Y twice the antisymmetric parts of Uᵀ·gU and Vᵀ·gV, P = (X + Y) / 2 and Q = (X - Y) /
// 2:
//   gA = U·(P / (s_j - s_i) + Q / (s_j + s_i) + diag(gS))·Vᵀ
//        + (1 - U·Uᵀ)·gU·S⁻¹·Vᵀ + U·S⁻¹·gVᵀ·(1 - V·Vᵀ).
// Written so, repeated values concern P alone: the polar factor U·Vᵀ, say, has P = 0.
void svd_vjp(VjpContext& c) {
  Tensor s = c.out(1), u = c.out(0), vh = c.out(2);
  int64_t k = s.size(-1);
  if (k == 0) {
    c.set(0, zeros(c.in_shape(0), s.dtype()));
    return;
  }
  Tensor gu = c.g(0), gs = c.g(1), gvh = c.g(2);
  // Of full factors only the first k columns and rows are determined.
  if (u.size(-1) > k) {
    u = slice(u, -1, 0, k);
    if (gu.defined()) gu = slice(gu, -1, 0, k);
  }
  if (vh.size(-2) > k) {
    vh = slice(vh, -2, 0, k);
    if (gvh.defined()) gvh = slice(gvh, -2, 0, k);
  }
  int64_t m = u.size(-2), n = vh.size(-1);
  if (!gu.defined() && !gvh.defined()) {
    if (gs.defined()) c.set(0, spectral_product(u, gs, vh, false));
    return;
  }
  Tensor row = as_row(s), column = as_column(s), s_size = rounding_of(row);
  Tensor x0, x, y, size;
  if (gu.defined()) {
    x0 = matmul(u, gu, true, false);
    x = sub(x0, matrix_transpose(x0));
    size = rounding_of(x0);
  }
  if (gvh.defined()) {
    Tensor y0 = matmul(vh, gvh, false, true), y_size = rounding_of(y0);
    y = sub(y0, matrix_transpose(y0));
    size = size.defined() ? add(size, y_size) : y_size;
  }
  Tensor p = mul(x.defined() && y.defined() ? add(x, y) : x.defined() ? x : y, 0.5);
  Tensor q = mul(x.defined() && y.defined() ? sub(x, y) : x.defined() ? x : neg(y), 0.5);
  Tensor core = add(quotient_or_zero(p, sub(row, column), size, s_size),
                    quotient_or_zero(q, add(row, column), size, s_size));
  if (gs.defined()) core = add(core, diagonal_matrix(gs));
  Tensor ga = matmul(matmul(u, core), vh);
  if (m > k && gu.defined()) {
    Tensor outside = sub(gu, matmul(u, x0));
    ga = add(ga, matmul(quotient_or_zero(outside, row, rounding_of(gu), s_size), vh));
  }
  if (n > k && gvh.defined()) {
    Tensor outside = sub(gvh, matmul(matmul(gvh, vh, false, true), vh));
    ga = add(ga, matmul(u, quotient_or_zero(outside, column, rounding_of(gvh), s_size)));
  }
  c.set(0, ga);
}

}  // namespace

// Outputs: eigenvalues, eigenvectors, info. Attribute s[0]: lower.
FG_DEFINE_OP(Eigh) = {
    .name = "linalg_eigh",
    .backward_name = "LinalgEighBackward0",
    .num_outputs = 3,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          DimSpan batch = batch_dims(*in[0]);
          out[0].dtype = out[1].dtype = in[0]->dtype;
          out[0].shape = with_sizes(batch, {in[0]->shape.back()});
          out[1].shape = in[0]->shape;
          out[2].dtype = DType::Int32;
          out[2].shape = Dims(batch);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          symmetric_eigen(*in[0], a.flag(0), out[0], &out[1], out[2]);
        },
    .vjp = eigh_vjp,
    .save = {save_out(0) | save_out(1)},
    .nondifferentiable_outputs = 0b100,
};

// The eigenvalues alone, where nobody wants gradients.
FG_DEFINE_OP(Eigvalsh) = {
    .name = "linalg_eigvalsh",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = with_sizes(batch_dims(*in[0]), {in[0]->shape.back()});
          out[1].dtype = DType::Int32;
          out[1].shape = Dims(batch_dims(*in[0]));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          symmetric_eigen(*in[0], a.flag(0), out[0], nullptr, out[1]);
        },
};

// Outputs: U, S, Vh, info. Attribute s[0]: full matrices.
FG_DEFINE_OP(Svd) = {
    .name = "linalg_svd",
    .backward_name = "LinalgSvdBackward0",
    .num_outputs = 4,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          DimSpan batch = batch_dims(*in[0]);
          int64_t m = in[0]->shape[in[0]->shape.size() - 2], n = in[0]->shape.back(),
                  k = std::min(m, n);
          bool full = a.flag(0);
          out[0].dtype = out[1].dtype = out[2].dtype = in[0]->dtype;
          out[0].shape = with_sizes(batch, {m, full ? m : k});
          out[1].shape = with_sizes(batch, {k});
          out[2].shape = with_sizes(batch, {full ? n : k, n});
          out[3].dtype = DType::Int32;
          out[3].shape = Dims(batch);
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { svd(*in[0], &out[0], out[1], &out[2], out[3]); },
    .vjp = svd_vjp,
    .save = {save_out(0) | save_out(1) | save_out(2)},
    .nondifferentiable_outputs = 0b1000,
};

FG_DEFINE_OP(Svdvals) = {
    .name = "linalg_svdvals",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          const Dims& shape = in[0]->shape;
          out[0].dtype = in[0]->dtype;
          out[0].shape =
              with_sizes(batch_dims(*in[0]), {std::min(shape[shape.size() - 2], shape.back())});
          out[1].dtype = DType::Int32;
          out[1].shape = Dims(batch_dims(*in[0]));
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { svd(*in[0], nullptr, out[0], nullptr, out[1]); },
};

FG_DEFINE_OP(Eig) = {
    .name = "linalg_eig",
    .num_outputs = 3,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = out[1].dtype = to_complex(in[0]->dtype);
          out[0].shape = with_sizes(batch_dims(*in[0]), {in[0]->shape.back()});
          out[1].shape = in[0]->shape;
          out[2].dtype = DType::Int32;
          out[2].shape = Dims(batch_dims(*in[0]));
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { general_eigen(*in[0], out[0], &out[1], out[2]); },
    .vjp =
        [](VjpContext&) {
          fail(ErrorKind::NotImplemented,
               "[linalg.eig] the gradient needs complex arithmetic, which is not supported yet; "
               "for symmetric "
               "matrices use linalg.eigh");
        },
};

Tensor pinv_gradient(const Tensor& a, const Tensor& p, const Tensor& g) {
  Tensor first = matmul(matmul(g, p, true, false), p, false, true);   // Gᵀ·P·Pᵀ
  Tensor second = matmul(p, matmul(p, g, false, true), true, false);  // Pᵀ·P·Gᵀ
  Tensor ga = neg(matmul(matmul(p, g, true, false), p, false, true));
  ga = add(ga, sub(first, matmul(a, matmul(p, first))));
  return add(ga, sub(second, matmul(matmul(second, p), a)));
}

// Inputs: A, atol and rtol (float64, of the batch's shape).
FG_DEFINE_OP(Pinv) = {
    .name = "linalg_pinv",
    .backward_name = "LinalgPinvBackward0",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          std::swap(out[0].shape[out[0].shape.size() - 1], out[0].shape[out[0].shape.size() - 2]);
        },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          // v·diag(1 / s)·uᵀ, from the decomposition of A.
          const Array& a = *in[0];
          DimSpan batch = batch_dims(a);
          int64_t m = a.shape[a.shape.size() - 2], n = a.shape.back(), k = std::min(m, n);
          Array u = Array::empty(with_sizes(batch, {m, k}), a.dtype),
                vh = Array::empty(with_sizes(batch, {k, n}), a.dtype);
          Array s = Array::empty(with_sizes(batch, {k}), a.dtype),
                info = Array::empty(batch, DType::Int32);
          svd(a, &u, s, &vh, info);
          Array atol = recorded::contiguous_copy(in[1]->expanded(batch)),
                rtol = recorded::contiguous_copy(in[2]->expanded(batch));
          dispatch_float(a.dtype, "pinv", [&]<class T>(T) {
            for (int64_t i = 0; i < info.numel; ++i) {
              FG_CHECK_KIND(ErrorKind::Linalg, info.ptr<int32_t>()[i] == 0,
                            "linalg.pinv: The algorithm failed to converge because the input "
                            "matrix contained "
                            "non-finite values.");
              T* si = s.ptr<T>() + i * k;
              double tolerance = k ? std::max(atol.ptr<double>()[i],
                                              rtol.ptr<double>()[i] * static_cast<double>(si[0]))
                                   : 0;
              for (int64_t j = 0; j < k; ++j) {
                T inverse = static_cast<double>(si[j]) > tolerance ? 1 / si[j] : T(0);
                for (int64_t c = 0; c < n; ++c) vh.ptr<T>()[(i * k + j) * n + c] *= inverse;
              }
            }
          });
          BatchedGemm o;
          o.transpose_a = o.transpose_b = true;
          batched_gemm(vh, u, out[0], o);
        },
    .vjp = [](VjpContext& c) { c.set(0, pinv_gradient(c.in(0), c.out(), c.g())); },
    .save = {save_in(0) | save_out(0)},
};

namespace {

void check_eigh(const Tensor& a, const char* op) {
  check_square(a, op);
  check_floating(a, op);
}

[[gnu::cold]] void fail_convergence(const char* op, const Tensor& info, int64_t i, int32_t at) {
  if (at < 0)
    fail(ErrorKind::Linalg, op, ": ", batch_text(info, i),
         "The algorithm failed to converge because the input matrix contained non-finite values.");
  fail(ErrorKind::Linalg, op, ": ", batch_text(info, i),
       "The algorithm failed to converge because the input matrix is ill-conditioned or has too "
       "many repeated "
       "values (error code: ",
       at, ").");
}

}  // namespace

bool parse_uplo(const std::string& uplo) {
  bool lower = uplo == "L" || uplo == "l";
  FG_CHECK(lower || uplo == "U" || uplo == "u", "Expected UPLO argument to be 'L' or 'U', but got ",
           uplo);
  return lower;
}

std::array<Tensor, 2> linalg_eigh(const Tensor& a, bool lower) {
  check_eigh(a, "linalg.eigh");
  Attrs attrs{Scalar(lower)};
  if (is_small_matrix(a)) {
    const DimSpan shape = a.shape();
    std::array<Tensor, 2> out{Tensor::empty(shape.first(1), a.dtype()),
                              Tensor::empty_like(a.array(), a.dtype())};
    if (small_eigen(a.dtype(), a.array().data, shape[0], lower, out[0].array().data,
                    out[1].array().data) == 0) {
      record_outputs(Op::Eigh, a, std::move(attrs), out);
      return out;
    }
  }
  Tensors r = apply_multi(Op::Eigh, {a}, std::move(attrs));
  check_info(r[2], [&](int64_t i, int32_t at) {
    if (at > 0) fail_convergence("linalg.eigh", r[2], i, at);
  });
  return {std::move(r[0]), std::move(r[1])};
}

Tensor linalg_eigvalsh(const Tensor& a, bool lower) {
  check_eigh(a, "linalg.eigvalsh");
  if (grad_enabled() && a.requires_grad()) return linalg_eigh(a, lower)[0];
  if (is_small_matrix(a)) {
    Tensor w = Tensor::empty(DimSpan(a.shape()).first(1), a.dtype());
    if (small_eigen(a.dtype(), a.array().data, a.shape()[0], lower, w.array().data, nullptr) == 0)
      return w;
  }
  Tensors r = apply_multi(Op::Eigvalsh, {a}, Attrs(Scalar(lower)));
  check_info(r[1], [&](int64_t i, int32_t at) {
    if (at > 0) fail_convergence("linalg.eigvalsh", r[1], i, at);
  });
  return r[0];
}

std::array<Tensor, 3> linalg_svd(const Tensor& a, bool full_matrices) {
  check_matrices(a, "linalg.svd");
  check_floating(a, "linalg.svd");
  Attrs attrs{Scalar(full_matrices)};
  if (is_small_matrix(a, kSmallSvd)) {
    const int64_t m = a.shape()[0], n = a.shape()[1], k = std::min(m, n),
                  u_cols = full_matrices ? m : k, vh_rows = full_matrices ? n : k;
    const int64_t u_shape[] = {m, u_cols}, s_shape[] = {k}, vh_shape[] = {vh_rows, n};
    std::array<Tensor, 3> out{Tensor::empty(u_shape, a.dtype()), Tensor::empty(s_shape, a.dtype()),
                              Tensor::empty(vh_shape, a.dtype())};
    if (small_svd(a.dtype(), a.array().data, m, n, out[0].array().data, u_cols, out[1].array().data,
                  out[2].array().data, vh_rows) == 0) {
      record_outputs(Op::Svd, a, std::move(attrs), out);
      return out;
    }
  }
  Tensors r = apply_multi(Op::Svd, {a}, std::move(attrs));
  check_info(r[3], [&](int64_t i, int32_t at) { fail_convergence("linalg.svd", r[3], i, at); });
  return {std::move(r[0]), std::move(r[1]), std::move(r[2])};
}

Tensor linalg_svdvals(const Tensor& a) {
  check_matrices(a, "linalg.svd");
  check_floating(a, "linalg.svd");
  if (grad_enabled() && a.requires_grad()) return linalg_svd(a, false)[1];
  if (is_small_matrix(a, kSmallSvd)) {
    const int64_t m = a.shape()[0], n = a.shape()[1], shape[] = {std::min(m, n)};
    Tensor s = Tensor::empty(shape, a.dtype());
    if (small_svd(a.dtype(), a.array().data, m, n, nullptr, 0, s.array().data, nullptr, 0) == 0)
      return s;
  }
  Tensors r = apply_multi(Op::Svdvals, {a});
  check_info(r[1], [&](int64_t i, int32_t at) { fail_convergence("linalg.svd", r[1], i, at); });
  return r[0];
}

Tensors linalg_eig(const Tensor& a) {
  check_square(a, "linalg.eig");
  check_floating(a, "linalg.eig");
  watch_condition(kAllFinite, {}, a.array(), true);
  Array x = contiguous_copy(a.array());
  dispatch_float(x.dtype, "linalg.eig", [&]<class T>(T) {
    for (int64_t i = 0; i < x.numel; ++i)
      FG_CHECK(std::isfinite(x.ptr<T>()[i]),
               "linalg.eig: input tensor should not contain infs or NaNs.");
  });
  Tensors r = apply_multi(Op::Eig, {a});
  check_info(r[2], [&](int64_t i, int32_t at) { fail_convergence("linalg.eig", r[2], i, at); });
  return r;
}

Tensor linalg_eigvals(const Tensor& a) { return linalg_eig(a)[0]; }

namespace {

// Defaults: max(m, n) * eps for rtol, unless a positive atol is given; 0 for atol.
RankTolerance complete(const Tensor& a, const RankTolerance& t) {
  auto number = [](double v) { return full({}, v, DType::Float64); };
  RankTolerance out{t.atol.defined() ? to_dtype(t.atol.detach(), DType::Float64) : number(0),
                    Tensor()};
  if (t.rtol.defined()) {
    out.rtol = to_dtype(t.rtol.detach(), DType::Float64);
    return out;
  }
  double standard = epsilon_of(a.dtype()) * static_cast<double>(std::max(a.size(-1), a.size(-2)));
  out.rtol = where(gt(out.atol, 0), number(0), number(standard));
  return out;
}

}  // namespace

Tensor linalg_pinv(const Tensor& a, const RankTolerance& tolerance, bool hermitian) {
  FG_CHECK(
      a.ndim() >= 2 && is_floating(a.dtype()), "linalg.pinv(", scalar_type_name(a.dtype()), "{",
      a.shape(),
      "}): expected a tensor with 2 or more dimensions of float, double, cfloat or cdouble types");
  check_floating(a, "linalg.pinv");
  RankTolerance t = complete(a, a.numel() ? tolerance : RankTolerance{});
  Tensor x = a;
  Dims sizes = broadcast(broadcast(batch_dims(a), t.atol.shape()), t.rtol.shape());
  sizes.push_back(a.size(-2));
  sizes.push_back(a.size(-1));
  if (sizes != a.shape()) x = expand(a, sizes);  // a tolerance may have more matrices
  if (hermitian) {  // the values are those of the lower triangle, the gradient is symmetric
    check_square(a, "linalg.pinv");
    Tensor symmetric = symmetric_part(x), d = x.detach(), lower = lower_triangle(d, -1);
    Tensor read = add(add(lower, matrix_transpose(lower)), diagonal_matrix(diagonal_of(d)));
    x = add(symmetric, sub(read, symmetric.detach()));
  }
  return apply(Op::Pinv, {x, t.atol, t.rtol});
}

Tensor linalg_matrix_rank(const Tensor& a, const RankTolerance& tolerance, bool hermitian) {
  check_matrices(a, "linalg.matrix_rank", "input");
  check_floating(a, "linalg.matrix_rank");
  Tensor x = a.detach();
  if (x.numel() == 0) return zeros(batch_dims(a), DType::Int64);
  RankTolerance t = complete(a, tolerance);
  Tensor s =
      to_dtype(hermitian ? abs(linalg_eigvalsh(x, true)) : linalg_svdvals(x), DType::Float64);
  Tensor largest = amax(s, Dims{-1}, true);
  Tensor relative = mul(t.rtol.ndim() ? as_column(t.rtol) : t.rtol, largest);
  Tensor absolute = t.atol.ndim() ? as_column(t.atol) : t.atol;
  Tensor limit = where(gt(absolute, relative), absolute, relative);
  return sum(gt(s, limit), Dims{-1});
}

}  // namespace fastgrad
