// autograd.Function: the node that runs a user's backward, and `apply`. The protocol with the
// Python side stands in python/fastgrad/autograd/function.py.
#include <algorithm>

#include "bindings/families.h"
#include "bindings/node_object.h"
#include "core/apply.h"
#include "core/inplace.h"
#include "core/memory.h"

namespace fastgrad::py {
namespace {

struct SavedItem {
  SavedTensor value;  // undefined tensor: the user saved None
  SavedPlace place;
};

class PythonRule : public CustomRule {
 public:
  PythonRule(Object ctx, Node* node)
      : ctx_(std::move(ctx)), self_(std::make_shared<PythonRule*>(this)), node_(node) {}
  ~PythonRule() override {
    *self_ = nullptr;
    drop(ctx_.release());
  }

  std::string name() const override {
    AcquireGil gil;
    return Py_TYPE(ctx_.get())->tp_name;
  }
  void release_saved() override {
    saved.clear();
    released = true;
  }
  void run(const Node& node, std::span<Tensor> cotangents, std::span<Tensor> gradients) override {
    AcquireGil gil;
    if (released && had_saved) fail_released();
    try {
      call(node, cotangents, gradients);
    } catch (const PythonError&) {
      throw_python_error();
    }
  }

  // ctx.saved_tensors
  PyObject* load_saved() {
    if (released) fail_released();
    Object tuple = own(PyTuple_New(static_cast<Py_ssize_t>(saved.size())));
    for (size_t i = 0; i < saved.size(); ++i) {
      const SavedItem& s = saved[i];
      bool absent = !s.value.tensor.defined() && !s.value.packed;
      PyObject* item = absent ? none() : wrap(unpack(*node_, s.value, s.place));
      PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), item);
    }
    return tuple.release();
  }

  PyObject* context() const { return ctx_.get(); }
  const std::shared_ptr<PythonRule*>& self() const { return self_; }

  std::vector<SavedItem> saved;
  std::vector<bool> is_tensor_output;  // of forward's outputs
  bool materialize = true;
  bool released = false, had_saved = false;

 private:
  void call(const Node& node, std::span<Tensor> cotangents, std::span<Tensor> gradients) {
    auto n = static_cast<Py_ssize_t>(is_tensor_output.size());
    Object args = own(PyTuple_New(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      auto k = static_cast<size_t>(i);
      PyObject* g;
      if (k < cotangents.size() && cotangents[k].defined())
        g = wrap(cotangents[k]);
      else if (materialize && is_tensor_output[k])
        g = wrap(Tensor(recorded::zeros(node.outputs[k].shape, node.outputs[k].dtype)));
      else
        g = none();
      PyTuple_SET_ITEM(args.get(), i, g);
    }
    Object method = own(PyObject_GetAttrString(ctx_.get(), "_run_backward"));
    Object result = own(PyObject_Call(method.get(), args.get(), nullptr));
    for (size_t i = 0; i < gradients.size(); ++i) {
      PyObject* g = PyTuple_GET_ITEM(result.get(), static_cast<Py_ssize_t>(i));
      if (g != Py_None) gradients[i] = tensor_of(g);
    }
  }

  Object ctx_;
  std::shared_ptr<PythonRule*> self_;  // for those who know this rule without owning it
  Node* node_;
};

// ---- ctx._load_saved: a Python callable that knows the rule weakly

using RuleCell = std::shared_ptr<PythonRule*>;

PyObject* load_saved(PyObject* capsule, PyObject*) {
  return guarded([&]() -> PyObject* {
    auto* cell = static_cast<RuleCell*>(PyCapsule_GetPointer(capsule, nullptr));
    if (!**cell) fail_released();
    return (**cell)->load_saved();
  });
}
PyMethodDef load_saved_def = {"load_saved", load_saved, METH_NOARGS, nullptr};

Object make_load_saved(const RuleCell& rule) {
  Object capsule = own(PyCapsule_New(new RuleCell(rule), nullptr, [](PyObject* c) {
    delete static_cast<RuleCell*>(PyCapsule_GetPointer(c, nullptr));
  }));
  return own(PyCFunction_New(&load_saved_def, capsule.get()));
}

// ---- apply

Object attribute(PyObject* o, const char* name) { return own(PyObject_GetAttrString(o, name)); }
void set_attribute(PyObject* o, const char* name, PyObject* value) {
  check_status(PyObject_SetAttrString(o, name, value));
}

// A tuple attribute of ctx, as tensors; None and non-tensors are skipped unless `keep`.
Tensors tensors_of(PyObject* ctx, const char* name, bool keep) {
  Object tuple = attribute(ctx, name);
  Tensors out;
  if (tuple.get() == Py_None) return out;
  Object items = own(PySequence_Fast(tuple.get(), "expected a tuple of tensors"));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    if (is_tensor(item))
      out.push_back(tensor_of(item));
    else if (keep)
      out.push_back(Tensor());
  }
  return out;
}

