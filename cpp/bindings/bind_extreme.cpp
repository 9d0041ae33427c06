// Largest and smallest elements.
#include "bindings/families.h"
#include "bindings/return_types.h"
#include "ops/extreme.h"
#include "ops/pointwise.h"

namespace fastgrad::py {
namespace {

ReturnType max_result("max", {"values", "indices"});
ReturnType min_result("min", {"values", "indices"});
ReturnType aminmax_result("aminmax", {"min", "max"});

constexpr const char* kAmax =
    "Largest element over dim. Equal ones share the gradient evenly; NaN wins.";
constexpr const char* kAmin =
    "Smallest element over dim. Equal ones share the gradient evenly; NaN wins.";
constexpr const char* kAminmax = "Smallest and largest element, as a named tuple (min, max).";
constexpr const char* kMax =
    "Largest of all elements; along dim as a named tuple (values, indices); or, of two tensors, "
    "maximum(input, other). Equal extremes share the gradient evenly without dim; with it the "
    "first "
    "one, which indices names, gets it. NaN wins.";
constexpr const char* kMin =
    "Smallest of all elements; along dim as a named tuple (values, indices); or, of two tensors, "
    "minimum(input, other). Equal extremes share the gradient evenly without dim; with it the "
    "first "
    "one, which indices names, gets it. NaN wins.";
constexpr const char* kArgmax =
    "Index of the largest element, the first one of equals; into the flattened tensor without dim.";
constexpr const char* kArgmin =
    "Index of the smallest element, the first one of equals; into the flattened tensor without "
    "dim.";

constexpr const char* kSomeDims =
    "(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None)";
constexpr const char* kOneDim =
    "(Tensor input, int dim, bool keepdim=False, *, Tensor[]? out=None) -> (Tensor values, Tensor "
    "indices)";
constexpr const char* kTwo = "(Tensor input, Tensor other, *, Tensor? out=None)";
constexpr const char* kPlace =
    "(Tensor input, int? dim=None, bool keepdim=False, *, Tensor? out=None)";

}  // namespace

void bind_extreme(Registry& r) {
  r.add("amax", kBoth | kExactOut, kAmax).on(kSomeDims, [](const Arguments& a) {
    return wrap(amax(a.tensor(0), a.optional_ints(1).value_or(Dims()), a.boolean(2)));
  });
  r.add("amin", kBoth | kExactOut, kAmin).on(kSomeDims, [](const Arguments& a) {
    return wrap(amin(a.tensor(0), a.optional_ints(1).value_or(Dims()), a.boolean(2)));
  });
  r.add("aminmax", kBoth | kExactOut, kAminmax)
      .on("(Tensor input, *, int? dim=None, bool keepdim=False, Tensor[]? out=None) -> (Tensor "
          "min, "
          "Tensor max)",
          [](const Arguments& a) {
            auto [lo, hi] = aminmax(a.tensor(0), a.optional_integer(1), a.boolean(2));
            return aminmax_result({lo, hi});
          });
  r.add("max", kBoth, kMax)
      .on("(Tensor input, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(max(a.tensor(0))); })
      .on(kTwo, [](const Arguments& a) { return wrap(maximum(a.tensor(0), a.tensor(1))); })
      .on(kOneDim,
          [](const Arguments& a) {
            auto [values, indices] = max(a.tensor(0), a.integer(1), a.boolean(2));
            return max_result({values, indices});
          })
      .with_exact_out();
  r.add("min", kBoth, kMin)
      .on("(Tensor input, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(min(a.tensor(0))); })
      .on(kTwo, [](const Arguments& a) { return wrap(minimum(a.tensor(0), a.tensor(1))); })
      .on(kOneDim,
          [](const Arguments& a) {
            auto [values, indices] = min(a.tensor(0), a.integer(1), a.boolean(2));
            return min_result({values, indices});
          })
      .with_exact_out();
  r.add("argmax", kBoth | kExactOut, kArgmax).on(kPlace, [](const Arguments& a) {
    return wrap(argmax(a.tensor(0), a.optional_integer(1), a.boolean(2)));
  });
  r.add("argmin", kBoth | kExactOut, kArgmin).on(kPlace, [](const Arguments& a) {
    return wrap(argmin(a.tensor(0), a.optional_integer(1), a.boolean(2)));
  });
}

}  // namespace fastgrad::py
