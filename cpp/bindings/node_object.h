// grad_fn as Python sees it.
#pragma once

#include "bindings/python.h"
#include "core/node.h"

namespace fastgrad::py {

void add_node_type(PyObject* module);
PyObject* wrap_node(const Ref<Node>& node);

}  // namespace fastgrad::py
