#include "bindings/indexing.h"

#include <cstring>

#include "base/threads.h"
#include "bindings/arguments.h"
#include "bindings/from_python.h"
#include "bindings/signature.h"
#include "core/memory.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/index.h"
#include "ops/pointwise.h"

namespace fastgrad::py {
namespace {

bool is_array(PyObject* o) { return std::strcmp(Py_TYPE(o)->tp_name, "numpy.ndarray") == 0; }

// Lists, ranges and arrays of integers or booleans as an index tensor.
Tensor index_tensor(PyObject* o) {
  Tensor t = tensor_from_data(o, std::nullopt);
  if (t.numel() == 0 && is_floating(t.dtype())) return to_dtype(t, DType::Int64);  // []
  return t;
}

IndexItem parse_slice(PyObject* o) {
  Py_ssize_t start, stop, step;
  check_status(PySlice_Unpack(o, &start, &stop, &step));
  FG_CHECK_VALUE(step > 0, "step must be greater than zero");
  return IndexItem::slice(start, stop, step);
}

IndexItem parse_item(PyObject* o) {
  if (PyLong_CheckExact(o)) return IndexItem::select(to_integer(o));
  if (PySlice_Check(o)) return parse_slice(o);
  if (o == Py_None) return IndexItem::insert();
  if (o == Py_Ellipsis) return IndexItem::ellipsis();
  if (is_tensor(o)) return IndexItem::of(tensor_of(o));
  if (PyBool_Check(o)) return IndexItem::of(full({}, o == Py_True, DType::Bool));
  if (is_array(o) || (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o)))
    return IndexItem::of(index_tensor(o));
  if (is_number(o) && !PyFloat_Check(o)) {  // NumPy's scalars
    Scalar s = to_number(o);
    if (s.kind() == DTypeKind::Bool) return IndexItem::of(full({}, s, DType::Bool));
    if (s.kind() == DTypeKind::Int) return IndexItem::select(s.to_int());
  }
  if (PyIndex_Check(o)) return IndexItem::select(to_integer(o));
  fail(PyUnicode_Check(o) ? ErrorKind::Type : ErrorKind::Index,
       "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
       "are valid indices (got ",
       type_name(o), ")");
}

// A list that holds more than numbers stands for a tuple, with a warning, as in PyTorch 2.13.
bool stands_for_tuple(PyObject* key) {
  if (PyTuple_Check(key)) return true;
  if (!PyList_Check(key)) return false;
  Py_ssize_t n = PyList_GET_SIZE(key);
  if (n >= 32) return false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* o = PyList_GET_ITEM(key, i);
    if (is_tensor(o) || PySlice_Check(o) || o == Py_None || o == Py_Ellipsis ||
        (PySequence_Check(o) && !PyUnicode_Check(o))) {
      warn(
          "Using a non-tuple sequence for multidimensional indexing is deprecated; use "
          "x[tuple(seq)] instead "
          "of x[seq].");
      return true;
    }
  }
  return false;
}

IndexItems parse_key(PyObject* key) {
  IndexItems items;
  if (!stands_for_tuple(key)) {
    items.push_back(parse_item(key));
    return items;
  }
  Py_ssize_t n = PySequence_Fast_GET_SIZE(key);
  for (Py_ssize_t i = 0; i < n; ++i) items.push_back(parse_item(PySequence_Fast_ITEMS(key)[i]));
  return items;
}

}  // namespace

PyObject* get_item(PyObject* self, PyObject* key) {
  enter_thread();
  return guarded([&] {
    Tensor x = tensor_of(self);
    // x[3] and x[2:7] need no list of items.
    if (x.ndim() > 0 && PyLong_CheckExact(key)) {
      ViewItem entry = ViewItem::select(wrap_index(to_integer(key), x.shape()[0], 0));
      return wrap(basic_view(Op::Select, x, {&entry, 1}));
    }
    if (x.ndim() > 0 && PySlice_Check(key)) {
      IndexItem s = parse_slice(key);
      ViewItem part = ViewItem::slice(x.shape()[0], s.start, s.stop, s.step);
      return wrap(basic_view(Op::Slice, x, {&part, 1}));
    }
    return wrap(index(x, parse_key(key)));
  });
}

int set_item(PyObject* self, PyObject* key, PyObject* value) {
  enter_thread();
  return guarded(
      [&]() -> int {
        FG_CHECK_TYPE(value, "Tensor does not support deleting items");
        std::optional<Operand> v;
        Tensor keep;
        FG_CHECK_TYPE(to_operand(value, v, keep), "can't assign a ", type_name(value),
                      " to a tensor; make it a tensor first");
        index_assign(tensor_of(self), parse_key(key), *v);
        return 0;
      },
      -1);
}

int contains(PyObject* self, PyObject* value) {
  enter_thread();
  return guarded(
      [&]() -> int {
        std::optional<Operand> v;
        Tensor keep;
        FG_CHECK(to_operand(value, v, keep),
                 "Tensor.__contains__ only supports Tensor or scalar, but you passed in a ",
                 text_of(reinterpret_cast<PyObject*>(Py_TYPE(value))), ".");
        Array equal = recorded::as_contiguous(eq(tensor_of(self), *v).array());
        watch_values(equal);
        return std::memchr(equal.data, 1, static_cast<size_t>(equal.numel)) != nullptr;
      },
      -1);
}

PyObject* iterate(PyObject* self) {
  enter_thread();
  return guarded([&]() -> PyObject* {
    Tensor x = tensor_of(self);
    FG_CHECK_TYPE(x.ndim() > 0, "iteration over a 0-d tensor");
    Object rows = own(wrap_tuple(unbind(x)));
    return PyObject_GetIter(rows.get());
  });
}

}  // namespace fastgrad::py
