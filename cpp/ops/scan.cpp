#include "ops/scan.h"

#include "core/promotion.h"
#include "kernels/scan.h"
#include "ops/along.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduction.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Attributes: dim; ScanOrder as bits; the result's element type.
Attrs scan_attrs(int64_t dim, ScanOrder order, DType result) {
  return Attrs(dim, Scalar(int64_t{order.reverse} | int64_t{order.exclusive} << 1),
               Scalar(static_cast<int64_t>(result)));
}
// Stands for both orders of exclusive products, multiplied.
constexpr int64_t kOthers = 4;
bool of_others(const Attrs& a) { return a.integer(1) == kOthers; }
ScanOrder scan_order(const Attrs& a) { return {(a.integer(1) & 1) != 0, (a.integer(1) & 2) != 0}; }

void infer_scan(const Attrs& a, Inputs in, Metas& out) {
  out[0].dtype = static_cast<DType>(a.integer(2));
  out[0].shape = in[0]->shape;
}

Tensor linear_scan(const Tensor& b, const Tensor& a, int64_t dim, ScanOrder order) {
  return apply(Op::LinearScan, {b, a}, scan_attrs(dim, order, b.dtype()));
}

DType scan_dtype(const Tensor& x, std::optional<DType> dtype) {
  return dtype.value_or(is_integral(x.dtype(), true) ? DType::Int64 : x.dtype());
}

}  // namespace

FG_DEFINE_OP(Cumsum) = {
    .name = "cumsum",
    .cls = OpClass::Linear,
    .infer = infer_scan,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          cumsum(*in[0], a.integer(0), scan_order(a).reverse, out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          ScanOrder order = scan_order(c.attrs());
          order.reverse = !order.reverse;
          c.set(0,
                apply(Op::Cumsum, {c.g()}, scan_attrs(c.attrs().integer(0), order, c.g().dtype())));
        },
};

// Note [Products without division]
// y[k] = x[0] ... x[k], so dy[k]/dx[i] = P[i] * x[i+1] ... x[k], where P[i] is the product before
// i. Summed against the cotangent: dx[i] = P[i] R[i] with R[i] = g[i] + x[i+1] R[i+1], a linear
// recurrence, which LinearScan computes in one pass. Nothing is divided by x, so zeros need no
// special case; and the adjoint of a LinearScan is a LinearScan, so neither do higher derivatives.
FG_DEFINE_OP(Cumprod) = {
    .name = "cumprod",
    .infer = infer_scan,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          of_others(a) ? products_of_others(*in[0], a.integer(0), out[0])
                       : cumprod(*in[0], a.integer(0), scan_order(a), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          int64_t dim = c.attrs().integer(0);
          ScanOrder order = scan_order(c.attrs());
          Tensor x = to_dtype(c.in(0), c.g().dtype());
          if (of_others(c.attrs())) {
            Tensor before = cumprod_exclusive(x, dim, false),
                   after = cumprod_exclusive(x, dim, true);
            auto side = [&](const Tensor& own, const Tensor& other, bool reverse) {
              return grad_mul(linear_scan(grad_mul(c.g(), other), x, dim, {!reverse, true}), own);
            };
            return c.set(0, add(side(before, after, false), side(after, before, true)));
          }
          Tensor before = cumprod_exclusive(x, dim, order.reverse);
          order.reverse = !order.reverse;
          c.set(0, grad_mul(linear_scan(c.g(), x, dim, order), before));
        },
    .save = {save_in(0)},
};

// With E the exclusive scan of the cotangent in the other direction: the sensitivity to everything
// that comes after a place. See kernels/scan.h for the recurrence.
FG_DEFINE_OP(LinearScan) = {
    .name = "linear_scan",
    .infer = infer_scan,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          linear_scan(*in[0], *in[1], a.integer(0), scan_order(a), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          ScanOrder order = scan_order(c.attrs());
          Tensor a = c.in(1);
          Tensor after = linear_scan(c.g(), a, c.attrs().integer(0), {!order.reverse, true});
          if (c.needs(0)) c.set(0, order.exclusive ? after : add(c.g(), grad_mul(after, a)));
          if (c.needs(1)) c.set(1, grad_mul(after, c.out()));
        },
    .save = {save_in(1), save_in(1) | kSaveOut},
};

