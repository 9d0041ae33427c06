#include "bindings/families.h"
#include "ops/reduce.h"

namespace fastgrad::py {

void bind_reduce(Registry& r) {
  r.add("sum", kBoth, "Sum of the elements over dim (all dimensions by default).")
      .on("(Tensor input, *, dtype? dtype=None, Tensor? out=None)",
          [](const Arguments& a) { return wrap(sum(a.tensor(0), {}, false, a.optional_dtype(1))); })
      .on("(Tensor input, int[1]? dim, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(sum(a.tensor(0), a.optional_ints(1).value_or(Dims()), a.boolean(2), a.optional_dtype(3)));
          });
}

}  // namespace fastgrad::py
