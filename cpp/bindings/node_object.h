// grad_fn as Python sees it.
#pragma once

#include "bindings/python.h"
#include "core/node.h"

namespace fastgrad::py {

void add_node_type(PyObject* module);
PyObject* wrap_node(const Ref<Node>& node);
// The node of a wrapper; fails on other objects.
Ref<Node> node_of_object(PyObject* o);

// The ctx of a custom function's node, borrowed; null for others (custom_function.cpp).
PyObject* custom_context(const Node& node);
// Handles of hooks on a node (bind_hooks.cpp).
PyObject* register_node_hook(const Ref<Node>& node, PyObject* f);
PyObject* register_node_prehook(const Ref<Node>& node, PyObject* f);

}  // namespace fastgrad::py
