// fastgrad.memory: the allocator's figures and limits.
#include "bindings/families.h"
#include "storage/allocator.h"

namespace fastgrad::py {

void bind_memory(Registry& r) {
  r.add("memory.stats", kFunction, "What the allocator has done and holds.")
      .on("() -> Any", [](const Arguments&) {
        memory::Stats s = memory::stats();
        return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K}", "allocated", s.allocated, "peak_allocated",
                             s.peak_allocated, "cached", s.cached, "allocations", s.allocations,
                             "system_allocations", s.system_allocations);
      });
  r.add("memory.empty_cache", kFunction, "Gives memory that is kept for re-use back to the system.")
      .on("() -> None", [](const Arguments&) {
        memory::empty_cache();
        return none();
      });
  r.add("memory.set_limit", kFunction,
        "Sets how many bytes tensors may use together; None for no limit.")
      .on("(int? nbytes) -> None", [](const Arguments& a) {
        int64_t nbytes = a.optional_integer(0).value_or(0);
        FG_CHECK_VALUE(nbytes >= 0,
                       "memory.set_limit expects a number of bytes >= 0, or None, got ", nbytes);
        memory::set_limit(static_cast<uint64_t>(nbytes));
        return none();
      });
}

}  // namespace fastgrad::py
