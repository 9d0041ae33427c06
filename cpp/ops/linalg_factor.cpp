#include "ops/linalg_factor.h"

#include <algorithm>
#include <limits>

#include "core/conditions.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/lapack.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/infer.h"
#include "ops/join.h"
#include "ops/linalg_eigen.h"
#include "ops/linalg_solve.h"
#include "ops/matmul.h"
#include "ops/matrix_parts.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

int64_t rows(const Array& a) { return a.shape[a.shape.size() - 2]; }
int64_t cols(const Array& a) { return a.shape.back(); }

Tensor columns(const Tensor& a, int64_t start, int64_t stop) { return slice(a, -1, start, stop); }
Tensor row_range(const Tensor& a, int64_t start, int64_t stop) { return slice(a, -2, start, stop); }

// The permutation matrix P (m x m) of a = P·L·U. Pivots are in range.
void fill_permutation(const Array& pivots, const Array& out) {
  Array p = as_contiguous(pivots);
  int64_t m = out.shape.back(), k = p.shape.back(), batches = m ? out.numel / (m * m) : 0;
  fill_array(out, Scalar(0));
  std::vector<int64_t> order(static_cast<size_t>(m));
  dispatch_float(out.dtype, "lu", [&]<class T>(T) {
    for (int64_t b = 0; b < batches; ++b) {
      for (int64_t i = 0; i < m; ++i) order[static_cast<size_t>(i)] = i;
      for (int64_t i = 0; i < k; ++i)
        std::swap(order[static_cast<size_t>(i)],
                  order[static_cast<size_t>(p.ptr<int32_t>()[b * k + i] - 1)]);
      for (int64_t i = 0; i < m; ++i)
        out.ptr<T>()[(b * m + order[static_cast<size_t>(i)]) * m + i] = 1;
    }
  });
}
const Primitive kPermutation = {
    "pivots_to_matrix",
    [](const Attrs&, Inputs in, std::span<Array> out) { fill_permutation(*in[0], out[0]); }};

Tensor permutation_of(const Tensor& pivots, int64_t m, DType dtype) {
  const Array& p = pivots.array();
  FG_CHECK(kInRange.holds(Attrs(int64_t{1}, m + 1), p),
           "Pivots given to lu_solve must all be smaller or equal to LU.size(-2). Did you "
           "properly pass the result of lu_factor?");
  watch_range(p, 1, m + 1);
  Array out = Array::empty(with_sizes(DimSpan(p.shape).first(p.shape.size() - 1), {m, m}), dtype);
  fill_permutation(p, out);
  if (Recorder* r = recorder()) [[unlikely]] {
    const Array* in[] = {&p};
    r->fresh(out);
    r->primitive(kPermutation, {}, in, {&out, 1});
  }
  return Tensor(std::move(out));
}

// gA = P·L⁻ᵀ·(strictly lower part of Lᵀ·gL + upper part of gU·Uᵀ)·U⁻ᵀ for square matrices; what is
// beyond the square block is a triangular solve of it, and its gradient is folded in first.
void lu_factor_vjp(VjpContext& c) {
  if (!c.g().defined()) return;
  Tensor lu = c.out(0), g = c.g();
  int64_t m = lu.size(-2), n = lu.size(-1), k = std::min(m, n);
  Tensor square = m == n ? lu : row_range(columns(lu, 0, k), 0, k);
  auto left = [&](const Tensor& x) {
    return linalg_solve_triangular(square, x, false, true, true, true);
  };
  auto right = [&](const Tensor& x) {
    return linalg_solve_triangular(square, x, true, false, false, true);
  };
  Tensor l = add(lower_triangle(square, -1), eye(k, k, lu.dtype())), u = upper_triangle(square);
  Tensor gl = m == n ? g : row_range(columns(g, 0, k), 0, k), gu = gl, rest;
  if (n > k) {
    rest = left(columns(g, k, n));
    gl = sub(gl, matmul(rest, columns(lu, k, n), false, true));
  } else if (m > k) {
    rest = right(row_range(g, k, m));
    gu = sub(gu, matmul(row_range(lu, k, m), rest, true, false));
  }
  Tensor core = add(lower_triangle(matmul(l, gl, true, false), -1),
                    upper_triangle(matmul(gu, u, false, true)));
  Tensor ga = right(left(core));
  if (rest.defined()) {
    Tensor parts[] = {ga, rest};
    ga = cat(parts, n > k ? -1 : -2);
  }
  c.set(0, matmul(permutation_of(c.out(1), m, lu.dtype()), ga));
}

