// Methods that change a tensor's sizes and strides in place.
#include "bindings/families.h"
#include "bindings/outside_memory.h"
#include "core/inplace.h"
#include "ops/as_strided.h"
#include "ops/basic_index.h"
#include "ops/shape.h"

namespace fastgrad::py {

void bind_inplace_views(Registry& r) {
  r.add("unsqueeze_", kMethod, "In-place form of unsqueeze.")
      .on("(Tensor self, int dim)", [](const Arguments& a) {
        inplace_view(a.tensor(0), "unsqueeze",
                     [&](const Tensor& x) { return unsqueeze(x, a.integer(1)); });
        return Py_NewRef(a.object(0));
      });
  r.add("squeeze_", kMethod, "In-place form of squeeze.")
      .on("(Tensor self)",
          [](const Arguments& a) {
            inplace_view(a.tensor(0), "squeeze", [](const Tensor& x) { return squeeze(x); });
            return Py_NewRef(a.object(0));
          })
      .on("(Tensor self, int[*] dim)", [](const Arguments& a) {
        inplace_view(a.tensor(0), "squeeze",
                     [&](const Tensor& x) { return squeeze(x, a.ints(1)); });
        return Py_NewRef(a.object(0));
      });
  r.add("t_", kMethod, "In-place form of t.").on("(Tensor self)", [](const Arguments& a) {
    inplace_view(a.tensor(0), "t", t);
    return Py_NewRef(a.object(0));
  });
  for (const char* name : {"transpose_", "swapaxes_", "swapdims_"})
    r.add(name, kMethod, "In-place form of transpose.")
        .on(name[4] == 'a' ? "(Tensor self, int axis0, int axis1)"
                           : "(Tensor self, int dim0, int dim1)",
            [](const Arguments& a) {
              inplace_view(a.tensor(0), "transpose", [&](const Tensor& x) {
                return transpose(x, a.integer(1), a.integer(2));
              });
              return Py_NewRef(a.object(0));
            });
  r.add("as_strided_", kMethod, "In-place form of as_strided.")
      .on("(Tensor self, int[] size, int[] stride, int? storage_offset=None)",
          [](const Arguments& a) {
            if (a.optional_integer(3)) refuse_outside(a.tensor(0), "the storage offset");
            inplace_view(a.tensor(0), "as_strided", [&](const Tensor& x) {
              return as_strided(x, a.ints(1), a.ints(2), a.optional_integer(3));
            });
            return Py_NewRef(a.object(0));
          });
}

}  // namespace fastgrad::py
