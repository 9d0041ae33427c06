// Named tuples, for functions with several results: fastgrad.return_types.max and the like.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// One type. Declared at namespace scope by the family that returns it; made at import.
class ReturnType {
 public:
  ReturnType(const char* name, std::initializer_list<const char*> fields);
  // A new tuple of that type.
  PyObject* operator()(std::span<const Tensor> values) const;
  PyObject* operator()(std::initializer_list<Tensor> values) const {
    return (*this)(std::span<const Tensor>(values.begin(), values.size()));
  }

 private:
  friend void add_return_types(PyObject* module);
  const char* name_;
  std::string full_name_;  // Python 3.10 keeps no copy
  std::vector<const char*> fields_;
  PyTypeObject* type_ = nullptr;
};

// Makes all types, in the submodule return_types.
void add_return_types(PyObject* module);

}  // namespace fastgrad::py
