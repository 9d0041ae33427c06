#include "autograd/engine.h"
#include "bindings/families.h"
#include "core/inplace.h"

namespace fastgrad::py {
namespace {

// None or a tensor, or a sequence of them, as a list.
Tensors tensor_list(PyObject* o) {
  Tensors out;
  if (!o || o == Py_None) return out;
  if (is_tensor(o)) {
    out.push_back(tensor_of(o));
    return out;
  }
  Object items = own(PySequence_Fast(o, "expected a tensor or a sequence of tensors"));
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    FG_CHECK_TYPE(item == Py_None || is_tensor(item), "expected a tensor or None, got ",
                  type_name(item));
    out.push_back(item == Py_None ? Tensor() : tensor_of(item));
  }
  return out;
}

}  // namespace

void bind_autograd(Registry& r) {
  r.add("backward", kMethod,
        "Adds the gradient of this tensor to the .grad of the leaves it depends on.")
      .on("(Tensor input, Tensor? gradient=None, bool? retain_graph=None, bool create_graph=False, "
          "Any inputs=None) -> None",
          [](const Arguments& a) {
            BackwardOptions o;
            o.create_graph = a.boolean(3);
            o.retain_graph = a.optional_boolean(2).value_or(o.create_graph);
            Tensor roots[] = {a.tensor(0)}, gradients[] = {a.optional_tensor(1)};
            Tensors inputs = tensor_list(a.object(4));
            FG_CHECK(!a.has(4) || !inputs.empty(),
                     "`inputs` argument to `backward()` cannot be empty.");
            {
              ReleaseGil release;
              backward(roots, gradients, o, inputs);
            }
            return none();
          });
  // What fastgrad.autograd.backward and grad call once their arguments are lists.
  r.add("_backward", kFunction, "autograd.backward")
      .on("(Any tensors, Any grad_tensors, bool retain_graph, bool create_graph, Any inputs) -> "
          "None",
          [](const Arguments& a) {
            BackwardOptions o;
            o.retain_graph = a.boolean(2);
            o.create_graph = a.boolean(3);
            Tensors roots = tensor_list(a.object(0)), gradients = tensor_list(a.object(1));
            Tensors inputs = tensor_list(a.object(4));
            {
              ReleaseGil release;
              backward(roots, gradients, o, inputs);
            }
            return none();
          });
  r.add("_grad", kFunction, "autograd.grad")
      .on("(Any outputs, Any inputs, Any grad_outputs, bool retain_graph, bool create_graph, "
          "bool allow_unused, bool materialize_grads) -> Tensor[]",
          [](const Arguments& a) {
            BackwardOptions o;
            o.retain_graph = a.boolean(3);
            o.create_graph = a.boolean(4);
            o.allow_unused = a.boolean(5);
            o.materialize_grads = a.boolean(6);
            Tensors outputs = tensor_list(a.object(0)), inputs = tensor_list(a.object(1));
            Tensors gradients = tensor_list(a.object(2));
            Tensors result;
            {
              ReleaseGil release;
              result = grad(outputs, inputs, gradients, o);
            }
            return wrap_tuple(result);
          });
  r.add("retain_grad", kMethod, "Keeps .grad of a non-leaf.")
      .on("(Tensor input) -> None", [](const Arguments& a) {
        retain_grad(a.tensor(0));
        return none();
      });
  r.add("detach_", kMethod, "Takes this tensor out of its graph: it becomes a leaf.")
      .on("(Tensor input) -> Tensor", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        FG_CHECK(!t->view,
                 "Can't detach views in-place. Use detach() instead. If you are using "
                 "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set "
                 "as True, "
                 "gradients are views of DDP buckets, and hence detach_() cannot be called on "
                 "these gradients.");
        move_retained_grad(t, nullptr, 0);
        t->node = nullptr;
        t->output_nr = 0;
        t->leaf_requires_grad = false;
        return Py_NewRef(a.object(0));
      });
  r.add("_bump_version", kMethod, "Tells autograd that the memory was written behind its back.")
      .on("(Tensor input) -> None", [](const Arguments& a) {
        a.tensor(0)->array.buffer->bump_version();
        return none();
      });
  r.add("_is_view", kMethod, "Whether this tensor is a view that autograd follows.")
      .on("(Tensor input) -> bool",
          [](const Arguments& a) { return boolean(a.tensor(0)->view != nullptr); });
  r.add("is_grad_enabled", kFunction, "Whether operations are recorded.")
      .on("() -> bool", [](const Arguments&) { return boolean(grad_enabled()); });
  r.add("_set_grad_enabled", kFunction, "Switches recording on or off in this thread.")
      .on("(bool mode) -> None", [](const Arguments& a) {
        t_modes.grad = a.boolean(0);
        return none();
      });
  r.add("is_inference_mode_enabled", kFunction, "Whether inference mode is on.")
      .on("() -> bool", [](const Arguments&) { return boolean(t_modes.inference); });
  r.add("_set_inference_mode", kFunction, "Switches inference mode in this thread.")
      .on("(bool mode) -> None", [](const Arguments& a) {
        t_modes.inference = a.boolean(0);
        return none();
      });
}

}  // namespace fastgrad::py
