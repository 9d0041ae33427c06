// Products of vectors and matrices.
#include "bindings/families.h"
#include "ops/einsum.h"
#include "ops/matmul.h"

namespace fastgrad::py {
namespace {

void bind_products(Registry& r) {
  r.add("matmul", kBoth | kExactOut, R"doc(Product of two tensors, as the operator ``@``.

Two vectors give their inner product, a matrix and a vector or two matrices their product. With more
dimensions the last two are matrices and those before are batch dimensions, which broadcast; a vector
then counts as a matrix with one row (on the left) or one column (on the right), without that dimension
in the result.

Args:
    input: shape (..., m, k) or (k,).
    other: shape (..., k, n) or (k,), of the same dtype.

Raises:
    RuntimeError: the inner sizes or the dtypes differ, or an input is 0-d.

Example:
    >>> a = fg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> fg.matmul(a, fg.tensor([1.0, 1.0]))
    tensor([3., 7.])
    >>> a @ a
    tensor([[ 7., 10.],
            [15., 22.]])
)doc")
      .on("(Tensor input, Tensor other, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(matmul(a.tensor(0), a.tensor(1))); });
  r.add("mm", kBoth | kExactOut, R"doc(Product of two matrices, (n, k) by (k, m).

Raises:
    RuntimeError: an input is not a matrix, or sizes or dtypes do not fit.

Example:
    >>> fg.mm(fg.tensor([[1.0, 2.0]]), fg.tensor([[3.0], [4.0]]))
    tensor([[11.]])
)doc")
      .on("(Tensor input, Tensor mat2, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(mm(a.tensor(0), a.tensor(1))); });
  r.add("bmm", kBoth | kExactOut,
        R"doc(Products of the matrices of two batches, (b, n, k) by (b, k, m). No broadcasting.

Raises:
    RuntimeError: an input is not 3-d, or sizes or dtypes do not fit.

Example:
    >>> fg.bmm(fg.ones(2, 1, 3), fg.ones(2, 3, 1))
    tensor([[[3.]],
    <BLANKLINE>
            [[3.]]])
)doc")
      .on("(Tensor input, Tensor mat2, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(bmm(a.tensor(0), a.tensor(1))); });
  r.add("mv", kBoth | kExactOut, R"doc(Product of a matrix (n, k) and a vector (k,).

Raises:
    RuntimeError: dimensions, sizes or dtypes do not fit.

Example:
    >>> fg.mv(fg.tensor([[1.0, 2.0], [3.0, 4.0]]), fg.tensor([1.0, 1.0]))
    tensor([3., 7.])
)doc")
      .on("(Tensor input, Tensor vec, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(mv(a.tensor(0), a.tensor(1))); });
  r.add("dot", kBoth | kExactOut, R"doc(Inner product of two vectors: sum(input * tensor).

Raises:
    RuntimeError: an input is not 1-d, or sizes or dtypes differ.

Example:
    >>> fg.dot(fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0]))
    tensor(11.)
)doc")
      .on("(Tensor input, Tensor tensor, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(dot(a.tensor(0), a.tensor(1))); });
  r.add("vdot", kBoth | kExactOut,
        R"doc(Inner product of two vectors; the first would be conjugated if it were complex.

Example:
    >>> fg.vdot(fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0]))
    tensor(11.)
)doc")
      .on("(Tensor input, Tensor other, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(vdot(a.tensor(0), a.tensor(1))); });
  r.add(
       "inner", kBoth,
       R"doc(Sum of products over the last dimension of both tensors; their other dimensions are kept.

Raises:
    RuntimeError: the last sizes differ.

Example:
    >>> fg.inner(fg.tensor([[1.0, 2.0], [3.0, 4.0]]), fg.tensor([1.0, 1.0]))
    tensor([3., 7.])
)doc")
      .on("(Tensor input, Tensor other, *, Tensor? out=None)", [](const Arguments& a) {
        Tensor x = a.tensor(0), y = a.tensor(1), z = inner(x, y);
        bool is_product = x.ndim() == 0 || y.ndim() == 0;  // whose out= converts
        if (a.has(2) && !is_product) check_exact_out("inner", z, a.tensor(2));
        return wrap(z);
      });
  for (const char* name : {"outer", "ger"})
    r.add(name, kBoth, R"doc(Outer product of two vectors: out[i, j] = input[i] * vec2[j].

Raises:
    RuntimeError: an input is not 1-d.

Example:
    >>> fg.outer(fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
)doc")
        .on("(Tensor input, Tensor vec2, *, Tensor? out=None)",
            [](const Arguments& a) { return wrap(outer(a.tensor(0), a.tensor(1))); });
}

void bind_sums_of_products(Registry& r) {
  r.add("addmm", kBoth | kInplace | kExactOut, R"doc(beta * input + alpha * (mat1 @ mat2).

With beta = 0 the values of input do not count, not even NaN.

Args:
    input: broadcastable to (n, m).
    mat1: shape (n, k).
    mat2: shape (k, m).

Raises:
    RuntimeError: sizes or dtypes do not fit.

Example:
    >>> fg.addmm(fg.tensor([1.0, 2.0]), fg.ones(2, 3), fg.ones(3, 2))
    tensor([[4., 5.],
            [4., 5.]])
)doc")
      .on("(Tensor input, Tensor mat1, Tensor mat2, *, Number beta=1, Number alpha=1, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(addmm(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4)));
          });
  r.add("addmv", kBoth | kInplace | kExactOut, R"doc(beta * input + alpha * (mat @ vec).

Args:
    input: broadcastable to (n,).
    mat: shape (n, k).
    vec: shape (k,).

Raises:
    RuntimeError: sizes or dtypes do not fit.

Example:
    >>> fg.addmv(fg.tensor([1.0, 2.0]), fg.ones(2, 3), fg.ones(3), alpha=2)
    tensor([7., 8.])
)doc")
      .on("(Tensor input, Tensor mat, Tensor vec, *, Number beta=1, Number alpha=1, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(addmv(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4)));
          });
  r.add("addr", kBoth | kInplace, R"doc(beta * input + alpha * outer(vec1, vec2).

Args:
    input: broadcastable to (n, m).
    vec1: shape (n,).
    vec2: shape (m,).

Raises:
    RuntimeError: sizes do not fit.

Example:
    >>> fg.addr(fg.zeros(2, 2), fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
)doc")
      .on("(Tensor input, Tensor vec1, Tensor vec2, *, Number beta=1, Number alpha=1, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(addr(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4)));
          });
  r.add("addbmm", kBoth | kInplace | kExactOut,
        R"doc(beta * input + alpha * sum over i of (batch1[i] @ batch2[i]).

Args:
    input: broadcastable to (n, m).
    batch1: shape (b, n, k).
    batch2: shape (b, k, m).

Raises:
    RuntimeError: sizes or dtypes do not fit.

Example:
    >>> fg.addbmm(fg.zeros(1, 1), fg.ones(2, 1, 3), fg.ones(2, 3, 1))
    tensor([[6.]])
)doc")
      .on("(Tensor input, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(addbmm(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4)));
          });
  r.add("baddbmm", kBoth | kInplace | kExactOut,
        R"doc(beta * input + alpha * (batch1[i] @ batch2[i]) for every i.

Args:
    input: broadcastable to (b, n, m).
    batch1: shape (b, n, k).
    batch2: shape (b, k, m).

Raises:
    RuntimeError: sizes or dtypes do not fit.

Example:
    >>> fg.baddbmm(fg.ones(1), fg.ones(2, 1, 3), fg.ones(2, 3, 1)).flatten()
    tensor([4., 4.])
)doc")
      .on("(Tensor input, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(baddbmm(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4)));
          });
}

// The dims argument of tensordot: how many dimensions, or a pair of lists.
std::pair<Dims, Dims> contraction(PyObject* dims, int64_t ndim_a, int64_t ndim_b) {
  std::pair<Dims, Dims> out;
  if (is_integer(dims)) {
    int64_t n = to_integer(dims);
    FG_CHECK(n >= 0, "tensordot expects dims >= 0, but got dims=", n);
    FG_CHECK(n <= std::min(ndim_a, ndim_b),
             "tensordot expects dims < ndim_a or ndim_b, but got dims=", n);
    for (int64_t i = 0; i < n; ++i) {
      out.first.push_back(ndim_a - n + i);
      out.second.push_back(i);
    }
    return out;
  }
  if (is_tensor(dims)) {
    Object list = own(PyObject_CallMethod(dims, "tolist", nullptr));
    return contraction(list.get(), ndim_a, ndim_b);
  }
  FG_CHECK_TYPE(
      (PyTuple_Check(dims) || PyList_Check(dims)) && PySequence_Fast_GET_SIZE(dims) == 2,
      "tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] "
      "containing two lists, but got dims=",
      text_of(dims));
  for (int side = 0; side < 2; ++side) {
    PyObject* list = PySequence_Fast_ITEMS(dims)[side];
    Dims& to = side ? out.second : out.first;
    if (is_integer(list)) {
      to.push_back(to_integer(list));
      continue;
    }
    Object items = own(PySequence_Fast(list, "tensordot expects dims to be ints or lists of ints"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i)
      to.push_back(to_integer(PySequence_Fast_ITEMS(items.get())[i]));
  }
  return out;
}

void bind_chains(Registry& r) {
  r.add("tensordot", kFunction | kExactOut,
        R"doc(Sum of products over several dimensions of two tensors.

Args:
    dims: a number n, for the last n dimensions of a and the first n of b, or two lists of dimensions.

Raises:
    RuntimeError: the sizes of the paired dimensions differ.

Example:
    >>> fg.tensordot(fg.ones(2, 3, 4), fg.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    fastgrad.Size([2, 5])
)doc")
      .on("(Tensor a, Tensor b, Any dims=2, Tensor? out=None)", [](const Arguments& a) {
        Tensor x = a.tensor(0), y = a.tensor(1);
        auto [dims_x, dims_y] = contraction(a.object(2), x.ndim(), y.ndim());
        return wrap(tensordot(x, y, dims_x, dims_y));
      });
  r.add("linalg.multi_dot", kFunction | kExactOut,
        R"doc(Product of several matrices, in the order that needs the fewest multiplications.

Args:
    tensors: two or more matrices; the first and the last may be vectors.

Raises:
    RuntimeError: fewer than two tensors, or sizes that do not fit.

Example:
    >>> fg.linalg.multi_dot([fg.ones(2, 3), fg.ones(3, 4), fg.ones(4)])
    tensor([12., 12.])
)doc")
      .on("(Tensor[] tensors, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(multi_dot(a.tensors(0))); });
  r.add("chain_matmul", kFunction,
        R"doc(Product of several matrices; see :func:`fastgrad.linalg.multi_dot`.

Example:
    >>> fg.chain_matmul(fg.ones(2, 3), fg.ones(3, 1), fg.ones(1, 1))
    tensor([[3.],
            [3.]])
)doc")
      .on("(Tensor[*] matrices, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(chain_matmul(a.tensors(0))); });
}

// The subscripts of einsum's second format, [0, 1, ...], as letters.
std::string subscripts(PyObject* list) {
  Object items = own(PySequence_Fast(list, "einsum(): subscripts must be given as a list"));
  std::string text;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_ITEMS(items.get())[i];
    if (item == Py_Ellipsis) {
      text += "...";
      continue;
    }
    int64_t n = to_integer(item);
    FG_CHECK_VALUE(
        n >= 0 && n < 52,
        "einsum(): subscript in subscript list is not within the valid range [0, 52), got ", n);
    text += static_cast<char>(n < 26 ? 'A' + n : 'a' + n - 26);
  }
  return text;
}

Tensor einsum_of(PyObject* args) {
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  FG_CHECK_VALUE(n >= 2,
                 "einsum(): must specify the equation string and at least one operand, or at least "
                 "one operand and its subscripts list");
  std::string equation;
  Tensors operands;
  auto add_operand = [&](PyObject* o) {
    FG_CHECK_TYPE(is_tensor(o), "einsum(): operands must be tensors, got ", type_name(o));
    operands.push_back(tensor_of(o));
  };
  if (PyUnicode_Check(PyTuple_GET_ITEM(args, 0))) {
    equation = text_of(PyTuple_GET_ITEM(args, 0));
    PyObject* second = PyTuple_GET_ITEM(args, 1);
    if (n == 2 && (PyTuple_Check(second) || PyList_Check(second))) {
      for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(second); ++i)
        add_operand(PySequence_Fast_ITEMS(second)[i]);
    } else {
      for (Py_ssize_t i = 1; i < n; ++i) add_operand(PyTuple_GET_ITEM(args, i));
    }
    return einsum(equation, operands);
  }
  for (Py_ssize_t i = 0; i + 1 < n; i += 2) {
    add_operand(PyTuple_GET_ITEM(args, i));
    if (i) equation += ',';
    equation += subscripts(PyTuple_GET_ITEM(args, i + 1));
  }
  if (n % 2) equation += "->" + subscripts(PyTuple_GET_ITEM(args, n - 1));
  return einsum(equation, operands);
}

void bind_einsum(Registry& r) {
  r.add("einsum", kFunction, R"doc(Sums of products in Einstein's notation.

``einsum("ij,jk->ik", a, b)`` multiplies elements whose subscripts agree and sums over the subscripts that
are not in the output. A subscript repeated within an operand takes a diagonal. ``...`` stands for the
dimensions without subscript; they broadcast. Without ``->`` the output has the ellipsis and then, in
alphabetical order (capitals first), every subscript that occurs once. Operands are contracted two at a
time, each as one matrix product.

Args:
    equation: the subscripts of each operand, and of the output.
    operands: the tensors. Also ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.

Raises:
    RuntimeError: the equation is malformed or does not fit the operands.

Example:
    >>> a = fg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> fg.einsum("ij,kj->ik", a, a)
    tensor([[ 5., 11.],
            [11., 25.]])
    >>> fg.einsum("ii", a)
    tensor(5.)
)doc")
      .on("(Any[*] args)", [](const Arguments& a) { return wrap(einsum_of(a.object(0))); });
}

}  // namespace

void bind_matmul(Registry& r) {
  bind_products(r);
  bind_sums_of_products(r);
  bind_chains(r);
  bind_einsum(r);
}

}  // namespace fastgrad::py
