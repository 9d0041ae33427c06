// Sorting and order statistics.
#include "bindings/families.h"
#include "bindings/return_types.h"
#include "ops/order.h"

namespace fastgrad::py {
namespace {

ReturnType sort_result("sort", {"values", "indices"});
ReturnType topk_result("topk", {"values", "indices"});
ReturnType kthvalue_result("kthvalue", {"values", "indices"});
ReturnType median_result("median", {"values", "indices"});
ReturnType nanmedian_result("nanmedian", {"values", "indices"});
ReturnType mode_result("mode", {"values", "indices"});

constexpr const char* kSort =
    "The elements along dim in ascending order and the indices they had, as a named tuple (values, "
    "indices). Equal elements keep their order; NaN comes last (first when descending).";
constexpr const char* kArgsort =
    "The indices that sort the elements along dim. Equal elements keep their order.";
constexpr const char* kTopk =
    "The k largest (or smallest) elements along dim, best first, as a named tuple (values, "
    "indices).";
constexpr const char* kKthvalue =
    "The k-th smallest element along dim, k counting from 1, as a named tuple (values, indices).";
constexpr const char* kMedian =
    "Lower median of all elements, or along dim as a named tuple (values, indices). NaN wins.";
constexpr const char* kNanmedian =
    "Lower median of the elements that are not NaN, or along dim as a named tuple (values, "
    "indices).";
constexpr const char* kMode =
    "Most frequent element along dim, the smallest of equally frequent ones, and its last index, "
    "as "
    "a named tuple (values, indices).";

constexpr const char* kPair =
    "(Tensor input, int dim, bool keepdim=False, *, Tensor[]? out=None)"
    " -> (Tensor values, Tensor indices)";

PyObject* pair(const ReturnType& type, const std::pair<Tensor, Tensor>& p) {
  return type({p.first, p.second});
}

}  // namespace

void bind_order(Registry& r) {
  r.add("sort", kBoth, kSort)
      .on("(Tensor input, int dim=-1, bool descending=False, *, bool? stable=None, Tensor[]? "
          "out=None) -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            return pair(sort_result, sort(a.tensor(0), a.integer(1), a.boolean(2)));
          })
      .on("(Tensor input, *, bool? stable, int dim=-1, bool descending=False, Tensor[]? out=None)"
          " -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            return pair(sort_result, sort(a.tensor(0), a.integer(2), a.boolean(3)));
          });
  r.add("argsort", kBoth, kArgsort)
      .on("(Tensor input, int dim=-1, bool descending=False, *, bool stable=False, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(argsort(a.tensor(0), a.integer(1), a.boolean(2)));
          });
  r.add("msort", kBoth | kExactOut, "The elements along the first dimension in ascending order.")
      .on("(Tensor input, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(sort(a.tensor(0), 0).first); });
  r.add("topk", kBoth, kTopk)
      .on("(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True, *, Tensor[]? "
          "out=None) -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            return pair(topk_result, topk(a.tensor(0), a.integer(1), a.integer(2), a.boolean(3)));
          });
  r.add("kthvalue", kBoth, kKthvalue)
      .on("(Tensor input, int k, int dim=-1, bool keepdim=False, *, Tensor[]? out=None)"
          " -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            return pair(kthvalue_result,
                        kthvalue(a.tensor(0), a.integer(1), a.integer(2), a.boolean(3)));
          });
  r.add("median", kBoth, kMedian)
      .on("(Tensor input)", [](const Arguments& a) { return wrap(median(a.tensor(0))); })
      .on(kPair, [](const Arguments& a) {
        return pair(median_result, median(a.tensor(0), a.integer(1), a.boolean(2)));
      });
  r.add("nanmedian", kBoth, kNanmedian)
      .on("(Tensor input)", [](const Arguments& a) { return wrap(nanmedian(a.tensor(0))); })
      .on(kPair, [](const Arguments& a) {
        return pair(nanmedian_result, nanmedian(a.tensor(0), a.integer(1), a.boolean(2)));
      });
  r.add("mode", kBoth, kMode)
      .on("(Tensor input, int dim=-1, bool keepdim=False, *, Tensor[]? out=None)"
          " -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            return pair(mode_result, mode(a.tensor(0), a.integer(1), a.boolean(2)));
          });
}

}  // namespace fastgrad::py
