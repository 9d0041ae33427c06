// Quantiles, covariance, correlation; differences and trapezoidal integrals.
#include "bindings/families.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/differences.h"
#include "ops/statistics.h"

namespace fastgrad::py {
namespace {

constexpr const char* kQuantile =
    "The q-quantiles of all elements or along dim, interpolated between neighbours; for a vector q "
    "they stand in a new first dimension. A line with a NaN has the quantile NaN.";
constexpr const char* kNanquantile =
    "The q-quantiles of the elements that are not NaN, over all or along dim.";
constexpr const char* kCov =
    "Covariance matrix of the rows of input, whose columns are observations: "
    "sum(w (x - mean) (y - mean)) / (sum(w) - correction). fweights are integer repetitions, "
    "aweights "
    "relative weights.";
constexpr const char* kCorrcoef =
    "Correlation matrix of the rows of input: cov[i, j] / sqrt(cov[i, i] cov[j, j]).";
constexpr const char* kDiff =
    "Differences of neighbours along dim, x[i+1] - x[i], n times over. prepend and append are "
    "joined "
    "to the input first. Differences of bools are their exclusive or.";
constexpr const char* kTrapezoid =
    "Integral of y along dim by the trapezoidal rule, sum((x[i+1] - x[i]) (y[i] + y[i+1]) / 2), at "
    "the "
    "places x or at distances dx.";
constexpr const char* kCumulative =
    "Running integral of y along dim by the trapezoidal rule, at the places x or at distances dx.";

template <bool kIgnoreNan>
void bind_quantile(Registry& r, const char* name, const char* doc) {
  r.add(name, kBoth | kExactOut, doc)
      .on("(Tensor input, Tensor q, int? dim=None, bool keepdim=False, *, str "
          "interpolation='linear', "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(quantile(a.tensor(0), a.tensor(1), a.optional_integer(2), a.boolean(3),
                                 a.text(4), kIgnoreNan));
          })
      .on("(Tensor input, float q, int? dim=None, bool keepdim=False, *, str "
          "interpolation='linear', "
          "Tensor? out=None)",
          [](const Arguments& a) {
            double q = a.real(1);
            FG_CHECK(q >= 0 && q <= 1, kIgnoreNan ? "nanquantile" : "quantile",
                     "() q must be in the range [0, 1] but got ", q);
            Tensor x = a.tensor(0);
            DType type = is_floating(x.dtype()) ? x.dtype() : DType::Float32;
            return wrap(quantile(x, full({}, Scalar(q), type), a.optional_integer(2), a.boolean(3),
                                 a.text(4), kIgnoreNan));
          });
}

using AtPlaces = Tensor (*)(const Tensor&, const Tensor&, int64_t);
using AtDistance = Tensor (*)(const Tensor&, Scalar, int64_t);
template <AtPlaces at_places, AtDistance at_distance>
void bind_trapezoid(Registry& r, const char* name, const char* doc) {
  r.add(name, kFunction, doc)
      .on("(Tensor y, Tensor x, *, int dim=-1)",
          [](const Arguments& a) {
            return wrap(at_places(a.tensor(0), a.tensor(1), a.integer(2)));
          })
      .on("(Tensor y, *, Number dx=1, int dim=-1)", [](const Arguments& a) {
        return wrap(at_distance(a.tensor(0), a.number(1), a.integer(2)));
      });
}

}  // namespace

void bind_statistics(Registry& r) {
  bind_quantile<false>(r, "quantile", kQuantile);
  bind_quantile<true>(r, "nanquantile", kNanquantile);
  r.add("cov", kBoth, kCov)
      .on("(Tensor input, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None)",
          [](const Arguments& a) {
            Tensor x = a.tensor(0), f = a.optional_tensor(2), w = a.optional_tensor(3);
            if (cov_is_degenerate(x, a.integer(1), f, w))
              warn(
                  "cov(): degrees of freedom is <= 0. Correction should be strictly less than the "
                  "number of observations.");
            return wrap(cov(x, a.integer(1), f, w));
          });
  r.add("corrcoef", kBoth, kCorrcoef).on("(Tensor input)", [](const Arguments& a) {
    return wrap(corrcoef(a.tensor(0)));
  });
  r.add("diff", kBoth | kExactOut, kDiff)
      .on("(Tensor input, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None, *, "
          "Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(diff(a.tensor(0), a.integer(1), a.integer(2), a.optional_tensor(3),
                             a.optional_tensor(4)));
          });
  bind_trapezoid<trapezoid, trapezoid>(r, "trapezoid", kTrapezoid);
  bind_trapezoid<trapezoid, trapezoid>(r, "trapz", kTrapezoid);
  bind_trapezoid<cumulative_trapezoid, cumulative_trapezoid>(r, "cumulative_trapezoid",
                                                             kCumulative);
}

}  // namespace fastgrad::py
