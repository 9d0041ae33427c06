// Copies, pickles, subclasses, and memory that is given to a tensor after its birth.
#include <cstring>

#include "bindings/constructor.h"
#include "bindings/creation_options.h"
#include "bindings/families.h"
#include "bindings/types.h"
#include "core/inplace.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "ops/creation.h"
#include "ops/shape.h"

namespace fastgrad::py {
namespace {

PyTypeObject* type_argument(const Arguments& a, int i) {
  PyObject* o = a.object(i);
  FG_CHECK_TYPE(
      PyType_Check(o) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(o), g_tensor_type),
      "expected a subclass of fastgrad.Tensor, got ", text_of(o));
  return reinterpret_cast<PyTypeObject*>(o);
}

// The attributes of a tensor object, or null.
PyObject* attributes_of(PyObject* self) {
  PyObject* dict = reinterpret_cast<TensorObject*>(self)->dict;
  return dict && PyDict_GET_SIZE(dict) > 0 ? dict : nullptr;
}
void set_attributes(PyObject* self, Object dict) {
  auto* o = reinterpret_cast<TensorObject*>(self);
  PyObject* old = std::exchange(o->dict, dict.release());
  Py_XDECREF(old);
}

Object deep_copy(PyObject* o, PyObject* memo) {
  Object module = own(PyImport_ImportModule("copy"));
  return own(PyObject_CallMethod(module.get(), "deepcopy", "OO", o, memo));
}

// The copy of a whole buffer, made once per memo, so that tensors which share memory still do.
Ref<Buffer> copied_buffer(const Array& a, PyObject* memo) {
  Object key = own(Py_BuildValue("(sN)", "fastgrad memory", PyLong_FromVoidPtr(a.buffer->data())));
  PyObject* known = PyDict_GetItemWithError(memo, key.get());
  if (!known && PyErr_Occurred()) throw PythonError{};
  if (known) return impl_of(known)->array.buffer;
  Array bytes = Array::empty(Dims{static_cast<int64_t>(a.buffer->nbytes())}, DType::UInt8);
  std::memcpy(bytes.data, a.buffer->data(), a.buffer->nbytes());
  Ref<Buffer> buffer = bytes.buffer;
  Object holder(wrap(Tensor(std::move(bytes))));
  check_status(PyDict_SetItem(memo, key.get(), holder.get()));
  return buffer;
}

PyObject* deepcopy(PyObject* self, PyObject* memo) {
  refuse_recording("copy.deepcopy(tensor)");
  Tensor t = tensor_of(self);
  FG_CHECK(t.is_leaf(),
           "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
           "protocol at the "
           "moment. Copy the value with .detach().clone() instead.");
  FG_CHECK_TYPE(PyDict_Check(memo), "__deepcopy__(): the memo must be a dict, not ",
                type_name(memo));
  Object id = own(PyLong_FromVoidPtr(self));
  if (PyObject* known = PyDict_GetItemWithError(memo, id.get())) return Py_NewRef(known);
  if (PyErr_Occurred()) throw PythonError{};
  Array a = t.array();
  auto offset = a.data - a.buffer->data();
  a.buffer = copied_buffer(a, memo);
  a.data = a.buffer->data() + offset;
  Tensor copied(std::move(a));
  copied->leaf_requires_grad = t.requires_grad();
  Object result = own(wrap_as(Py_TYPE(self), copied));
  check_status(PyDict_SetItem(memo, id.get(), result.get()));
  if (t->grad.defined()) {
    Object grad(wrap(t->grad));
    copied->grad = tensor_of(deep_copy(grad.get(), memo).get());
  }
  if (PyObject* dict = attributes_of(self)) set_attributes(result.get(), deep_copy(dict, memo));
  return result.release();
}

// Another tensor object on the same memory.
PyObject* shallow_copy(PyObject* self) {
  Tensor t = tensor_of(self);
  Tensor same(t.array());
  same->leaf_requires_grad = t.requires_grad();
  Object result = own(wrap_as(Py_TYPE(self), same));
  if (PyObject* dict = attributes_of(self)) set_attributes(result.get(), own(PyDict_Copy(dict)));
  return result.release();
}

PyObject* module_function(const char* name) {
  Object module = own(PyImport_ImportModule("fastgrad._core"));
  return check(PyObject_GetAttrString(module.get(), name));
}

// (rebuild, arguments[, attributes]): the elements as bytes, without gaps, in the order they lie
// in.
PyObject* reduce(PyObject* self) {
  refuse_recording("pickling a tensor");
  static PyObject* rebuild = nullptr;
  if (!rebuild) rebuild = module_function("_rebuild_tensor");
  Tensor t = tensor_of(self);
  const Array& a = t.array();
  Dims strides = dense_strides_like(a.shape, a.strides);
  Array dense = Array::empty_strided(a.shape, strides, a.dtype);
  recorded::copy_array(a, dense);
  auto dims = [](DimSpan d) {
    Object tuple = own(PyTuple_New(static_cast<Py_ssize_t>(d.size())));
    for (size_t i = 0; i < d.size(); ++i)
      PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), check(PyLong_FromLongLong(d[i])));
    return tuple.release();
  };
  Object arguments = own(Py_BuildValue(
      "(Oy#NNNO)", Py_TYPE(self), dense.data, static_cast<Py_ssize_t>(dense.nbytes()),
      wrap(a.dtype), dims(a.shape), dims(strides), t.requires_grad() ? Py_True : Py_False));
  if (PyObject* dict = attributes_of(self))
    return Py_BuildValue("(OOO)", rebuild, arguments.get(), dict);
  return Py_BuildValue("(OO)", rebuild, arguments.get());
}

