#include "ops/matmul.h"

#include <cstring>

#include "core/deferred.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "core/recorder.h"
#include "kernels/gemm.h"
#include "ops/convert.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Attributes of Mm, Bmm, SumBmm: s[0] and s[1] say whether a and b are transposed.
Attrs transposes(bool a, bool b) { return Attrs(Scalar(a), Scalar(b)); }

int64_t rows_of(const Array& x, bool transposed) {
  return x.shape[x.shape.size() - (transposed ? 1 : 2)];
}
int64_t cols_of(const Array& x, bool transposed) {
  return x.shape[x.shape.size() - (transposed ? 2 : 1)];
}
std::string size_text(const Array& x, bool transposed) {
  return str(rows_of(x, transposed), "x", cols_of(x, transposed));
}

// Gradients of op(a)·op(b), each from one product: `product` multiplies two tensors with flags.
template <class Product>
void product_vjp(VjpContext& c, Product product) {
  bool ta = c.attrs().flag(0), tb = c.attrs().flag(1);
  if (c.needs(0))
    c.set(0, ta ? product(c.in(1), c.g(), tb, true) : product(c.g(), c.in(1), false, !tb));
  if (c.needs(1))
    c.set(1, tb ? product(c.g(), c.in(0), true, ta) : product(c.in(0), c.g(), !ta, false));
}

void infer_batched(const Attrs& at, Inputs in, Metas& out) {
  const Array &a = *in[0], &b = *in[1];
  out[0].dtype = a.dtype;
  out[0].shape = broadcast(DimSpan(a.shape.begin(), a.shape.size() - 2),
                           DimSpan(b.shape.begin(), b.shape.size() - 2));
  out[0].shape.push_back(rows_of(a, at.flag(0)));
  out[0].shape.push_back(cols_of(b, at.flag(1)));
}

BatchedGemm gemm_options(const Attrs& at) {
  BatchedGemm o;
  o.transpose_a = at.flag(0);
  o.transpose_b = at.flag(1);
  return o;
}

void multiply_matrices(const Array& a, bool transpose_a, const Array& b, bool transpose_b,
                       const Array& out, const PieceDone& done) {
  const Matrix x = matrix_of(a), y = matrix_of(b);
  gemm(out.dtype, transpose_a ? x.transposed() : x, transpose_b ? y.transposed() : y,
       matrix_of(out), {.done = done});
}

}  // namespace

void eval_mm(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done) {
  multiply_matrices(*in[0], at.flag(0), *in[1], at.flag(1), out[0], done);
}

FG_DEFINE_OP(Mm) = {
    .name = "mm",
    .cls = OpClass::Bilinear,
    .infer =
        [](const Attrs& at, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = {rows_of(*in[0], at.flag(0)), cols_of(*in[1], at.flag(1))};
        },
    .eval = [](const Attrs& at, Inputs in, std::span<Array> out) { eval_mm(at, in, out, {}); },
    .vjp =
        [](VjpContext& c) {
          product_vjp(c, [](const Tensor& a, const Tensor& b, bool ta, bool tb) {
            return mm(a, b, ta, tb);
          });
        },
    .save = {save_in(1), save_in(0)},
};

void eval_bmm(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done) {
  BatchedGemm o = gemm_options(at);
  o.done = done;
  batched_gemm(*in[0], *in[1], out[0], o);
}

// Batches of matrices with broadcast batch dimensions; one of the inputs may be a single matrix.
FG_DEFINE_OP(Bmm) = {
    .name = "bmm",
    .cls = OpClass::Bilinear,
    .infer = infer_batched,
    .eval = [](const Attrs& at, Inputs in, std::span<Array> out) { eval_bmm(at, in, out, {}); },
    .vjp =
        [](VjpContext& c) {
          // The gradient of a single matrix is summed over the batch as it is computed.
          bool ta = c.attrs().flag(0), tb = c.attrs().flag(1);
          auto gradient = [&](size_t i, const Tensor& a, const Tensor& b, bool fa, bool fb) {
            c.set(i, c.in_shape(i).size() == 2 ? sum_matmul(a, b, fa, fb) : matmul(a, b, fa, fb));
          };
          if (c.needs(0))
            ta ? gradient(0, c.in(1), c.g(), tb, true) : gradient(0, c.g(), c.in(1), false, !tb);
          if (c.needs(1))
            tb ? gradient(1, c.g(), c.in(0), true, ta) : gradient(1, c.in(0), c.g(), !ta, false);
        },
    .save = {save_in(1), save_in(0)},
};

