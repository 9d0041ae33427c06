#include "ops/linalg_norm.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/promotion.h"
#include "kernels/copy.h"
#include "kernels/cross.h"
#include "kernels/norm.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/extreme.h"
#include "ops/infer.h"
#include "ops/linalg_eigen.h"
#include "ops/linalg_solve.h"
#include "ops/matmul.h"
#include "ops/matrix_parts.h"
#include "ops/pointwise.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/reduction.h"
#include "ops/select.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// The gradient of y = |x|_p over `dims`, which y and g have as ones. At x = 0 it is the subgradient
// 0, to all orders.
Tensor norm_gradient(const Tensor& g, const Tensor& x, const Tensor& y, double p, DimSpan dims) {
  if (p == 0) return {};  // piecewise constant
  if (p == 1) return grad_mul(g, sgn(x));
  if (std::isinf(p)) {  // elements of equal magnitude share
    Tensor attains = eq(abs(x), y);
    Tensor share = grad_div(g, to_dtype(sum(attains, dims, true), x.dtype()));
    return where(attains, mul(sgn(x), share), 0);
  }
  Tensor at_zero = eq(y, 0), safe = where(at_zero, 1, y);
  if (p == 2) return grad_mul(where(at_zero, 0, g), div(x, safe));
  Tensor slope;
  if (p < 2) {  // |x|^(p - 1) is not smooth at 0
    Tensor size = where(eq(x, 0), safe, abs(x));
    slope = mul(sgn(x), pow(div(size, safe), p - 1));
  } else if (p == 3) {
    Tensor share = div(x, safe);
    slope = mul(share, abs(share));
  } else {
    slope = mul(sgn(x), pow(div(abs(x), safe), p - 1));
  }
  return grad_mul(where(at_zero, 0, g), slope);
}

}  // namespace

// Attribute 2: p.
FG_DEFINE_OP(VectorNorm) = {
    .name = "linalg_vector_norm",
    .backward_name = "LinalgVectorNormBackward0",
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = reduced_shape(a, in[0]->shape);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          reduce_norm(*in[0], reduced_dims(a), a.s[2].to_double(), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          Tensor x = c.in(0);
          Dims dims;
          for (int64_t d = 0; d < x.ndim(); ++d)
            if (contains(reduced_dims(c.attrs()), static_cast<size_t>(d))) dims.push_back(d);
          Tensor g = with_reduced_dims(c.g(), c.attrs(), x.shape());
          Tensor y = with_reduced_dims(c.out(), c.attrs(), x.shape());
          c.set(0, norm_gradient(g, x, y, c.attrs().s[2].to_double(), dims));
        },
    .save = {save_in(0) | save_out(0)},
};

namespace {

// The gradients of g * (p-norms d of the differences of rows of x and y) by all differences; of
// p = 0 there are none.
Tensor difference_slopes(const Tensor& g, const Tensor& x, const Tensor& y, const Tensor& d,
                         double p) {
  const Tensor difference = sub(unsqueeze(x, -2), unsqueeze(y, -3));
  const int64_t last[] = {difference.ndim() - 1};
  return norm_gradient(as_column(g), difference, as_column(d), p, last);
}

// What row_gradient asks for in place of g.
Tensor row_factors(const Tensor& g, const Tensor& d, double p) {
  return p == 2 ? where(eq(d, 0), 0, grad_div(g, d)) : g;
}
// Whether row_gradient has a way for rows of x. It has none for short rows, which fill no register,
// and for largest differences, which are found faster among all of them, but of long ones.
bool has_row_gradient(const Tensor& x, double p) {
  constexpr int64_t kLongRow = 64;
  const auto short_row = 64 / static_cast<int64_t>(itemsize(x.dtype()));
  return p == 2 || x.size(-1) >= (p == 1 ? short_row : std::isinf(p) ? kLongRow : INT64_MAX);
}
// The sum of difference_slopes over the rows of y.
Tensor row_gradient(const Tensor& g, const Tensor& x, const Tensor& y, const Tensor& d, double p) {
  if (p != 2) return apply(Op::DistanceSlopes, {g, x, y, d}, Attrs(Scalar(p)));
  // By products instead of all differences. What both x and y are moved by does not change the
  // distances: without the mean of y, less cancels.
  const Tensor middle = y.size(-2) == 0 ? zeros({}, y.dtype()) : mean(y.detach(), Dims{-2}, true);
  const Tensor moved = sub(x, middle);
  return sub(mul(moved, sum(g, Dims{-1}, true)), matmul(g, sub(y, middle)));
}

}  // namespace

