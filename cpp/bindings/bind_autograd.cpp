#include "autograd/cycles.h"
#include "autograd/engine.h"
#include "autograd/reach.h"
#include "bindings/families.h"
#include "bindings/node_object.h"
#include "bindings/outside_memory.h"
#include "core/inplace.h"
#include "core/variables.h"
#include "program/rows.h"

namespace fastgrad::py {
namespace {

using TensorArgs = SmallVector<Tensor, 2>;

bool is_mapping(PyObject* o) {
  return PyDict_Check(o) || (PyMapping_Check(o) && !PySequence_Check(o));
}

// Calls add(item) for a tensor, or for every value of a mapping or a sequence of them.
template <class F>
void for_each_tensor(PyObject* o, F&& add) {
  if (is_tensor(o)) {
    add(o);
    return;
  }
  Object values = is_mapping(o) ? own(PyMapping_Values(o)) : Object(Py_NewRef(o));
  Object items = own(PySequence_Fast(values.get(), "expected a tensor or several tensors"));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i)
    add(PySequence_Fast_GET_ITEM(items.get(), i));
}

// What is differentiated.
TensorArgs roots_of(PyObject* o) {
  bool several = is_mapping(o) || (PySequence_Check(o) && !PyUnicode_Check(o));
  FG_CHECK_TYPE(is_tensor(o) || several, "Expected output to be a fastgrad.Tensor, got ",
                type_name(o), ".");
  TensorArgs roots;
  for_each_tensor(o, [&](PyObject* item) {
    FG_CHECK_TYPE(is_tensor(item), "Expected output to be a fastgrad.Tensor, got ", type_name(item),
                  ".");
    roots.push_back(tensor_of(item));
  });
  return roots;
}

// One gradient, or an undefined one, per root.
TensorArgs seeds_of(PyObject* o, size_t count) {
  TensorArgs seeds;
  if (!o || o == Py_None) return seeds;
  for_each_tensor(o, [&](PyObject* item) {
    FG_CHECK_TYPE(item == Py_None || is_tensor(item),
                  "gradients can be either Tensors or None, but got ", type_name(item));
    seeds.push_back(item == Py_None ? Tensor() : tensor_of(item));
  });
  FG_CHECK(seeds.size() == count, "got ", count, " tensors and ", seeds.size(), " gradients");
  return seeds;
}

// What is differentiated with respect to.
TensorArgs wanted_of(PyObject* o, const char* caller) {
  TensorArgs wanted;
  for_each_tensor(o, [&](PyObject* item) {
    FG_CHECK(is_tensor(item), "all inputs have to be Tensors, but got ", type_name(item));
    wanted.push_back(tensor_of(item));
  });
  FG_CHECK(!wanted.empty(), "`inputs` argument to `", caller, "()` cannot be empty.");
  return wanted;
}

// (per source how it was met, nodes at the borders, whether others differentiate too)
PyObject* route_of(const Arguments& a) {
  TensorArgs targets, sources;
  for_each_tensor(a.object(0), [&](PyObject* item) { targets.push_back(tensor_of(item)); });
  for_each_tensor(a.object(1), [&](PyObject* item) { sources.push_back(tensor_of(item)); });
  Dims ends = a.ints(2);
  SmallVector<Span, 2> times;
  for (size_t i = 0; i + 1 < ends.size(); i += 2)
    times.push_back({static_cast<uint64_t>(ends[i]), static_cast<uint64_t>(ends[i + 1])});
  Route route = trace_route(targets, sources, times);
  Object met = own(PyList_New(0)), borders = own(PyList_New(0));
  auto append = [](PyObject* list, PyObject* item) {
    Object held = own(item);
    if (PyList_Append(list, item) < 0) throw_python_error();
  };
  for (Met m : route.met) append(met.get(), PyLong_FromLong(static_cast<long>(m)));
  for (const Ref<Node>& node : route.borders) append(borders.get(), wrap_node(node));
  return PyTuple_Pack(3, met.get(), borders.get(), route.outside ? Py_True : Py_False);
}

BackwardOptions options_of(std::optional<bool> retain_graph, bool create_graph) {
  BackwardOptions o;
  o.create_graph = create_graph;
  o.retain_graph = retain_graph.value_or(create_graph);
  return o;
}

// `a` has retain_graph, create_graph and inputs from argument 2 on.
PyObject* run_backward(const Arguments& a, std::span<const Tensor> roots,
                       std::span<const Tensor> gradients) {
  BackwardOptions o = options_of(a.optional_boolean(2), a.boolean(3));
  TensorArgs inputs;
  if (a.has(4)) inputs = wanted_of(a.object(4), "backward");
  {
    ReleaseGil release;
    backward(roots, gradients, o, inputs);
  }
  collect_due_gradient_cycles();
  return none();
}

}  // namespace