PyObject* rebuild(const Arguments& a) {
  PyTypeObject* type = type_argument(a, 0);
  char* bytes;
  Py_ssize_t nbytes;
  check_status(PyBytes_AsStringAndSize(a.object(1), &bytes, &nbytes));
  Dims shape = a.ints(3), strides = a.ints(4);
  FG_CHECK_VALUE(shape.size() == strides.size() && is_dense(shape, strides),
                 "a pickled tensor has strides that do not fit its shape");
  Array array = Array::empty_strided(shape, strides, a.dtype(2));
  FG_CHECK_VALUE(array.nbytes() == nbytes, "a pickled tensor has ", nbytes,
                 " bytes where its shape needs ", array.nbytes());
  std::memcpy(array.data, bytes, static_cast<size_t>(nbytes));
  Tensor t(std::move(array));
  t->leaf_requires_grad = a.boolean(5);
  return wrap_as(type, t);
}

void bind_copies(Registry& r) {
  r.add("__deepcopy__", kMethod, "A copy with its own memory; leaves only.")
      .on("(Tensor self, Any memo) -> Tensor",
          [](const Arguments& a) { return deepcopy(a.object(0), a.object(1)); });
  r.add("__copy__", kMethod, "Another tensor on the same memory.")
      .on("(Tensor self) -> Tensor", [](const Arguments& a) { return shallow_copy(a.object(0)); });
  r.add("__reduce_ex__", kMethod, "How pickle takes a tensor apart.")
      .on("(Tensor self, int protocol) -> Any",
          [](const Arguments& a) { return reduce(a.object(0)); });
  r.add("_rebuild_tensor", kFunction, "How pickle puts a tensor together.")
      .on("(Any type, Any data, dtype dtype, int[] size, int[] stride, bool requires_grad) -> "
          "Tensor",
          rebuild);
}

void bind_subclasses(Registry& r) {
  r.add("_make_subclass", kFunction,
        "An object of a subclass on the memory of data, without its history.")
      .on("(Any cls, Tensor data, bool require_grad=False) -> Tensor", [](const Arguments& a) {
        Tensor t = a.tensor(1).detach();
        if (a.boolean(2)) require_grad(t);
        return wrap_as(type_argument(a, 0), t);
      });
  r.add("as_subclass", kMethod,
        "The same tensor as an object of a subclass; gradients flow through it.")
      .on("(Tensor self, Any cls) -> Tensor", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        Dims same_order;
        for (int64_t d = 0; d < t.ndim(); ++d) same_order.push_back(d);
        return wrap_as(type_argument(a, 1), permute(t, same_order));
      });
}

