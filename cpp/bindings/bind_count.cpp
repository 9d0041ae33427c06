// Histograms, searches in sorted data, distinct elements.
#include "bindings/families.h"
#include "ops/count.h"

namespace fastgrad::py {
namespace {

constexpr const char* kHistc =
    "How many elements lie in each of bins equal parts of [min, max], or of the data's own range "
    "when min == max. Elements outside, and NaN, are not counted.";
constexpr const char* kBincount =
    "out[i] is how often i occurs in a vector of non-negative integers, or the sum of its weights "
    "there.";
constexpr const char* kSearchsorted =
    "The places in sorted_sequence's last dimension before which the values would go: before equal "
    "elements, or behind them with right=True (side='right'). NaN goes behind everything.";
constexpr const char* kBucketize =
    "The index of the bucket between sorted boundaries that each value falls into: "
    "boundaries[i-1] < v <= boundaries[i], or <=, < with right=True.";
constexpr const char* kUnique =
    "The distinct elements in ascending order, or the distinct slices along dim; with their places "
    "in the input (return_inverse) and their numbers (return_counts), as a tuple.";
constexpr const char* kUniqueConsecutive =
    "The input without repetitions of neighbours; with the places of the input's elements "
    "(return_inverse) and the lengths of the runs (return_counts), as a tuple.";

PyObject* results(const Arguments& a, int dim, bool consecutive, bool inverse, bool counts) {
  const Unique u = unique(a.tensor(0), a.optional_integer(dim), consecutive, inverse, counts);
  if (!inverse && !counts) return wrap(u.values);
  Tensors all{u.values};
  if (inverse) all.push_back(u.inverse);
  if (counts) all.push_back(u.counts);
  return wrap_tuple(all);
}

std::string side_of(const Arguments& a, int i) { return a.has(i) ? a.text(i) : std::string(); }

}  // namespace

void bind_count(Registry& r) {
  r.add("histc", kBoth | kExactOut | kNoGradient, kHistc)
      .on("(Tensor input, int bins=100, Number min=0, Number max=0, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(histc(a.tensor(0), a.integer(1), a.real(2), a.real(3)));
          });
  r.add("bincount", kBoth, kBincount)
      .on("(Tensor input, Tensor? weights=None, int minlength=0)", [](const Arguments& a) {
        return wrap(bincount(a.tensor(0), a.optional_tensor(1), a.integer(2)));
      });
  r.add("searchsorted", kFunction | kExactOut, kSearchsorted)
      .on("(Tensor sorted_sequence, Tensor|Number input, *, bool out_int32=False, bool "
          "right=False, "
          "str? side=None, Tensor? sorter=None, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(searchsorted(a.tensor(0), a.operand(1), a.boolean(2), a.boolean(3),
                                     side_of(a, 4), a.optional_tensor(5)));
          });
  r.add("bucketize", kFunction | kExactOut, kBucketize)
      .on("(Tensor|Number input, Tensor boundaries, *, bool out_int32=False, bool right=False, "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(bucketize(a.operand(0), a.tensor(1), a.boolean(2), a.boolean(3)));
          });
  r.add("unique", kBoth, kUnique)
      .on("(Tensor input, bool sorted=True, bool return_inverse=False, bool return_counts=False, "
          "int? dim=None) -> Tensor|Tensor[]",
          [](const Arguments& a) { return results(a, 4, false, a.boolean(2), a.boolean(3)); });
  r.add("unique_consecutive", kBoth, kUniqueConsecutive)
      .on("(Tensor input, bool return_inverse=False, bool return_counts=False, int? dim=None)"
          " -> Tensor|Tensor[]",
          [](const Arguments& a) { return results(a, 3, true, a.boolean(1), a.boolean(2)); });
}

}  // namespace fastgrad::py
