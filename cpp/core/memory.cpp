#include "core/memory.h"

#include "kernels/elementwise.h"

namespace fastgrad::recorded {

const Primitive kCopy = {"copy", [](const Attrs&, Inputs in, std::span<Array> out) {
                           fastgrad::copy_array(*in[0], out[0]);
                         }};
const Primitive kFill = {"fill", [](const Attrs&, Inputs in, std::span<Array> out) {
                           fastgrad::fill_array(out[0], *in[0]);
                         }};
const Primitive kFillNumber = {"fill_number", [](const Attrs& a, Inputs, std::span<Array> out) {
                                 fastgrad::fill_array(out[0], a.s[0]);
                               }};

void note_copy(const Array& src, const Array& dst) {
  const Array* in[] = {&src};
  recorder()->primitive(kCopy, {}, in, {&dst, 1});
}
void note_fill(const Array& dst, const Array& value) {
  const Array* in[] = {&value};
  recorder()->primitive(kFill, {}, in, {&dst, 1});
}
void note_fill(const Array& dst, const Scalar& value) {
  recorder()->primitive(kFillNumber, Attrs(value), {}, {&dst, 1});
}

}  // namespace fastgrad::recorded