// For A (m x n) with m >= n: gA = Q·gR + ((1 - Q·Qᵀ)·gQ + Q·S)·R⁻ᵀ, where S is the part of V - Vᵀ
// below the diagonal, V = Qᵀ·gQ - gR·Rᵀ. For m < n the columns beyond m are Q·R2: R⁻ᵀ is that of
// the first m columns, and reaches those alone. What R gives is not multiplied by R and divided
// again: that would lose the digits that its condition takes.
void qr_vjp(VjpContext& c) {
  Tensor q = c.out(0), r = c.out(1), gq = c.g(0), gr = c.g(1);
  int64_t m = c.in_shape(0)[c.in_shape(0).size() - 2], n = r.size(-1);
  auto mode = static_cast<QrMode>(c.attrs().integer(0));
  FG_CHECK(mode != QrMode::R,
           "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
           "use linalg.qr(A, mode='reduced') if you are going to require gradients");
  FG_CHECK(mode != QrMode::Complete || m <= n,
           "The QR decomposition is not differentiable when mode='complete' and nrows > ncols");
  if (!gq.defined() && !gr.defined()) return;
  Tensor v, inner;
  if (gq.defined()) {
    v = matmul(q, gq, true, false);
    if (m > n) inner = sub(gq, matmul(q, v));
  }
  if (gr.defined()) {
    gr = upper_triangle(gr);
    Tensor back = matmul(gr, r, false, true);
    v = v.defined() ? sub(v, back) : neg(back);
  }
  Tensor turned = matmul(q, lower_triangle(sub(v, matrix_transpose(v)), -1));
  inner = inner.defined() ? add(inner, turned) : turned;
  Tensor ga =
      linalg_solve_triangular(m < n ? columns(r, 0, m) : r, inner, true, false, false, true);
  if (m < n) {
    Tensor parts[] = {ga, zeros(batch_and(ga, {m, n - m}), ga.dtype())};
    ga = cat(parts, -1);
  }
  if (gr.defined()) ga = add(ga, matmul(q, gr));
  c.set(0, ga);
}

// The product is built from the right, X_(i-1) = H_i·X_i with H_i = 1 - tau_i·v_i·v_iᵀ, starting
// with the identity; cotangents run the other way.
void householder_vjp(VjpContext& c) {
  Tensor a = c.in(0), tau = c.in(1), g = c.g();
  int64_t m = a.size(-2), n = a.size(-1), k = tau.size(-1);
  if (k == 0) {
    if (c.needs(0)) c.set(0, zeros(a.shape(), a.dtype()));
    if (c.needs(1)) c.set(1, zeros(tau.shape(), tau.dtype()));
    return;
  }
  Tensor all_v = add(lower_triangle(columns(a, 0, k), -1), eye(m, k, a.dtype()));
  Tensors v, t, x(static_cast<size_t>(k));
  for (int64_t i = 0; i < k; ++i) {
    v.push_back(columns(all_v, i, i + 1));
    t.push_back(as_column(columns(tau, i, i + 1)));
  }
  Tensor product = expand(eye(m, n, a.dtype()), batch_and(a, {m, n}));
  for (auto i = static_cast<size_t>(k); i-- > 0;) {
    x[i] = product;
    product = sub(product, mul(t[i], matmul(v[i], matmul(v[i], product, true, false))));
  }
  Tensors gv, gt;
  for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
    Tensor vx = matmul(v[i], x[i], true, false), vg = matmul(v[i], g, true, false);
    gt.push_back(neg(sum(mul(vx, vg), Dims{-1})));
    gv.push_back(neg(mul(t[i], add(matmul(g, vx, false, true), matmul(x[i], vg, false, true)))));
    g = sub(g, mul(t[i], matmul(v[i], vg)));
  }
  if (c.needs(0)) {
    if (n > k) gv.push_back(zeros(batch_and(a, {m, n - k}), a.dtype()));
    c.set(0, lower_triangle(cat(gv, -1), -1));
  }
  if (c.needs(1)) c.set(1, cat(gt, -1));
}

}  // namespace

