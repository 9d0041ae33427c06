// Views that change sizes or the order of dimensions.
#include "bindings/families.h"
#include "bindings/outside_memory.h"
#include "bindings/types.h"
#include "ops/as_strided.h"
#include "ops/basic_index.h"
#include "ops/parts.h"
#include "ops/shape.h"

namespace fastgrad::py {
namespace {

void bind_sizes(Registry& r) {
  r.add("reshape", kBoth | kLazy,
        "The same elements in another shape; a view where strides allow it.")
      .on("(Tensor input, int[*] shape)",
          [](const Arguments& a) { return wrap(reshape(a.tensor(0), a.ints(1))); });
  r.add("reshape_as", kMethod, "reshape to the shape of other.")
      .on("(Tensor self, Tensor other)",
          [](const Arguments& a) { return wrap(reshape(a.tensor(0), a.tensor(1).shape())); });
  r.add("view", kMethod | kLazy,
        "The same memory in another shape, or as elements of another type.")
      .on("(Tensor self, int[*] size)",
          [](const Arguments& a) { return wrap(view(a.tensor(0), a.ints(1))); })
      .on("(Tensor self, dtype dtype)",
          [](const Arguments& a) { return wrap(view(a.tensor(0), a.dtype(1))); });
  r.add("view_as", kMethod | kLazy, "view in the shape of other.")
      .on("(Tensor self, Tensor other)",
          [](const Arguments& a) { return wrap(view(a.tensor(0), a.tensor(1).shape())); });
  r.add("flatten", kBoth | kLazy, "The dimensions from start_dim to end_dim as one.")
      .on("(Tensor input, int start_dim=0, int end_dim=-1)", [](const Arguments& a) {
        return wrap(flatten(a.tensor(0), a.integer(1), a.integer(2)));
      });
  r.add("unflatten", kBoth, "One dimension as several.")
      .on("(Tensor input, int dim, int[1] sizes)",
          [](const Arguments& a) { return wrap(unflatten(a.tensor(0), a.integer(1), a.ints(2))); });
  r.add("ravel", kBoth, "The elements as a row-major 1-d tensor.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(ravel(a.tensor(0))); });
  r.add("squeeze", kBoth | kLazy, "Without the dimensions of size 1, or without those given.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(squeeze(a.tensor(0))); })
      .on("(Tensor input, int dim)",
          [](const Arguments& a) {
            const int64_t dim[] = {a.integer(1)};
            return wrap(squeeze(a.tensor(0), dim));
          })
      .on("(Tensor input, int[*] dim)",
          [](const Arguments& a) { return wrap(squeeze(a.tensor(0), a.ints(1))); });
  r.add("unsqueeze", kBoth | kLazy, "With a new dimension of size 1 at dim.")
      .on("(Tensor input, int dim)",
          [](const Arguments& a) { return wrap(unsqueeze(a.tensor(0), a.integer(1))); });
}

void bind_dimension_order(Registry& r) {
  r.add("permute", kBoth | kLazy, "The dimensions in the given order.")
      .on("(Tensor input, int[*] dims)",
          [](const Arguments& a) { return wrap(permute(a.tensor(0), a.ints(1))); });
  r.add("transpose", kBoth | kLazy, "Two dimensions exchanged.")
      .on("(Tensor input, int dim0, int dim1)", [](const Arguments& a) {
        return wrap(transpose(a.tensor(0), a.integer(1), a.integer(2)));
      });
  r.add("swapaxes", kBoth | kLazy, "Two dimensions exchanged; transpose under NumPy's name.")
      .on("(Tensor input, int axis0, int axis1)", [](const Arguments& a) {
        return wrap(transpose(a.tensor(0), a.integer(1), a.integer(2)));
      });
  r.add("swapdims", kBoth, "Two dimensions exchanged; another name of transpose.")
      .on("(Tensor input, int dim0, int dim1)", [](const Arguments& a) {
        return wrap(transpose(a.tensor(0), a.integer(1), a.integer(2)));
      });
  for (const char* name : {"movedim", "moveaxis"})
    r.add(name, kBoth, "Dimensions moved to other places, the rest in order around them.")
        .on("(Tensor input, int[1] source, int[1] destination)",
            [](const Arguments& a) { return wrap(movedim(a.tensor(0), a.ints(1), a.ints(2))); });
  r.add("t", kBoth | kLazy, "The transpose of a matrix; vectors and 0-d tensors stay.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(t(a.tensor(0))); });
  r.add("adjoint", kBoth, "The conjugate transpose of the last two dimensions.")
      .on("(Tensor input)", [](const Arguments& a) {
        Tensor x = a.tensor(0);
        FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(x.dtype()),
                      "adjoint is not implemented for complex tensors");
        FG_CHECK(x.ndim() >= 2,
                 "tensor.adjoint() is only supported on matrices or batches of matrices. Got ",
                 x.ndim(), "-D tensor.");
        return wrap(transpose(x, -2, -1));
      });
}

PyObject* expanded(const Arguments& a) { return wrap(expand(a.tensor(0), a.ints(1))); }

// The common shape of ints and shapes.
PyObject* broadcast_shapes(const Arguments& a) {
  Dims shape;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(a.object(0));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_ITEMS(a.object(0))[i];
    Dims dims;
    if (is_integer(item)) {
      dims.push_back(to_integer(item));
    } else {
      FG_CHECK(PyTuple_Check(item) || PyList_Check(item),
               "Input shapes should be of type ints, a tuple of ints, or a "
               "list of ints, got ",
               type_name(item));
      for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(item); ++k)
        dims.push_back(to_integer(PySequence_Fast_ITEMS(item)[k]));
    }
    for (int64_t d : dims)
      FG_CHECK(d >= 0, "Trying to create tensor with negative dimension (", d, "): (", d, ")");
    auto both = try_broadcast(shape, dims);
    FG_CHECK(both, "Shape mismatch: objects cannot be broadcast to a single shape: ", shape,
             " and ", dims);
    shape = *both;
  }
  return make_size(shape);
}

void bind_broadcast(Registry& r) {
  r.add("expand", kMethod | kLazy, "Dimensions of size 1 repeated without a copy; -1 keeps a size.")
      .on("(Tensor self, int[*] size, *, bool implicit=False)", expanded);
  r.add("expand_as", kMethod | kLazy, "expand to the shape of other.")
      .on("(Tensor self, Tensor other)",
          [](const Arguments& a) { return wrap(expand(a.tensor(0), a.tensor(1).shape())); });
  r.add("broadcast_to", kBoth, "Dimensions of size 1 repeated to the given shape, without a copy.")
      .on("(Tensor input, int[*] size)", expanded)
      .on("(Tensor input, int[*] shape)", expanded);
  r.add("broadcast_tensors", kFunction, "The tensors as views of one common shape.")
      .on("(Tensor[*] tensors) -> Tensor[]",
          [](const Arguments& a) { return wrap_tuple(broadcast_tensors(a.tensors(0))); });
  r.add("broadcast_shapes", kFunction, "The shape to which tensors of the given shapes broadcast.")
      .on("(Any[*] shapes) -> Size", broadcast_shapes);
}

void bind_parts(Registry& r) {
  r.add("narrow", kBoth, "`length` entries along dim from start on.")
      .on("(Tensor input, int dim, int start, int length)",
          [](const Arguments& a) {
            return wrap(narrow(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
          })
      .on("(Tensor input, int dim, Tensor start, int length)", [](const Arguments&) -> PyObject* {
        fail(ErrorKind::Runtime, "start must be an 0-dim integral Tensor.");
      });
  r.add("narrow_copy", kBoth, "A copy of narrow.")
      .on("(Tensor input, int dim, int start, int length, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(narrow_copy(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
          });
  r.add("select", kBoth, "The entry `index` along dim, without that dimension.")
      .on("(Tensor input, int dim, int index)",
          [](const Arguments& a) { return wrap(select(a.tensor(0), a.integer(1), a.integer(2))); });
  r.add("diagonal", kBoth, "A diagonal of two dimensions as the last dimension of a view.")
      .on("(Tensor input, int offset=0, int dim1=0, int dim2=1)", [](const Arguments& a) {
        return wrap(diagonal(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
      });
  r.add(
       "unfold", kMethod,
       "Windows of `size` entries every `step` along a dimension, as the last dimension of a view.")
      .on("(Tensor self, int dimension, int size, int step)", [](const Arguments& a) {
        return wrap(unfold(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
      });
  r.add("as_strided", kBoth, "A view of the memory with the given sizes, strides and offset.")
      .on("(Tensor input, int[] size, int[] stride, int? storage_offset=None)",
          [](const Arguments& a) {
            if (a.optional_integer(3)) refuse_outside(a.tensor(0), "the storage offset");
            return wrap(as_strided(a.tensor(0), a.ints(1), a.ints(2), a.optional_integer(3)));
          });
  r.add("as_strided_scatter", kBoth,
        "A copy in which the elements of an as_strided view are replaced by src.")
      .on("(Tensor input, Tensor src, int[] size, int[] stride, int? storage_offset=None)",
          [](const Arguments& a) {
            if (a.optional_integer(4)) refuse_outside(a.tensor(0), "the storage offset");
            return wrap(as_strided_scatter(a.tensor(0), a.tensor(1), a.ints(2), a.ints(3),
                                           a.optional_integer(4)));
          });
}

// One tensor gives a tensor, several a tuple.
template <Tensor (*F)(const Tensor&)>
PyObject* each(const Arguments& a) {
  Tensors out;
  for (const Tensor& x : a.tensors(0)) out.push_back(F(x));
  return wrap_tuple(out);
}
template <Tensor (*F)(const Tensor&)>
void bind_atleast(Registry& r, const char* name, const char* doc) {
  r.add(name, kFunction, doc)
      .on("(Tensor input)", [](const Arguments& a) { return wrap(F(a.tensor(0))); })
      .on("(Tensor[*] tensors) -> Tensor[]", each<F>);
}

}  // namespace

void bind_shape(Registry& r) {
  bind_sizes(r);
  bind_dimension_order(r);
  bind_broadcast(r);
  bind_parts(r);
  bind_atleast<atleast_1d>(r, "atleast_1d", "The tensors with one dimension at least.");
  bind_atleast<atleast_2d>(r, "atleast_2d", "The tensors with two dimensions at least.");
  bind_atleast<atleast_3d>(r, "atleast_3d", "The tensors with three dimensions at least.");
}

}  // namespace fastgrad::py
