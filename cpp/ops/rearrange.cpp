#include "ops/rearrange.h"

#include <algorithm>
#include <cstring>

#include "core/memory.h"
#include "kernels/triangle.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/positions.h"
#include "ops/reduce.h"
#include "ops/select.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Copies x to out, dims[k] and those after it moved by shifts[k].
void roll_blocks(const Array& x, const Array& out, DimSpan shifts, DimSpan dims, size_t k) {
  if (k == dims.size()) {
    recorded::copy_array(x, out);
    return;
  }
  int64_t d = dims[k], n = x.shape[d];
  int64_t by = ((shifts[k] % n) + n) % n;
  roll_blocks(x.narrowed(d, 0, n - by), out.narrowed(d, by, n - by), shifts, dims, k + 1);
  if (by) roll_blocks(x.narrowed(d, n - by, by), out.narrowed(d, 0, by), shifts, dims, k + 1);
}

// x's shape with ones in front up to n dimensions.
Dims padded_shape(DimSpan shape, size_t n) {
  Dims out(n - shape.size(), 1);
  for (int64_t s : shape) out.push_back(s);
  return out;
}

}  // namespace

// List 0: the dimensions.
FG_DEFINE_OP(Flip) = {
    .name = "flip",
    .cls = OpClass::Linear,
    .infer = infer_as_input,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          const Array& x = *in[0];
          if (x.numel == 0) return;
          Dims strides = x.strides;
          int64_t start = 0;
          for (int64_t d : a.list(0)) {
            start += (x.shape[d] - 1) * strides[d];
            strides[d] = -strides[d];
          }
          recorded::copy_array(x.view(x.shape, strides, start), out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, flip(c.g(), c.attrs().list(0))); },
};

// Lists: shifts, dimensions.
FG_DEFINE_OP(Roll) = {
    .name = "roll",
    .cls = OpClass::Linear,
    .infer = infer_as_input,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          if (in[0]->numel) roll_blocks(*in[0], out[0], a.list(0), a.list(1), 0);
        },
    .vjp =
        [](VjpContext& c) {
          Dims back(c.attrs().list(0));
          for (int64_t& s : back) s = -s;
          c.set(0, roll(c.g(), back, c.attrs().list(1)));
        },
};

// List 0: how often along each dimension of the output.
FG_DEFINE_OP(Repeat) = {
    .name = "repeat",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          DimSpan repeats = a.list(0);
          out[0].dtype = in[0]->dtype;
          out[0].shape = padded_shape(in[0]->shape, repeats.size());
          for (size_t i = 0; i < repeats.size(); ++i) out[0].shape[i] *= repeats[i];
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          // Every dimension of the output is (repeat, element); the source stands still along
          // repeat.
          DimSpan repeats = a.list(0);
          size_t lead = repeats.size() - in[0]->shape.size();
          Dims shape, from, to;
          for (size_t i = 0; i < repeats.size(); ++i) {
            int64_t size = i < lead ? 1 : in[0]->shape[i - lead];
            shape.push_back(repeats[i]);
            from.push_back(0);
            to.push_back(size * out[0].strides[i]);
            shape.push_back(size);
            from.push_back(i < lead ? 0 : in[0]->strides[i - lead]);
            to.push_back(out[0].strides[i]);
          }
          recorded::copy_array(in[0]->view(shape, from), out[0].view(shape, to));
        },
    .vjp =
        [](VjpContext& c) {
          DimSpan repeats = c.attrs().list(0);
          Dims sizes = padded_shape(c.in_shape(0), repeats.size()), shape, dims;
          for (size_t i = 0; i < repeats.size(); ++i) {
            dims.push_back(static_cast<int64_t>(shape.size()));
            shape.push_back(repeats[i]);
            shape.push_back(sizes[i]);
          }
          Tensor g = repeats.empty() ? c.g() : sum(reshape(c.g(), shape), dims);
          c.set(0, reshape(g, c.in_shape(0)));
        },
};

#define FG_TRIANGLE(Id, fn)                                                    \
  FG_DEFINE_OP(Id) = {                                                         \
      .name = #fn,                                                             \
      .cls = OpClass::Linear,                                                  \
      .infer = infer_as_input,                                                 \
      .eval =                                                                  \
          [](const Attrs& a, Inputs in, std::span<Array> out) {                \
            copy_triangle(*in[0], Op::Id == Op::Triu, a.integer(0), out[0]);   \
          },                                                                   \
      .vjp = [](VjpContext& c) { c.set(0, fn(c.g(), c.attrs().integer(0))); }, \
  };
// Attributes: diagonal.
FG_TRIANGLE(Tril, tril)
FG_TRIANGLE(Triu, triu)
#undef FG_TRIANGLE

Tensor flip(const Tensor& x, DimSpan dims) {
  return apply(Op::Flip, {x}, Attrs().with(wrap_dims(dims, x.ndim(), false)));
}