std::span<const Primitive* const> matrix_primitives() {
  static const Primitive* const kAll[] = {&kPermutation};
  return kAll;
}

// Outputs: LU, pivots, info.
FG_DEFINE_OP(LuFactor) = {
    .name = "linalg_lu_factor",
    .backward_name = "LinalgLuFactorExBackward0",
    .num_outputs = 3,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          DimSpan batch = batch_dims(*in[0]);
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[1].dtype = out[2].dtype = DType::Int32;
          out[1].shape = with_sizes(batch, {std::min(rows(*in[0]), cols(*in[0]))});
          out[2].shape = Dims(batch);
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { lu_factor(*in[0], out[0], out[1], out[2]); },
    .vjp = lu_factor_vjp,
    .save = {save_out(0) | save_out(1)},
    .nondifferentiable_outputs = 0b110,
};

// Outputs: Q, R. Attribute s[0]: a QrMode.
FG_DEFINE_OP(Qr) = {
    .name = "linalg_qr",
    .backward_name = "LinalgQrBackward0",
    .num_outputs = 2,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          DimSpan batch = batch_dims(*in[0]);
          int64_t m = rows(*in[0]), n = cols(*in[0]), k = std::min(m, n);
          auto mode = static_cast<QrMode>(a.integer(0));
          out[0].dtype = out[1].dtype = in[0]->dtype;
          out[0].shape = mode == QrMode::R
                             ? Dims{0}
                             : with_sizes(batch, {m, mode == QrMode::Complete ? m : k});
          out[1].shape = with_sizes(batch, {mode == QrMode::Complete ? m : k, n});
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          bool r_only = static_cast<QrMode>(a.integer(0)) == QrMode::R;
          qr(*in[0], r_only ? nullptr : &out[0], out[1]);
        },
    .vjp = qr_vjp,
    .save = {save_out(0) | save_out(1)},
};

FG_DEFINE_OP(Geqrf) = {
    .name = "geqrf",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = out[1].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[1].shape = with_sizes(batch_dims(*in[0]), {std::min(rows(*in[0]), cols(*in[0]))});
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { qr_reflectors(*in[0], out[0], out[1]); },
    .vjp =
        [](VjpContext&) {
          fail(ErrorKind::NotImplemented,
               "the derivative for 'geqrf' is not implemented; use linalg.qr");
        },
};

FG_DEFINE_OP(HouseholderProduct) = {
    .name = "linalg_householder_product",
    .infer = infer_as_input,
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { reflector_product(*in[0], *in[1], out[0]); },
    .vjp = householder_vjp,
    .save = {save_in(0) | save_in(1), save_in(0) | save_in(1)},
};

// Outputs: solution, rank, singular values, info. Attributes: s[0] the driver's letter, s[1] rcond.
FG_DEFINE_OP(LeastSquares) = {
    .name = "linalg_lstsq",
    .num_outputs = 4,
    .infer =
        [](const Attrs& at, Inputs in, Metas& out) {
          const Array& a = *in[0];
          DimSpan batch = batch_dims(a);
          char driver = static_cast<char>(at.integer(0));
          out[0].dtype = out[2].dtype = a.dtype;
          out[0].shape = with_sizes(batch, {cols(a), cols(*in[1])});
          out[1].dtype = DType::Int64;
          out[1].shape = driver == 's' ? Dims{0} : Dims(batch);
          out[2].shape = driver == 'd' || driver == 'v'
                             ? with_sizes(batch, {std::min(rows(a), cols(a))})
                             : Dims{0};
          out[3].dtype = DType::Int32;
          out[3].shape = Dims(batch);
        },
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          least_squares(*in[0], *in[1], static_cast<char>(at.integer(0)), at.s[1].to_double(),
                        out[0], out[1], out[2], out[3]);
        },
    .vjp =
        [](VjpContext& c) {
          if (!c.g().defined()) return;
          Tensor a = c.in(0), p = linalg_pinv(a, {}, false);
          if (c.needs(0)) c.set(0, pinv_gradient(a, p, matmul(c.g(), c.in(1), false, true)));
          if (c.needs(1)) c.set(1, matmul(p, c.g(), true, false));
        },
    .save = {save_in(0) | save_in(1), save_in(0)},
    .nondifferentiable_outputs = 0b1110,
};

