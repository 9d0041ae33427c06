#include "ops/index.h"

#include <algorithm>
#include <cstring>

#include "core/conditions.h"
#include "core/inplace.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/index.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/item.h"
#include "ops/pointwise.h"
#include "ops/positions.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// A tensor among the items, and the dimensions of the basic view that it replaces.
struct Advanced {
  const Tensor* tensor;
  int64_t dim, count;  // a mask replaces as many as it has
};

// An index expression taken apart: first a view, then tensors on some of its dimensions.
struct Parsed {
  ViewItems view;
  Op op = Op::Alias;  // the last item that changed something
  SmallVector<Advanced, 4> advanced;

  bool is_identity() const { return op == Op::Alias; }
};

bool is_mask(const Tensor& t) { return t.dtype() == DType::Bool || t.dtype() == DType::UInt8; }

int64_t dims_taken(const IndexItem& item) {
  switch (item.kind) {
    case IndexItem::Kind::Select:
    case IndexItem::Kind::Slice:
      return 1;
    case IndexItem::Kind::Tensor:
      return is_mask(item.tensor) ? item.tensor.ndim() : 1;
    default:
      return 0;
  }
}

// Whether all tensors are single integers, one of which differs between examples.
bool takes_entries(std::span<const IndexItem> items) {
  if (!recorder() || !g_differs) return false;
  bool differs = false;
  for (const IndexItem& item : items) {
    if (item.kind != IndexItem::Kind::Tensor) continue;
    if (item.tensor.ndim() > 0 || is_mask(item.tensor)) return false;
    differs = differs || g_differs(item.tensor.array());
  }
  return differs;
}

Parsed parse(const Tensor& x, std::span<const IndexItem> items, bool entries = false) {
  const Dims& shape = x.shape();
  int64_t ndim = x.ndim(), taken = 0;
  for (const IndexItem& item : items) taken += dims_taken(item);
  if (taken > ndim) {
    bool alone = items.size() == 1 && ndim == 0;
    FG_CHECK_INDEX(!alone || items[0].kind != IndexItem::Kind::Select,
                   "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor "
                   "to a number");
    FG_CHECK_INDEX(!alone || items[0].kind != IndexItem::Kind::Slice,
                   "slice() cannot be applied to a 0-dim tensor.");
    fail(ErrorKind::Index, "too many indices for tensor of dimension ", ndim, ": ", taken,
         " dimensions are indexed, the shape is ", shape);
  }
  Parsed p;
  int64_t dim = 0;  // of x
  auto put = [&p](ViewItem item, Op op) {
    p.view.push_back(item);
    p.op = op;
  };
  int64_t out = 0;  // dimension of the view
  bool seen_ellipsis = false;
  for (const IndexItem& item : items) {
    switch (item.kind) {
      case IndexItem::Kind::Select:
        put(ViewItem::select(wrap_index(item.start, shape[dim], dim)), Op::Select);
        ++dim;
        break;
      case IndexItem::Kind::Slice: {
        ViewItem v = ViewItem::slice(shape[dim], item.start, item.stop, item.step);
        bool whole = v.start == 0 && v.length == shape[dim] && v.step == 1 && items.size() > 1;
        put(v, whole ? p.op : Op::Slice);
        ++dim;
        ++out;
        break;
      }
      case IndexItem::Kind::New:
        put(ViewItem::insert(), Op::Unsqueeze);
        ++out;
        break;
      case IndexItem::Kind::Ellipsis:
        if (seen_ellipsis) break;
        seen_ellipsis = true;
        for (int64_t k = ndim - taken; k > 0; --k, ++out)
          p.view.push_back(ViewItem::whole(shape[dim++]));
        break;
      case IndexItem::Kind::Tensor: {
        const Tensor& t = item.tensor;
        FG_CHECK_INDEX(is_mask(t) || t.dtype() == DType::Int64 || t.dtype() == DType::Int32,
                       "tensors used as indices must be long, int, byte or bool tensors, got ",
                       name(t.dtype()));
        if (t.ndim() == 0) {
          if (entries) {
            p.advanced.push_back({&t, out++, 1});
            p.view.push_back(ViewItem::whole(shape[dim++]));
            break;
          }
          if (!is_mask(t)) {
            put(ViewItem::select(wrap_index(fastgrad::item(t).to_int(), shape[dim], dim)),
                Op::Select);
            ++dim;
            break;
          }
          put(ViewItem::insert(), Op::Unsqueeze);  // True and False choose from a new dimension
          p.advanced.push_back({&t, out++, 1});
          break;
        }
        int64_t count = is_mask(t) ? t.ndim() : 1;
        p.advanced.push_back({&t, out, count});
        for (int64_t k = 0; k < count; ++k, ++out) {
          FG_CHECK_INDEX(!is_mask(t) || t.shape()[k] == shape[dim], "The shape of the mask ",
                         t.shape(), " at index ", k,
                         " does not match the shape of the indexed tensor ", shape, " at index ",
                         dim);
          p.view.push_back(ViewItem::whole(shape[dim++]));
        }
      }
    }
  }
  return p;
}

