#include "ops/shape.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/copy.h"
#include "ops/convert.h"
#include "ops/pointwise.h"

namespace fastgrad {

FG_DEFINE_OP(Reshape) = {
    .name = "reshape",
    .backward_name = "ViewBackward0",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          auto strides = view_strides(in[0]->shape, in[0]->strides, a.list(0));
          FG_CHECK(strides,
                   "view size is not compatible with input tensor's size and stride (at least one "
                   "dimension spans across two contiguous subspaces). Use .reshape(...) instead.");
          out[0] = {in[0]->dtype, Dims(a.list(0)), *strides, 0};
        },
    .vjp = [](VjpContext& c) { c.set(0, reshape(c.g(), c.in_shape(0))); },
};

FG_DEFINE_OP(Expand) = {
    .name = "expand",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          Array e = in[0]->expanded(a.list(0));
          out[0] = {in[0]->dtype, e.shape, e.strides, 0};
        },
    .vjp = [](VjpContext& c) { c.set(0, c.g()); },  // the engine sums over broadcast dimensions
};

FG_DEFINE_OP(Permute) = {
    .name = "permute",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          Array p = in[0]->permuted(a.list(0));
          out[0] = {in[0]->dtype, p.shape, p.strides, 0};
        },
    .vjp =
        [](VjpContext& c) {
          DimSpan order = c.attrs().list(0);
          Dims inverse(order.size());
          for (size_t i = 0; i < order.size(); ++i) inverse[order[i]] = static_cast<int64_t>(i);
          c.set(0, permute(c.g(), inverse));
        },
};

Tensor reshape(const Tensor& x, DimSpan shape) {
  Dims target = infer_size(shape, x.numel());
  if (!view_strides(x.shape(), x.strides(), target)) return view(clone(x), target);
  return apply(Op::Reshape, {x}, Attrs().with(target));
}

Tensor view(const Tensor& x, DimSpan shape) {
  return apply(Op::Reshape, {x}, Attrs().with(infer_size(shape, x.numel())));
}

Tensor expand(const Tensor& x, DimSpan shape) {
  int64_t lead = static_cast<int64_t>(shape.size()) - x.ndim();
  FG_CHECK(lead >= 0, "expand(", name(x.dtype()), "{", x.shape(), "}, size=", to_string(shape),
           "): the number of sizes provided (", shape.size(),
           ") must be greater or equal to the number of dimensions in the tensor (", x.ndim(), ")");
  Dims target(shape);
  for (int64_t i = 0; i < static_cast<int64_t>(target.size()); ++i) {
    if (i < lead) {
      FG_CHECK(target[i] >= 0, "The expanded size of the tensor (", target[i],
               ") isn't allowed in a leading, non-existing dimension ", i);
      continue;
    }
    int64_t have = x.shape()[i - lead];
    if (target[i] == -1) target[i] = have;
    FG_CHECK(have == target[i] || have == 1, "The expanded size of the tensor (", target[i],
             ") must match the existing size (", have, ") at non-singleton dimension ", i,
             ".  Target sizes: ", to_string(shape), ".  Tensor sizes: ", to_string(x.shape()));
  }
  return apply(Op::Expand, {x}, Attrs().with(target));
}

Tensor permute(const Tensor& x, DimSpan dims) {
  FG_CHECK(static_cast<int64_t>(dims.size()) == x.ndim(),
           "permute: number of dimensions in the tensor input does not match the length "
           "of the desired ordering of dimensions i.e. input.dim() = ", x.ndim(),
           " is not equal to len(dims) = ", dims.size());
  return apply(Op::Permute, {x}, Attrs().with(wrap_dims(dims, x.ndim(), false)));
}

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  Dims order(static_cast<size_t>(x.ndim()));
  std::iota(order.begin(), order.end(), 0);
  dim0 = wrap_dim(dim0, x.ndim());
  dim1 = wrap_dim(dim1, x.ndim());
  if (x.ndim() > 0) std::swap(order[dim0], order[dim1]);
  return permute(x, order);
}

}  // namespace fastgrad
