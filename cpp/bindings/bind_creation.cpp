#include "bindings/families.h"
#include "bindings/from_python.h"
#include "bindings/types.h"
#include "ops/convert.h"

namespace fastgrad::py {

void bind_creation(Registry& r) {
  r.add("tensor", kFunction, "A tensor with a copy of data.")
      .on("(Any data, *, dtype? dtype=None, device? device=None, bool requires_grad=False, bool pin_memory=False)",
          [](const Arguments& a) {
            check_device(a.object(2));
            Tensor t = tensor_from_data(a.object(0), a.optional_dtype(1));
            if (a.boolean(3)) {
              FG_CHECK(is_differentiable(t.dtype()), "only Tensors of floating point and complex dtype can require gradients");
              t->leaf_requires_grad = true;
            }
            return wrap(t);
          });
}

}  // namespace fastgrad::py
