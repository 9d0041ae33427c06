// Several tensors into one, one into several.
#include "bindings/families.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "ops/basic_index.h"
#include "ops/join.h"
#include "ops/products.h"
#include "ops/split.h"

namespace fastgrad::py {
namespace {

// Joins f's tensors; out (argument `out`) must be able to take them and share no memory with them.
template <class F>
PyObject* joined(const Arguments& a, int out, F&& f) {
  PyObject* list = a.object(0);
  SmallVector<Tensor, 4> tensors;  // few cost no allocation
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); ++i)
    tensors.push_back(tensor_of(PySequence_Fast_ITEMS(list)[i]));
  if (a.has(out)) {
    Tensor to = a.tensor(out);
    for (size_t i = 0; i < tensors.size(); ++i) {
      FG_CHECK(!memory_overlaps(to.array(), tensors[i].array()),
               "unsupported operation: the input tensors cannot refer to any of the output memory "
               "locations. Found overlap with input tensor ",
               i,
               ": some elements of the input tensor and the "
               "written-to tensor refer to a single memory location. Please clone() the tensor.");
      FG_CHECK_TYPE(can_cast(tensors[i].dtype(), to.dtype()),
                    "cat(): input types can't be cast to the desired "
                    "output type ",
                    scalar_type_name(to.dtype()));
    }
  }
  return wrap(f(tensors));
}

void bind_joins(Registry& r) {
  for (const char* name : {"cat", "concat", "concatenate"})
    r.add(name, kFunction, "The tensors one behind the other along dim.")
        .on("(Tensor[] tensors, int dim=0, *, Tensor? out=None)", [](const Arguments& a) {
          return joined(a, 2, [&](std::span<const Tensor> t) { return cat(t, a.integer(1)); });
        });
  r.add("stack", kFunction, "The tensors beside one another along a new dimension.")
      .on("(Tensor[] tensors, int dim=0, *, Tensor? out=None)", [](const Arguments& a) {
        return joined(a, 2, [&](std::span<const Tensor> t) { return stack(t, a.integer(1)); });
      });
  r.add("hstack", kFunction,
        "The tensors side by side: cat along the second dimension, or the first of vectors.")
      .on("(Tensor[] tensors, *, Tensor? out=None)",
          [](const Arguments& a) { return joined(a, 1, hstack); });
  for (const char* name : {"vstack", "row_stack"})
    r.add(name, kFunction,
          "The tensors below one another: cat along the first dimension, vectors as rows.")
        .on("(Tensor[] tensors, *, Tensor? out=None)",
            [](const Arguments& a) { return joined(a, 1, vstack); });
  r.add("dstack", kFunction, "The tensors behind one another: cat along the third dimension.")
      .on("(Tensor[] tensors, *, Tensor? out=None)",
          [](const Arguments& a) { return joined(a, 1, dstack); });
  r.add("column_stack", kFunction, "Vectors as the columns of a matrix; matrices side by side.")
      .on("(Tensor[] tensors, *, Tensor? out=None)",
          [](const Arguments& a) { return joined(a, 1, column_stack); });
  r.add("block_diag", kFunction, "A matrix with the tensors as blocks along its diagonal.")
      .on("(Tensor[*] tensors)", [](const Arguments& a) { return wrap(block_diag(a.tensors(0))); });
}

PyObject* split_evenly(const Arguments& a) {
  return wrap_tuple(split(a.tensor(0), a.integer(1), a.integer(2)));
}
PyObject* split_to_sizes(const Arguments& a) {
  return wrap_tuple(split(a.tensor(0), a.ints(1), a.integer(2)));
}
PyObject* in_sections(const Arguments& a) {
  return wrap_tuple(tensor_split(a.tensor(0), a.integer(1), a.integer(2)));
}
PyObject* at_indices(const Arguments& a) {
  return wrap_tuple(tensor_split(a.tensor(0), a.ints(1), a.integer(2)));
}

PyObject* at_tensor(const Arguments& a) {
  Tensor at = a.tensor(1);
  FG_CHECK(at.dtype() == DType::Int64,
           "tensor_split expected tensor_indices_or_sections to have dtype of long, but got ",
           name(at.dtype()));
  FG_CHECK(at.ndim() <= 1,
           "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
           "one-dimensional tensor, but got a tensor with ",
           at.ndim(), " dims");
  Array list = recorded::as_contiguous(at.array());
  watch_values(list);
  const int64_t* p = list.ptr<int64_t>();
  if (at.ndim() == 0) return wrap_tuple(tensor_split(a.tensor(0), p[0], a.integer(2)));
  return wrap_tuple(
      tensor_split(a.tensor(0), DimSpan(p, static_cast<size_t>(list.numel)), a.integer(2)));
}