FG_DEFINE_OP(SumBmm) = {
    .name = "sum_bmm",
    .cls = OpClass::Bilinear,
    .infer =
        [](const Attrs& at, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = {rows_of(*in[0], at.flag(0)), cols_of(*in[1], at.flag(1))};
        },
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          BatchedGemm o = gemm_options(at);
          o.sum_batches = true;
          batched_gemm(*in[0], *in[1], out[0], o);
        },
    .vjp =
        [](VjpContext& c) {
          product_vjp(c, [](const Tensor& a, const Tensor& b, bool ta, bool tb) {
            return matmul(a, b, ta, tb);
          });
        },
    .save = {save_in(1), save_in(0)},
};

// Attribute s[0]: whether the matrix is transposed.
FG_DEFINE_OP(Mv) = {
    .name = "mv",
    .cls = OpClass::Bilinear,
    .infer =
        [](const Attrs& at, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = {rows_of(*in[0], at.flag(0))};
        },
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          Matrix a = matrix_of(*in[0]);
          if (at.flag(0)) a = a.transposed();
          // As a row, yᵀ = xᵀ·aᵀ, where that reads the matrix along its memory.
          Matrix x{in[1]->data, in[1]->shape[0], 1, in[1]->strides[0], 1},
              y{out[0].data, a.rows, 1, 1, 1};
          bool as_row = a.row_stride == 1 && a.col_stride != 1;
          if (as_row)
            gemm(out[0].dtype, {x.data, 1, x.rows, x.rows * x.row_stride, x.row_stride},
                 a.transposed(), {y.data, 1, y.rows, y.rows, 1});
          else
            gemm(out[0].dtype, a, x, y);
        },
    .vjp =
        [](VjpContext& c) {
          bool t = c.attrs().flag(0);
          if (c.needs(0)) c.set(0, t ? outer(c.in(1), c.g()) : outer(c.g(), c.in(1)));
          if (c.needs(1)) c.set(1, mv(c.in(0), c.g(), !t));
        },
    .save = {save_in(1), save_in(0)},
};

FG_DEFINE_OP(Dot) = {
    .name = "dot",
    .cls = OpClass::Bilinear,
    .infer = [](const Attrs&, Inputs in, Metas& out) { out[0].dtype = in[0]->dtype; },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          const Array &a = *in[0], &b = *in[1];
          int64_t n = a.numel;
          gemm(out[0].dtype, {a.data, 1, n, n * a.strides[0], a.strides[0]},
               {b.data, n, 1, b.strides[0], 1}, {out[0].data, 1, 1, 1, 1});
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, grad_mul(c.g(), c.in(1)));
          if (c.needs(1)) c.set(1, grad_mul(c.g(), c.in(0)));
        },
    .save = {save_in(1), save_in(0)},
};

// out = beta * input + alpha * a·b, also for Baddbmm; attributes s[0] beta, s[1] alpha.
void eval_addmm(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done) {
  BatchedGemm o;
  o.done = done;
  o.alpha = at.s[1];
  o.accumulate = at.s[0].to_double() != 0;
  if (o.accumulate) {
    recorded::copy_array(*in[0], out[0]);
    if (at.s[0] != Scalar(1))
      dispatch_all(out[0].dtype, [&]<class T>(T) {
        if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
          T beta = at.s[0].to<T>();
          for (int64_t i = 0; i < out[0].numel; ++i)
            out[0].ptr<T>()[i] = static_cast<T>(beta * out[0].ptr<T>()[i]);
        } else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
          float beta = at.s[0].to<float>();
          for (int64_t i = 0; i < out[0].numel; ++i)
            out[0].ptr<T>()[i] = T(beta * static_cast<float>(out[0].ptr<T>()[i]));
        }
      });
  }
  batched_gemm(*in[1], *in[2], out[0], o);
}

