// Running sums, products and extremes.
#include "bindings/families.h"
#include "bindings/return_types.h"
#include "ops/scan.h"

namespace fastgrad::py {
namespace {

ReturnType cummax_result("cummax", {"values", "indices"});
ReturnType cummin_result("cummin", {"values", "indices"});

constexpr const char* kCumsum = "Running sum along dim: y[i] = x[0] + ... + x[i].";
constexpr const char* kCumprod =
    "Running product along dim: y[i] = x[0] * ... * x[i]. The gradient is exact at zeros, to every "
    "order.";
constexpr const char* kCummax =
    "Running maximum along dim and the index of the last element that attains it, as a named tuple "
    "(values, indices).";
constexpr const char* kCummin =
    "Running minimum along dim and the index of the last element that attains it, as a named tuple "
    "(values, indices).";
constexpr const char* kLogcumsumexp =
    "Running log of the sum of exponentials along dim: y[i] = log(exp(x[0]) + ... + exp(x[i])).";

constexpr const char* kTyped = "(Tensor input, int dim, *, dtype? dtype=None, Tensor? out=None)";

// dtype, or the type of out where that alone is given.
std::optional<DType> dtype_or_outs(const Arguments& a, int dtype, int out) {
  return !a.has(dtype) && a.has(out) ? a.tensor(out).dtype() : a.optional_dtype(dtype);
}

}  // namespace

void bind_scan(Registry& r) {
  r.add("cumsum", kBoth | kInplace, kCumsum).on(kTyped, [](const Arguments& a) {
    return wrap(cumsum(a.tensor(0), a.integer(1), dtype_or_outs(a, 2, 3)));
  });
  r.add("cumprod", kBoth | kInplace, kCumprod).on(kTyped, [](const Arguments& a) {
    return wrap(cumprod(a.tensor(0), a.integer(1), dtype_or_outs(a, 2, 3)));
  });
  r.add("cummax", kBoth | kExactOut, kCummax)
      .on("(Tensor input, int dim, *, Tensor[]? out=None) -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            auto [values, indices] = cummax(a.tensor(0), a.integer(1));
            return cummax_result({values, indices});
          });
  r.add("cummin", kBoth | kExactOut, kCummin)
      .on("(Tensor input, int dim, *, Tensor[]? out=None) -> (Tensor values, Tensor indices)",
          [](const Arguments& a) {
            auto [values, indices] = cummin(a.tensor(0), a.integer(1));
            return cummin_result({values, indices});
          });
  r.add("logcumsumexp", kBoth | kExactOut, kLogcumsumexp)
      .on("(Tensor input, int dim, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(logcumsumexp(a.tensor(0), a.integer(1))); });
}

}  // namespace fastgrad::py