Tensor view_of(const Tensor& x, const Parsed& p) { return basic_view(p.op, x, p.view); }

// The tensors of an index expression as one linear index over the dimensions they replace.
struct Located {
  Tensor linear;
  Dims dims;
  int64_t position = 0;  // of the index's dimensions among the others

  Attrs attrs() const { return Attrs(Scalar(position)).with(dims); }
};

const Primitive kFirstIndex = {"first_index", [](const Attrs& a, Inputs in, std::span<Array> out) {
                                 fill_array(out[0], Scalar(0));
                                 fold_index(*in[0], a.integer(0), a.integer(1), out[0]);
                               }};
const Primitive kNextIndex = {"next_index",
                              [](const Attrs& a, Inputs in, std::span<Array> out) {
                                fold_index(*in[0], a.integer(0), a.integer(1), out[0]);
                              },
                              false};

// linear = linear * size + index; it is zero at first.
void fold(const Array& index, int64_t size, int64_t dim, const Array& linear, bool first) {
  fold_index(index, size, dim, linear);
  if (Recorder* r = recorder()) [[unlikely]] {
    const Array* in[] = {&index, &linear};
    if (first) r->fresh(linear);
    r->primitive(first ? kFirstIndex : kNextIndex, Attrs(size, dim), {in, first ? 1u : 2u},
                 {&linear, 1});
  }
}

// Whether the caller's own tensor may stand for the linear index: its entries are counted from the
// front, and neither a recording, nor a gradient, nor a write to x will look at it later on.
bool serves_as_linear(const Tensor& index, const Tensor& x, int64_t size, bool for_gradient) {
  const Array& a = index.array();
  if (recorder() || for_gradient || a.dtype != DType::Int64 || !a.contiguous) return false;
  deferred::settle(a);
  return !memory_overlaps(a, x.array()) && indices_in_range(a, 0, size);
}

// One tensor alone: its entries, counted from the front.
Located locate_one(const Tensor& x, const Advanced& a, bool for_gradient) {
  Located l;
  l.position = a.dim;
  for (int64_t k = 0; k < a.count; ++k) l.dims.push_back(a.dim + k);
  if (is_mask(*a.tensor)) {
    l.linear = positions_where(a.tensor->array());
    return l;
  }
  if (serves_as_linear(*a.tensor, x, x.shape()[a.dim], for_gradient)) {
    l.linear = *a.tensor;
    return l;
  }
  l.linear = Tensor(Array::zeros(a.tensor->shape(), DType::Int64));
  watch_range(a.tensor->array(), -x.shape()[a.dim], x.shape()[a.dim]);
  bool wide = a.tensor->dtype() == DType::Int64;
  fold(wide ? a.tensor->array() : recorded::as_contiguous(a.tensor->array(), DType::Int64),
       x.shape()[a.dim], a.dim, l.linear.array(), true);
  return l;
}

