#include "ops/basic_index.h"

#include <algorithm>
#include <cstring>

#include "kernels/copy.h"
#include "kernels/pad.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// List 0 of the attributes: the items, three numbers each.
std::span<const ViewItem> items_of(const Attrs& a) {
  static_assert(sizeof(ViewItem) == 3 * sizeof(int64_t));
  DimSpan flat = a.list(0);
  return {reinterpret_cast<const ViewItem*>(flat.data()), flat.size() / 3};
}

void infer_view(const Attrs& a, Inputs in, Metas& out) {
  out[0].dtype = in[0]->dtype;
  out[0].offset =
      place_items(items_of(a), in[0]->shape, in[0]->strides, out[0].shape, out[0].strides);
}

// The runs of zeros and of x that make up `whole`, where all items are neighbours; x gets the
// dimensions that they do not have. False where some are not.
bool find_runs(std::span<const ViewItem> items, DimSpan whole, Array& x,
               std::vector<PadRuns>& runs) {
  Dims shape, strides;
  size_t dim = 0;
  for (const ViewItem& item : items) {
    if (item.length == ViewItem::kNew) {
      ++dim;
      continue;
    }
    const bool select = item.length == ViewItem::kSelect;
    const int64_t count = select ? 1 : item.length, size = whole[runs.size()];
    if (!select && item.step != 1) return false;
    PadRuns& of_dim = runs.emplace_back();
    for (const PadRun& run : {PadRun{item.start, kPadValue, 0}, PadRun{count, 0, 1},
                              PadRun{size - item.start - count, kPadValue, 0}})
      if (run.count > 0) of_dim.push_back(run);
    shape.push_back(count);
    strides.push_back(select ? 1 : x.strides[dim]);
    if (!select) ++dim;
  }
  for (; dim < x.shape.size(); ++dim) {
    runs.push_back({PadRun{x.shape[dim], 0, 1}});
    shape.push_back(x.shape[dim]);
    strides.push_back(x.strides[dim]);
  }
  x = x.view(shape, strides);
  return true;
}

// Sets the part of out that the items name to x, and the rest to zeros.
void set_part(std::span<const ViewItem> items, const Array& x, const Array& out) {
  constexpr int64_t kLongRow = 64;  // bytes
  const auto size = static_cast<int64_t>(out.itemsize());
  auto clear = [&](int64_t begin, int64_t end) {
    std::memset(out.data + begin * size, 0, static_cast<size_t>((end - begin) * size));
  };
  if (x.numel == 0) return clear(0, out.numel);
  Dims shape, strides;
  const int64_t offset = place_items(items, out.shape, out.strides, shape, strides);
  const Array part = out.view(shape, strides, offset);
  Array from = x;
  std::vector<PadRuns> runs;
  if (part.contiguous) {
    clear(0, offset);
    clear(offset + part.numel, out.numel);
    copy_array(x, part);
  } else if (find_runs(items, out.shape, from, runs) && from.shape.back() * size >= kLongRow) {
    pad(runs, from, 0, out);
  } else {
    clear(0, out.numel);
    copy_array(x, part);
  }
}

void vjp_view(VjpContext& c) {
  DimSpan shape = c.in_shape(0);
  if (c.g().numel() == numel_of(shape))  // nothing was left out
    c.set(0, reshape(c.g(), shape));
  else
    c.set(0, apply(Op::BasicIndexAdjoint, {c.g()}, Attrs(c.attrs()).with(shape)));
}

}  // namespace

int64_t place_items(std::span<const ViewItem> items, DimSpan shape, DimSpan strides,
                    Dims& out_shape, Dims& out_strides) {
  int64_t offset = 0;
  size_t dim = 0;
  for (const ViewItem& item : items) {
    switch (item.length) {
      case ViewItem::kSelect:
        offset += item.start * strides[dim++];
        break;
      case ViewItem::kNew:
        out_shape.push_back(1);
        out_strides.push_back(dim < shape.size() ? shape[dim] * strides[dim] : 1);
        break;
      default:
        offset += item.start * strides[dim];
        out_shape.push_back(item.length);
        out_strides.push_back(item.step * strides[dim++]);
    }
  }
  for (; dim < shape.size(); ++dim) {
    out_shape.push_back(shape[dim]);
    out_strides.push_back(strides[dim]);
  }
  return offset;
}

#define FG_BASIC_VIEW(Id, op_name, backward) \
  FG_DEFINE_OP(Id) = {                       \
      .name = op_name,                       \
      .backward_name = backward,             \
      .cls = OpClass::Linear,                \
      .view = true,                          \
      .infer = infer_view,                   \
      .vjp = vjp_view,                       \
  };
FG_BASIC_VIEW(Select, "select", "SelectBackward0")
FG_BASIC_VIEW(Slice, "slice", "SliceBackward0")
FG_BASIC_VIEW(Unsqueeze, "unsqueeze", "UnsqueezeBackward0")
FG_BASIC_VIEW(SqueezeAll, "squeeze", "SqueezeBackward0")
FG_BASIC_VIEW(SqueezeDim, "squeeze", "SqueezeBackward1")
FG_BASIC_VIEW(SqueezeDims, "squeeze", "SqueezeBackward2")
FG_BASIC_VIEW(Alias, "alias", "AliasBackward0")
#undef FG_BASIC_VIEW

// Zeros of the shape in list 1, the part that the items of list 0 name set to the input.
FG_DEFINE_OP(BasicIndexAdjoint) = {
    .name = "basic_index_adjoint",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<1>,
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { set_part(items_of(a), *in[0], out[0]); },
    .vjp = [](VjpContext& c) { c.set(0, basic_view(Op::Slice, c.g(), items_of(c.attrs()))); },
};