namespace {

void eval_add_product(const Attrs& at, Inputs in, std::span<Array> out) {
  eval_addmm(at, in, out, {});
}

void infer_add_product(const Attrs&, Inputs in, Metas& out) {
  out[0].dtype = in[1]->dtype;
  if (in[1]->shape.size() == 3) out[0].shape.push_back(in[1]->shape[0]);
  out[0].shape.push_back(rows_of(*in[1], false));
  out[0].shape.push_back(cols_of(*in[2], false));
}

Tensor scaled(const Tensor& x, const Scalar& s) { return s == Scalar(1) ? x : mul(x, s); }

void add_product_vjp(VjpContext& c) {
  const Scalar &beta = c.attrs().s[0], &alpha = c.attrs().s[1];
  if (c.needs(0)) c.set(0, scaled(c.g(), beta));
  if (c.needs(1)) c.set(1, scaled(matmul(c.g(), c.in(2), false, true), alpha));
  if (c.needs(2)) c.set(2, scaled(matmul(c.in(1), c.g(), true, false), alpha));
}

}  // namespace

FG_DEFINE_OP(Addmm) = {
    .name = "addmm",
    .infer = infer_add_product,
    .eval = eval_add_product,
    .vjp = add_product_vjp,
    .save = {0, save_in(2), save_in(1)},
};

FG_DEFINE_OP(Baddbmm) = {
    .name = "baddbmm",
    .infer = infer_add_product,
    .eval = eval_add_product,
    .vjp = add_product_vjp,
    .save = {0, save_in(2), save_in(1)},
};

namespace {

void check_same_type(const Tensor& a, const Tensor& b, const char* op) {
  FG_CHECK(a.dtype() == b.dtype(),
           "expected m1 and m2 to have the same dtype, but got: ", name(a.dtype()),
           " != ", name(b.dtype()), " (in ", op, "; convert one of them with .to(...))");
  FG_CHECK_KIND(ErrorKind::NotImplemented, a.dtype() != DType::Bool && !is_complex(a.dtype()), "\"",
                op, "\" not implemented for '", scalar_type_name(a.dtype()),
                "'; convert the inputs first, e.g. with "
                ".to(fastgrad.float32)");
}

[[gnu::cold, gnu::noinline]] void fail_sizes(const std::string& a, const std::string& b,
                                             const char* op) {
  fail(ErrorKind::Runtime, "mat1 and mat2 shapes cannot be multiplied (", a, " and ", b, "): ", op,
       " needs as many columns on the left as rows on the right");
}

void check_batches(const Tensor& a, const Tensor& b) {
  FG_CHECK(a.ndim() == 3, "batch1 must be a 3D tensor, got ", a.ndim(), "D");
  FG_CHECK(b.ndim() == 3, "batch2 must be a 3D tensor, got ", b.ndim(), "D");
  FG_CHECK(b.shape()[0] == a.shape()[0] && b.shape()[1] == a.shape()[2],
           "Expected size for first two dimensions of batch2 tensor to be: [", a.shape()[0], ", ",
           a.shape()[2], "] but got: [", b.shape()[0], ", ", b.shape()[1], "].");
}

// The checks that input can be added to a result of this shape and type.
void check_input(const Tensor& input, const Tensor& a, DimSpan shape, const char* op) {
  FG_CHECK(input.dtype() == a.dtype(), "self and mat2 must have the same dtype, but got ",
           scalar_type_name(input.dtype()), " and ", scalar_type_name(a.dtype()), " (in ", op, ")");
  if (!is_expandable_to(input.shape(), shape)) expand(input, shape);  // fails with PyTorch's text
}

// beta or alpha for products of this type: integers take the integral part.
Scalar factor_for(const Tensor& a, Scalar s) {
  return s.is_float() && is_integral(a.dtype(), true) ? Scalar(s.to<int64_t>()) : s;
}

// beta * input + alpha * product, where no op does both at once. For beta = 0 the input stays in
// the graph, with gradient zero, but its values do not count.
Tensor add_scaled(const Tensor& input, const Tensor& product, Scalar beta, Scalar alpha) {
  Tensor p = scaled(product, alpha);
  if (beta.to_double() == 0) return where(Tensor(recorded::zeros({}, DType::Bool)), input, p);
  return add(scaled(input, beta), p);
}

}  // namespace