// `values`: what will be put there, if something is.
Located locate(const Tensor& x, const Parsed& p, const Tensor& values = {}) {
  if (p.advanced.size() == 1) {
    const bool for_gradient =
        grad_enabled() && (x.requires_grad() || (values.defined() && values.requires_grad()));
    return locate_one(x, p.advanced[0], for_gradient);
  }
  Located l;
  SmallVector<Array, 4> indices;
  Dims shape;
  bool adjacent = true;
  for (const Advanced& a : p.advanced) {
    if (!is_mask(*a.tensor)) watch_range(a.tensor->array(), -x.shape()[a.dim], x.shape()[a.dim]);
    indices.push_back(is_mask(*a.tensor)
                          ? positions_where(a.tensor->array()).array()
                          : recorded::as_contiguous(a.tensor->array(), DType::Int64));
    std::optional<Dims> both = try_broadcast(shape, indices.back().shape);
    if (!both) {
      std::string shapes;
      for (size_t i = 0; i < p.advanced.size(); ++i) {
        const Tensor& t = *p.advanced[i].tensor;
        Dims s = i < indices.size() ? indices[i].shape
                 : is_mask(t)       ? nonzero_linear(t.array()).shape
                                    : t.shape();
        for (int64_t k = 0; k < p.advanced[i].count; ++k)
          shapes += (shapes.empty() ? "" : ", ") + to_string(s);
      }
      fail(ErrorKind::Index,
           "shape mismatch: indexing tensors could not be broadcast together with shapes ", shapes);
    }
    shape = *both;
    if (!l.dims.empty() && a.dim != l.dims.back() + 1) adjacent = false;
    for (int64_t k = 0; k < a.count; ++k) l.dims.push_back(a.dim + k);
  }
  l.position = adjacent ? l.dims.front() : 0;
  Array linear = Array::zeros(shape, DType::Int64);
  for (size_t i = 0; i < indices.size(); ++i) {
    int64_t size = 1;
    for (int64_t k = 0; k < p.advanced[i].count; ++k) size *= x.shape()[p.advanced[i].dim + k];
    fold(indices[i].expanded(shape), size, p.advanced[i].dim, linear, i == 0);
  }
  l.linear = Tensor(std::move(linear));
  return l;
}

DimSpan dims_of(const Attrs& a) { return a.list(0); }

const Primitive kPutIndex = {"index_put_",
                             [](const Attrs& a, Inputs in, std::span<Array> out) {
                               (a.flag(1) ? index_add : index_set)(out[0], dims_of(a), a.integer(0),
                                                                   *in[2], *in[1]);
                             },
                             false};

}  // namespace

const Primitive& index_first() { return kFirstIndex; }
const Primitive& index_next() { return kNextIndex; }
const Primitive& index_put_in_place() { return kPutIndex; }
std::span<const Primitive* const> index_primitives() {
  static const Primitive* const kAll[] = {&kFirstIndex, &kNextIndex, &kPutIndex};
  return kAll;
}

