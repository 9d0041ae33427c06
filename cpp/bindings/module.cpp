#include <pybind11/pybind11.h>

#include "bindings/compiled_function.h"
#include "bindings/example_recording.h"
#include "bindings/families.h"
#include "bindings/generator_object.h"
#include "bindings/gil.h"
#include "bindings/grad_switch.h"
#include "bindings/node_object.h"
#include "bindings/return_types.h"
#include "bindings/stored_program.h"
#include "bindings/tensor_object.h"
#include "bindings/types.h"

namespace {

fastgrad::py::Registry& registry() {
  static auto* r = new fastgrad::py::Registry;  // functions point into it for ever
  return *r;
}

void initialise(PyObject* module) {
  using namespace fastgrad::py;
  fastgrad::enter_thread();
  install_long_work();
  add_types(module);
  add_tensor_type(module);
  add_node_type(module);
  add_function_type(module);
  add_generator_type(module);
  add_grad_switch_type(module);
  add_compiled_function_type(module);
  add_stored_program_type(module);
  add_example_recording_type(module);
  add_return_types(module);
  bind_all(registry());
  registry().install(module);
}

}  // namespace

// pybind11 waits for ever for a lock that a subinterpreter holds; its entry has another name here.
#define PyInit__core PyInit__core_in_the_main_interpreter
PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of fastgrad.";
  try {
    initialise(m.ptr());
  } catch (...) {
    fastgrad::py::translate_exception();
    throw pybind11::error_already_set();
  }
  m.def(
      "op_table",
      [] {
        return pybind11::reinterpret_steal<pybind11::object>(
            fastgrad::py::function_table(registry()));
      },
      "Every function and method of the core: name, signatures, doc.");
}
#undef PyInit__core

PyMODINIT_FUNC PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError,
                    "fastgrad runs in the main interpreter only, not in subinterpreters");
    return nullptr;
  }
  return PyInit__core_in_the_main_interpreter();
}
