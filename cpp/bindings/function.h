// The callable type behind every function and method of the library, and their registry.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/op.h"
#include "bindings/arguments.h"
#include "bindings/signature.h"

namespace fastgrad::py {

using Body = PyObject* (*)(const Arguments&);
using RowBody = RowCall (*)(const Arguments&);

enum Place : unsigned {
  kFunction = 1,          // fastgrad.name (or fastgrad.linalg.name for "linalg.name")
  kMethod = 2,            // Tensor.name; the first parameter is self
  kInplace = 4,           // Tensor.name_ too, made of the function by assign_inplace
  kExactOut = 8,          // out= must have the element type of the result; others convert
  kCopiedOut = 16,        // out= takes any element type, as copy_ does
  kInplaceFunction = 32,  // with kInplace: fastgrad.name_ as well
  kNoGradient = 64,       // the result has none, so that out= may require one
  kLazy = 128,            // asks for no values but as guarded_lazily() says
  kBoth = kFunction | kMethod,
};

struct Overload {
  Signature signature;
  Body body = nullptr;
  RowBody row = nullptr;  // instead of body: the row of the op table to run, also in place
  int out = -1;           // index of the parameter `out`
  // The first parameter is a tensor and all others have defaults: f(x) needs no binding.
  bool takes_one = false;
  bool exact_out = false;  // kExactOut for this overload alone
};

struct Definition {
  std::string name;  // "sum", "linalg.det"
  unsigned places;
  std::string doc;
  std::vector<Overload> overloads;
  Op row = Op::kCount;    // the row of the op table behind it
  Op unary = Op::kCount;  // rows that take any operands as they come have a short way
  Op binary = Op::kCount;
  bool inplace = false;  // this is name_ ; name ends in "_"

  // Adds an overload; the first one that accepts the arguments is called.
  Definition& on(const char* signature, Body body);
  Definition& on_row(const char* signature, RowBody row);
  // The out= of the overload added last must have the result's element type.
  Definition& with_exact_out();

 private:
  Overload& add_overload(const char* signature);
};

class Registry {
 public:
  Definition& add(const char* name, unsigned places, const char* doc);
  // Another name for a function that has been added: the same overloads under their own name.
  Definition& alias(const char* name, const char* original);
  Definition& alias(const char* name, const char* original, unsigned places);
  // The function of that name, or null.
  Definition* find(std::string_view name);
  const std::vector<std::unique_ptr<Definition>>& definitions() const { return definitions_; }
  // Puts everything into the module, its submodules and the Tensor type.
  void install(PyObject* module);

 private:
  std::vector<std::unique_ptr<Definition>> definitions_;
};

// kExactOut, for functions that are so only for some arguments; called by their bodies.
void check_exact_out(const char* function, const Tensor& result, const Tensor& out);

void add_function_type(PyObject* module);
// A list of dicts: name, places, doc, signatures, and for rows of the op table (elementwise) the
// row's name, arity, types and domain. For stubs, docs and tests.
PyObject* function_table(const Registry& registry);

}  // namespace fastgrad::py
