// Complex tensors made of real ones, and their parts. No gradients pass: arithmetic on complex
// tensors has none yet, and these functions refuse inputs that want them.
#pragma once

#include "core/tensor.h"

namespace fastgrad {

Tensor complex(const Tensor& real, const Tensor& imag);
Tensor polar(const Tensor& abs, const Tensor& angle);
// Views of the parts; x itself when it is real.
Tensor real(const Tensor& x);
Tensor imag(const Tensor& x);
// The same memory with a last dimension of two real numbers, and back.
Tensor view_as_real(const Tensor& x);
Tensor view_as_complex(const Tensor& x);

}  // namespace fastgrad
