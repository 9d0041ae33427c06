#include "ops/along.h"

#include "kernels/along.h"

namespace fastgrad {

FG_DEFINE_OP(TakeAlong) = {
    .name = "take_along",
    .backward_name = "GatherBackward0",
    .cls = OpClass::Linear,
    .infer = [](const Attrs&, Inputs in,
                Metas& out) { out[0] = {in[0]->dtype, in[1]->shape, {}, 0}; },
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { take_along(*in[0], *in[1], a.integer(0), out[0]); },
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
