#include "ops/convert.h"

#include "core/inplace.h"
#include "core/memory.h"
#include "ops/creation.h"
#include "ops/infer.h"
#include "ops/pointwise.h"

namespace fastgrad {

// The leaf end of a graph. Never applied and never run as a rule: autograd/engine.cpp knows it.
FG_DEFINE_OP(AccumulateGrad) = {.name = "accumulate_grad", .backward_name = "AccumulateGrad"};

// A user's autograd.Function: its rule stands in NodeExtras::custom.
FG_DEFINE_OP(Custom) = {.name = "custom"};

namespace {
// Integer `slot` of the attributes is the memory format of a copy.
void lay_out(const Attrs& a, int slot, const Array& in, Meta& out) {
  auto format = static_cast<MemoryFormat>(a.integer(slot));
  out.shape = in.shape;
  if (format == MemoryFormat::Contiguous || (format == MemoryFormat::Preserve && in.contiguous))
    return;
  out.strides = format == MemoryFormat::Preserve ? dense_strides_like(in.shape, in.strides)
                                                 : format_strides(format, in.shape);
}
Scalar number(MemoryFormat f) { return Scalar(static_cast<int64_t>(f)); }
// The engine converts and sums a gradient to the type and shape of where it goes.
void pass_through(VjpContext& c) { c.set(0, c.g()); }
}  // namespace

FG_DEFINE_OP(ToDType) = {
    .name = "to",
    .backward_name = "ToCopyBackward0",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = static_cast<DType>(a.integer(0));
          lay_out(a, 1, *in[0], out[0]);
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { recorded::copy_array(*in[0], out[0]); },
    .vjp = pass_through,
};

FG_DEFINE_OP(Clone) = {
    .name = "clone",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          lay_out(a, 0, *in[0], out[0]);
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { recorded::copy_array(*in[0], out[0]); },
    .vjp = pass_through,
};

// Inputs: what was overwritten (absent for views), and the source.
FG_DEFINE_OP(Copy) = {
    .name = "copy",
    .backward_name = "CopyBackwards",
    .cls = OpClass::Linear,
    .infer = infer_as_input,
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { recorded::copy_array(*in[1], out[0]); },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, zeros_like(c.g()));
          if (c.needs(1)) c.set(1, c.g());
        },
};

Tensor to_dtype(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return to_copy(x, dtype, MemoryFormat::Contiguous);
}

Tensor to_copy(const Tensor& x, DType dtype, MemoryFormat format) {
  return apply(Op::ToDType, {x}, Attrs(Scalar(static_cast<int64_t>(dtype)), number(format)));
}

Tensor clone(const Tensor& x, MemoryFormat format) {
  return apply(Op::Clone, {x}, Attrs(number(format)));
}

Tensor contiguous(const Tensor& x, MemoryFormat format) {
  return has_format(format, x.shape(), x.strides()) ? x : clone(x, format);
}

void copy_(const Tensor& self, const Tensor& src) {
  bool recorded = check_inplace(self, src.requires_grad(), "copy");
  FG_CHECK(is_expandable_to(src.shape(), self.shape()), "The expanded size of the tensor ",
           self.shape(), " must match the existing size ", src.shape(), ": copy_ writes ",
           src.shape(), " into ", self.shape());
  Ref<Node> node;
  if (recorded) {
    Tensor inputs[] = {self->view ? Tensor() : self, src};
    node = make_node(Op::Copy, inputs, {});
  }
  recorded::copy_array(src.array(), self.array());
  self->array.buffer->bump_version();
  if (!recorded) return;
  Tensor result(self.array());
  set_output(node, 0, result);
  rebase_history(self, result);
}

void fill_(const Tensor& self, const Operand& value) {
  if (value.is_tensor()) {
    FG_CHECK(value.array().ndim() == 0,
             "fill_ only supports 0-dimension value tensor but got tensor with ",
             value.array().ndim(), " dimensions.");
    return copy_(self, value.tensor());
  }
  bool recorded = check_inplace(self, false, "fill");
  Ref<Node> node;
  if (recorded) {
    Tensor inputs[] = {self->view ? Tensor() : self, Tensor()};
    node = make_node(Op::Copy, inputs, {});
  }
  recorded::fill_array(self.array(), value.scalar());
  self->array.buffer->bump_version();
  if (!recorded) return;
  Tensor result(self.array());
  set_output(node, 0, result);
  rebase_history(self, result);
}

}  // namespace fastgrad
