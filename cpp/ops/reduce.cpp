#include "ops/reduce.h"

#include "kernels/copy.h"
#include "ops/convert.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// The cotangent of a reduction, with the reduced dimensions put back and expanded.
Tensor expand_reduced(const Tensor& g, DimSpan dims, bool keepdim, DimSpan shape) {
  if (keepdim || shape.empty()) return expand(g, shape);
  Dims kept = reduced_shape(shape, dims, true);
  return expand(reshape(g, kept), shape);
}

template <class T>
T pairwise_sum(const T* p, int64_t n) {
  if (n <= 128) {
    T s = 0;
    for (int64_t i = 0; i < n; ++i) s = static_cast<T>(s + p[i]);
    return s;
  }
  int64_t half = n / 2 / 8 * 8;
  return static_cast<T>(pairwise_sum(p, half) + pairwise_sum(p + half, n - half));
}

}  // namespace

FG_DEFINE_OP(Sum) = {
    .name = "sum",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = reduced_shape(in[0]->shape, a.list(0), a.flag(0));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          // Reduced dimensions last, then each output element is a contiguous run.
          Dims order;
          DimSpan dims = a.list(0);
          for (int64_t i = 0; i < in[0]->ndim(); ++i)
            if (std::find(dims.begin(), dims.end(), i) == dims.end()) order.push_back(i);
          for (int64_t d : dims) order.push_back(d);
          Array x = as_contiguous(in[0]->permuted(order), in[0]->dtype);
          int64_t outer = out[0].numel, inner = outer ? x.numel / outer : 0;
          dispatch_real(x.dtype, "sum", [&]<class T>(T) {
            for (int64_t i = 0; i < outer; ++i)
              out[0].ptr<T>()[i] = pairwise_sum(x.ptr<T>() + i * inner, inner);
          });
        },
    .vjp = [](VjpContext& c) {
      c.set(0, expand_reduced(c.g(), c.attrs().list(0), c.attrs().flag(0), c.in_shape(0)));
    },
};

Tensor sum(const Tensor& x, DimSpan dims, bool keepdim, std::optional<DType> dtype) {
  DType d = dtype.value_or(is_integral(x.dtype(), true) ? DType::Int64 : x.dtype());
  return apply(Op::Sum, {to_dtype(x, d)}, Attrs(Scalar(keepdim)).with(wrap_dims(dims, x.ndim())));
}

Tensor sum_to_shape(const Tensor& g, DimSpan shape) {
  Dims dims;
  int64_t lead = g.ndim() - static_cast<int64_t>(shape.size());
  for (int64_t i = 0; i < g.ndim(); ++i)
    if (i < lead || (shape[i - lead] == 1 && g.shape()[i] != 1)) dims.push_back(i);
  Tensor s = dims.empty() ? g : sum(g, dims, true);
  return reshape(s, shape);
}

}  // namespace fastgrad