// Attributes s[0]: p; s[1]: whether a product of matrices may serve.
FG_DEFINE_OP(Cdist) = {
    .name = "cdist",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[0].shape.back() = in[1]->shape[in[1]->shape.size() - 2];
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          row_distances(*in[0], *in[1], a.s[0].to_double(), a.s[1].to_bool(), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          const double p = c.attrs().s[0].to_double();
          if (has_row_gradient(c.in(0), p)) {
            const Tensor g = row_factors(c.g(), c.out(), p);
            if (c.needs(0)) c.set(0, row_gradient(g, c.in(0), c.in(1), c.out(), p));
            if (c.needs(1))
              c.set(1, row_gradient(transpose(g, -1, -2), c.in(1), c.in(0),
                                    transpose(c.out(), -1, -2), p));
            return;
          }
          const Tensor slopes = difference_slopes(c.g(), c.in(0), c.in(1), c.out(), p);
          if (!slopes.defined()) return;
          if (c.needs(0)) c.set(0, sum(slopes, Dims{-2}));
          if (c.needs(1)) c.set(1, neg(sum(slopes, Dims{-3})));
        },
    .save = {save_in(0) | save_in(1) | save_out(0), save_in(0) | save_in(1) | save_out(0)},
};

// g, x, y and the distances of x and y; attribute s[0]: p, 1 or inf. All but g moves it in steps.
FG_DEFINE_OP(DistanceSlopes) = {
    .name = "cdist_backward",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[1]->dtype;
          out[0].shape = in[1]->shape;
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          distance_slopes(*in[0], *in[1], *in[2], *in[3], a.s[0].to_double(), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (!c.needs(0)) return;
          const Tensor slopes = difference_slopes(ones_like(c.in(3)), c.in(1), c.in(2), c.in(3),
                                                  c.attrs().s[0].to_double());
          c.set(0, sum(mul(slopes, unsqueeze(c.g(), -2)), Dims{-1}));
        },
    .save = {save_in(1) | save_in(2) | save_in(3), 0, 0, 0},
};

// Distances of the pairs of rows. Attribute s[0]: p.
FG_DEFINE_OP(Pdist) = {
    .name = "pdist",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          const Dims& shape = in[0]->shape;
          const int64_t rows = shape[shape.size() - 2];
          out[0].dtype = in[0]->dtype;
          out[0].shape = Dims(shape.begin(), shape.end() - 2);
          out[0].shape.push_back(rows * (rows - 1) / 2);
        },
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { pair_distances(*in[0], a.s[0].to_double(), out[0]); },
    .vjp =
        [](VjpContext& c) {
          // As of cdist, with the symmetric matrices of all.
          Dims square(c.in_shape(0));
          square.back() = square[square.size() - 2];
          const Tensor above = triu(full(square, Scalar(true), DType::Bool), 1);
          auto all = [&](const Tensor& pairs) {
            const Tensor half = masked_scatter(zeros(square, pairs.dtype()), above, pairs);
            return add(half, transpose(half, -1, -2));
          };
          const double p = c.attrs().s[0].to_double();
          const Tensor x = c.in(0), g = all(row_factors(c.g(), c.out(), p));
          const Tensor d = std::isinf(p) ? all(c.out()) : g;  // others do without
          c.set(0, has_row_gradient(x, p) ? row_gradient(g, x, x, d, p)
                                          : sum(difference_slopes(g, x, x, d, p), Dims{-2}));
        },
    .save = {save_in(0) | save_out(0)},
};

// Attribute s[0]: dim. Both inputs have the output's shape.
FG_DEFINE_OP(Cross) = {
    .name = "linalg_cross",
    .cls = OpClass::Bilinear,
    .infer = infer_as_input,
    .eval =
        [](const Attrs& at, Inputs in, std::span<Array> out) {
          FG_CHECK_KIND(ErrorKind::NotImplemented,
                        out[0].dtype != DType::Bool && !is_complex(out[0].dtype),
                        "\"cross\" not implemented for '", scalar_type_name(out[0].dtype), "'");
          cross_product(*in[0], *in[1], at.integer(0), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, apply(Op::Cross, {c.in(1), c.g()}, c.attrs()));
          if (c.needs(1)) c.set(1, apply(Op::Cross, {c.g(), c.in(0)}, c.attrs()));
        },
    .save = {save_in(1), save_in(0)},
};

