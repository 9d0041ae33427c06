// Gathering and scattering along a dimension.
#include "bindings/families.h"
#include "ops/creation.h"
#include "ops/scatter.h"

namespace fastgrad::py {
namespace {

// scatter(..., reduce="add" or "multiply").
PyObject* scatter_combined(const Arguments& a, const Tensor& src) {
  std::string reduce = a.text(4);
  FG_CHECK(reduce == "add" || reduce == "multiply",
           "reduce argument must be either add or multiply.");
  return wrap(scatter_reduce(a.tensor(0), a.integer(1), a.tensor(2), src,
                             reduce == "add" ? "sum" : "prod"));
}

}  // namespace

void bind_scatter(Registry& r) {
  r.add("gather", kBoth | kExactOut,
        "Along dim, the entries that an index of the result's shape names.")
      .on("(Tensor input, int dim, Tensor index, *, bool sparse_grad=False, Tensor? out=None)",
          [](const Arguments& a) {
            a.refuse_shared_out(4, {0, 2});
            return wrap(gather(a.tensor(0), a.integer(1), a.tensor(2)));
          });
  r.add("take_along_dim", kBoth | kExactOut,
        "gather with broadcasting; over the flattened tensor without dim.")
      .on("(Tensor input, Tensor indices, int? dim=None, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(take_along_dim(a.tensor(0), a.tensor(1), a.optional_integer(2)));
          });
  r.add("scatter", kBoth | kInplace | kExactOut,
        "With the entries along dim that index names replaced by src or a number.")
      .on("(Tensor input, int dim, Tensor index, Tensor src, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(scatter(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)));
          })
      .on("(Tensor input, int dim, Tensor index, Number value, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(scatter(a.tensor(0), a.integer(1), a.tensor(2), a.number(3)));
          })
      .on("(Tensor input, int dim, Tensor index, Tensor src, *, str reduce, Tensor? out=None)",
          [](const Arguments& a) { return scatter_combined(a, a.tensor(3)); })
      .on("(Tensor input, int dim, Tensor index, Number value, *, str reduce, Tensor? out=None)",
          [](const Arguments& a) {
            Tensor value = full({}, a.number(3), a.tensor(0).dtype());
            return scatter_combined(a, Tensor(value.array().expanded(a.tensor(2).shape())));
          });
  r.add("scatter_add", kBoth | kInplace | kExactOut,
        "With src added to the entries along dim that index names.")
      .on("(Tensor input, int dim, Tensor index, Tensor src, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(scatter_add(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)));
          });
  r.add("scatter_reduce", kBoth | kInplace | kExactOut,
        "With src combined, by reduce, into the entries along dim that index names.")
      .on("(Tensor input, int dim, Tensor index, Tensor src, str reduce, *, bool "
          "include_self=True, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(scatter_reduce(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3),
                                       a.text(4), a.boolean(5)));
          });
}

}  // namespace fastgrad::py
