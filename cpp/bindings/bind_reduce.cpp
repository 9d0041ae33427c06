// Sums, means, products and truth.
#include "bindings/families.h"
#include "ops/reduce.h"

namespace fastgrad::py {
namespace {

constexpr const char* kProd =
    "Product of the elements over dim (all dimensions by default). The gradient is exact at zeros, "
    "to every order.";
constexpr const char* kNanmean = "Arithmetic mean of the elements that are not NaN.";
constexpr const char* kMean =
    "Arithmetic mean, sum(x) / n, over dim (all dimensions by default). Integers need a dtype.";

constexpr const char* kAllDims = "(Tensor input, *, dtype? dtype=None, Tensor? out=None)";
constexpr const char* kSomeDims =
    "(Tensor input, int[1]? dim, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None)";

using Reduction = Tensor (*)(const Tensor&, DimSpan, bool, std::optional<DType>);
template <Reduction f>
void bind_reduction(Registry& r, const char* name, const char* doc) {
  r.add(name, kBoth | kLazy, doc)
      .on(kAllDims,
          [](const Arguments& a) { return wrap(f(a.tensor(0), {}, false, a.optional_dtype(1))); })
      .on(kSomeDims, [](const Arguments& a) {
        return wrap(
            f(a.tensor(0), a.optional_ints(1).value_or(Dims()), a.boolean(2), a.optional_dtype(3)));
      });
}

using Truth = Tensor (*)(const Tensor&, std::optional<DimSpan>, bool);
template <Truth f>
void bind_truth(Registry& r, const char* name, const char* doc) {
  r.add(name, kBoth | kExactOut, doc)
      .on("(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None)",
          [](const Arguments& a) {
            if (!a.has(1)) return wrap(f(a.tensor(0), std::nullopt, a.boolean(2)));
            Dims dims = a.ints(1);
            return wrap(f(a.tensor(0), DimSpan(dims), a.boolean(2)));
          });
}

}  // namespace

void bind_reduce(Registry& r) {
  bind_reduction<sum>(r, "sum",
                      "Sum of the elements over dim (all dimensions by default). Integers and "
                      "bools are summed in int64.");
  bind_reduction<nansum>(r, "nansum", "Sum of the elements, NaN counting as zero.");
  bind_reduction<mean>(r, "mean", kMean);
  bind_reduction<nanmean>(r, "nanmean", kNanmean);
  r.add("prod", kBoth, kProd)
      .on(kAllDims,
          [](const Arguments& a) {
            return wrap(prod(a.tensor(0), std::nullopt, false, a.optional_dtype(1)));
          })
      .on("(Tensor input, int dim, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(prod(a.tensor(0), a.integer(1), a.boolean(2), a.optional_dtype(3)));
          });
  bind_truth<any>(r, "any", "Whether any element is true (not zero): bool, or uint8 for uint8.");
  bind_truth<all>(r, "all", "Whether all elements are true (not zero): bool, or uint8 for uint8.");
  r.add("count_nonzero", kBoth, "Number of elements that are not zero, as int64.")
      .on("(Tensor input, int[1]? dim=None)", [](const Arguments& a) {
        return wrap(count_nonzero(a.tensor(0), a.optional_ints(1).value_or(Dims())));
      });
}

}  // namespace fastgrad::py
