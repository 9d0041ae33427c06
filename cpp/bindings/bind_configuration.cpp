#include "bindings/families.h"
#include "core/deferred.h"
#include "kernels/configuration.h"

namespace fastgrad::py {

void bind_configuration(Registry& r) {
  r.add("set_num_threads", kFunction,
        "Sets how many threads may work on one operation, the calling one among them. Results do "
        "not depend on it. The default is the number of processors, or the environment's "
        "FASTGRAD_NUM_THREADS or OMP_NUM_THREADS where that is smaller.")
      .on("(int num) -> None", [](const Arguments& a) {
        set_num_threads(static_cast<int>(a.integer(0)));
        return none();
      });
  r.add("get_num_threads", kFunction, "How many threads may work on one operation.")
      .on("() -> int", [](const Arguments&) { return PyLong_FromLong(num_threads()); });
  // For tests: from how many bytes on elementwise ops are put off, and how many are.
  r.add("_defer_from", kFunction, "Sets FASTGRAD_DEFER_FROM; returns what it was.")
      .on("(int nbytes) -> int", [](const Arguments& a) {
        return PyLong_FromLongLong(deferred::defer_from(a.integer(0)));
      });
  r.add("_settle", kFunction, "fastgrad.cpu.synchronize").on("() -> None", [](const Arguments&) {
    return none();
  });
  r.add("_deferred", kFunction | kLazy, "The number of elementwise ops that are put off now.")
      .on("() -> int", [](const Arguments&) { return PyLong_FromLongLong(deferred::count()); });
  r.add("show_config", kFunction, "How this copy was built and what it runs on, for bug reports.")
      .on("() -> str",
          [](const Arguments&) { return PyUnicode_FromString(build_configuration().c_str()); });
}

}  // namespace fastgrad::py