FG_DEFINE_OP(MatrixExp) = {
    .name = "linalg_matrix_exp",
    .infer = infer_as_input,
    .eval = [](const Attrs&, Inputs in, std::span<Array> out) { matrix_exp(*in[0], out[0]); },
    .vjp =
        [](VjpContext& c) {
          // exp of [[Aᵀ, G], [0, Aᵀ]] has the gradient in its upper right block.
          Tensor at = matrix_transpose(c.in(0)), zero = zeros(at.shape(), at.dtype());
          int64_t n = at.size(-1);
          Tensor top[] = {at, c.g()}, bottom[] = {zero, at};
          Tensor halves[] = {cat(top, -1), cat(bottom, -1)};
          c.set(0, columns(row_range(linalg_matrix_exp(cat(halves, -2)), 0, n), n, 2 * n));
        },
    .save = {save_in(0)},
};

Tensors linalg_lu_factor_ex(const Tensor& a, bool pivot, bool check_errors) {
  check_matrices(a, "linalg.lu_factor");
  check_floating(a, "linalg.lu_factor");
  FG_CHECK(pivot, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
  Tensors r = apply_multi(Op::LuFactor, {a});
  if (check_errors)
    check_info(r[2], [&](int64_t i, int32_t at) {
      fail(ErrorKind::Runtime, "linalg.lu_factor_ex: ", batch_text(r[2], i), "U[", at, ",", at,
           "] is zero and using it on lu_solve would result in a division by zero. If you still "
           "want to perform the "
           "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)");
    });
  return r;
}

Tensors linalg_lu_factor(const Tensor& a, bool pivot) {
  Tensors r = linalg_lu_factor_ex(a, pivot, false);
  check_info(r[2], [&](int64_t i, int32_t at) {
    fail(ErrorKind::Runtime, "linalg.lu_factor: ", batch_text(r[2], i), "U[", at, ",", at,
         "] is zero and using it on lu_solve would result in a division by zero. If you still want "
         "to perform the "
         "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)");
  });
  return r;
}

Tensors lu_unpack(const Tensor& lu, const Tensor& pivots, bool unpack_data, bool unpack_pivots) {
  check_matrices(lu, "lu_unpack", "LU_data");
  FG_CHECK(!unpack_pivots || pivots.dtype() == DType::Int32,
           "lu_unpack: LU_pivots is expected to be a contiguous tensor of fastgrad.int32 dtype.");
  int64_t m = lu.size(-2), n = lu.size(-1), k = std::min(m, n);
  Tensor none = zeros(Dims{0}, lu.dtype());
  Tensors out{none, none, none};
  const Dims expected = batch_and(lu, {k});
  FG_CHECK(!unpack_pivots || pivots.shape() == expected,
           "lu_unpack: LU_pivots is expected to have shape ", to_string(expected),
           " for LU_data of shape ", lu.shape(), ", got ", pivots.shape());
  if (unpack_pivots) out[0] = permutation_of(pivots, m, lu.dtype());
  if (!unpack_data) return out;
  Tensor l = lower_triangle(m < n ? columns(lu, 0, k) : lu, -1);
  out[1] = add(l, eye(m, k, lu.dtype()));
  out[2] = upper_triangle(m > n ? row_range(lu, 0, k) : lu);
  return out;
}

Tensors linalg_lu(const Tensor& a, bool pivot) {
  check_matrices(a, "linalg.lu");
  check_floating(a, "linalg.lu");
  FG_CHECK(pivot, "linalg.lu: LU without pivoting is not implemented on the CPU");
  Tensors r = apply_multi(Op::LuFactor, {a});
  return lu_unpack(r[0], r[1]);
}

Tensor linalg_lu_solve(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left,
                       bool adjoint) {
  check_square(lu, "linalg.lu_solve", "LU");
  check_matrices(b, "linalg.lu_solve", "B");
  check_floating(lu, "linalg.lu_solve");
  check_same_dtype(lu, b, "linalg.lu_solve");
  FG_CHECK(pivots.dtype() == DType::Int32,
           "linalg.lu_solve: pivots should be a Tensor of scalar type fastgrad.int32");
  Dims expected(DimSpan(lu.shape()).first(lu.shape().size() - 1));
  FG_CHECK(pivots.shape() == expected,
           "linalg.lu_solve: Number of pivots per batch should be same as the dimension "
           "of the matrix; pivots have shape ",
           pivots.shape(), ", LU ", lu.shape());
  FG_CHECK(lu.size(-1) == b.size(left ? -2 : -1),
           "linalg.lu_solve: Incompatible shapes of A and B for the equation ",
           left ? "AX = B" : "XA = B", " (", lu.size(-2), "x", lu.size(-1), " and ", b.size(-2),
           "x", b.size(-1), ")");
  Tensor p = permutation_of(pivots, lu.size(-1), lu.dtype());
  auto with_l = [&](const Tensor& x) {
    return linalg_solve_triangular(lu, x, false, left, true, adjoint);
  };
  auto with_u = [&](const Tensor& x) {
    return linalg_solve_triangular(lu, x, true, left, false, adjoint);
  };
  // A = P·L·U.
  if (left && !adjoint) return with_u(with_l(matmul(p, b, true, false)));
  if (left) return matmul(p, with_l(with_u(b)));
  if (!adjoint) return matmul(with_l(with_u(b)), p, false, true);
  return with_u(with_l(matmul(b, p)));
}

QrMode parse_qr_mode(const std::string& mode) {
  if (mode == "reduced") return QrMode::Reduced;
  if (mode == "complete") return QrMode::Complete;
  FG_CHECK(mode == "r", "qr received unrecognized mode '", mode,
           "' but expected one of 'reduced' (default), 'r', or 'complete'");
  return QrMode::R;
}

std::array<Tensor, 2> linalg_qr(const Tensor& a, QrMode mode) {
  check_matrices(a, "linalg.qr");
  check_floating(a, "linalg.qr");
  Attrs attrs(Scalar(static_cast<int64_t>(mode)));
  if (mode != QrMode::R && is_small_matrix(a)) {
    const int64_t m = rows(a.array()), n = cols(a.array()),
                  k = mode == QrMode::Complete ? m : std::min(m, n);
    const int64_t q_shape[] = {m, k}, r_shape[] = {k, n};
    std::array<Tensor, 2> out{Tensor::empty(q_shape, a.dtype()), Tensor::empty(r_shape, a.dtype())};
    small_qr(a.dtype(), a.array().data, m, n, out[0].array().data, k, out[1].array().data);
    record_outputs(Op::Qr, a, std::move(attrs), out);
    return out;
  }
  Tensors t = apply_multi(Op::Qr, {a}, std::move(attrs));
  return {std::move(t[0]), std::move(t[1])};
}

Tensors geqrf(const Tensor& a) {
  check_matrices(a, "geqrf", "input");
  check_floating(a, "geqrf");
  return apply_multi(Op::Geqrf, {a});
}

Tensor householder_product(const Tensor& a, const Tensor& tau) {
  const char* op = "linalg.householder_product: ";
  FG_CHECK(a.ndim() >= 2, op, "input must have at least 2 dimensions.");
  FG_CHECK(a.size(-2) >= a.size(-1), op,
           "input.shape[-2] must be greater than or equal to input.shape[-1]");
  FG_CHECK(tau.ndim() >= 1 && a.size(-1) >= tau.size(-1), op,
           "input.shape[-1] must be greater than or equal to tau.shape[-1]");
  Dims expected = batch_and(a, {tau.size(-1)});
  FG_CHECK(tau.shape() == expected, op,
           "Expected batch dimensions of tau to be equal to input.shape[:-2], but got ",
           tau.shape());
  FG_CHECK(a.dtype() == tau.dtype(), op, "tau dtype ", scalar_type_name(tau.dtype()),
           " does not match input dtype ", scalar_type_name(a.dtype()));
  check_floating(a, "linalg.householder_product");
  return apply(Op::HouseholderProduct, {a, tau});
}

Tensors linalg_lstsq(const Tensor& a, const Tensor& b, std::optional<double> rcond,
                     std::optional<std::string> driver) {
  const char* op = "linalg.lstsq: ";
  FG_CHECK(a.ndim() >= 2, op, "input must have at least 2 dimensions.");
  FG_CHECK(b.ndim() >= 1, op, "other must have at least 1 dimension.");
  check_floating(a, "linalg.lstsq");
  FG_CHECK(a.dtype() == b.dtype(), op,
           "Expected input and other to have the same dtype, but got input's dtype ",
           scalar_type_name(a.dtype()), " and other's dtype ", scalar_type_name(b.dtype()));
  std::string name = driver.value_or("gelsy");
  FG_CHECK(name == "gels" || name == "gelsy" || name == "gelsd" || name == "gelss", op,
           "parameter `driver` should be one of (gels, gelsy, gelsd, gelss)");
  char letter = name == "gels" ? 's' : name == "gelsy" ? 'y' : name == "gelsd" ? 'd' : 'v';
  bool vectors =
      b.ndim() == 1 || (b.ndim() == a.ndim() - 1 &&
                        b.shape() == Dims(DimSpan(a.shape()).first(a.shape().size() - 1)));
  Tensor rhs = vectors ? as_column(b) : b;
  FG_CHECK(a.size(-2) == rhs.size(-2), op,
           vectors ? "input.size(-2) should match other.size(-1)"
                   : "input.size(-2) should match other.size(-2)");
  Dims batch = broadcast(batch_dims(a), batch_dims(rhs));
  auto expanded = [&](const Tensor& t) {
    Dims shape = with_sizes(batch, {t.size(-2), t.size(-1)});
    return t.shape() == shape ? t : expand(t, shape);
  };
  Tensor m = expanded(a);
  rhs = expanded(rhs);
  int64_t rows_a = a.size(-2), cols_a = a.size(-1);
  double eps = a.dtype() == DType::Float32 ? std::numeric_limits<float>::epsilon()
                                           : std::numeric_limits<double>::epsilon();
  double tolerance = rcond.value_or(eps * static_cast<double>(std::max(rows_a, cols_a)));
  Tensors r = apply_multi(Op::LeastSquares, {m, rhs}, Attrs(int64_t{letter}, tolerance));
  check_info(r[3], [&](int64_t i, int32_t at) {
    fail(ErrorKind::Linalg, op, batch_text(r[3], i),
         "The least squares solution could not be computed because the input "
         "matrix does not have full rank (error code: ",
         at, ").");
  });
  Tensor residuals = reshape(row_range(r[0], 0, 0), Dims{0});  // empty, but of the same history
  bool full_rank = letter == 's';
  if (!full_rank && letter != 'y') {
    const Array& rank = r[1].array();
    watch_values(rank);
    full_rank = std::all_of(rank.ptr<int64_t>(), rank.ptr<int64_t>() + rank.numel,
                            [&](int64_t k) { return k == cols_a; });
  }
  if (rows_a > cols_a && full_rank) {
    Tensor difference = sub(matmul(m, r[0]), rhs);
    residuals = sum(mul(difference, difference), Dims{-2});
    if (vectors) residuals = without_column(residuals);
  }
  return {vectors ? without_column(r[0]) : r[0], residuals, r[1], r[2]};
}

Tensor linalg_matrix_exp(const Tensor& a) {
  check_square(a, "linalg.matrix_exp");
  check_floating(a, "linalg.matrix_exp");
  return apply(Op::MatrixExp, {a});
}

}  // namespace fastgrad