// hsplit, vsplit, dsplit.
constexpr char kHsplit[] = "hsplit", kVsplit[] = "vsplit", kDsplit[] = "dsplit";
template <const char* kName>
void bind_named_split(Registry& r, const char* doc) {
  auto sections = [](const Arguments& a) {
    Tensor x = a.tensor(0);
    int64_t dim = named_split_dim(x, kName), n = a.integer(1);
    check_divides(x, dim, n, kName);
    return wrap_tuple(tensor_split(x, n, dim));
  };
  auto indices = [](const Arguments& a) {
    Tensor x = a.tensor(0);
    return wrap_tuple(tensor_split(x, a.ints(1), named_split_dim(x, kName)));
  };
  r.add(kName, kBoth, doc)
      .on("(Tensor input, int sections) -> Tensor[]", sections)
      .on("(Tensor input, int[*] indices) -> Tensor[]", indices)
      .on("(Tensor input, int indices_or_sections) -> Tensor[]", sections)
      .on("(Tensor input, int[] indices_or_sections) -> Tensor[]", indices);
}

void bind_splits(Registry& r) {
  r.add("split", kBoth, "Views of pieces of the given size, or sizes, along dim.")
      .on("(Tensor tensor, int split_size_or_sections, int dim=0) -> Tensor[]", split_evenly)
      .on("(Tensor tensor, int[] split_size_or_sections, int dim=0) -> Tensor[]", split_to_sizes)
      .on("(Tensor self, int split_size, int dim=0) -> Tensor[]", split_evenly)
      .on("(Tensor self, int[] split_size, int dim=0) -> Tensor[]", split_to_sizes);
  r.add("split_with_sizes", kBoth, "Views of pieces of the given sizes along dim.")
      .on("(Tensor input, int[] split_sizes, int dim=0) -> Tensor[]", split_to_sizes);
  r.add("chunk", kBoth, "Views of `chunks` pieces of equal size along dim, or of fewer.")
      .on("(Tensor input, int chunks, int dim=0) -> Tensor[]", [](const Arguments& a) {
        return wrap_tuple(chunk(a.tensor(0), a.integer(1), a.integer(2)));
      });
  r.add("tensor_split", kBoth,
        "Views of sections of nearly equal size, or of the parts between indices.")
      .on("(Tensor input, int sections, int dim=0) -> Tensor[]", in_sections)
      .on("(Tensor input, int[] indices, int dim=0) -> Tensor[]", at_indices)
      .on("(Tensor input, Tensor tensor_indices_or_sections, int dim=0) -> Tensor[]", at_tensor)
      .on("(Tensor input, int indices_or_sections, int dim=0) -> Tensor[]", in_sections)
      .on("(Tensor input, int[] indices_or_sections, int dim=0) -> Tensor[]", at_indices);
  bind_named_split<kHsplit>(r, "tensor_split along the second dimension, or the first of vectors.");
  bind_named_split<kVsplit>(r, "tensor_split along the first dimension.");
  bind_named_split<kDsplit>(r, "tensor_split along the third dimension.");
  r.add("unbind", kBoth, "Views of the slices along dim, without that dimension.")
      .on("(Tensor input, int dim=0) -> Tensor[]",
          [](const Arguments& a) { return wrap_tuple(unbind(a.tensor(0), a.integer(1))); });
}

PyObject* grids(const Arguments& a) {
  std::string indexing = a.has(1) ? a.text(1) : "ij";
  FG_CHECK(indexing == "ij" || indexing == "xy",
           "meshgrid: indexing must be one of \"xy\" or \"ij\", but received: ", indexing);
  return wrap_tuple(meshgrid(a.tensors(0), indexing == "xy"));
}

void bind_products(Registry& r) {
  r.add("meshgrid", kFunction, "Coordinate tensors of the grid that vectors span.")
      .on("(Tensor[*] tensors, *, str? indexing=None) -> Tensor[]", grids);
  r.add("cartesian_prod", kFunction, "All tuples of entries of the vectors, as rows.")
      .on("(Tensor[*] tensors)",
          [](const Arguments& a) { return wrap(cartesian_prod(a.tensors(0))); });
  r.add("combinations", kFunction, "The subsets of r entries of a vector, as rows.")
      .on("(Tensor input, int r=2, bool with_replacement=False)", [](const Arguments& a) {
        return wrap(combinations(a.tensor(0), a.integer(1), a.boolean(2)));
      });
  r.add("vander", kFunction, "The Vandermonde matrix: powers of a vector as columns.")
      .on("(Tensor x, int? N=None, bool increasing=False)", [](const Arguments& a) {
        return wrap(vander(a.tensor(0), a.optional_integer(1), a.boolean(2)));
      });
  r.add("kron", kBoth, "The Kronecker product.")
      .on("(Tensor input, Tensor other, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(kron(a.tensor(0), a.tensor(1))); });
}

}  // namespace

void bind_join(Registry& r) {
  bind_joins(r);
  bind_splits(r);
  bind_products(r);
}

}  // namespace fastgrad::py
