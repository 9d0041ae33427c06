// Hooks on gradients and nodes, saved-tensor hooks, anomaly mode.
#include <algorithm>
#include <functional>

#include "autograd/cycles.h"
#include "autograd/engine.h"
#include "bindings/families.h"
#include "bindings/node_object.h"

namespace fastgrad::py {
namespace {

// ---- the handle that register_* returns

struct HandleObject {
  PyObject_HEAD std::function<void()>* remove;  // null when done
};
PyTypeObject* g_handle_type = nullptr;

void handle_dealloc(PyObject* self) {
  delete reinterpret_cast<HandleObject*>(self)->remove;
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}
PyObject* handle_remove(PyObject* self, PyObject*) {
  enter_thread();
  return guarded([&] {
    auto* o = reinterpret_cast<HandleObject*>(self);
    if (auto* f = std::exchange(o->remove, nullptr)) {
      (*f)();
      delete f;
    }
    return none();
  });
}
PyObject* handle_enter(PyObject* self, PyObject*) { return Py_NewRef(self); }
PyObject* handle_exit(PyObject* self, PyObject*) { return handle_remove(self, nullptr); }
PyMethodDef handle_methods[] = {
    {"remove", handle_remove, METH_NOARGS, "Takes the hook away again."},
    {"__enter__", handle_enter, METH_NOARGS, nullptr},
    {"__exit__", handle_exit, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot handle_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
    {Py_tp_methods, handle_methods},
    {Py_tp_doc, const_cast<char*>("Removes a hook: call remove(), or use it in a with statement.")},
    {0, nullptr},
};
PyType_Spec handle_spec = {"fastgrad.utils.hooks.RemovableHandle", sizeof(HandleObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, handle_slots};

PyObject* make_handle(std::function<void()> remove) {
  auto* o = PyObject_New(HandleObject, g_handle_type);
  if (!o) throw PythonError{};
  o->remove = new std::function<void()>(std::move(remove));
  return reinterpret_cast<PyObject*>(o);
}

// ---- Python callables as hooks; they may run and die without the GIL

class Callable {
 public:
  explicit Callable(PyObject* f) : f_(Object::borrow(f)) {}
  Callable(const Callable&) = delete;
  Callable& operator=(const Callable&) = delete;
  ~Callable() { drop(f_.release()); }
  PyObject* get() const { return f_.get(); }
  template <class... Args>
  Object operator()(Args... args) const {
    Object r(PyObject_CallFunctionObjArgs(f_.get(), args..., nullptr));
    if (!r) throw_python_error();
    return r;
  }

 private:
  Object f_;
};

struct PythonGradHook : GradHook {
  explicit PythonGradHook(PyObject* f) : call(f) {}
  void* python_callable() const override { return call.get(); }
  Tensor operator()(const Tensor& g) override {
    AcquireGil gil;
    Object in(wrap(g));
    Object out = call(in.get());
    if (out.get() == Py_None) return {};
    FG_CHECK_TYPE(is_tensor(out.get()), "expected hook to return a Tensor or None, got ",
                  type_name(out.get()));
    Tensor t = tensor_of(out.get());
    FG_CHECK(t.shape() == g.shape(), "hook has changed the size of value: from ", g.shape(), " to ",
             t.shape());
    FG_CHECK(t.dtype() == g.dtype(), "hook has changed the type of value: from ", name(g.dtype()),
             " to ", name(t.dtype()));
    return t;
  }
  Callable call;
};

struct PythonPostHook : GradHook {
  explicit PythonPostHook(PyObject* f) : call(f) {}
  void* python_callable() const override { return call.get(); }
  Tensor operator()(const Tensor& leaf) override {
    AcquireGil gil;
    Object in(wrap(leaf));
    Object out = call(in.get());
    FG_CHECK(out.get() == Py_None, "Tensor post accumulate grad hooks should return None.");
    return {};
  }
  Callable call;
};

// Replaces `values` by what a node hook returned.
void take_result(PyObject* result, std::vector<Tensor>& values) {
  if (result == Py_None) return;
  Object items =
      is_tensor(result)
          ? own(PyTuple_Pack(1, result))
          : own(PySequence_Fast(result, "hook must return a tensor, a tuple of tensors, or None"));
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  FG_CHECK(static_cast<size_t>(n) == values.size(),
           "hook has returned an incorrect number of values (got ", n, ", but expected ",
           values.size(), ")");
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    values[static_cast<size_t>(i)] = is_tensor(item) ? tensor_of(item) : Tensor();
  }
}

struct PythonNodeHook : NodeHook {
  PythonNodeHook(PyObject* f, bool post) : call(f), is_post(post) {}
  void operator()(std::vector<Tensor>& values, const std::vector<Tensor>& outer) override {
    AcquireGil gil;
    try {
      Object in(wrap_tuple(values));
      Object second(is_post ? wrap_tuple(outer) : nullptr);
      Object result = is_post ? call(in.get(), second.get()) : call(in.get());
      take_result(result.get(), values);
    } catch (const PythonError&) {
      throw_python_error();
    }
  }
  Callable call;
  bool is_post;
};

PyObject* add_node_hook(const Ref<Node>& node, PyObject* f, bool post) {
  FG_CHECK_TYPE(PyCallable_Check(f), "a hook must be callable, got ", type_name(f));
  auto hook = std::make_shared<PythonNodeHook>(f, post);
  auto& list = post ? node->extra().post_hooks : node->extra().pre_hooks;
  list.push_back(hook);
  return make_handle([node, hook, post] {
    auto& hooks = post ? node->extra().post_hooks : node->extra().pre_hooks;
    std::erase(hooks, std::static_pointer_cast<NodeHook>(hook));
  });
}

// ---- saved-tensor hooks

struct PythonPacked : PackedTensor {
  PythonPacked(Object v, std::shared_ptr<Callable> u)
      : value(std::move(v)), unpack_hook(std::move(u)) {}
  ~PythonPacked() override { drop(value.release()); }
  Tensor unpack() override {
    AcquireGil gil;
    Object t = (*unpack_hook)(value.get());
    FG_CHECK_TYPE(
        is_tensor(t.get()),
        "Output of saved tensor unpack_hook expected to be a Tensor but got result of type ",
        type_name(t.get()));
    return tensor_of(t.get());
  }
  Object value;
  std::shared_ptr<Callable> unpack_hook;
};

struct PythonSavedHooks : SavedTensorHooks {
  PythonSavedHooks(PyObject* p, PyObject* u)
      : pack_hook(p), unpack_hook(std::make_shared<Callable>(u)) {}
  std::unique_ptr<PackedTensor> pack(const Tensor& t) override {
    AcquireGil gil;
    // The hooks themselves must not be recorded, nor pack what they save.
    GradModeGuard no_grad(false);
    Object in(wrap(t));
    uint32_t version = t->version();
    Object packed = pack_hook(in.get());
    FG_CHECK(t->version() == version,
             "A saved tensor pack hook is modifying its input in place. Tensors provided as "
             "input to pack hook can not be modified by in-place operations as this can lead to "
             "unexpected "
             "side-effects. Please open an issue if you need to perform in-place operations on the "
             "input to a pack hook.");
    return std::make_unique<PythonPacked>(std::move(packed), unpack_hook);
  }
  Callable pack_hook;
  std::shared_ptr<Callable> unpack_hook;
};

// Why hooks are forbidden in this thread; empty when they are not.
std::string& disabled_message() {
  static thread_local std::string text;
  return text;
}

void bind_saved_tensor_hooks(Registry& r) {
  r.add("_push_saved_tensors_hooks", kFunction, "Puts a pair of hooks in force.")
      .on("(Any pack_hook, Any unpack_hook) -> None", [](const Arguments& a) {
        FG_CHECK(disabled_message().empty(), disabled_message());
        saved_tensor_hooks().push_back(
            std::make_shared<PythonSavedHooks>(a.object(0), a.object(1)));
        update_slow_record();
        return none();
      });
  r.add("_pop_saved_tensors_hooks", kFunction, "Takes the last pair of hooks away.")
      .on("() -> None", [](const Arguments&) {
        if (!saved_tensor_hooks().empty()) saved_tensor_hooks().pop_back();
        update_slow_record();
        return none();
      });
  r.add("_disable_saved_tensors_hooks", kFunction,
        "Forbids hooks, with this message; None allows them.")
      .on("(str? message) -> None", [](const Arguments& a) {
        FG_CHECK(!a.has(0) || saved_tensor_hooks().empty(), a.has(0) ? a.text(0) : "");
        disabled_message() = a.has(0) ? a.text(0) : "";
        return none();
      });
  r.add("_saved_tensors_hooks_disabled_message", kFunction, "The message, or None.")
      .on("() -> str?", [](const Arguments&) {
        const std::string& s = disabled_message();
        return s.empty() ? none() : PyUnicode_FromString(s.c_str());
      });
}

// ---- anomaly mode

std::string describe_user_frame() {
  AcquireGil gil;
  Object traceback(PyImport_ImportModule("traceback"));
  Object lines(traceback ? PyObject_CallMethod(traceback.get(), "format_stack", nullptr) : nullptr);
  Object empty(PyUnicode_FromString(""));
  Object text(lines ? PyUnicode_Join(empty.get(), lines.get()) : nullptr);
  if (!text) {
    PyErr_Clear();
    return "<no traceback>";
  }
  return text_of(text.get());
}

void warn_from_core(const std::string& text) {
  AcquireGil gil;
  try {
    warn(text);
  } catch (const PythonError&) {
    throw_python_error();
  }
}

void bind_anomaly(Registry& r) {
  r.add("is_anomaly_enabled", kFunction, "Whether anomaly detection is on.")
      .on("() -> bool", [](const Arguments&) { return boolean(t_modes.anomaly); });
  r.add("is_anomaly_check_nan_enabled", kFunction, "Whether anomaly detection looks for NaN.")
      .on("() -> bool", [](const Arguments&) { return boolean(t_modes.check_nan); });
  r.add("_set_anomaly", kFunction, "Switches anomaly detection in this thread.")
      .on("(bool mode, bool check_nan) -> None", [](const Arguments& a) {
        t_modes.anomaly = a.boolean(0);
        t_modes.check_nan = a.boolean(1);
        update_slow_record();
        return none();
      });
}

}  // namespace

PyObject* register_node_hook(const Ref<Node>& node, PyObject* f) {
  return add_node_hook(node, f, true);
}
PyObject* register_node_prehook(const Ref<Node>& node, PyObject* f) {
  return add_node_hook(node, f, false);
}

void bind_hooks(Registry& r) {
  g_handle_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&handle_spec)));
  g_describe_user_frame = describe_user_frame;
  g_warn = warn_from_core;
  bind_saved_tensor_hooks(r);
  bind_anomaly(r);
  r.add("register_hook", kMethod,
        "Calls hook(grad) when the gradient of this tensor is known; what it returns replaces it.")
      .on("(Tensor input, Any hook) -> Any", [](const Arguments& a) {
        FG_CHECK_TYPE(PyCallable_Check(a.object(1)), "a hook must be callable, got ",
                      type_name(a.object(1)));
        Tensor t = a.tensor(0);
        auto hook = std::make_shared<PythonGradHook>(a.object(1));
        register_hook(t, hook);
        track(a.object(0));
        Edge e = gradient_edge(t);
        return make_handle([e, hook] {
          if (e.node->is_accumulator() && e.node->variable->extras)
            std::erase(e.node->variable->extras->hooks, std::static_pointer_cast<GradHook>(hook));
          else if (e.node->extras)
            std::erase_if(e.node->extras->output_hooks, [&](auto& h) { return h.hook == hook; });
        });
      });
  r.add("register_post_accumulate_grad_hook", kMethod,
        "Calls hook(leaf) after a gradient was added to the leaf's .grad.")
      .on("(Tensor input, Any hook) -> Any", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        FG_CHECK(t.requires_grad(),
                 "cannot register a hook on a tensor that doesn't require gradient");
        FG_CHECK(t.is_leaf(),
                 "post accumulate grad hooks cannot be registered on non-leaf tensors");
        auto hook = std::make_shared<PythonPostHook>(a.object(1));
        t->extra().post_hooks.push_back(hook);
        track(a.object(0));
        return make_handle([t, hook] {
          std::erase(t->extra().post_hooks, std::static_pointer_cast<GradHook>(hook));
        });
      });
  r.add("_collect_gradient_cycles", kFunction,
        "Frees tensors that only their own .grad keeps alive; returns how many.")
      .on("()", [](const Arguments&) { return PyLong_FromLongLong(collect_gradient_cycles()); });
  r.add("_current_graph_task_id", kFunction,
        "The number of the running backward; -1 when none runs.")
      .on("() -> int", [](const Arguments&) { return PyLong_FromLongLong(current_task_id()); });
  r.add("_will_engine_execute_node", kFunction, "Whether the running backward reaches a node.")
      .on("(Any node) -> bool", [](const Arguments& a) {
        return boolean(current_task_runs(node_of_object(a.object(0)).get()));
      });
  r.add("_is_checkpoint_valid", kFunction, "Whether the running backward fills .grad.")
      .on("() -> bool", [](const Arguments&) { return boolean(current_task_fills_grad()); });
}

}  // namespace fastgrad::py
