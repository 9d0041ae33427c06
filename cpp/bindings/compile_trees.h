// The structure of what goes into a compiled function, and of what comes out.
#pragma once

#include <functional>
#include <vector>

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// Whether a tensor carries Python attributes, which nobody watches.
inline bool has_attributes(PyObject* tensor) {
  PyObject* dict = reinterpret_cast<TensorObject*>(tensor)->dict;
  return dict && PyDict_GET_SIZE(dict) > 0;
}

// Arguments: tensors at some places, other values that must stay as they are.
class ArgumentTree {
 public:
  // Describes an argument; its tensors are appended to `tensors`.
  ArgumentTree(PyObject* o, std::vector<PyObject*>& tensors);
  // A float of any value fits from now on, in place of the one that it was.
  void free_number() { kind_ = Kind::Number; }
  // Whether o has the same structure; its tensors are written from *next on.
  bool match(PyObject* o, PyObject**& next) const;
  // A new reference to arguments of this structure; *next and on are the tensors.
  PyObject* build(PyObject* const*& next) const;
  // As dictionaries, lists and values; tensors stand in the order in which match() finds them.
  Object form() const;
  // Whether the argument is a tensor; whether o is one of the same kind.
  bool takes_tensor() const { return kind_ == Kind::Tensor; }
  bool match_tensor(PyObject* o) const {
    return reinterpret_cast<PyObject*>(Py_TYPE(o)) == value_.get() && !has_attributes(o);
  }
  int traverse(visitproc visit, void* arg) const;

 private:
  enum class Kind : uint8_t { Tensor, Tuple, List, Dict, Value, Number } kind_;
  Object value_;  // Value: itself; Tensor: the type; Dict: a tuple of keys; containers: the type
  std::vector<ArgumentTree> children_;
};

// Results: tensors by number, containers, constants.
class ResultTree {
 public:
  // `number` gives each tensor its number; false: o cannot be made again, and `why` says so.
  using Numbering = std::function<int(PyObject*)>;
  bool describe(PyObject* o, const Numbering& number, std::string& why, int depth = 0);
  // A new reference; the tensors are given.
  PyObject* build(PyObject* const* tensors) const;
  // Puts the tensors of o where their numbers say; false: it has another structure.
  bool take_apart(PyObject* o, std::vector<PyObject*>& tensors) const;
  // As dictionaries, lists and values, with the tensors' numbers.
  Object form() const;
  // The number of the only tensor, when the result is just that; else -1.
  int single() const { return kind_ == Kind::Tensor ? number_ : -1; }
  // The result itself, borrowed, when it is neither a tensor nor a container; else null.
  PyObject* value() const { return kind_ == Kind::Value ? value_.get() : nullptr; }
  // Whether the result is a tuple of tensors with the numbers 0, 1, ...
  bool is_row() const;
  int traverse(visitproc visit, void* arg) const;

 private:
  enum class Kind : uint8_t { Tensor, Tuple, NamedTuple, List, Dict, Value } kind_ = Kind::Value;
  int number_ = -1;
  Object value_;
  std::vector<ResultTree> children_;
};

}  // namespace fastgrad::py
