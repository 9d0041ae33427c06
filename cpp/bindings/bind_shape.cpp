#include "bindings/families.h"
#include "ops/shape.h"

namespace fastgrad::py {

void bind_shape(Registry& r) {
  r.add("reshape", kBoth, "The same elements in another shape; a view where possible.")
      .on("(Tensor input, int[*] shape)", [](const Arguments& a) { return wrap(reshape(a.tensor(0), a.ints(1))); });
  r.add("view", kMethod, "The same memory in another shape.")
      .on("(Tensor input, int[*] size)", [](const Arguments& a) { return wrap(view(a.tensor(0), a.ints(1))); });
  r.add("expand", kMethod, "Dimensions of size 1 repeated without a copy.")
      .on("(Tensor input, int[*] size)", [](const Arguments& a) { return wrap(expand(a.tensor(0), a.ints(1))); });
  r.add("permute", kBoth, "Dimensions in another order.")
      .on("(Tensor input, int[*] dims)", [](const Arguments& a) { return wrap(permute(a.tensor(0), a.ints(1))); });
  r.add("transpose", kBoth, "Two dimensions exchanged.")
      .on("(Tensor input, int dim0, int dim1)",
          [](const Arguments& a) { return wrap(transpose(a.tensor(0), a.integer(1), a.integer(2))); });
}

}  // namespace fastgrad::py