Tensor mm(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  FG_CHECK(a.ndim() == 2, "self must be a matrix, got ", a.ndim(), "D (in mm)");
  FG_CHECK(b.ndim() == 2, "mat2 must be a matrix, got ", b.ndim(), "D (in mm)");
  if (cols_of(a.array(), transpose_a) != rows_of(b.array(), transpose_b))
    fail_sizes(size_text(a.array(), transpose_a), size_text(b.array(), transpose_b), "mm");
  check_same_type(a, b, "mm");
  if (recorder() || deferred::any_due()) [[unlikely]]
    return apply(Op::Mm, {a, b}, transposes(transpose_a, transpose_b));
  // Past apply(), which takes as long as a small product.
  const int64_t shape[] = {rows_of(a.array(), transpose_a), cols_of(b.array(), transpose_b)};
  Tensor out = Tensor::empty(shape, a.dtype());
  multiply_matrices(a.array(), transpose_a, b.array(), transpose_b, out.array(), {});
  if (grad_enabled() && (a.requires_grad() || b.requires_grad())) {
    const Tensor inputs[] = {a, b};
    record(Op::Mm, inputs, transposes(transpose_a, transpose_b), {&out, 1});
  }
  return out;
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  check_batches(a, b);
  return matmul(a, b, false, false);
}

Tensor mv(const Tensor& a, const Tensor& x, bool transpose_a) {
  FG_CHECK(a.ndim() == 2 && x.ndim() == 1, "vector + matrix @ vector expected, got ", x.ndim(),
           ", ", a.ndim(), ", ", x.ndim(), " (in mv)");
  FG_CHECK(cols_of(a.array(), transpose_a) == x.shape()[0], "size mismatch, got input (",
           rows_of(a.array(), transpose_a), "), mat (", size_text(a.array(), transpose_a),
           "), vec (", x.shape()[0], ")");
  check_same_type(a, x, "mv");
  return apply(Op::Mv, {a, x}, Attrs(Scalar(transpose_a)));
}

Tensor dot(const Tensor& a, const Tensor& b) {
  FG_CHECK(a.ndim() == 1 && b.ndim() == 1, "1D tensors expected, but got ", a.ndim(), "D and ",
           b.ndim(), "D tensors (in dot)");
  FG_CHECK(a.dtype() == b.dtype(), "dot : expected both vectors to have same dtype, but found ",
           scalar_type_name(a.dtype()), " and ", scalar_type_name(b.dtype()));
  FG_CHECK(a.numel() == b.numel(), "inconsistent tensor size, expected tensor ", a.shape(),
           " and src ", b.shape(), " to have the same number of elements, but got ", a.numel(),
           " and ", b.numel(), " elements respectively");
  check_same_type(a, b, "dot");
  return apply(Op::Dot, {a, b});
}

Tensor vdot(const Tensor& a, const Tensor& b) { return dot(a, b); }

Tensor outer(const Tensor& a, const Tensor& b) {
  FG_CHECK(a.ndim() == 1, "outer: Expected 1-D argument self, but got ", a.ndim(), "-D");
  FG_CHECK(b.ndim() == 1, "outer: Expected 1-D argument vec2, but got ", b.ndim(), "-D");
  return mul(reshape(a, Dims{a.numel(), 1}), b);
}