// Attributes: dim.
FG_DEFINE_OP(Unbind) = {
    .name = "unbind",
    .cls = OpClass::Linear,
    .num_outputs = -1,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          auto dim = static_cast<size_t>(a.integer(0));
          Meta m{in[0]->dtype, in[0]->shape, in[0]->strides, 0};
          m.shape.erase(dim);
          m.strides.erase(dim);
          for (int64_t i = 0; i < in[0]->shape[dim]; ++i) {
            out.push_back(m);
            m.offset += in[0]->strides[dim];
          }
        },
    .vjp =
        [](VjpContext& c) {
          Tensors parts;
          for (size_t i = 0; i < c.node().outputs.size(); ++i) parts.push_back(c.g_or_zeros(i));
          c.set(0, stack(parts, c.attrs().integer(0)));
        },
};

ViewItem ViewItem::slice(int64_t size, int64_t start, int64_t stop, int64_t step) {
  auto clamp = [size](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
  start = clamp(start);
  stop = std::max(clamp(stop), start);
  return {start, step, stop == start ? 0 : (stop - start - 1) / step + 1};
}

Tensor basic_view(Op op, const Tensor& x, std::span<const ViewItem> items) {
  const Array& of = x.array();  // see Note [Views of one input]
  Tensor out = make_view(x, [&](Dims& shape, Dims& strides) {
    return place_items(items, of.shape, of.strides, shape, strides);
  });
  if (Attrs* attrs = record_view(op, x, out))
    attrs->add({reinterpret_cast<const int64_t*>(items.data()), 3 * items.size()});
  return out;
}

int64_t wrap_index(int64_t index, int64_t size, int64_t dim) {
  FG_CHECK_INDEX(index >= -size && index < size, "index ", index,
                 " is out of bounds for dimension ", dim, " with size ", size);
  return index < 0 ? index + size : index;
}

namespace {
// The item at dim, behind whole dimensions.
Tensor view_at(Op op, const Tensor& x, int64_t dim, ViewItem item) {
  ViewItems items;
  for (int64_t i = 0; i < dim; ++i) items.push_back(ViewItem::whole(x.shape()[i]));
  items.push_back(item);
  return basic_view(op, x, items);
}
}  // namespace

Tensor select(const Tensor& x, int64_t dim, int64_t index) {
  FG_CHECK_INDEX(x.ndim() > 0, "select() cannot be applied to a 0-dim tensor.");
  dim = wrap_dim(dim, x.ndim());
  int64_t size = x.shape()[dim];
  FG_CHECK_INDEX(index >= -size && index < size, "select(): index ", index,
                 " out of range for tensor of size ", x.shape(), " at dimension ", dim);
  return view_at(Op::Select, x, dim, ViewItem::select(index < 0 ? index + size : index));
}

Tensor slice(const Tensor& x, int64_t dim, std::optional<int64_t> start,
             std::optional<int64_t> stop, int64_t step) {
  FG_CHECK_INDEX(x.ndim() > 0, "slice() cannot be applied to a 0-dim tensor.");
  FG_CHECK_VALUE(step > 0, "slice step must be positive, got ", step);
  dim = wrap_dim(dim, x.ndim());
  int64_t size = x.shape()[dim];
  return view_at(Op::Slice, x, dim,
                 ViewItem::slice(size, start.value_or(0), stop.value_or(size), step));
}

Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  FG_CHECK(x.ndim() > 0, "narrow() cannot be applied to a 0-dim tensor.");
  FG_CHECK(length >= 0, "narrow(): length must be non-negative.");
  dim = wrap_dim(dim, x.ndim());
  int64_t size = x.shape()[dim];
  FG_CHECK_INDEX(start >= -size && start <= size,
                 "start out of range (expected to be in range of [", -size, ", ", size,
                 "], but got ", start, ")");
  if (start < 0) start += size;
  FG_CHECK(start <= size - length, "start (", start, ") + length (", length,
           ") exceeds dimension size (", size, ").");
  return view_at(Op::Slice, x, dim, {start, 1, length});
}

Tensor narrow_copy(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  return clone(narrow(x, dim, start, length));
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  return view_at(Op::Unsqueeze, x, wrap_dim(dim, x.ndim() + 1), ViewItem::insert());
}

namespace {
template <class Wanted>
Tensor squeeze_where(Op op, const Tensor& x, Wanted wanted) {
  ViewItems items;
  for (int64_t i = 0; i < x.ndim(); ++i)
    items.push_back(x.shape()[i] == 1 && wanted(i) ? ViewItem::select(0)
                                                   : ViewItem::whole(x.shape()[i]));
  return basic_view(op, x, items);
}
}  // namespace

Tensor squeeze(const Tensor& x) {
  return squeeze_where(Op::SqueezeAll, x, [](int64_t) { return true; });
}

Tensor squeeze(const Tensor& x, DimSpan dims) {
  Dims wrapped = wrap_dims(dims, x.ndim(), false);
  return squeeze_where(dims.size() == 1 ? Op::SqueezeDim : Op::SqueezeDims, x, [&](int64_t i) {
    return std::find(wrapped.begin(), wrapped.end(), i) != wrapped.end();
  });
}

Tensor alias(const Tensor& x) { return basic_view(Op::Alias, x, {}); }

Tensors unbind(const Tensor& x, int64_t dim) {
  FG_CHECK_INDEX(x.ndim() > 0, "Dimension specified as ", dim, " but tensor has no dimensions");
  return apply_multi(Op::Unbind, {x}, Attrs(wrap_dim(dim, x.ndim())));
}

}  // namespace fastgrad