Tensor roll(const Tensor& x, DimSpan shifts, DimSpan dims) {
  FG_CHECK(!shifts.empty(), "`shifts` required");
  if (dims.empty() && shifts.size() == 1)
    return reshape(roll(reshape(x, Dims{-1}), shifts, Dims{0}), x.shape());
  FG_CHECK(shifts.size() == dims.size(),
           "shifts and dimensions must align. shifts: ", shifts.size(), ", dims:", dims.size());
  FG_CHECK_INDEX(x.ndim() > 0, "Dimension specified as ", dims[0], " but tensor has no dimensions");
  Dims wrapped, total;  // one shift for each dimension
  for (size_t i = 0; i < dims.size(); ++i) {
    int64_t d = wrap_dim(dims[i], x.ndim());
    auto at = std::find(wrapped.begin(), wrapped.end(), d);
    if (at != wrapped.end()) {
      total[static_cast<size_t>(at - wrapped.begin())] += shifts[i];
      continue;
    }
    wrapped.push_back(d);
    total.push_back(shifts[i]);
  }
  return apply(Op::Roll, {x}, Attrs().with(total).with(wrapped));
}

Tensor rot90(const Tensor& x, int64_t k, DimSpan dims) {
  FG_CHECK(dims.size() == 2, "expected total rotation dims == 2, but got dims = ", dims.size());
  FG_CHECK(x.ndim() >= 2, "expected total dims >= 2, but got total dims = ", x.ndim());
  FG_CHECK(dims[0] != dims[1] && std::abs(dims[0] - dims[1]) != x.ndim(),
           "expected rotation dims to be different, but got dim0 = ", dims[0],
           " and dim1 = ", dims[1]);
  for (int64_t d : dims)
    FG_CHECK(d < x.ndim() && d >= -x.ndim(), "Rotation dim", d == dims[0] ? "0" : "1",
             " out of range, dim", d == dims[0] ? "0" : "1", " = ", d);
  k = (k % 4 + 4) % 4;
  switch (k) {
    case 1:  // turned round first, so that only whole rows move
      return transpose(flip(x, dims.subspan(1)), dims[0], dims[1]);
    case 2:
      return flip(x, dims);
    case 3:
      return transpose(flip(x, dims.first(1)), dims[0], dims[1]);
    default:
      return clone(x);
  }
}

Tensor repeat(const Tensor& x, DimSpan repeats) {
  FG_CHECK(
      static_cast<int64_t>(repeats.size()) >= x.ndim(),
      "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
  for (int64_t r : repeats)
    FG_CHECK(r >= 0, "Trying to create tensor with negative dimension ", r, ": repeats are ",
             to_string(repeats));
  return apply(Op::Repeat, {x}, Attrs().with(repeats));
}

Tensor tile(const Tensor& x, DimSpan repeats) {
  return repeat(x, padded_shape(repeats, std::max(repeats.size(), x.shape().size())));
}

Tensor repeat_interleave(const Tensor& repeats) {
  FG_CHECK(repeats.ndim() == 1, "repeat_interleave only accept 1D vector as repeat");
  FG_CHECK(repeats.dtype() == DType::Int64 || repeats.dtype() == DType::Int32,
           "repeats has to be Long or Int tensor");
  Array counts = as_contiguous(repeats.array(), DType::Int64);
  int64_t total = 0;
  bool negative = false;
  for (int64_t i = 0; i < counts.numel; ++i) {
    negative = negative || counts.ptr<int64_t>()[i] < 0;
    total += counts.ptr<int64_t>()[i];
  }
  if (negative) watch_values(repeats.array());  // an error, which the function may catch
  FG_CHECK(!negative, "repeats can not be negative");
  return repeated_numbers(repeats.array(), total);
}

Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim) {
  Tensor from = dim ? x : reshape(x, Dims{-1});
  int64_t d = wrap_dim(dim.value_or(0), from.ndim());
  int64_t size = from.ndim() ? from.shape()[d] : 1;
  Tensor counts = repeats;
  if (repeats.ndim() == 0 || (repeats.ndim() == 1 && repeats.shape()[0] == 1))
    counts = expand(reshape(repeats, Dims{1}), Dims{size});
  FG_CHECK(counts.ndim() == 1, "repeats must be 0-dim or 1-dim tensor");
  FG_CHECK(counts.shape()[0] == size,
           "repeats must have the same size as input along dim, but got repeats.size(0) = ",
           counts.shape()[0], " and input.size(", d, ") = ", size);
  return index_select(from, d, repeat_interleave(counts));
}

Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim) {
  FG_CHECK(repeats >= 0, "Repeats must be non-negative");
  Tensor from = dim && x.ndim() ? x : reshape(x, Dims{-1});
  int64_t d = wrap_dim(dim.value_or(0), from.ndim());
  Dims wide = from.shape(), flat = from.shape();
  wide.insert(static_cast<size_t>(d) + 1, repeats);
  flat[d] *= repeats;
  return reshape(clone(expand(unsqueeze(from, d + 1), wide)), flat);
}

namespace {
Tensor triangle(Op op, const Tensor& x, int64_t diagonal) {
  FG_CHECK(x.ndim() >= 2, info(op).name, ": input tensor must have at least 2 dimensions");
  return apply(op, {x}, Attrs(Scalar(diagonal)));
}
}  // namespace

Tensor tril(const Tensor& x, int64_t diagonal) { return triangle(Op::Tril, x, diagonal); }
Tensor triu(const Tensor& x, int64_t diagonal) { return triangle(Op::Triu, x, diagonal); }

}  // namespace fastgrad
