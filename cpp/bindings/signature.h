// Signatures as text, in the words of PyTorch's documentation, and the binding of call arguments
// to them:  "(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)".
//
// What a function returns stands behind an arrow, for documentation and stubs; without one it is a
// tensor: "(Tensor input) -> bool", "-> Tensor[]" for a tuple of any length, "-> (Tensor, Tensor)",
// and for named results "-> (Tensor values, Tensor indices)".
#pragma once

#include <vector>

#include "bindings/python.h"

namespace fastgrad::py {

enum class Kind : uint8_t {
  Tensor,        // "Tensor"
  Number,        // "Number": a Python or NumPy number, or a 0-d tensor that needs no gradient
  Operand,       // "Tensor|Number"
  Int,           // "int"
  Float,         // "float"
  Bool,          // "bool"
  Ints,          // "int[]"; "int[1]" also takes a single int; "int[*]" also takes them unpacked
  Tensors,       // "Tensor[]"; "Tensor[*]" also takes them unpacked
  DType,         // "dtype"
  Device,        // "device"
  Layout,        // "layout"
  MemoryFormat,  // "memory_format"
  Str,           // "str"
  Generator,     // "Generator"
  Any,           // "Any"; "Any[*]" takes any number of them
};

struct Parameter {
  std::string name;
  Kind kind;
  std::string type;       // as written, for messages and stubs
  bool nullable = false;  // "?": None is allowed
  bool single = false;    // "int[1]"
  bool variadic = false;  // "int[*]"
  bool keyword_only = false;
  bool has_default = false;
  Object default_value;
};

inline constexpr size_t kMaxParameters = 16;

class Signature {
 public:
  explicit Signature(const char* text);
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::string& text() const { return text_; }  // without what is returned
  const std::string& returns() const { return returns_; }
  // The same without its last parameter, which is keyword-only.
  Signature without_last() const;
  // Index of a parameter, or -1. Knows NumPy's names axis, keepdims, x1, x2, a.
  int find(PyObject* name) const;

  // Binds a call. On success slots[i] holds parameter i (borrowed; `scratch` owns what had to be
  // made). On failure returns false and, when `why` is given, says why.
  bool bind(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject** slots,
            Object& scratch, std::string* why, const char* function) const;

 private:
  std::string text_;
  std::string returns_ = "Tensor";
  std::vector<Parameter> parameters_;
  size_t positional_ = 0;
};

// Whether a value may be passed for a kind.
bool accepts(const Parameter& p, PyObject* value);
bool is_number(PyObject* o);  // Python's or NumPy's
bool is_integer(PyObject* o);

}  // namespace fastgrad::py
