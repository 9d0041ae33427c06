#include "bindings/node_object.h"
#include "bindings/outside_memory.h"
#include "bindings/tensor_object.h"
#include "bindings/tensor_slots.h"
#include "bindings/types.h"
#include "core/node.h"
#include "ops/complex.h"
#include "ops/shape.h"

namespace fastgrad::py {

namespace {

// Getters run in a guard and see the tensor, not its values; setters return nothing and throw.
template <PyObject* (*F)(const Tensor&)>
PyObject* get(PyObject* self, void*) {
  enter_thread();
  return guarded_lazily([&] { return F(tensor_of(self)); });
}
template <void (*F)(const Tensor&, PyObject*)>
int set(PyObject* self, PyObject* value, void*) {
  enter_thread();
  return guarded(
      [&]() -> int {
        F(tensor_of(self), value);
        return 0;
      },
      -1);
}

PyObject* shape(const Tensor& t) { return make_size(t.shape()); }
PyObject* dtype(const Tensor& t) { return wrap(t.dtype()); }
PyObject* device(const Tensor&) { return cpu_device(); }
PyObject* layout(const Tensor&) { return strided_layout(); }
PyObject* ndim(const Tensor& t) { return PyLong_FromLongLong(t.ndim()); }
PyObject* item_bytes(const Tensor& t) { return PyLong_FromSize_t(t.array().itemsize()); }
PyObject* bytes(const Tensor& t) { return PyLong_FromLongLong(t.array().nbytes()); }
PyObject* version(const Tensor& t) {
  FG_CHECK(!t->inference, "Inference tensors do not track version counter.");
  refuse_outside(t, "._version");
  return PyLong_FromUnsignedLong(t->version());
}
PyObject* output_nr(const Tensor& t) { return PyLong_FromUnsignedLong(t->output_nr); }
PyObject* is_leaf(const Tensor& t) { return boolean(t.is_leaf()); }
PyObject* always_false(const Tensor&) { return boolean(false); }
PyObject* always_true(const Tensor&) { return boolean(true); }
PyObject* retains_grad(const Tensor& t) { return boolean(t->extras && t->extras->retains_grad); }
PyObject* is_inference(const Tensor& t) { return boolean(t->inference); }

PyObject* requires_grad(const Tensor& t) { return boolean(t.requires_grad()); }
void set_requires_grad(const Tensor& t, PyObject* v) {
  FG_CHECK_TYPE(v && PyBool_Check(v), "requires_grad must be a bool");
  change_requires_grad(t, v == Py_True);
}

PyObject* grad(const Tensor& t) {
  if (!t->grad.defined() && !t.is_leaf() && !(t->extras && t->extras->retains_grad))
    warn(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
        "attribute won't be populated during autograd.backward(). If you indeed want the .grad "
        "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. "
        "If "
        "you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead.");
  return wrap(t->grad);
}
void set_grad(const Tensor& t, PyObject* v) {
  if (!v || v == Py_None) {
    t->grad = Tensor();
    return;
  }
  FG_CHECK_TYPE(is_tensor(v), "assigned grad expected to be a Tensor or None but got grad of type ",
                type_name(v));
  Tensor g = tensor_of(v);
  FG_CHECK(!g.is(t), "can't assign Variable as its own grad");
  FG_CHECK(
      g.dtype() == t.dtype(), "attempting to assign a gradient with dtype '", name(g.dtype()),
      "' to a tensor with dtype '", name(t.dtype()),
      "'. Please ensure that the gradient and the tensor have the same dtype, e.g. with .to()");
  FG_CHECK(g.shape() == t.shape(), "attempting to assign a gradient of size '", g.shape(),
           "' to a tensor of size '", t.shape(),
           "'. Please ensure that the gradient and the tensor are the same size");
  t->grad = g;
}

PyObject* grad_fn(const Tensor& t) {
  Edge e = gradient_edge(t);
  if (!e.node || e.node->is_accumulator()) return none();
  refuse_outside(t, ".grad_fn");
  return wrap_node(e.node);
}
void refuse_grad_fn(const Tensor&, PyObject* v) {
  FG_CHECK(v == Py_None || !v, "_grad_fn can be only set to None");
}

// The same memory under its own version counter, without history.
PyObject* data(const Tensor& t) {
  deferred::settle();
  Tensor out = Tensor::adopt(TensorImpl::make());
  Array& a = out.mutable_array();
  a = t.array();
  a.buffer = Buffer::alias(a.buffer);
  return wrap(std::move(out));
}
void set_data(const Tensor& t, PyObject* v) {
  FG_CHECK_TYPE(v && is_tensor(v), "Variable data has to be a tensor, but got ",
                v ? type_name(v) : "nothing");
  Tensor from = tensor_of(v);
  FG_CHECK(!t.requires_grad() || is_differentiable(from.dtype()),
           "data set to a tensor that requires gradients must be floating point or complex dtype");
  uint32_t version = t->version();
  t->array = from.array();
  // A buffer that somebody else can reach gets a counter of its own here.
  Ref<Buffer>& buffer = t->array.buffer;
  if (from->refs.get() > 2 || buffer->use_count() > 2) buffer = Buffer::alias(buffer);
  buffer->set_version(version);
}

PyObject* real_part(const Tensor& t) { return wrap(real(t)); }
PyObject* imaginary_part(const Tensor& t) { return wrap(imag(t)); }
// The dimensions in reverse order; the last two exchanged.
PyObject* reversed(const Tensor& t) {
  if (t.ndim() != 2 && t.ndim() != 0)
    warn(
        "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
        "deprecated and it "
        "will throw an error in a future release. Consider `x.mT` to transpose batches of matrices "
        "or "
        "`x.permute(*reversed(range(x.ndim)))` to reverse the dimensions of a tensor.");
  Dims order;
  for (int64_t i = t.ndim(); i-- > 0;) order.push_back(i);
  return wrap(permute(t, order));
}
PyObject* matrix_transposed(const Tensor& t) {
  FG_CHECK(t.ndim() >= 2, "tensor.mT is only supported on matrices or batches of matrices. Got ",
           t.ndim(), "-D tensor.");
  return wrap(transpose(t, -2, -1));
}
PyObject* conjugate_transposed(const Tensor& t) {
  FG_CHECK(t.ndim() == 2 || t.ndim() == 0,
           "tensor.H is only supported on matrices (2-D tensors). Got ", t.ndim(),
           "-D tensor. For batches of matrices, consider using tensor.mH");
  FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(t.dtype()),
                "tensor.H is not implemented for complex tensors");
  return wrap(t.ndim() == 0 ? t : transpose(t, 0, 1));
}
PyObject* batch_conjugate_transposed(const Tensor& t) {
  FG_CHECK(t.ndim() >= 2, "tensor.mH is only supported on matrices or batches of matrices. Got ",
           t.ndim(), "-D tensor.");
  FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(t.dtype()),
                "tensor.mH is not implemented for complex tensors");
  return wrap(transpose(t, -2, -1));
}

