// Elements in another order, repeated, or masked by their place in a matrix.
#include "bindings/families.h"
#include "ops/parts.h"
#include "ops/rearrange.h"
#include "ops/shape.h"

namespace fastgrad::py {
namespace {

void bind_turns(Registry& r) {
  r.add("flip", kBoth, "The entries along the given dimensions in reverse order, as a copy.")
      .on("(Tensor input, int[*] dims)",
          [](const Arguments& a) { return wrap(flip(a.tensor(0), a.ints(1))); });
  r.add("fliplr", kBoth, "The columns in reverse order, as a copy.")
      .on("(Tensor input)", [](const Arguments& a) {
        FG_CHECK(a.tensor(0).ndim() >= 2, "Input must be >= 2-d.");
        const int64_t dims[] = {1};
        return wrap(flip(a.tensor(0), dims));
      });
  r.add("flipud", kBoth, "The rows in reverse order, as a copy.")
      .on("(Tensor input)", [](const Arguments& a) {
        FG_CHECK(a.tensor(0).ndim() >= 1, "Input must be >= 1-d.");
        const int64_t dims[] = {0};
        return wrap(flip(a.tensor(0), dims));
      });
  r.add("__reversed__", kMethod, "The entries along the first dimension in reverse order.")
      .on("(Tensor self)", [](const Arguments& a) {
        const int64_t dims[] = {0};
        Tensor x = a.tensor(0);
        return wrap(x.ndim() == 0 ? x : flip(x, dims));
      });
  r.add("roll", kBoth, "The entries moved along dimensions, around the end.")
      .on("(Tensor input, int[1] shifts, int[1] dims=())",
          [](const Arguments& a) { return wrap(roll(a.tensor(0), a.ints(1), a.ints(2))); });
  r.add("rot90", kBoth, "k quarter turns in the plane of two dimensions.")
      .on("(Tensor input, int k=1, int[] dims=(0, 1))",
          [](const Arguments& a) { return wrap(rot90(a.tensor(0), a.integer(1), a.ints(2))); });
}

void bind_repeats(Registry& r) {
  r.add("repeat", kMethod,
        "Copies of the tensor side by side, `repeats` times along each dimension.")
      .on("(Tensor self, int[*] repeats)",
          [](const Arguments& a) { return wrap(repeat(a.tensor(0), a.ints(1))); });
  r.add("tile", kBoth,
        "Copies of the tensor side by side; missing dimensions on either side count as 1.")
      .on("(Tensor input, int[*] dims)",
          [](const Arguments& a) { return wrap(tile(a.tensor(0), a.ints(1))); });
  r.add("repeat_interleave", kBoth, "Each entry along dim `repeats` times in a row.")
      .on("(Tensor input, int repeats, int? dim=None, *, int? output_size=None)",
          [](const Arguments& a) {
            return wrap(repeat_interleave(a.tensor(0), a.integer(1), a.optional_integer(2)));
          })
      .on("(Tensor input, Tensor repeats, int? dim=None, *, int? output_size=None)",
          [](const Arguments& a) {
            return wrap(repeat_interleave(a.tensor(0), a.tensor(1), a.optional_integer(2)));
          })
      .on("(Tensor repeats, *, int? output_size=None)",
          [](const Arguments& a) { return wrap(repeat_interleave(a.tensor(0))); });
}

void bind_triangles(Registry& r) {
  r.add("tril", kBoth | kInplace, "The lower triangles of matrices, zeros above the diagonal.")
      .on("(Tensor input, int diagonal=0, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(tril(a.tensor(0), a.integer(1))); });
  r.add("triu", kBoth | kInplace, "The upper triangles of matrices, zeros below the diagonal.")
      .on("(Tensor input, int diagonal=0, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(triu(a.tensor(0), a.integer(1))); });
  r.add("diag", kBoth,
        "The diagonal of a matrix as a vector, or the matrix that has a vector as diagonal.")
      .on("(Tensor input, int diagonal=0, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(diag(a.tensor(0), a.integer(1))); });
  r.add("diag_embed", kBoth,
        "Matrices, along two new dimensions, that have the last dimension as diagonal.")
      .on("(Tensor input, int offset=0, int dim1=-2, int dim2=-1)", [](const Arguments& a) {
        return wrap(diag_embed(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
      });
  r.add("diagflat", kBoth, "The matrix that has the flattened tensor as diagonal.")
      .on("(Tensor input, int offset=0)", [](const Arguments& a) {
        return wrap(diag_embed(reshape(a.tensor(0), Dims{-1}), a.integer(1)));
      });
}

}  // namespace

void bind_rearrange(Registry& r) {
  bind_turns(r);
  bind_repeats(r);
  bind_triangles(r);
}

}  // namespace fastgrad::py
