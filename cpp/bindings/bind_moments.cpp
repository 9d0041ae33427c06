// Variance and standard deviation.
#include "bindings/families.h"
#include "ops/moments.h"

namespace fastgrad::py {
namespace {

constexpr const char* kVar =
    "Variance over dim (all dimensions by default): sum((x - mean)**2) / (n - correction). "
    "unbiased "
    "stands for correction=1.";
constexpr const char* kStd =
    "Standard deviation over dim (all dimensions by default): sqrt(sum((x - mean)**2) / (n - "
    "correction)). unbiased stands for correction=1. Where all elements are equal, the gradient is "
    "0.";
constexpr const char* kVarMean = "Variance and mean over dim, as a tuple (var, mean).";
constexpr const char* kStdMean = "Standard deviation and mean over dim, as a tuple (std, mean).";

struct Request {
  Tensor x;
  Dims dims;
  double correction = 1;
  bool keepdim = false;
};

// PyTorch warns where the divisor is not positive.
void warn_if_degenerate(const char* name, const Request& q) {
  int64_t count = 1;
  if (q.dims.empty()) count = q.x.numel();
  for (int64_t d : q.dims) count *= q.x.ndim() ? q.x.size(d) : 1;
  if (q.x.numel() == 0 && count != 0) return;
  if (static_cast<double>(count) - q.correction <= 0)
    warn(
        str(name,
            "(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
            "factor (input numel divided by output numel); got correction ",
            q.correction, " for ", count, count == 1 ? " element" : " elements"));
}

template <class Call>
void bind_moment(Registry& r, unsigned places, const char* doc) {
  auto returning = [](const char* parameters) { return str(parameters, " -> ", Call::returns); };
  r.add(Call::name, places, doc)
      .on(returning("(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False, *, "
                    "Tensor? out=None)")
              .c_str(),
          [](const Arguments& a) {
            Request q{a.tensor(0), a.optional_ints(1).value_or(Dims()), a.boolean(2) ? 1.0 : 0.0,
                      a.boolean(3)};
            warn_if_degenerate(Call::name, q);
            return Call::call(q);
          })
      .on(returning("(Tensor input, int[1]? dim=None, *, Number? correction=None, bool "
                    "keepdim=False, Tensor? out=None)")
              .c_str(),
          [](const Arguments& a) {
            Request q{a.tensor(0), a.optional_ints(1).value_or(Dims()),
                      a.optional_real(2).value_or(1), a.boolean(3)};
            warn_if_degenerate(Call::name, q);
            return Call::call(q);
          })
      .on(returning("(Tensor input, bool unbiased=True)").c_str(), [](const Arguments& a) {
        Request q{a.tensor(0), {}, a.boolean(1) ? 1.0 : 0.0, false};
        warn_if_degenerate(Call::name, q);
        return Call::call(q);
      });
}

struct CallVar {
  static constexpr const char* name = "var";
  static constexpr const char* returns = "Tensor";
  static PyObject* call(const Request& q) {
    return wrap(var(q.x, q.dims, q.correction, q.keepdim));
  }
};
struct CallStd {
  static constexpr const char* name = "std";
  static constexpr const char* returns = "Tensor";
  static PyObject* call(const Request& q) {
    return wrap(std_dev(q.x, q.dims, q.correction, q.keepdim));
  }
};
struct CallVarMean {
  static constexpr const char* name = "var_mean";
  static constexpr const char* returns = "(Tensor, Tensor)";
  static PyObject* call(const Request& q) {
    auto [v, m] = var_mean(q.x, q.dims, q.correction, q.keepdim);
    return wrap_tuple({v, m});
  }
};
struct CallStdMean {
  static constexpr const char* name = "std_mean";
  static constexpr const char* returns = "(Tensor, Tensor)";
  static PyObject* call(const Request& q) {
    auto [s, m] = std_mean(q.x, q.dims, q.correction, q.keepdim);
    return wrap_tuple({s, m});
  }
};

}  // namespace

void bind_moments(Registry& r) {
  bind_moment<CallVar>(r, kBoth, kVar);
  bind_moment<CallStd>(r, kBoth, kStd);
  bind_moment<CallVarMean>(r, kFunction, kVarMean);
  bind_moment<CallStdMean>(r, kFunction, kStdMean);
}

}  // namespace fastgrad::py
