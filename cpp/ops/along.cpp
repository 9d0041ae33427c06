#include "ops/along.h"

#include "kernels/along.h"
#include "kernels/copy.h"

namespace fastgrad {

void fail_out_of_range(const Array& index, const Array& x, int64_t dim) {
  const Array places = as_contiguous(index, DType::Int64);
  const int64_t size = x.shape.empty() ? 1 : x.shape[static_cast<size_t>(dim)];
  for (int64_t i = 0; i < places.numel; ++i) {
    const int64_t at = places.ptr<int64_t>()[i];
    FG_CHECK(at >= 0 && at < size, "index ", at, " is out of bounds for dimension ", dim,
             " with size ", size);
  }
}

FG_DEFINE_OP(TakeAlong) = {
    .name = "take_along",
    .backward_name = "GatherBackward0",
    .cls = OpClass::Linear,
    .infer = [](const Attrs&, Inputs in,
                Metas& out) { out[0] = {in[0]->dtype, in[1]->shape, {}, 0}; },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          if (!take_along(*in[0], *in[1], a.integer(0), out[0]))
            fail_out_of_range(*in[1], *in[0], a.integer(0));
        },
    .vjp =
        [](VjpContext& c) {
          c.set(0, put_along(c.g(), c.in(1), c.attrs().integer(0), c.in_shape(0)));
        },
    .save = {save_in(1)},
};

// The list holds the shape.
FG_DEFINE_OP(PutAlong) = {
    .name = "put_along",
    .backward_name = "ScatterAddBackward0",
    .cls = OpClass::Linear,
    .infer = [](const Attrs& a, Inputs in,
                Metas& out) { out[0] = {in[0]->dtype, Dims(a.list(0)), {}, 0}; },
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { put_along(*in[0], *in[1], a.integer(0), out[0]); },
    .vjp = [](VjpContext& c) { c.set(0, take_along(c.g(), c.in(1), c.attrs().integer(0))); },
    .save = {save_in(1)},
};

Tensor take_along(const Tensor& x, const Tensor& index, int64_t dim) {
  return apply(Op::TakeAlong, {x, index}, Attrs(dim));
}
Tensor put_along(const Tensor& g, const Tensor& index, int64_t dim, DimSpan shape) {
  return apply(Op::PutAlong, {g, index}, Attrs(dim).with(shape));
}

}  // namespace fastgrad
