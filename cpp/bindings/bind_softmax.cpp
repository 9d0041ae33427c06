// Softmax and its kin.
#include "bindings/families.h"
#include "ops/softmax.h"

namespace fastgrad::py {
namespace {

constexpr const char* kSoftmax =
    "exp(x) / sum(exp(x)) along dim, without overflow. With dtype, the input is converted first.";
constexpr const char* kLogSoftmax =
    "log(softmax(x)) along dim, x - log(sum(exp(x))), without cancellation. With dtype, the input "
    "is "
    "converted first.";
constexpr const char* kSoftmin = "softmax(-x) along dim.";
constexpr const char* kLogsumexp = "log(sum(exp(x))) over dim, without overflow.";

constexpr const char* kFunctional =
    "(Tensor input, int? dim=None, int _stacklevel=3, dtype? dtype=None)";

using Line = Tensor (*)(const Tensor&, int64_t, std::optional<DType>);
// Without a dim, PyTorch's old choice of one.
template <Line f>
PyObject* functional_form(const Arguments& a) {
  Tensor x = a.tensor(0);
  if (!a.has(1))
    warn(
        "Implicit dimension choice for softmax has been deprecated. Change the call to include "
        "dim=X as an argument.");
  int64_t implicit = x.ndim() == 0 || x.ndim() == 1 || x.ndim() == 3 ? 0 : 1;
  return wrap(f(x, a.optional_integer(1).value_or(implicit), a.optional_dtype(3)));
}

template <Line f>
void bind_line(Registry& r, const char* name, const char* special, const char* functional,
               const char* doc) {
  Body body = [](const Arguments& a) {
    return wrap(f(a.tensor(0), a.integer(1), a.optional_dtype(2)));
  };
  r.add(name, kBoth | kExactOut, doc)
      .on("(Tensor input, int dim, dtype? dtype=None, *, Tensor? out=None)", body);
  r.add(special, kFunction, doc).on("(Tensor input, int dim, *, dtype? dtype=None)", body);
  r.add(functional, kFunction, doc).on(kFunctional, functional_form<f>);
}

}  // namespace

void bind_softmax(Registry& r) {
  bind_line<softmax>(r, "softmax", "special.softmax", "nn.functional.softmax", kSoftmax);
  bind_line<log_softmax>(r, "log_softmax", "special.log_softmax", "nn.functional.log_softmax",
                         kLogSoftmax);
  r.add("nn.functional.softmin", kFunction, kSoftmin).on(kFunctional, functional_form<softmin>);
  Body body = [](const Arguments& a) {
    return wrap(logsumexp(a.tensor(0), a.ints(1), a.boolean(2)));
  };
  constexpr const char* signature =
      "(Tensor input, int[1] dim, bool keepdim=False, *, Tensor? out=None)";
  r.add("logsumexp", kBoth, kLogsumexp).on(signature, body);
  r.add("special.logsumexp", kFunction, kLogsumexp).on(signature, body);
}

}  // namespace fastgrad::py
