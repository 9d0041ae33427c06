// Special functions, and the names of the module fastgrad.special.
#include "bindings/families.h"
#include "bindings/op_rows.h"
#include "ops/special.h"

namespace fastgrad::py {

void bind_special(Registry& r) {
  Definition& logit = r.add("logit", kBoth | kInplace,
                            "log(x / (1 - x)), the inverse of sigmoid, of x clamped to "
                            "[eps, 1 - eps]; without eps NaN outside of [0, 1].");
  logit.on_row("(Tensor input, float? eps=None, *, Tensor? out=None)",
               [](const Arguments& a) { return clamped_logit(a.tensor(0), a.optional_real(1)); });
  logit.row = logit.unary = Op::Logit;
  r.add("polygamma", kFunction, row_facts(Op::Polygamma).doc)
      .on_row("(int n, Tensor input, *, Tensor? out=None)",
              [](const Arguments& a) { return polygamma_of_order(a.integer(0), a.tensor(1)); });
  r.add("polygamma", kMethod | kInplace, row_facts(Op::Polygamma).doc)
      .on_row("(Tensor input, int n)",
              [](const Arguments& a) { return polygamma_of_order(a.integer(1), a.tensor(0)); });
  r.add("mvlgamma", kBoth | kInplace,
        "log of the multivariate gamma function: p * (p - 1) / 4 * log(pi) plus the sum over "
        "j < p of lgamma(input - j / 2).")
      .on("(Tensor input, int p, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(mvlgamma(a.tensor(0), a.integer(1))); });
}

void bind_special_names(Registry& r) {
  // Under their own name.
  for (const char* name :
       {"digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expm1", "i0", "i0e", "i1",
        "i1e", "log1p", "logit", "polygamma", "round", "sinc", "xlog1py", "xlogy"})
    r.alias(("special." + std::string(name)).c_str(), name, kFunction);
  r.alias("special.expit", "sigmoid", kFunction);
  r.alias("special.gammainc", "igamma", kFunction);
  r.alias("special.gammaincc", "igammac", kFunction);
  r.alias("special.gammaln", "lgamma", kFunction);
  r.alias("special.multigammaln", "mvlgamma", kFunction);
  r.alias("special.psi", "digamma", kFunction);
}

}  // namespace fastgrad::py
