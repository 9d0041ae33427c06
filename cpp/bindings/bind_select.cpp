// Elements chosen, and written, by index or mask.
#include "bindings/families.h"
#include "bindings/indexing.h"
#include "ops/index.h"
#include "ops/parts.h"
#include "ops/select.h"

namespace fastgrad::py {
namespace {

void bind_along(Registry& r) {
  r.add("index_select", kBoth | kExactOut, "The entries along dim that index names.")
      .on("(Tensor input, int dim, Tensor index, *, Tensor? out=None)", [](const Arguments& a) {
        a.refuse_shared_out(3, {0, 2});
        return wrap(index_select(a.tensor(0), a.integer(1), a.tensor(2)));
      });
  r.add("index_add", kBoth | kInplace | kExactOut,
        "With alpha * source added to the entries along dim that index names.")
      .on("(Tensor input, int dim, Tensor index, Tensor source, *, Number alpha=1, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(
                index_add(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.number(4)));
          });
  r.add("index_copy", kBoth | kInplace | kExactOut,
        "With the entries along dim that index names replaced by those of source.")
      .on("(Tensor input, int dim, Tensor index, Tensor source, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(index_copy(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)));
          });
  r.add("index_fill", kBoth | kInplace, "With the entries along dim that index names set to value.")
      .on("(Tensor input, int dim, Tensor index, Tensor|Number value)", [](const Arguments& a) {
        return wrap(index_fill(a.tensor(0), a.integer(1), a.tensor(2), a.operand(3)));
      });
  r.add("select_scatter", kBoth, "With the entry `index` along dim replaced by src.")
      .on("(Tensor input, Tensor src, int dim, int index)", [](const Arguments& a) {
        return wrap(select_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer(3)));
      });
  r.add("slice_scatter", kBoth | kExactOut,
        "With the slice start:end:step along dim replaced by src.")
      .on("(Tensor input, Tensor src, int dim=0, int? start=None, int? end=None, int step=1, *, "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(slice_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.optional_integer(3),
                                      a.optional_integer(4), a.integer(5)));
          });
  r.add("diagonal_scatter", kBoth, "With a diagonal of two dimensions replaced by src.")
      .on("(Tensor input, Tensor src, int offset=0, int dim1=0, int dim2=1)",
          [](const Arguments& a) {
            return wrap(diagonal_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer(3),
                                         a.integer(4)));
          });
}

// A sequence of index tensors, None for a whole dimension.
IndexItems index_list(PyObject* o) {
  FG_CHECK_TYPE(PyTuple_Check(o) || PyList_Check(o),
                "index_put(): argument 'indices' must be tuple of Tensors, not ", type_name(o));
  IndexItems items;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    PyObject* item = PySequence_Fast_ITEMS(o)[i];
    FG_CHECK_TYPE(
        item == Py_None || is_tensor(item),
        "index_put(): argument 'indices' must be tuple of Tensors, but found element of type ",
        type_name(item), " at pos ", i);
    items.push_back(item == Py_None ? IndexItem::whole() : IndexItem::of(tensor_of(item)));
  }
  return items;
}

void bind_index_put(Registry& r) {
  r.add("index_put", kBoth,
        "A copy with the elements that the index tensors name replaced by values, or values added "
        "to them.")
      .on("(Tensor input, Any indices, Tensor values, bool accumulate=False)",
          [](const Arguments& a) {
            return wrap(index_put(a.tensor(0), index_list(a.object(1)), a.tensor(2), a.boolean(3)));
          });
  r.add("index_put_", kMethod, "In-place form of index_put.")
      .on("(Tensor self, Any indices, Tensor values, bool accumulate=False)",
          [](const Arguments& a) {
            index_put_(a.tensor(0), index_list(a.object(1)), a.tensor(2), a.boolean(3));
            return Py_NewRef(a.object(0));
          });
}

void bind_numbered(Registry& r) {
  r.add("take", kBoth | kExactOut, "The elements with the given numbers in row-major order.")
      .on("(Tensor input, Tensor index, *, Tensor? out=None)", [](const Arguments& a) {
        a.refuse_shared_out(2, {0, 1});
        return wrap(take(a.tensor(0), a.tensor(1)));
      });
  r.add("put", kBoth | kInplace,
        "With the elements of the given numbers replaced by source, or source added to them.")
      .on("(Tensor input, Tensor index, Tensor source, bool accumulate=False)",
          [](const Arguments& a) {
            return wrap(put(a.tensor(0), a.tensor(1), a.tensor(2), a.boolean(3)));
          });
}

void bind_masks(Registry& r) {
  r.add("masked_fill", kBoth | kInplace, "value where mask is true, else input.")
      .on("(Tensor input, Tensor mask, Tensor|Number value)", [](const Arguments& a) {
        return wrap(masked_fill(a.tensor(0), a.tensor(1), a.operand(2)));
      });
  r.add("masked_select", kBoth | kExactOut, "The elements where mask is true, as a vector.")
      .on("(Tensor input, Tensor mask, *, Tensor? out=None)", [](const Arguments& a) {
        a.refuse_shared_out(2, {0, 1});
        return wrap(masked_select(a.tensor(0), a.tensor(1)));
      });
  r.add("masked_scatter", kBoth | kInplace,
        "The elements of source, in order, where mask is true, else input.")
      .on("(Tensor input, Tensor mask, Tensor source)", [](const Arguments& a) {
        return wrap(masked_scatter(a.tensor(0), a.tensor(1), a.tensor(2)));
      });
  r.add("nonzero", kBoth | kExactOut,
        "The indices of the elements that are not zero, as rows or as a tuple of vectors.")
      .on("(Tensor input, *, Tensor? out=None, bool as_tuple=False)"
          " -> Tensor|Tensor[]",
          [](const Arguments& a) {
            return a.boolean(2) ? wrap_tuple(nonzero_tuple(a.tensor(0)))
                                : wrap(nonzero(a.tensor(0)));
          });
  r.add("argwhere", kBoth, "The indices of the elements that are not zero, as rows.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(argwhere(a.tensor(0))); });
  r.add("nn.functional.one_hot", kFunction, "1 at the class, else 0, along a new last dimension.")
      .on("(Tensor tensor, int num_classes=-1)",
          [](const Arguments& a) { return wrap(one_hot(a.tensor(0), a.integer(1))); })
      .on("(Tensor input, int num_classes=-1)",
          [](const Arguments& a) { return wrap(one_hot(a.tensor(0), a.integer(1))); });
}

}  // namespace

void bind_select(Registry& r) {
  bind_along(r);
  bind_index_put(r);
  bind_numbered(r);
  bind_masks(r);
}

}  // namespace fastgrad::py