bool contains(const Tensors& list, const Tensor& t) {
  return std::any_of(list.begin(), list.end(), [&](const Tensor& x) { return x.is(t); });
}

Object call_forward(PyObject* cls, PyObject* ctx, PyObject* args) {
  GradModeGuard no_grad(false);
  Object forward = attribute(cls, "forward");
  Object splits = attribute(cls, "_splits_context");
  if (splits.get() == Py_True) {
    Object output = own(PyObject_Call(forward.get(), args, nullptr));
    Object setup = attribute(cls, "setup_context");
    own(PyObject_CallFunctionObjArgs(setup.get(), ctx, args, output.get(), nullptr));
    return output;
  }
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  Object all = own(PyTuple_New(n + 1));
  PyTuple_SET_ITEM(all.get(), 0, Py_NewRef(ctx));
  for (Py_ssize_t i = 0; i < n; ++i)
    PyTuple_SET_ITEM(all.get(), i + 1, Py_NewRef(PyTuple_GET_ITEM(args, i)));
  return own(PyObject_Call(forward.get(), all.get(), nullptr));
}

// Moves ctx.to_save into the rule. Outputs are kept without their node.
void save_all(PythonRule& rule, PyObject* ctx, const Tensors& inputs, const Tensors& outputs) {
  Tensors to_save = tensors_of(ctx, "to_save", true);
  for (const Tensor& t : to_save) {
    SavedItem item{{}, {SavedPlace::Other, static_cast<uint32_t>(rule.saved.size())}};
    if (t.defined()) {
      for (uint32_t i = 0; i < outputs.size(); ++i)
        if (outputs[i].defined() && outputs[i].is(t)) item.place = {SavedPlace::Output, i};
      for (uint32_t i = 0; i < inputs.size(); ++i)
        if (inputs[i].defined() && inputs[i].is(t) && item.place.kind == SavedPlace::Other)
          item.place = {SavedPlace::Input, i};
      if (t_modes.slow_record && !saved_tensor_hooks().empty())
        item.value.packed = saved_tensor_hooks().back()->pack(t);
      else
        item.value.tensor = item.place.kind == SavedPlace::Output ? Tensor(t.array()) : t;
      item.value.version = t->version();
      rule.had_saved = true;
    }
    rule.saved.push_back(std::move(item));
  }
}

