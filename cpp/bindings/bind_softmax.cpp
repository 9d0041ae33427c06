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

using Line = Tensor (*)(const Tensor&, int64_t, std::optional<DType>);
template <Line f>
void bind_line(Registry& r, const char* name, const char* special, const char* doc) {
  Body body = [](const Arguments& a) {
    return wrap(f(a.tensor(0), a.integer(1), a.optional_dtype(2)));
  };
  r.add(name, kBoth | kExactOut, doc)
      .on("(Tensor input, int dim, dtype? dtype=None, *, Tensor? out=None)", body);
  r.add(special, kFunction, doc).on("(Tensor input, int dim, *, dtype? dtype=None)", body);
}

}  // namespace

void bind_softmax(Registry& r) {
  bind_line<softmax>(r, "softmax", "special.softmax", kSoftmax);
  bind_line<log_softmax>(r, "log_softmax", "special.log_softmax", kLogSoftmax);
  r.add("nn.functional.softmin", kFunction, kSoftmin)
      .on("(Tensor input, int dim, *, dtype? dtype=None)", [](const Arguments& a) {
        return wrap(softmin(a.tensor(0), a.integer(1), a.optional_dtype(2)));
      });
  Body body = [](const Arguments& a) {
    return wrap(logsumexp(a.tensor(0), a.ints(1), a.boolean(2)));
  };
  constexpr const char* signature =
      "(Tensor input, int[1] dim, bool keepdim=False, *, Tensor? out=None)";
  r.add("logsumexp", kBoth, kLogsumexp).on(signature, body);
  r.add("special.logsumexp", kFunction, kLogsumexp).on(signature, body);
}

}  // namespace fastgrad::py