Tensor inner(const Tensor& a, const Tensor& b) {
  if (a.ndim() == 0 || b.ndim() == 0) return mul(a, b);
  FG_CHECK(a.size(-1) == b.size(-1),
           "inner() the last dimension must match on both input tensors but got shapes ", a.shape(),
           " and ", b.shape());
  if (a.ndim() == 1 && b.ndim() == 1) return dot(a, b);
  return tensordot(a, b, Dims{-1}, Dims{-1});
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  FG_CHECK(a.ndim() >= 1 && b.ndim() >= 1,
           "both arguments to matmul need to be at least 1D, but they are ", a.ndim(), "D and ",
           b.ndim(), "D");
  if (a.ndim() >= 2 && b.ndim() >= 2) return matmul(a, b, false, false);
  if (a.ndim() == 1 && b.ndim() == 1) return dot(a, b);
  if (a.ndim() == 2) return mv(a, b);
  if (b.ndim() == 2) {
    if (a.shape()[0] != b.shape()[0])
      fail_sizes(str("1x", a.shape()[0]), size_text(b.array(), false), "matmul");
    return mv(b, a, true);
  }
  // A vector beside batches of matrices is a matrix with one column or one row.
  bool column = b.ndim() == 1;
  const Tensor &vector = column ? b : a, &matrices = column ? a : b;
  Tensor flat = reshape(vector, column ? Dims{vector.numel(), 1} : Dims{1, vector.numel()});
  Tensor y = column ? matmul(matrices, flat, false, false) : matmul(flat, matrices, false, false);
  Dims shape = y.shape();
  shape.erase(shape.size() - (column ? 1 : 2));
  return reshape(y, shape);
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  if (a.ndim() == 2 && b.ndim() == 2) return mm(a, b, transpose_a, transpose_b);
  if (cols_of(a.array(), transpose_a) != rows_of(b.array(), transpose_b)) {
    if (b.ndim() == 2)
      fail_sizes(size_text(a.array(), transpose_a), size_text(b.array(), transpose_b), "matmul");
    fail(ErrorKind::Runtime, "Expected size for first two dimensions of batch2 tensor to be: [",
         numel_of(DimSpan(b.shape().begin(), b.shape().size() - 2)), ", ",
         cols_of(a.array(), transpose_a), "] but got: [",
         numel_of(DimSpan(b.shape().begin(), b.shape().size() - 2)), ", ",
         rows_of(b.array(), transpose_b), "].");
  }
  check_same_type(a, b, "bmm");
  return apply(Op::Bmm, {a, b}, transposes(transpose_a, transpose_b));
}

Tensor sum_matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  if (a.ndim() == 2 && b.ndim() == 2) return mm(a, b, transpose_a, transpose_b);
  FG_CHECK(
      std::equal(a.shape().begin(), a.shape().end() - 2, b.shape().begin(), b.shape().end() - 2),
      "[sum_matmul] batch dimensions of ", a.shape(), " and ", b.shape(), " differ");
  check_same_type(a, b, "sum_bmm");
  return apply(Op::SumBmm, {a, b}, transposes(transpose_a, transpose_b));
}

Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  FG_CHECK(a.ndim() == 2, "mat1 must be a matrix, got ", a.ndim(), "-D tensor (in addmm)");
  FG_CHECK(b.ndim() == 2, "mat2 must be a matrix, got ", b.ndim(), "-D tensor (in addmm)");
  if (a.shape()[1] != b.shape()[0])
    fail_sizes(size_text(a.array(), false), size_text(b.array(), false), "addmm");
  check_same_type(a, b, "addmm");
  check_input(input, a, Dims{a.shape()[0], b.shape()[1]}, "addmm");
  return apply(Op::Addmm, {input, a, b}, Attrs(factor_for(a, beta), factor_for(a, alpha)));
}

Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  check_batches(a, b);
  check_same_type(a, b, "baddbmm");
  check_input(input, a, Dims{a.shape()[0], a.shape()[1], b.shape()[2]}, "baddbmm");
  return apply(Op::Baddbmm, {input, a, b}, Attrs(factor_for(a, beta), factor_for(a, alpha)));
}