PyObject* apply_custom(PyObject* cls, PyObject* args) {
  auto n = static_cast<size_t>(PyTuple_GET_SIZE(args));
  Tensors inputs(n);
  for (size_t i = 0; i < n; ++i)
    if (PyObject* a = PyTuple_GET_ITEM(args, static_cast<Py_ssize_t>(i)); is_tensor(a))
      inputs[i] = tensor_of(a);
  bool recording = should_record(inputs);

  Object make_ctx = attribute(cls, "_backward_cls");
  Object ctx = own(PyObject_CallNoArgs(make_ctx.get()));
  Object needs = own(PyTuple_New(static_cast<Py_ssize_t>(n)));
  Object are_tensors = own(PyTuple_New(static_cast<Py_ssize_t>(n)));
  for (size_t i = 0; i < n; ++i) {
    bool wanted = recording && inputs[i].defined() && inputs[i].requires_grad();
    PyTuple_SET_ITEM(needs.get(), static_cast<Py_ssize_t>(i), boolean(wanted));
    PyTuple_SET_ITEM(are_tensors.get(), static_cast<Py_ssize_t>(i), boolean(inputs[i].defined()));
  }
  set_attribute(ctx.get(), "needs_input_grad", needs.get());
  set_attribute(ctx.get(), "_tensor_inputs", are_tensors.get());

  // Edges are those of the inputs as they are before forward may write to them.
  Ref<Node> node;
  if (recording) {
    node = make_node(Op::Custom, inputs, {});
    node->extra().custom = std::make_unique<PythonRule>(ctx, node.get());
  }
  Object result = call_forward(cls, ctx.get(), args);
  bool single = !PyTuple_Check(result.get());
  Object outputs_tuple = single ? own(PyTuple_Pack(1, result.get())) : result;
  auto m = static_cast<size_t>(PyTuple_GET_SIZE(outputs_tuple.get()));
  Tensors dirty = tensors_of(ctx.get(), "dirty_tensors", false);
  Tensors constant = tensors_of(ctx.get(), "non_differentiable", false);

  Tensors raw(m), outputs(m);
  Object wrapped = own(PyTuple_New(static_cast<Py_ssize_t>(m)));
  for (size_t i = 0; i < m; ++i)
    if (PyObject* o = PyTuple_GET_ITEM(outputs_tuple.get(), static_cast<Py_ssize_t>(i));
        is_tensor(o))
      raw[i] = tensor_of(o);
  for (const Tensor& d : dirty)
    FG_CHECK(contains(raw, d),
             "Some elements marked as dirty during the forward method were not returned as output. "
             "The inputs that are modified inplace must all be outputs of the Function.");
  for (size_t i = 0; i < m; ++i) {
    Tensor t = raw[i];
    if (t.defined()) {
      bool is_dirty = contains(dirty, t);
      bool differentiable = node && is_differentiable(t.dtype()) && !contains(constant, t);
      bool is_input = contains(inputs, t);
      if (is_dirty) {
        if (node) {
          check_inplace(t, true, "mark_dirty");
          Tensor history(t.array());
          node->outputs.resize(std::max<size_t>(node->outputs.size(), i + 1));
          set_output(node, static_cast<uint32_t>(i), history);
          rebase_history(t, history);
        }
      } else if (differentiable) {
        // An input returned as it came, or a view made inside, becomes a tensor of its own.
        if (is_input || t->view || t.requires_grad()) t = t.detach();
        set_output(node, static_cast<uint32_t>(i), t);
      } else if (is_input) {
        t = t.detach();
      }
    }
    outputs[i] = t;
    PyObject* o =
        t.defined() ? wrap(t)
                    : Py_NewRef(PyTuple_GET_ITEM(outputs_tuple.get(), static_cast<Py_ssize_t>(i)));
    if (t.defined() && t->node) track(o);  // whose context may come to refer to it
    PyTuple_SET_ITEM(wrapped.get(), static_cast<Py_ssize_t>(i), o);
  }
  if (node) {
    auto& rule = static_cast<PythonRule&>(*node->extras->custom);
    Object materialize = attribute(ctx.get(), "materialize_grads");
    rule.materialize = PyObject_IsTrue(materialize.get()) == 1;
    for (size_t i = 0; i < m; ++i) rule.is_tensor_output.push_back(raw[i].defined());
    while (node->outputs.size() < m) node->outputs.push_back({Dims(), default_dtype()});
    for (size_t i = 0; i < m; ++i)
      if (raw[i].defined()) node->outputs[i] = {raw[i].shape(), raw[i].dtype()};
    // A saved output is known by the tensor that forward returned or by the one we return.
    save_all(rule, ctx.get(), inputs, raw);
    Object loader = make_load_saved(rule.self());
    set_attribute(ctx.get(), "_load_saved", loader.get());
    // The context would keep the outputs among them alive, and they their node, which has it.
    Object nothing = own(PyTuple_New(0));
    for (const char* name : {"to_save", "dirty_tensors", "non_differentiable"})
      set_attribute(ctx.get(), name, nothing.get());
  }
  if (single) return Py_NewRef(PyTuple_GET_ITEM(wrapped.get(), 0));
  return wrapped.release();
}

}  // namespace

PyObject* custom_context(const Node& node) {
  if (!node.extras || !node.extras->custom) return nullptr;
  return static_cast<PythonRule&>(*node.extras->custom).context();
}

void bind_custom_function(Registry& r) {
  r.add("_apply_custom_function", kFunction, "Runs an autograd.Function and records it.")
      .on("(Any cls, Any args) -> Any",
          [](const Arguments& a) { return apply_custom(a.object(0), a.object(1)); });
}

}  // namespace fastgrad::py
