#include "bindings/outside_memory.h"

#include "transforms/trace.h"

namespace fastgrad::py {

void refuse_outside(const Tensor& t, const char* what) {
  auto* trace = static_cast<Trace*>(recorder());
  if (!trace) return;
  Place p = trace->find(t.array());
  if (!p.defined() || trace->is_outside(p)) trace->refuse(str(what, " of a tensor from outside"));
}

}  // namespace fastgrad::py