FG_DEFINE_OP(Trace) = {
    .name = "trace",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = is_integral(in[0]->dtype, false) ? DType::Int64 : in[0]->dtype;
        },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          const Array& a = *in[0];
          int64_t n = std::min(a.shape[0], a.shape[1]);
          Array diagonal = a.view(Dims{n}, Dims{a.strides[0] + a.strides[1]});
          Array d = contiguous_copy(diagonal, compute_dtype(out[0].dtype));
          dispatch_real(d.dtype, "trace", [&]<class T>(T) {
            T s = 0;
            for (int64_t i = 0; i < n; ++i) s = static_cast<T>(s + d.ptr<T>()[i]);
            cast_kernel(d.dtype, out[0].dtype)(reinterpret_cast<const char*>(&s), 1, out[0].data, 1,
                                               1);
          });
        },
    .vjp =
        [](VjpContext& c) {
          c.set(0, where(eye(c.in_shape(0)[0], c.in_shape(0)[1], DType::Bool), c.g(), 0));
        },
};

namespace {

std::string order_text(const NormOrder& order) {
  if (const auto* text = std::get_if<std::string>(&order)) return *text;
  return str(std::get<double>(order));
}

// x in the type asked for; it may widen but not narrow.
Tensor in_type(const Tensor& x, std::optional<DType> dtype, const char* op) {
  FG_CHECK(kind(x.dtype()) >= DTypeKind::Float, op,
           ": Expected a floating point or complex tensor as input. Got ",
           scalar_type_name(x.dtype()), "; convert it first, e.g. with .to(fastgrad.float32)");
  FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(x.dtype()), op,
                ": complex tensors are not supported yet. Got ", scalar_type_name(x.dtype()));
  if (!dtype) return x;
  FG_CHECK(is_floating(*dtype), op, ": dtype should be floating point for real inputs, but got ",
           scalar_type_name(*dtype));
  FG_CHECK(promote_types(x.dtype(), *dtype) == *dtype, op, ": the dtype of the input (",
           scalar_type_name(x.dtype()),
           ") should be convertible without narrowing to the specified dtype (",
           scalar_type_name(*dtype), ")");
  return to_dtype(x, *dtype);
}

}  // namespace

Tensor linalg_vector_norm(const Tensor& x, double p, std::optional<Dims> dims, bool keepdim,
                          std::optional<DType> dtype) {
  const char* op = "linalg.vector_norm";
  Tensor t = in_type(x, dtype, op);
  bool named = dims && !dims->empty();
  DimSet set = dim_set(named ? DimSpan(*dims) : DimSpan(), t.ndim());
  if (t.numel() == 0 && (p < 0 || std::isinf(p))) {
    FG_CHECK(named, op, " cannot compute the ", p,
             " norm on an empty tensor because the operation does not have an identity");
    for (size_t d = 0; d < t.shape().size(); ++d)
      FG_CHECK(!contains(set, d) || t.shape()[d] != 0, op, " cannot compute the ", p,
               " norm on the dimension ", d,
               " because this dimension is empty and the operation does not have an identity");
  }
  return apply(Op::VectorNorm, {t}, reduce_attrs(set, keepdim, Scalar(p)));
}

