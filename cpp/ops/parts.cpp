#include "ops/parts.h"

#include <algorithm>
#include <cstring>

#include "core/promotion.h"
#include "kernels/copy.h"
#include "ops/as_strided.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// The diagonal of dimensions d1 and d2 in memory of these sizes and strides.
void place_diagonal(DimSpan shape, DimSpan strides, int64_t offset, int64_t d1, int64_t d2,
                    Meta& out) {
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
    if (i == d1 || i == d2) continue;
    out.shape.push_back(shape[i]);
    out.strides.push_back(strides[i]);
  }
  int64_t length = offset >= 0 ? std::min(shape[d1], shape[d2] - offset)
                               : std::min(shape[d1] + offset, shape[d2]);
  length = std::max<int64_t>(length, 0);
  if (length > 0) out.offset += offset >= 0 ? offset * strides[d2] : -offset * strides[d1];
  out.shape.push_back(length);
  out.strides.push_back(strides[d1] + strides[d2]);
}

void place_windows(DimSpan shape, DimSpan strides, int64_t dim, int64_t size, int64_t step,
                   Meta& out) {
  out.shape = Dims(shape);
  out.strides = Dims(strides);
  if (!shape.empty()) {
    out.shape[dim] = (shape[dim] - size) / step + 1;
    out.strides[dim] = step * strides[dim];
  }
  out.shape.push_back(size);
  out.strides.push_back(shape.empty() ? 1 : strides[dim]);
}

// The gradient of a view goes to its place in zeros.
void vjp_part(VjpContext& c, const Meta& part) {
  c.set(0, apply(Op::AsStridedAdjoint, {c.g()}, part_geometry(c.in_shape(0), part)));
}

}  // namespace

// Attributes: offset, the two dimensions.
FG_DEFINE_OP(Diagonal) = {
    .name = "diagonal",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          place_diagonal(in[0]->shape, in[0]->strides, a.integer(0), a.integer(1), a.integer(2),
                         out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          const Attrs& a = c.attrs();
          Meta part;
          place_diagonal(c.in_shape(0), contiguous_strides(c.in_shape(0)), a.integer(0),
                         a.integer(1), a.integer(2), part);
          vjp_part(c, part);
        },
};

// Attributes: offset, the two dimensions of the output; list 0: its shape.
FG_DEFINE_OP(DiagEmbed) = {
    .name = "diag_embed",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          std::memset(out[0].data, 0, static_cast<size_t>(out[0].nbytes()));
          Meta part;
          place_diagonal(out[0].shape, out[0].strides, a.integer(0), a.integer(1), a.integer(2),
                         part);
          copy_array(*in[0], out[0].view(part.shape, part.strides, part.offset));
        },
    .vjp =
        [](VjpContext& c) {
          c.set(0,
                diagonal(c.g(), c.attrs().integer(0), c.attrs().integer(1), c.attrs().integer(2)));
        },
};

// Attributes: dim, size, step.
FG_DEFINE_OP(Unfold) = {
    .name = "unfold",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          place_windows(in[0]->shape, in[0]->strides, a.integer(0), a.integer(1), a.integer(2),
                        out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          const Attrs& a = c.attrs();
          Meta part;
          place_windows(c.in_shape(0), contiguous_strides(c.in_shape(0)), a.integer(0),
                        a.integer(1), a.integer(2), part);
          vjp_part(c, part);
        },
};

namespace {
void wrap_diagonal_dims(int64_t& dim1, int64_t& dim2, int64_t ndim, const char* op) {
  int64_t given1 = dim1, given2 = dim2;
  dim1 = wrap_dim(dim1, ndim);
  dim2 = wrap_dim(dim2, ndim);
  FG_CHECK(dim1 != dim2, op, "diagonal dimensions cannot be identical ", given1, ", ", given2);
}
}  // namespace

Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  wrap_diagonal_dims(dim1, dim2, x.ndim(), "");
  return apply(Op::Diagonal, {x}, Attrs(Scalar(offset), Scalar(dim1), Scalar(dim2)));
}

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  wrap_diagonal_dims(dim1, dim2, x.ndim() + 1, "");
  FG_CHECK(x.ndim() > 0, "diag_embed: expected a tensor with dimensions, got a 0-dim tensor");
  int64_t n = x.size(-1) + std::abs(offset);
  Dims shape(DimSpan(x.shape()).first(x.shape().size() - 1));
  shape.insert(static_cast<size_t>(std::min(dim1, dim2)), n);
  shape.insert(static_cast<size_t>(std::max(dim1, dim2)), n);
  return apply(Op::DiagEmbed, {x}, Attrs(Scalar(offset), Scalar(dim1), Scalar(dim2)).with(shape));
}

