// The keyword arguments that every function making a tensor has.
#pragma once

#include "bindings/arguments.h"

namespace fastgrad::py {

// As text for signatures; Options reads them from five slots.
#define FG_OPTIONS                                                                       \
  "dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=None, " \
  "bool? requires_grad=None"

struct Options {
  std::optional<DType> dtype;
  bool requires_grad = false;

  // first: the slot of `dtype`. Fails on a device, layout or pinning that there is not.
  Options(const Arguments& a, int first);
  // The wrapper of t, a new tensor, with requires_grad set as asked for.
  PyObject* finish(Tensor t) const;
  // The type of a result that is written into the tensor in slot `out` if there is one.
  DType dtype_or(DType otherwise, const Arguments& a, int out) const;
};

// Fails when pinned memory is asked for.
void refuse_pinning(bool pin_memory);
// Fails when a type cannot hold a number; `type` is how the error calls it.
void check_holds(DType dtype, Scalar number, const char* type);
// requires_grad = true; fails for types without gradients.
void require_grad(const Tensor& t);
// A number as one element, of the type that it would have in a new tensor when dtype is absent;
// fails when the type cannot hold it.
Array number_array(PyObject* number, std::optional<DType> dtype);

}  // namespace fastgrad::py