Tensor linalg_matrix_norm(const Tensor& a, const NormOrder& order, Dims dims, bool keepdim,
                          std::optional<DType> dtype) {
  const char* op = "linalg.matrix_norm";
  check_matrices(a, op);
  FG_CHECK(dims.size() == 2, op, ": dim must be a 2-tuple. Got ", to_string(dims));
  for (int64_t& d : dims) d = wrap_dim(d, a.ndim());
  FG_CHECK(dims[0] != dims[1], op, ": dims must be different. Got (", dims[0], ", ", dims[1], ")");
  Tensor x = in_type(a, dtype, op);
  // Of the singular values, after the two dimensions are brought to the end.
  auto singular = [&](auto&& reduce) {
    Dims at_end;
    for (int64_t i = 0; i < x.ndim(); ++i)
      if (i != dims[0] && i != dims[1]) at_end.push_back(i);
    at_end.push_back(dims[0]);
    at_end.push_back(dims[1]);
    Tensor s = reduce(linalg_svdvals(permute(x, at_end)));
    if (!keepdim) return s;
    Dims shape = x.shape();
    shape[dims[0]] = shape[dims[1]] = 1;
    return reshape(s, shape);
  };
  Dims last{-1};
  if (const auto* text = std::get_if<std::string>(&order)) {
    if (*text == "fro") return linalg_vector_norm(x, 2, dims, keepdim, std::nullopt);
    if (*text == "nuc") return singular([&](const Tensor& s) { return sum(s, last); });
    fail(ErrorKind::Runtime, op, ": Order ", *text, " not supported.");
  }
  double p = std::get<double>(order), magnitude = std::abs(p);
  FG_CHECK(magnitude == 1 || magnitude == 2 || std::isinf(p), op, ": Order ", p, " not supported.");
  auto extreme = [&](const Tensor& t, DimSpan over, bool keep) {
    if (t.numel() == 0 && p > 0) return sum(t, over, keep);  // the norm of an empty matrix is 0
    return p > 0 ? amax(t, over, keep) : amin(t, over, keep);
  };
  if (magnitude == 2) return singular([&](const Tensor& s) { return extreme(s, last, false); });
  if (std::isinf(p)) std::swap(dims[0], dims[1]);
  Tensor sums = linalg_vector_norm(x, 1, Dims{dims[0]}, true, std::nullopt);
  Tensor y = extreme(sums, Dims{dims[1]}, true);
  return keepdim ? y : squeeze(y, dims);
}

Tensor linalg_norm(const Tensor& a, const std::optional<NormOrder>& order, std::optional<Dims> dims,
                   bool keepdim, std::optional<DType> dtype) {
  if (dims)
    FG_CHECK(dims->size() == 1 || dims->size() == 2,
             "linalg.norm: If dim is specified, it must be of length 1 or 2. Got ", *dims);
  else if (order)
    FG_CHECK(a.ndim() == 1 || a.ndim() == 2,
             "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got ",
             a.ndim(), "D.");
  if (!order) return linalg_vector_norm(a, 2, dims, keepdim, dtype);
  bool matrix =
      std::holds_alternative<std::string>(*order) || (dims ? dims->size() == 2 : a.ndim() == 2);
  if (!matrix) return linalg_vector_norm(a, std::get<double>(*order), dims, keepdim, dtype);
  return linalg_matrix_norm(a, *order, dims.value_or(Dims{-2, -1}), keepdim, dtype);
}

Tensor norm(const Tensor& x, const std::optional<NormOrder>& p, std::optional<Dims> dims,
            bool keepdim, std::optional<DType> dtype) {
  const auto* text = p ? std::get_if<std::string>(&*p) : nullptr;
  if (text && *text != "fro") {
    Dims all = dims.value_or(Dims{-2, -1});
    return linalg_matrix_norm(x, *p, all, keepdim, dtype);
  }
  return linalg_vector_norm(x, p && !text ? std::get<double>(*p) : 2, dims, keepdim, dtype);
}

Tensor linalg_cond(const Tensor& a, const std::optional<NormOrder>& p) {
  check_matrices(a, "linalg.cond");
  check_floating(a, "linalg.cond");
  double number = p ? (std::holds_alternative<double>(*p) ? std::get<double>(*p) : 0) : 2;
  if (number == 2 || number == -2) {
    if (a.numel() == 0) return zeros(batch_dims(a), a.dtype());
    Tensor s = linalg_svdvals(a);
    Tensor largest = select(s, -1, 0), smallest = select(s, -1, -1);
    return number == 2 ? div(largest, smallest) : div(smallest, largest);
  }
  std::string text = order_text(*p);
  FG_CHECK(text == "fro" || text == "nuc" || std::abs(number) == 1 || std::isinf(number),
           "linalg.cond got an invalid norm type: ", text);
  check_square(a, str("linalg.cond(ord=", text, ")").c_str());
  if (a.numel() == 0) return zeros(batch_dims(a), a.dtype());
  Tensors inverse = linalg_inv_ex(a, false);
  Dims last{-2, -1};
  Tensor product =
      mul(linalg_matrix_norm(a, *p, last, false, std::nullopt),
          text == "nuc" ? linalg_matrix_norm(
                              where(ne(unsqueeze(unsqueeze(inverse[1], -1), -1), 0), 0, inverse[0]),
                              *p, last, false, std::nullopt)
                        : linalg_matrix_norm(inverse[0], *p, last, false, std::nullopt));
  return where(ne(inverse[1], 0), std::numeric_limits<double>::infinity(), product);
}