Tensor diag(const Tensor& x, int64_t d) {
  FG_CHECK(x.ndim() == 1 || x.ndim() == 2, "diag(): Supports 1D or 2D tensors. Got ", x.ndim(),
           "D");
  return x.ndim() == 1 ? diag_embed(x, d) : clone(diagonal(x, d));
}

Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step) {
  dim = wrap_dim(dim, x.ndim());
  int64_t most = x.ndim() == 0 ? 1 : x.shape()[dim];
  FG_CHECK(size <= most, "maximum size for tensor at dimension ", dim, " is ", most,
           " but size is ", size);
  FG_CHECK(size >= 0, "size is ", size, " but must be >= 0");
  FG_CHECK(step > 0, "step is ", step, " but must be > 0");
  return apply(Op::Unfold, {x}, Attrs(Scalar(dim), Scalar(size), Scalar(step)));
}

namespace {

Tensor scatter_part(Op op, const Tensor& x, const Tensor& src, const Meta& part) {
  FG_CHECK(src.shape() == part.shape,
           "expected src to have a size equal to the slice of self. src size = ", src.shape(),
           ", slice size = ", part.shape);
  return apply(op, {x, to_dtype(src, x.dtype())}, part_geometry(x.shape(), part));
}

Meta item_part(const Tensor& x, int64_t dim, ViewItem item) {
  ViewItems items;
  for (int64_t i = 0; i < dim; ++i) items.push_back(ViewItem::whole(x.shape()[i]));
  items.push_back(item);
  Meta part;
  part.offset =
      place_items(items, x.shape(), contiguous_strides(x.shape()), part.shape, part.strides);
  return part;
}

}  // namespace

Tensor select_scatter(const Tensor& x, const Tensor& src, int64_t dim, int64_t index) {
  FG_CHECK_INDEX(x.ndim() > 0, "select() cannot be applied to a 0-dim tensor.");
  dim = wrap_dim(dim, x.ndim());
  int64_t size = x.shape()[dim];
  FG_CHECK_INDEX(index >= -size && index < size, "select(): index ", index,
                 " out of range for tensor of size ", x.shape(), " at dimension ", dim);
  return scatter_part(Op::SelectScatter, x, src,
                      item_part(x, dim, ViewItem::select(index < 0 ? index + size : index)));
}

Tensor slice_scatter(const Tensor& x, const Tensor& src, int64_t dim, std::optional<int64_t> start,
                     std::optional<int64_t> stop, int64_t step) {
  FG_CHECK_INDEX(x.ndim() > 0, "slice() cannot be applied to a 0-dim tensor.");
  FG_CHECK_VALUE(step > 0, "slice step must be positive");
  dim = wrap_dim(dim, x.ndim());
  int64_t size = x.shape()[dim];
  Meta part =
      item_part(x, dim, ViewItem::slice(size, start.value_or(0), stop.value_or(size), step));
  return scatter_part(Op::SliceScatter, x,
                      src.shape() == part.shape ? src : expand(src, part.shape), part);
}

Tensor diagonal_scatter(const Tensor& x, const Tensor& src, int64_t offset, int64_t dim1,
                        int64_t dim2) {
  wrap_diagonal_dims(dim1, dim2, x.ndim(), "");
  Meta part;
  place_diagonal(x.shape(), contiguous_strides(x.shape()), offset, dim1, dim2, part);
  return scatter_part(Op::DiagonalScatter, x, src, part);
}

}  // namespace fastgrad