void bind_autograd(Registry& r) {
  r.add("backward", kMethod | kLazy,
        "Adds the gradient of this tensor to the .grad of the leaves it depends on.")
      .on("(Tensor input, Tensor? gradient=None, bool? retain_graph=None, bool create_graph=False, "
          "Any inputs=None) -> None",
          [](const Arguments& a) {
            Tensor roots[] = {a.tensor(0)}, gradients[] = {a.optional_tensor(1)};
            return run_backward(a, roots, gradients);
          });
  // fastgrad.autograd.backward and grad, which have the docstrings.
  r.add("_backward", kFunction | kLazy, "autograd.backward")
      .on("(Any tensors, Any grad_tensors, bool? retain_graph, bool create_graph, Any inputs) -> "
          "None",
          [](const Arguments& a) {
            TensorArgs roots = roots_of(a.object(0));
            TensorArgs gradients = seeds_of(a.object(1), roots.size());
            return run_backward(a, roots, gradients);
          });
  r.add("_grad", kFunction | kLazy, "autograd.grad")
      .on("(Any outputs, Any inputs, Any grad_outputs, bool? retain_graph, bool create_graph, "
          "bool? allow_unused, bool materialize_grads) -> Tensor[]",
          [](const Arguments& a) {
            BackwardOptions o = options_of(a.optional_boolean(3), a.boolean(4));
            o.materialize_grads = a.boolean(6);
            FG_CHECK_VALUE(!o.materialize_grads || a.optional_boolean(5).value_or(true),
                           "Expected allow_unused to be True or not passed when "
                           "materialize_grads=True, but got: allow_unused=False.");
            o.allow_unused = a.optional_boolean(5).value_or(o.materialize_grads);
            TensorArgs outputs = roots_of(a.object(0));
            TensorArgs gradients = seeds_of(a.object(2), outputs.size());
            TensorArgs inputs = wanted_of(a.object(1), "grad");
            Tensors result;
            {
              ReleaseGil release;
              result = grad(outputs, inputs, gradients, o);
            }
            return wrap_tuple(result);
          });
  r.add("_jacobian_rows", kFunction, "See func/jacobians.py: a tensor of rows for each input.")
      .on("(Tensor output, Any inputs) -> Any", [](const Arguments& a) {
        Tensor y = a.tensor(0);
        TensorArgs inputs = wanted_of(a.object(1), "jacobian");
        Tensors rows;
        {
          ReleaseGil release;
          rows = jacobian_rows(y, inputs);
        }
        for (size_t k = 0; k < rows.size(); ++k)
          if (!rows[k].defined()) {
            Dims shape{y.numel()};
            for (int64_t size : inputs[k].shape()) shape.push_back(size);
            rows[k] = Tensor(Array::zeros(shape, inputs[k].dtype()));
          }
        return rows.empty() ? none() : wrap_tuple(rows);
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
      .on("(Tensor input) -> bool", [](const Arguments& a) {
        refuse_outside(a.tensor(0), "._is_view()");
        return boolean(a.tensor(0)->view != nullptr);
      });
  r.add("_reach", kFunction, "Whose leaves a history has: see func/levels.py.")
      .on("(Tensor output, Any own) -> int", [](const Arguments& a) {
        TensorArgs own;
        for_each_tensor(a.object(1), [&](PyObject* item) { own.push_back(tensor_of(item)); });
        return PyLong_FromLong(static_cast<long>(reach(a.tensor(0), own)));
      });
  r.add("_clock", kFunction, "The sequence number of the node recorded last in this thread.")
      .on("() -> int", [](const Arguments&) { return PyLong_FromUnsignedLongLong(t_modes.clock); });
  r.add("_trace_route", kFunction, "Where gradients can flow: see gradient_tape.py.")
      .on("(Any targets, Any sources, int[] times) -> Any", route_of);
  r.add("_make_assignable", kMethod, "Marks a tensor as a Variable.")
      .on("(Tensor input) -> None", [](const Arguments& a) {
        a.tensor(0)->assignable = true;
        return none();
      });
  r.add("_watch_variables", kFunction, "Whether this thread notes which Variables are used.")
      .on("(bool mode) -> None", [](const Arguments& a) {
        watch_variables(a.boolean(0));
        return none();
      });
  r.add("_take_used_variables", kFunction, "The Variables used since the last call.")
      .on("() -> Tensor[]", [](const Arguments&) { return wrap_tuple(take_used_variables()); });
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
