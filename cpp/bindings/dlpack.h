// DLPack capsules.
#pragma once

#include "bindings/tensor_object.h"

namespace fastgrad::py {

// A capsule "dltensor_versioned", or "dltensor" for consumers of version 0.
PyObject* to_capsule(const Array& a, bool versioned, bool copied);
// Takes the tensor out of a capsule, which cannot be used again.
Tensor from_capsule(PyObject* capsule);

}  // namespace fastgrad::py
