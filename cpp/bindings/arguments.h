// Typed access to the bound arguments of a call.
#pragma once

#include <optional>

#include "base/memory_format.h"
#include "base/scalar.h"
#include "bindings/python.h"
#include "bindings/tensor_object.h"
#include "core/elementwise.h"

namespace fastgrad::py {

// Slot i is parameter i of the signature; types were checked when the call was bound.
class Arguments {
 public:
  explicit Arguments(PyObject** slots) : slots_(slots) {}

  PyObject* object(int i) const { return slots_[i]; }
  bool has(int i) const { return slots_[i] && slots_[i] != Py_None; }
  Tensor tensor(int i) const { return tensor_of(slots_[i]); }
  Tensor optional_tensor(int i) const { return has(i) ? tensor(i) : Tensor(); }
  Operand operand(int i) const;
  // The same beside a tensor of that type; see Note [Numbers as inputs]. `keep` holds the input.
  Operand operand_beside(DType type, int i, Tensor& keep) const;
  Scalar number(int i) const;
  int64_t integer(int i) const;
  double real(int i) const;
  bool boolean(int i) const;
  std::string text(int i) const { return text_of(slots_[i]); }
  // Whether slot i, which holds a str, is that one.
  bool is(int i, const char* ascii) const {
    return PyUnicode_CompareWithASCIIString(slots_[i], ascii) == 0;
  }
  Dims ints(int i) const;
  Tensors tensors(int i) const;
  DType dtype(int i) const;
  MemoryFormat memory_format(int i, MemoryFormat otherwise) const;
  std::optional<int64_t> optional_integer(int i) const;
  std::optional<double> optional_real(int i) const;
  std::optional<Scalar> optional_number(int i) const;
  std::optional<Dims> optional_ints(int i) const;
  std::optional<DType> optional_dtype(int i) const;
  std::optional<bool> optional_boolean(int i) const;
  // Fails when the tensor in slot `out`, if any, shares memory with one of the tensors in `inputs`:
  // for functions that PyTorch does not let write to their own input.
  void refuse_shared_out(int out, std::initializer_list<int> inputs) const;

 private:
  PyObject** slots_;
};

// A Python or NumPy number; fails on others and on ints beyond int64.
Scalar to_number(PyObject* o);
int64_t to_integer(PyObject* o);
// An operand of an operator: tensors and numbers; NumPy arrays become tensors that `keep` owns.
// False when the object is none of these.
bool to_operand(PyObject* o, std::optional<Operand>& out, Tensor& keep);

}  // namespace fastgrad::py