namespace {

template <bool kLargest>
void eval_cumextreme(const Attrs& a, Inputs in, std::span<Array> out) {
  cumextreme(*in[0], a.integer(0), kLargest, out[0], out[1]);
}
void vjp_cumextreme(VjpContext& c) {
  c.set(0, put_along(c.g(), c.out(1), c.attrs().integer(0), c.in_shape(0)));
}

}  // namespace

FG_DEFINE_OP(Cummax) = {
    .name = "cummax",
    .num_outputs = 2,
    .infer = infer_as_input_and_positions,
    .eval = eval_cumextreme<true>,
    .vjp = vjp_cumextreme,
    .save = {save_out(1)},
};
FG_DEFINE_OP(Cummin) = {
    .name = "cummin",
    .num_outputs = 2,
    .infer = infer_as_input_and_positions,
    .eval = eval_cumextreme<false>,
    .vjp = vjp_cumextreme,
    .save = {save_out(1)},
};

// dx[i] = sum over k >= i of g[k] exp(x[i] - y[k]) = exp(x[i] - y[i]) u[i], where
// u[i] = g[i] + exp(y[i] - y[i+1]) u[i+1]. y never falls, so no exponential exceeds one.
FG_DEFINE_OP(Logcumsumexp) = {
    .name = "logcumsumexp",
    .infer = infer_scan,
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { logcumsumexp(*in[0], a.integer(0), out[0]); },
    .vjp =
        [](VjpContext& c) {
          int64_t dim = c.attrs().integer(0);
          Tensor x = c.in(0), y = c.out();
          if (x.numel() == 0) return c.set(0, c.g());
          // exp(a - b) for a <= b, and 0 where both are -inf.
          auto ratio = [](const Tensor& a, const Tensor& b) {
            return where(eq(b, -INFINITY), 0, exp(sub(a, where(eq(b, -INFINITY), 0, b))));
          };
          if (x.ndim() == 0) return c.set(0, grad_mul(c.g(), ratio(x, y)));
          int64_t n = x.shape()[static_cast<size_t>(dim)];
          Tensor steps = ratio(slice(y, dim, 0, n - 1), slice(y, dim, 1, n));
          // The first factor belongs to no step and is not read.
          const Tensor padded[] = {zeros_like(slice(y, dim, 0, 1)), steps};
          Tensor factors = cat(padded, dim);
          c.set(0, grad_mul(linear_scan(c.g(), factors, dim, {true, false}), ratio(x, y)));
        },
    .save = {save_in(0) | kSaveOut},
};

Tensor cumsum(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return apply(Op::Cumsum, {x}, scan_attrs(wrap_dim(dim, x.ndim()), {}, scan_dtype(x, dtype)));
}
Tensor cumprod(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return apply(Op::Cumprod, {x}, scan_attrs(wrap_dim(dim, x.ndim()), {}, scan_dtype(x, dtype)));
}
Tensor cumprod_exclusive(const Tensor& x, int64_t dim, bool reverse) {
  return apply(Op::Cumprod, {x}, scan_attrs(dim, {reverse, true}, x.dtype()));
}
Tensor products_of_others(const Tensor& x, int64_t dim) {
  return apply(Op::Cumprod, {x},
               Attrs(dim, Scalar(kOthers), Scalar(static_cast<int64_t>(x.dtype()))));
}

std::pair<Tensor, Tensor> cummax(const Tensor& x, int64_t dim) {
  Tensors r = apply_multi(Op::Cummax, {x}, Attrs(wrap_dim(dim, x.ndim())));
  return {r[0], r[1]};
}
std::pair<Tensor, Tensor> cummin(const Tensor& x, int64_t dim) {
  Tensors r = apply_multi(Op::Cummin, {x}, Attrs(wrap_dim(dim, x.ndim())));
  return {r[0], r[1]};
}

Tensor logcumsumexp(const Tensor& x, int64_t dim) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(x.dtype()),
                "\"logcumsumexp\" not implemented for '", scalar_type_name(x.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
  return apply(Op::Logcumsumexp, {x}, scan_attrs(wrap_dim(dim, x.ndim()), {}, x.dtype()));
}

}  // namespace fastgrad
