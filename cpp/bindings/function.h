// The callable type behind every function and method of the library, and their registry.
#pragma once

#include <memory>
#include <vector>

#include "base/op.h"
#include "bindings/arguments.h"
#include "bindings/signature.h"

namespace fastgrad::py {

using Body = PyObject* (*)(const Arguments&);

enum Place : unsigned {
  kFunction = 1,  // fastgrad.name (or fastgrad.linalg.name for "linalg.name")
  kMethod = 2,    // Tensor.name; the first parameter is self
  kInplace = 4,   // Tensor.name_ too, made of the function by assign_inplace
  kBoth = kFunction | kMethod,
};

struct Overload {
  Signature signature;
  Body body;
  int out = -1;  // index of the parameter `out`
  // The first parameter is a tensor and all others have defaults: f(x) needs no binding.
  bool takes_one = false;
};

struct Definition {
  std::string name;  // "sum", "linalg.det"
  unsigned places;
  std::string doc;
  std::vector<Overload> overloads;
  Op unary = Op::kCount;   // rows of the op table take a short way
  Op binary = Op::kCount;
  bool inplace = false;    // this is name_ ; name ends in "_"

  // Adds an overload; the first one that accepts the arguments is called.
  Definition& on(const char* signature, Body body);
};

class Registry {
 public:
  Definition& add(const char* name, unsigned places, const char* doc);
  const std::vector<std::unique_ptr<Definition>>& definitions() const { return definitions_; }
  // Puts everything into the module, its submodules and the Tensor type.
  void install(PyObject* module);

 private:
  std::vector<std::unique_ptr<Definition>> definitions_;
};

void add_function_type(PyObject* module);
// A list of dicts: name, places, doc, signatures; for stubs, docs and tests.
PyObject* function_table(const Registry& registry);

}  // namespace fastgrad::py