PyObject* base(const Tensor& t) {
  refuse_outside(t, "._base");
  return t->view ? wrap(t->view->base) : none();
}
PyObject* is_view(const Tensor& t) {
  refuse_outside(t, "._is_view()");
  return boolean(t->view != nullptr);
}

PyGetSetDef g_attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {"shape", get<shape>, nullptr, "The sizes of the dimensions, a fastgrad.Size.", nullptr},
    {"dtype", get<dtype>, nullptr, "The type of the elements.", nullptr},
    {"device", get<device>, nullptr, "Where the memory is.", nullptr},
    {"layout", get<layout>, nullptr, "How the elements lie in memory: fastgrad.strided.", nullptr},
    {"ndim", get<ndim>, nullptr, "The number of dimensions.", nullptr},
    {"T", get<reversed>, nullptr, "The view with the dimensions in reverse order.", nullptr},
    {"mT", get<matrix_transposed>, nullptr, "The view with the last two dimensions exchanged.",
     nullptr},
    {"H", get<conjugate_transposed>, nullptr, "The conjugate transpose of a matrix.", nullptr},
    {"mH", get<batch_conjugate_transposed>, nullptr,
     "The conjugate transpose of a batch of matrices.", nullptr},
    {"itemsize", get<item_bytes>, nullptr, "Bytes per element.", nullptr},
    {"nbytes", get<bytes>, nullptr, "Bytes of all elements.", nullptr},
    {"requires_grad", get<requires_grad>, set<set_requires_grad>,
     "Whether gradients flow to this tensor. Can be set on leaves.", nullptr},
    {"grad", get<grad>, set<set_grad>, "The gradient that backward() summed up, or None.", nullptr},
    {"grad_fn", get<grad_fn>, nullptr,
     "The node of the graph that made this tensor; None for leaves.", nullptr},
    {"_grad_fn", get<grad_fn>, set<refuse_grad_fn>, nullptr, nullptr},
    {"data", get<data>, set<set_data>,
     "The same memory without history; writes through it are not seen by autograd.", nullptr},
    {"real", get<real_part>, nullptr, "The real part, a view; a real tensor itself.", nullptr},
    {"imag", get<imaginary_part>, nullptr, "The imaginary part of a complex tensor, a view.",
     nullptr},
    {"is_leaf", get<is_leaf>, nullptr, "Whether no recorded op made this tensor.", nullptr},
    {"output_nr", get<output_nr>, nullptr, "Which output of grad_fn this tensor is.", nullptr},
    {"retains_grad", get<retains_grad>, nullptr, "Whether a non-leaf keeps its .grad.", nullptr},
    {"_version", get<version>, nullptr, "How often the memory was written in place.", nullptr},
    {"_base", get<base>, nullptr, "The tensor that this one is a view of, or None.", nullptr},
    {"is_cuda", get<always_false>, nullptr, "False: tensors live on the CPU.", nullptr},
    {"is_mps", get<always_false>, nullptr, "False: tensors live on the CPU.", nullptr},
    {"is_xpu", get<always_false>, nullptr, "False: tensors live on the CPU.", nullptr},
    {"is_sparse", get<always_false>, nullptr, "False: tensors are dense.", nullptr},
    {"is_quantized", get<always_false>, nullptr, "False.", nullptr},
    {"is_cpu", get<always_true>, nullptr, "True: tensors live on the CPU.", nullptr},
    {"_is_view_flag", get<is_view>, nullptr, nullptr, nullptr},
    {"_is_inference_flag", get<is_inference>, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace

void change_requires_grad(const Tensor& t, bool on) {
  FG_CHECK(
      t.is_leaf() || on,
      "you can only change requires_grad flags of leaf variables. If you want to use a computed "
      "variable in a subgraph that doesn't require differentiation use var_no_grad = "
      "var.detach().");
  FG_CHECK(!on || is_differentiable(t.dtype()),
           "only Tensors of floating point and complex dtype can require gradients, got ",
           name(t.dtype()));
  FG_CHECK(!on || !t->inference || t_modes.inference,
           "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
  if (t.is_leaf()) t->leaf_requires_grad = on;
}

PyGetSetDef* tensor_attributes() { return g_attributes; }

}  // namespace fastgrad::py