Tensor dist(const Tensor& x, const Tensor& y, double p) {
  Tensor difference = sub(x, y);
  return linalg_vector_norm(difference, p, std::nullopt, false, std::nullopt);
}

Tensor cdist(const Tensor& x, const Tensor& y, double p, bool exact) {
  for (const Tensor* t : {&x, &y})
    FG_CHECK(is_floating(t->dtype()), "cdist only supports floating-point dtypes, X",
             t == &x ? 1 : 2, " got: ", scalar_type_name(t->dtype()));
  for (const Tensor* t : {&x, &y})
    FG_CHECK(t->ndim() >= 2, "cdist only supports at least 2D tensors, X", t == &x ? 1 : 2,
             " got: ", t->ndim(), "D");
  FG_CHECK(x.size(-1) == y.size(-1),
           "X1 and X2 must have the same number of columns. X1: ", x.size(-1), " X2: ", y.size(-1));
  FG_CHECK(p >= 0, "cdist only supports non-negative p values");
  DType type = promote_types(x.dtype(), y.dtype());
  Dims batch = broadcast(batch_dims(x), batch_dims(y));
  auto prepared = [&](const Tensor& t) {
    Dims shape = batch;
    shape.push_back(t.size(-2));
    shape.push_back(t.size(-1));
    Tensor c = to_dtype(t, type);
    return c.shape() == shape ? c : expand(c, shape);
  };
  // Below, the differences themselves are as fast.
  constexpr int64_t kLongRow = 32, kManyRows = 25;
  const bool by_product =
      p == 2 && !exact && x.size(-1) >= kLongRow && std::max(x.size(-2), y.size(-2)) > kManyRows;
  return apply(Op::Cdist, {prepared(x), prepared(y)}, Attrs(Scalar(p), Scalar(by_product)));
}

Tensor pdist(const Tensor& x, double p) { return apply(Op::Pdist, {x}, Attrs(Scalar(p))); }

Tensor linalg_vecdot(const Tensor& x, const Tensor& y, int64_t dim) {
  return sum(mul(x, y), Dims{dim});
}

Tensor linalg_cross(const Tensor& x, const Tensor& y, int64_t dim) {
  FG_CHECK(x.ndim() == y.ndim(), "linalg.cross: inputs must have the same number of dimensions.");
  FG_CHECK(x.ndim() > 0 && x.size(dim) == 3 && y.size(dim) == 3, "linalg.cross: inputs dimension ",
           dim, " must have length 3. Got ", x.ndim() ? x.size(dim) : 0, " and ",
           y.ndim() ? y.size(dim) : 0);
  DType type = promote_types(x.dtype(), y.dtype());
  Dims shape = broadcast(x.shape(), y.shape());
  auto prepared = [&](const Tensor& t) {
    Tensor c = to_dtype(t, compute_dtype(type));
    return c.shape() == shape ? c : expand(c, shape);
  };
  Tensor product =
      apply(Op::Cross, {prepared(x), prepared(y)}, Attrs(Scalar(wrap_dim(dim, x.ndim()))));
  return to_dtype(product, type);
}

Tensor cross(const Tensor& x, const Tensor& y, std::optional<int64_t> dim) {
  if (!dim) {
    for (int64_t d = 0; d < x.ndim() && !dim; ++d)
      if (x.shape()[d] == 3) dim = d;
    FG_CHECK(dim, "no dimension of size 3 in input");
  }
  return linalg_cross(x, y, *dim);
}

Tensor trace(const Tensor& a) {
  FG_CHECK(a.ndim() == 2, "trace: expected a matrix, but got tensor with dim ", a.ndim());
  FG_CHECK_KIND(ErrorKind::NotImplemented, a.dtype() != DType::Bool,
                "\"trace\" not implemented for 'Bool'");
  return apply(Op::Trace, {a});
}

}  // namespace fastgrad
