// grad_fn as Python sees it.
#include "bindings/node_object.h"

#include "bindings/tensor_object.h"

namespace fastgrad::py {
namespace {

struct NodeObject {
  PyObject_HEAD Ref<Node> node;
};
PyTypeObject* g_node_type = nullptr;

Node& node_of(PyObject* o) { return *reinterpret_cast<NodeObject*>(o)->node; }

void dealloc(PyObject* self) {
  enter_thread();
  auto* o = reinterpret_cast<NodeObject*>(self);
  o->node->python = nullptr;
  o->node.~Ref<Node>();
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyObject* name(PyObject* self, PyObject*) {
  return PyUnicode_FromString(node_of(self).name().c_str());
}
PyObject* repr(PyObject* self) {
  return PyUnicode_FromFormat("<%s object at %p>", node_of(self).name().c_str(), &node_of(self));
}
PyObject* next_functions(PyObject* self, void*) {
  return guarded([&]() -> PyObject* {
    Node& n = node_of(self);
    Object tuple = own(PyTuple_New(static_cast<Py_ssize_t>(n.edges.size())));
    for (size_t i = 0; i < n.edges.size(); ++i) {
      const Edge& e = n.edges[i];
      Object node(e.node ? wrap_node(e.node) : none());
      PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                       check(Py_BuildValue("(OI)", node.get(), e.nr)));
    }
    return tuple.release();
  });
}
PyObject* variable(PyObject* self, void*) {
  Node& n = node_of(self);
  if (!n.is_accumulator()) {
    PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute 'variable'", n.name().c_str());
    return nullptr;
  }
  return guarded([&] { return wrap(Tensor::share(n.variable)); });
}
PyObject* register_hook(PyObject* self, PyObject* f) {
  return guarded([&] { return register_node_hook(reinterpret_cast<NodeObject*>(self)->node, f); });
}
PyObject* register_prehook(PyObject* self, PyObject* f) {
  return guarded(
      [&] { return register_node_prehook(reinterpret_cast<NodeObject*>(self)->node, f); });
}
PyObject* metadata(PyObject* self, void*) {
  Node& n = node_of(self);
  auto release = [](void* dict) { drop(static_cast<PyObject*>(dict)); };
  if (!n.extra().metadata) n.extra().metadata = std::shared_ptr<void>(PyDict_New(), release);
  return Py_XNewRef(static_cast<PyObject*>(n.extra().metadata.get()));
}

// Saved values by PyTorch's names, and the attributes of a custom function's ctx.
PyObject* get_attribute(PyObject* self, PyObject* attribute) {
  PyObject* found = PyObject_GenericGetAttr(self, attribute);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  Node& n = node_of(self);
  if (PyObject* ctx = custom_context(n)) {
    PyErr_Clear();
    return PyObject_GetAttr(ctx, attribute);
  }
  static constexpr std::pair<const char*, uint32_t> names[] = {
      {"_saved_self", 0}, {"_saved_other", 1}, {"_saved_exponent", 1}, {"_saved_result", 16}};
  std::string wanted = text_of(attribute);
  for (auto [name, bit] : names) {
    if (wanted != name || !(n.save_mask >> bit & 1)) continue;
    PyErr_Clear();
    return guarded([&, b = bit] { return wrap(b < 16 ? n.saved_input(b) : n.saved_output(0)); });
  }
  return nullptr;
}

// A custom function's node takes attributes for its ctx.
int set_attribute(PyObject* self, PyObject* attribute, PyObject* value) {
  if (PyObject* ctx = custom_context(node_of(self))) return PyObject_SetAttr(ctx, attribute, value);
  return PyObject_GenericSetAttr(self, attribute, value);
}

PyObject* sequence(PyObject* self, PyObject*) {
  return PyLong_FromUnsignedLongLong(node_of(self).sequence);
}

PyMethodDef methods[] = {
    {"name", name, METH_NOARGS, "The name of the node, e.g. 'MulBackward0'."},
    {"register_hook", register_hook, METH_O,
     "Calls hook(grad_inputs, grad_outputs) after the node ran; what it returns replaces "
     "grad_inputs."},
    {"register_prehook", register_prehook, METH_O,
     "Calls hook(grad_outputs) before the node runs; what it returns replaces grad_outputs."},
    {"_sequence_nr", sequence, METH_NOARGS, "The node's place in time."},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef getset[] = {
    {"next_functions", next_functions, nullptr, "The nodes of the inputs, with output numbers.",
     nullptr},
    {"metadata", metadata, nullptr, "A dict for notes of your own.", nullptr},
    {"variable", variable, nullptr, "The leaf of an AccumulateGrad node.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_getattro, reinterpret_cast<void*>(get_attribute)},
    {Py_tp_setattro, reinterpret_cast<void*>(set_attribute)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, const_cast<char*>("A node of the autograd graph: one recorded operation.")},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad.autograd.graph.Node", sizeof(NodeObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

void add_node_type(PyObject* module) {
  g_node_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&spec)));
  check_status(PyModule_AddObjectRef(module, "Node", reinterpret_cast<PyObject*>(g_node_type)));
}

Ref<Node> node_of_object(PyObject* o) {
  FG_CHECK_TYPE(Py_TYPE(o) == g_node_type, "expected a node of the graph, got ", type_name(o));
  return reinterpret_cast<NodeObject*>(o)->node;
}

PyObject* wrap_node(const Ref<Node>& node) {
  if (node->python) return Py_NewRef(static_cast<PyObject*>(node->python));
  auto* o = PyObject_New(NodeObject, g_node_type);
  if (!o) throw PythonError{};
  new (&o->node) Ref<Node>(node);
  node->python = o;
  return reinterpret_cast<PyObject*>(o);
}

}  // namespace fastgrad::py