void check_resizable(const Tensor& t) {
  FG_CHECK(!t.requires_grad(), "cannot resize variables that require grad");
}

// Other sizes on the same memory where it is large enough, else on new memory with the old elements
// at its start.
PyObject* resize(PyObject* self, DimSpan shape, MemoryFormat format) {
  refuse_recording(".resize_()");
  Tensor t = tensor_of(self);
  check_resizable(t);
  const Array& a = t.array();
  Dims strides =
      format == MemoryFormat::Preserve ? contiguous_strides(shape) : format_strides(format, shape);
  int64_t needed = checked_numel(shape);
  int64_t offset = a.offset();
  auto held = static_cast<int64_t>(a.buffer->nbytes() / a.itemsize());
  if (needed == 0 || offset + needed <= held) {
    t.mutable_array() = a.view(shape, strides);
    return Py_NewRef(self);
  }
  FG_CHECK(a.buffer->owns_memory(),
           "Trying to resize storage that is not resizable: it belongs to another library");
  Array fresh = Array::empty_strided(shape, strides, a.dtype);
  std::memcpy(fresh.data, a.data, static_cast<size_t>(held - offset) * a.itemsize());
  fresh.buffer->set_version(t->version());
  t.mutable_array() = std::move(fresh);
  return Py_NewRef(self);
}

void bind_constructor(Registry& r) {
  r.add("_construct", kFunction, "What fastgrad.FloatTensor(...) and its kin make.")
      .on("(dtype dtype, Any args) -> Tensor",
          [](const Arguments& a) { return wrap(construct(a.object(1), a.dtype(0))); });
  r.add("new", kMethod, "fastgrad.Tensor(...) with the element type of this tensor.")
      .on("(Tensor self, Any[*] args) -> Tensor",
          [](const Arguments& a) { return wrap(construct(a.object(1), a.tensor(0).dtype())); });
}

void bind_resizing(Registry& r) {
  r.add("resize_", kMethod,
        "Gives the tensor other sizes; elements keep their places in memory, new ones are not set.")
      .on("(Tensor self, int[*] size, *, memory_format? memory_format=None) -> Tensor",
          [](const Arguments& a) {
            return resize(a.object(0), a.ints(1), a.memory_format(2, MemoryFormat::Contiguous));
          });
  r.add("resize_as_", kMethod, "resize_ to the sizes of another tensor.")
      .on("(Tensor self, Tensor the_template, *, memory_format? memory_format=None) -> Tensor",
          [](const Arguments& a) {
            return resize(a.object(0), a.tensor(1).shape(),
                          a.memory_format(2, MemoryFormat::Contiguous));
          });
  r.add("set_", kMethod,
        "Makes the tensor use the memory, sizes and strides of source; none when it is absent.")
      .on("(Tensor self, Tensor? source=None) -> Tensor", [](const Arguments& a) {
        refuse_recording(".set_()");
        Tensor t = a.tensor(0);
        Array source = a.has(1) ? a.tensor(1).array() : Array::empty(Dims{0}, t.dtype());
        FG_CHECK(source.dtype == t.dtype(), "Could not set tensor of type ", name(source.dtype),
                 " to a tensor of type ", name(t.dtype()));
        FG_CHECK(!check_inplace(t, false, "set"),
                 "set_ cannot change a tensor that requires grad; use .data");
        t.mutable_array() = std::move(source);
        return Py_NewRef(a.object(0));
      });
}

}  // namespace

void bind_life(Registry& r) {
  bind_copies(r);
  bind_subclasses(r);
  bind_resizing(r);
  bind_constructor(r);
}

}  // namespace fastgrad::py
