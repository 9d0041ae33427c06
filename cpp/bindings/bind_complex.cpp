#include "bindings/families.h"
#include "ops/complex.h"

namespace fastgrad::py {

void bind_complex(Registry& r) {
  r.add("complex", kFunction,
        "Complex numbers from their real and imaginary parts: real + 1j * imag.")
      .on("(Tensor real, Tensor imag, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(complex(a.tensor(0), a.tensor(1))); });
  r.add("polar", kFunction,
        "Complex numbers from polar coordinates: abs * (cos(angle) + 1j * sin(angle)).")
      .on("(Tensor abs, Tensor angle, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(polar(a.tensor(0), a.tensor(1))); });
  r.add("real", kFunction, "The real part, a view; a real tensor itself.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(real(a.tensor(0))); });
  r.add("imag", kFunction, "The imaginary part of a complex tensor, a view.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(imag(a.tensor(0))); });
  r.add("view_as_real", kFunction,
        "A view of complex numbers as pairs of real ones, in a new last dimension.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(view_as_real(a.tensor(0))); });
  r.add("view_as_complex", kFunction,
        "A view of pairs of real numbers, the last dimension, as complex ones.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(view_as_complex(a.tensor(0))); });
}

}  // namespace fastgrad::py