namespace {

void infer_index(const Attrs& a, Inputs in, Metas& out) {
  out[0].dtype = in[0]->dtype;
  out[0].shape = index_shape(in[0]->shape, dims_of(a), a.integer(0), in[1]->shape);
}
void eval_index(const Attrs& a, Inputs in, std::span<Array> out) {
  index_get(*in[0], dims_of(a), a.integer(0), *in[1], out[0]);
}
void vjp_index(VjpContext& c) {
  c.set(0, apply(Op::IndexAdjoint, {c.g(), c.in(1)}, Attrs(c.attrs()).with(c.in_shape(0))));
}

void eval_put(const Attrs& a, Inputs in, std::span<Array> out) {
  recorded::copy_array(*in[0], out[0]);
  Array y = in[1]->expanded(index_shape(in[0]->shape, dims_of(a), a.integer(0), in[2]->shape));
  (a.flag(1) ? index_add : index_set)(out[0], dims_of(a), a.integer(0), *in[2], y);
}
void vjp_put(VjpContext& c) {
  bool accumulate = c.attrs().flag(1);
  if (c.needs(0)) {
    Tensor zero(recorded::zeros({}, c.g().dtype()));
    c.set(0, accumulate ? c.g() : apply(Op::IndexPut, {c.g(), zero, c.in(2)}, c.attrs()));
  }
  if (c.needs(1)) c.set(1, apply(Op::Index, {c.g(), c.in(2)}, c.attrs()));
}

}  // namespace

// Inputs: x, the linear index. Attributes: position; list 0: the dimensions that are replaced.
#define FG_INDEX(Id, op_name) \
  FG_DEFINE_OP(Id) = {        \
      .name = op_name,        \
      .cls = OpClass::Linear, \
      .infer = infer_index,   \
      .eval = eval_index,     \
      .vjp = vjp_index,       \
      .save = {save_in(1)},   \
  };
FG_INDEX(Index, "index")
FG_INDEX(IndexSelect, "index_select")
FG_INDEX(Take, "take")
FG_INDEX(MaskedSelect, "masked_select")
#undef FG_INDEX

// Inputs: x, values, the linear index. Attributes: position, accumulate; list 0: the dimensions.
#define FG_INDEX_PUT(Id, op_name)       \
  FG_DEFINE_OP(Id) = {                  \
      .name = op_name,                  \
      .cls = OpClass::Linear,           \
      .infer = infer_as_input,          \
      .eval = eval_put,                 \
      .vjp = vjp_put,                   \
      .save = {save_in(2), save_in(2)}, \
  };
FG_INDEX_PUT(IndexPut, "index_put")
FG_INDEX_PUT(IndexAdd, "index_add")
FG_INDEX_PUT(IndexCopy, "index_copy")
FG_INDEX_PUT(IndexFill, "index_fill")
FG_INDEX_PUT(Put, "put")
FG_INDEX_PUT(MaskedScatter, "masked_scatter")
#undef FG_INDEX_PUT

// Inputs: g, the linear index. Zeros of the shape in list 1 to which g is added at the index.
FG_DEFINE_OP(IndexAdjoint) = {
    .name = "index_adjoint",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<1>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          std::memset(out[0].data, 0, static_cast<size_t>(out[0].nbytes()));
          index_add(out[0], dims_of(a), a.integer(0), *in[1], *in[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::Index, {c.g(), c.in(1)}, c.attrs())); },
    .save = {save_in(1)},
};

Tensor index(const Tensor& x, std::span<const IndexItem> items) {
  Parsed p = parse(x, items, takes_entries(items));
  if (p.advanced.empty()) return view_of(x, p);
  Tensor v = p.is_identity() ? x : view_of(x, p);
  Located l = locate(v, p);
  return apply(Op::Index, {v, l.linear}, l.attrs());
}