Tensor addmv(const Tensor& input, const Tensor& a, const Tensor& x, Scalar beta, Scalar alpha) {
  FG_CHECK(a.ndim() == 2 && x.ndim() == 1 && input.ndim() <= 1,
           "vector + matrix @ vector expected, got ", input.ndim(), ", ", a.ndim(), ", ", x.ndim());
  FG_CHECK(a.shape()[1] == x.shape()[0] && (input.numel() == a.shape()[0] || input.numel() == 1),
           "size mismatch, got input (", input.numel(), "), mat (", size_text(a.array(), false),
           "), vec (", x.shape()[0], ")");
  return add_scaled(input, mv(a, x), factor_for(a, beta), factor_for(a, alpha));
}

Tensor addr(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  FG_CHECK(a.ndim() == 1 && b.ndim() == 1, "addr: Expected 1-D arguments vec1 and vec2, but got ",
           a.ndim(), "-D and ", b.ndim(), "-D");
  Dims shape{a.numel(), b.numel()};
  if (!is_expandable_to(input.shape(), shape)) expand(input, shape);
  ResultType type;
  for (const Tensor* t : {&input, &a, &b}) type.add(t->array());
  FG_CHECK(!is_integral(type.get(), true) || !(beta.is_float() || alpha.is_float()),
           "[addr] for integral input tensors, argument beta and alpha must not be floating point "
           "numbers.");
  if (type.get() == DType::Bool) {
    beta = Scalar(beta.to_double() != 0);
    alpha = Scalar(alpha.to_double() != 0);
  }
  return add_scaled(input, outer(a, b), beta, alpha);
}

Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  check_batches(a, b);
  check_same_type(a, b, "addbmm");
  check_input(input, a, Dims{a.shape()[1], b.shape()[2]}, "addbmm");
  return add_scaled(input, sum_matmul(a, b), factor_for(a, beta), factor_for(a, alpha));
}

Tensor tensordot(const Tensor& a, const Tensor& b, DimSpan dims_a, DimSpan dims_b) {
  FG_CHECK(dims_a.size() == dims_b.size(), "both dimension lists should have same length");
  // a's contracted dimensions last, b's first; then it is one matrix product.
  struct Side {
    Dims contracted, kept, kept_sizes;
    int64_t kept_numel = 1;
  };
  auto side = [](const Tensor& t, DimSpan dims) {
    Side s;
    for (int64_t d : dims) s.contracted.push_back(wrap_dim(d, t.ndim()));
    for (int64_t i = 0; i < t.ndim(); ++i) {
      if (std::find(s.contracted.begin(), s.contracted.end(), i) != s.contracted.end()) continue;
      s.kept.push_back(i);
      s.kept_sizes.push_back(t.shape()[i]);
      s.kept_numel *= t.shape()[i];
    }
    return s;
  };
  Side sa = side(a, dims_a), sb = side(b, dims_b);
  Tensor x = a, y = b;
  int64_t contracted = 1;
  for (size_t i = 0; i < sa.contracted.size(); ++i) {
    int64_t na = a.shape()[sa.contracted[i]], nb = b.shape()[sb.contracted[i]];
    if (na == 1 && nb != 1) y = sum(y, Dims{sb.contracted[i]}, true, b.dtype());
    if (nb == 1 && na != 1) x = sum(x, Dims{sa.contracted[i]}, true, a.dtype());
    FG_CHECK(na == nb || na == 1 || nb == 1,
             "contracted dimensions need to match, but first has size ", na, " in dim ", dims_a[i],
             " and second has size ", nb, " in dim ", dims_b[i]);
    contracted *= na == 1 || nb == 1 ? 1 : na;
  }
  Dims order_a = sa.kept, order_b = sb.contracted, shape = sa.kept_sizes;
  for (int64_t d : sa.contracted) order_a.push_back(d);
  for (int64_t d : sb.kept) order_b.push_back(d);
  for (int64_t n : sb.kept_sizes) shape.push_back(n);
  auto arranged = [](const Tensor& t, const Dims& order, int64_t rows, int64_t cols) {
    bool identity = true;
    for (size_t i = 0; i < order.size(); ++i)
      identity = identity && order[i] == static_cast<int64_t>(i);
    Tensor p = identity ? t : permute(t, order);
    const Dims matrix{rows, cols};
    return p.shape() == matrix ? p : reshape(p, matrix);
  };
  Tensor product = mm(arranged(x, order_a, sa.kept_numel, contracted),
                      arranged(y, order_b, contracted, sb.kept_numel));
  return product.shape() == shape ? product : reshape(product, shape);
}

