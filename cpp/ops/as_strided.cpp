#include "ops/as_strided.h"

#include <cstring>

#include "core/memory.h"
#include "kernels/index.h"
#include "ops/infer.h"

namespace fastgrad {
namespace {

struct Geometry {
  int64_t offset;
  DimSpan sizes, strides, base_sizes, base_strides;
  explicit Geometry(const Attrs& a)
      : offset(a.integer(0)),
        sizes(a.list(0)),
        strides(a.list(1)),
        base_sizes(a.list(2)),
        base_strides(a.list(3)) {}

  // Elements of memory that base and part reach together, from the base's first one.
  void check() const {
    if (numel_of(sizes) == 0 || numel_of(base_sizes) == 0) return;
    Extent part = extent(sizes, strides), base = extent(base_sizes, base_strides);
    FG_CHECK(offset + part.lo >= base.lo && offset + part.hi <= base.hi,
             "[as_strided] the view with sizes ", to_string(sizes), ", strides ",
             to_string(strides), " and offset ", offset,
             " reaches outside of the tensor it was made of, so its gradient "
             "is not defined; take the view of the tensor that owns the memory");
  }
  // A fresh array in the base's layout. Memory between the elements stays unused.
  Array empty_base(DType dtype) const {
    check();
    return Array::empty_strided(base_sizes, base_strides, dtype);
  }
  Array part_of(const Array& base) const { return base.view(sizes, strides, offset); }
};

Attrs attrs_of(const Tensor& x, DimSpan sizes, DimSpan strides,
               std::optional<int64_t> storage_offset) {
  FG_CHECK(sizes.size() == strides.size(),
           "mismatch in length of strides and shape: ", to_string(sizes), " and ",
           to_string(strides));
  for (int64_t s : strides)
    FG_CHECK(s >= 0, "as_strided: Negative strides are not supported at the moment, got strides: ",
             to_string(strides));
  const Array& a = x.array();
  int64_t start = storage_offset.value_or(a.offset());
  int64_t count = checked_numel(sizes);
  int64_t limit = static_cast<int64_t>(a.buffer->nbytes() / a.itemsize());
  int64_t last = start;  // element, or the largest number
  for (size_t d = 0; d < sizes.size() && count; ++d)
    if (int64_t reach; __builtin_mul_overflow(sizes[d] - 1, strides[d], &reach) ||
                       __builtin_add_overflow(last, reach, &last))
      last = INT64_MAX;
  FG_CHECK(start >= 0 && (count == 0 || last < limit), "setStorage: sizes ", to_string(sizes),
           ", strides ", to_string(strides), ", storage offset ", start,
           " are out of bounds for storage of ", limit, " elements");
  return Attrs(Scalar(start - a.offset())).with(sizes).with(strides).with(a.shape).with(a.strides);
}

}  // namespace

FG_DEFINE_OP(AsStrided) = {
    .name = "as_strided",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          Geometry g(a);
          out[0] = {in[0]->dtype, Dims(g.sizes), Dims(g.strides), g.offset};
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::AsStridedAdjoint, {c.g()}, c.attrs())); },
};

FG_DEFINE_OP(AsStridedGather) = {
    .name = "as_strided_gather",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          Geometry g(a);
          if (std::equal(in[0]->strides.begin(), in[0]->strides.end(), g.base_strides.begin(),
                         g.base_strides.end())) {
            g.check();
            recorded::copy_array(g.part_of(*in[0]), out[0]);
            return;
          }
          Array base = g.empty_base(in[0]->dtype);
          recorded::copy_array(*in[0], base);
          recorded::copy_array(g.part_of(base), out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::AsStridedAdjoint, {c.g()}, c.attrs())); },
};

namespace {

void eval_scatter(const Attrs& a, Inputs in, std::span<Array> out) {
  Geometry g(a);
  g.check();
  if (is_contiguous(g.base_sizes, g.base_strides)) {
    recorded::copy_array(*in[0], out[0]);
    recorded::copy_array(*in[1], g.part_of(out[0]));
    return;
  }
  Array base = g.empty_base(in[0]->dtype);
  recorded::copy_array(*in[0], base);
  recorded::copy_array(*in[1], g.part_of(base));
  recorded::copy_array(base, out[0]);
}

void vjp_scatter(VjpContext& c) {
  if (c.needs(0)) {
    Tensor zero(recorded::zeros({}, c.g().dtype()));
    Tensor zeros(zero.array().expanded(c.attrs().list(0)));
    c.set(0, apply(Op::AsStridedScatter, {c.g(), zeros}, c.attrs()));
  }
  if (c.needs(1)) c.set(1, apply(Op::AsStridedGather, {c.g()}, c.attrs()));
}

}  // namespace

#define FG_PART_SCATTER(Id, op_name, backward) \
  FG_DEFINE_OP(Id) = {                         \
      .name = op_name,                         \
      .backward_name = backward,               \
      .cls = OpClass::Linear,                  \
      .infer = infer_as_input,                 \
      .eval = eval_scatter,                    \
      .vjp = vjp_scatter,                      \
  };
FG_PART_SCATTER(AsStridedScatter, "as_strided_scatter", "AsStridedScatterBackward0")
FG_PART_SCATTER(CopySlices, "copy_slices", "CopySlices")
FG_PART_SCATTER(SelectScatter, "select_scatter", "SelectScatterBackward0")
FG_PART_SCATTER(SliceScatter, "slice_scatter", "SliceScatterBackward0")
FG_PART_SCATTER(DiagonalScatter, "diagonal_scatter", "DiagonalScatterBackward0")
#undef FG_PART_SCATTER

// Sums the part into zeros of the base's shape; elements that the part reaches twice add up.
FG_DEFINE_OP(AsStridedAdjoint) = {
    .name = "as_strided_adjoint",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<2>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          Geometry g(a);
          Array base = g.empty_base(in[0]->dtype);
          bool shared = may_overlap_itself(g.base_sizes, g.base_strides);
          std::memset(base.buffer->data(), 0, base.buffer->nbytes());
          Array part = g.part_of(base);
          if (may_overlap_itself(g.sizes, g.strides))
            add_elements(*in[0], part);
          else
            recorded::copy_array(*in[0], part);
          FG_CHECK(!shared,
                   "[as_strided] cannot differentiate with respect to a tensor whose own "
                   "elements share memory; clone() it first");
          recorded::copy_array(base, out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::AsStridedGather, {c.g()}, c.attrs())); },
};

Attrs part_geometry(DimSpan shape, const Meta& part) {
  return Attrs(Scalar(part.offset))
      .with(part.shape)
      .with(part.strides)
      .with(shape)
      .with(contiguous_strides(shape));
}

Tensor as_strided(const Tensor& x, DimSpan sizes, DimSpan strides, std::optional<int64_t> offset) {
  return apply(Op::AsStrided, {x}, attrs_of(x, sizes, strides, offset));
}

Tensor as_strided_scatter(const Tensor& base, const Tensor& src, DimSpan sizes, DimSpan strides,
                          std::optional<int64_t> offset) {
  FG_CHECK(
      std::equal(src.shape().begin(), src.shape().end(), sizes.begin(), sizes.end()),
      "[as_strided_scatter] expected src to have a size equal to the slice of self. src size = ",
      src.shape(), ", slice size = ", to_string(sizes));
  return apply(Op::AsStridedScatter, {base, src}, attrs_of(base, sizes, strides, offset));
}

}  // namespace fastgrad