namespace {

// Leading dimensions of size 1 do not count in an assignment.
Tensor without_leading_ones(const Tensor& t, int64_t ndim) {
  int64_t lead = 0;
  while (t.ndim() - lead > ndim && t.shape()[lead] == 1) ++lead;
  if (lead == 0) return t;
  return reshape(t, DimSpan(t.shape()).subspan(static_cast<size_t>(lead)));
}

void put(const Tensor& x, const Located& l, Tensor values, bool accumulate) {
  FG_CHECK(values.dtype() == x.dtype(),
           "Index put requires the source and destination dtypes match, got ",
           scalar_type_name(x.dtype()), " for the destination and ",
           scalar_type_name(values.dtype()),
           " for the source; convert the source, e.g. with .to(fastgrad.", name(x.dtype()), ").");
  Dims shape = index_shape(x.shape(), l.dims, l.position, l.linear.shape());
  values = without_leading_ones(values, static_cast<int64_t>(shape.size()));
  FG_CHECK(is_expandable_to(values.shape(), shape), "shape mismatch: value tensor of shape ",
           values.shape(), " cannot be broadcast to indexing result of shape ", shape);
  bool recorded = check_inplace(x, values.requires_grad(), "index_put");
  Ref<Node> node;
  Tensor inputs[] = {x, values, l.linear};
  if (recorded) {
    node = make_node(Op::IndexPut, inputs, Attrs(l.position, accumulate).with(l.dims));
    save_value(*node, 2, l.linear);
  }
  Array from = values.array().expanded(shape);
  if (memory_overlaps(from, x.array())) from = recorded::contiguous_copy(from);
  (accumulate ? index_add : index_set)(x.array(), l.dims, l.position, l.linear.array(), from);
  if (Recorder* r = recorder()) [[unlikely]] {
    const Array* in[] = {&x.array(), &from, &l.linear.array()};
    r->primitive(kPutIndex, Attrs(l.position, accumulate).with(l.dims), in, {&x.array(), 1});
  }
  x->array.buffer->bump_version();
  if (!recorded) return;
  Tensor result(x.array());
  set_output(node, 0, result);
  rebase_history(x, result);
}

void assign_view(const Tensor& v, const Operand& value) {
  if (!value.is_tensor()) {
    fill_(v, value.scalar());
    return;
  }
  Tensor src = without_leading_ones(value.tensor(), v.ndim());
  if (src.shape() != v.shape()) src = expand(src, v.shape());
  copy_(v, src);
}

// Writes one number wherever a mask is set. A replay need not know how often that is.
void assign_masked(const Tensor& v, const Advanced& a, const Tensor& number) {
  Tensor mask = a.tensor->dtype() == DType::Bool ? *a.tensor : ne(*a.tensor, 0);
  Dims shape = mask.shape();
  while (static_cast<int64_t>(shape.size()) < v.ndim() - a.dim) shape.push_back(1);
  copy_(v, apply(Op::MaskedFill, {v, reshape(mask, shape), reshape(number, {})}));
}

}  // namespace

void index_assign(const Tensor& x, std::span<const IndexItem> items, const Operand& value) {
  bool is_false = items.size() == 1 && items[0].tensor.defined() && items[0].tensor.ndim() == 0 &&
                  items[0].tensor.dtype() == DType::Bool && !item(items[0].tensor).to_bool();
  if (is_false) return;
  Parsed p = parse(x, items);
  Tensor v = p.is_identity() ? x : view_of(x, p);
  if (p.advanced.empty()) {
    assign_view(v, value);
    return;
  }
  Tensor values = value.is_tensor() ? value.tensor() : full({}, value.scalar(), x.dtype());
  bool masked = std::all_of(p.advanced.begin(), p.advanced.end(),
                            [](const Advanced& a) { return is_mask(*a.tensor); });
  if (masked && values.numel() == 1) {  // a masked fill
    values = to_dtype(values, x.dtype());
    const Advanced& first = p.advanced[0];
    if (recorder() && p.advanced.size() == 1 && first.tensor->ndim() > 0 && !values.requires_grad())
      return assign_masked(v, first, values);
  }
  put(v, locate(v, p, values), values, false);
}

Tensor index_put(const Tensor& x, std::span<const IndexItem> items, const Tensor& values,
                 bool accumulate) {
  Tensor out = clone(x);
  index_put_(out, items, values, accumulate);
  return out;
}

void index_put_(const Tensor& x, std::span<const IndexItem> items, const Tensor& values,
                bool accumulate) {
  Parsed p = parse(x, items);
  Tensor v = p.is_identity() ? x : view_of(x, p);
  put(v, locate(v, p, values), values, accumulate);
}

}  // namespace fastgrad