namespace {

// The order of least multiplications for a chain of matrices, by dynamic programming: matrix i is
// sizes[i] x sizes[i + 1]; split[i][j] is where the best product of i..j is cut.
std::vector<std::vector<size_t>> best_splits(const std::vector<int64_t>& sizes) {
  size_t n = sizes.size() - 1;
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  std::vector<std::vector<size_t>> split(n, std::vector<size_t>(n, 0));
  for (size_t length = 2; length <= n; ++length) {
    for (size_t i = 0; i + length <= n; ++i) {
      size_t j = i + length - 1;
      cost[i][j] = HUGE_VAL;
      for (size_t k = i; k < j; ++k) {
        double c = cost[i][k] + cost[k + 1][j] +
                   static_cast<double>(sizes[i]) * static_cast<double>(sizes[k + 1]) *
                       static_cast<double>(sizes[j + 1]);
        if (c < cost[i][j]) {
          cost[i][j] = c;
          split[i][j] = k;
        }
      }
    }
  }
  return split;
}

Tensor chain(std::span<const Tensor> matrices, const std::vector<std::vector<size_t>>& split,
             size_t i, size_t j) {
  if (i == j) return matrices[i];
  size_t k = split[i][j];
  return mm(chain(matrices, split, i, k), chain(matrices, split, k + 1, j));
}

}  // namespace

Tensor multi_dot(std::span<const Tensor> matrices) {
  size_t n = matrices.size();
  FG_CHECK(n >= 2, "multi_dot(): expected at least 2 tensors but got ", n);
  Tensors all(matrices.begin(), matrices.end());
  bool row = all[0].ndim() == 1, column = all[n - 1].ndim() == 1;
  if (row) all[0] = reshape(all[0], Dims{1, all[0].numel()});
  if (column) all[n - 1] = reshape(all[n - 1], Dims{all[n - 1].numel(), 1});
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < n; ++i) {
    const char* place = i == 0 || i == n - 1 ? "1D or 2D" : "2D";
    FG_CHECK(all[i].ndim() == 2, "multi_dot(): tensor ", i, " must be ", place, " but got ",
             matrices[i].ndim(), "D");
    FG_CHECK(all[i].dtype() == all[0].dtype(),
             "multi_dot(): all tensors must have be the same dtype but tensor 0 is ",
             name(all[0].dtype()), " and tensor ", i, " ", name(all[i].dtype()));
    FG_CHECK(i == 0 || all[i - 1].shape()[1] == all[i].shape()[0], "multi_dot(): tensors ", i - 1,
             " and ", i, " with shapes ", matrices[i - 1].shape(), " and ", matrices[i].shape(),
             " cannot be multiplied");
    sizes.push_back(all[i].shape()[0]);
  }
  sizes.push_back(all[n - 1].shape()[1]);
  Tensor product = chain(all, best_splits(sizes), 0, n - 1);
  if (!row && !column) return product;
  Dims shape;
  if (!row) shape.push_back(sizes.front());
  if (!column) shape.push_back(sizes.back());
  return reshape(product, shape);
}

Tensor chain_matmul(std::span<const Tensor> matrices) {
  FG_CHECK(!matrices.empty(), "chain_matmul(): Expected one or more matrices");
  for (const Tensor& t : matrices)
    FG_CHECK(t.ndim() == 2, "Tensor dimension is ", t.ndim(),
             ", expected 2 instead (in chain_matmul).");
  return matrices.size() == 1 ? matrices[0] : multi_dot(matrices);
}

}  // namespace fastgrad
