// Tensors on memory of others: as_tensor, asarray, frombuffer, DLPack.
#include "bindings/buffer_protocol.h"
#include "bindings/creation_options.h"
#include "bindings/dlpack.h"
#include "bindings/families.h"
#include "bindings/from_python.h"
#include "bindings/types.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "ops/convert.h"
#include "storage/dlpack.h"

namespace fastgrad::py {
namespace {

PyObject* as_tensor(PyObject* data, std::optional<DType> dtype) {
  if (is_tensor(data)) {
    Tensor t = tensor_of(data);
    return !dtype || *dtype == t.dtype() ? Py_NewRef(data) : wrap(to_copy(t, *dtype));
  }
  if (!is_ndarray(data)) return wrap(tensor_from_data(data, dtype));
  Tensor t = tensor_from_buffer(data, /*copy=*/false);
  return wrap(dtype && *dtype != t.dtype() ? Tensor(recorded::contiguous_copy(t.array(), *dtype))
                                           : t);
}

// The bytes of a buffer from `offset` on as elements of a type; all that are there for count < 0.
Tensor from_bytes(PyObject* buffer, DType dtype, int64_t count, int64_t offset) {
  FG_CHECK_VALUE(PyObject_CheckBuffer(buffer), "object does not implement Python buffer protocol.");
  Object view = own(PyMemoryView_FromObject(buffer));
  Py_buffer* given = PyMemoryView_GET_BUFFER(view.get());
  FG_CHECK_VALUE(PyBuffer_IsContiguous(given, 'C'),
                 "frombuffer: the buffer's elements have gaps; copy it first");
  Object bytes = own(PyObject_CallMethod(view.get(), "cast", "s", "B"));
  auto length = static_cast<int64_t>(given->len), item = static_cast<int64_t>(itemsize(dtype));
  FG_CHECK_VALUE(length > 0 && count != 0, "both buffer length (", length, ") and count (", count,
                 ") must not be 0");
  FG_CHECK_VALUE(offset >= 0 && offset < length, "offset (", offset,
                 " bytes) must be non-negative and no greater than "
                 "buffer length (",
                 length, " bytes) minus 1");
  FG_CHECK_VALUE(count >= 0 || (length - offset) % item == 0, "buffer length (", length - offset,
                 " bytes) after offset (", offset, " bytes) must be a multiple of element size (",
                 item, ")");
  int64_t n = count < 0 ? (length - offset) / item : count;
  FG_CHECK_VALUE(n <= (length - offset) / item, "requested buffer length (", n, " * ", item,
                 " bytes) after offset (", offset,
                 " bytes) must not be greater than actual buffer length (", length, " bytes)");
  Array a = tensor_from_buffer(bytes.get(), /*copy=*/false).array();
  Array out = a;
  out.dtype = dtype;
  out.data = a.data + offset;
  out.shape = Dims{n};
  out.strides = Dims{1};
  out.numel = n;
  return Tensor(std::move(out));
}

// Whatever speaks DLPack, its capsules included.
Tensor from_dlpack(PyObject* o, std::optional<bool> copy) {
  Object capsule = Object::borrow(o);
  if (!PyCapsule_CheckExact(o) && PyObject_HasAttrString(o, "__dlpack__")) {
    Object device = own(PyObject_CallMethod(o, "__dlpack_device__", nullptr));
    Object type = own(PySequence_GetItem(device.get(), 0));
    FG_CHECK_VALUE(to_integer(type.get()) == dlpack::kCpu, "from_dlpack: the data is on device ",
                   text_of(device.get()), ", and tensors live on the CPU (1, 0)");
    Object method = own(PyObject_GetAttrString(o, "__dlpack__"));
    Object none_given = own(PyTuple_New(0));
    Object options = own(Py_BuildValue("{s:(ii)}", "max_version", 1, 0));
    if (copy) check_status(PyDict_SetItemString(options.get(), "copy", *copy ? Py_True : Py_False));
    capsule = Object(PyObject_Call(method.get(), none_given.get(), options.get()));
    if (!capsule && !copy && PyErr_ExceptionMatches(PyExc_TypeError)) {  // written before version 1
      PyErr_Clear();
      capsule = Object(PyObject_CallNoArgs(method.get()));
    }
    if (!capsule) throw PythonError{};
  }
  return from_capsule(capsule.get());
}

PyObject* asarray(const Arguments& a) {
  PyObject* o = a.object(0);
  std::optional<DType> dtype = a.optional_dtype(1);
  std::optional<bool> copy = a.optional_boolean(3), requires_grad = a.optional_boolean(4);
  Tensor t;
  bool shares = true;
  if (is_tensor(o)) {
    t = tensor_of(o);
  } else if (is_ndarray(o)) {
    t = tensor_from_buffer(o, /*copy=*/false);
  } else if (PyCapsule_CheckExact(o) || PyObject_HasAttrString(o, "__dlpack__")) {
    t = from_dlpack(o, std::nullopt);
  } else if (PyObject_CheckBuffer(o) && !numpy_scalar_dtype(o)) {
    t = from_bytes(o, dtype.value_or(default_dtype()), -1, 0);
  } else {
    FG_CHECK_VALUE(copy.value_or(true), "can't alias arbitrary sequence into a tensor.");
    t = tensor_from_data(o, dtype);
    shares = false;
  }
  if (dtype && *dtype != t.dtype()) {
    FG_CHECK_VALUE(copy.value_or(true), "can't alias tensor with dtype '",
                   scalar_type_name(t.dtype()), "' into dtype '", scalar_type_name(*dtype), "'.");
    t = to_copy(t, *dtype);
  } else if (copy.value_or(false) && shares) {
    t = clone(t, MemoryFormat::Preserve);
  }
  bool is_input = is_tensor(o) && t.is(tensor_of(o));
  if (requires_grad && *requires_grad != t.requires_grad()) {
    if (is_input || !*requires_grad) t = t.detach();
    if (*requires_grad) require_grad(t);
  }
  return wrap(t);
}

PyObject* export_dlpack(const Arguments& a) {
  Tensor t = a.tensor(0);
  if (t.requires_grad()) {
    PyErr_SetString(PyExc_BufferError,
                    "Can't export tensors that require gradient, use tensor.detach()");
    throw PythonError{};
  }
  FG_CHECK_VALUE(!a.has(1), "stream should be None on cpu.");
  if (a.has(3)) {
    Object type = own(PySequence_GetItem(a.object(3), 0));
    if (to_integer(type.get()) != dlpack::kCpu) {
      PyErr_SetString(
          PyExc_BufferError,
          "tensors live on the CPU, which DLPack calls (1, 0), and cannot be exported elsewhere");
      throw PythonError{};
    }
  }
  refuse_recording("DLPack");
  bool versioned = false;
  if (a.has(2)) {
    Object major = own(PySequence_GetItem(a.object(2), 0));
    versioned = to_integer(major.get()) >= 1;
  }
  bool copy = a.has(4) && a.boolean(4);
  return to_capsule(copy ? recorded::contiguous_copy(t.array()) : t.array(), versioned, copy);
}

}  // namespace

void bind_sharing(Registry& r) {
  r.add("as_tensor", kFunction, "data as a tensor, without a copy where that is possible.")
      .on("(Any data, dtype? dtype=None, device? device=None)", [](const Arguments& a) {
        check_device(a.object(2));
        return as_tensor(a.object(0), a.optional_dtype(1));
      });
  r.add("asarray", kFunction,
        "obj as a tensor, without a copy where that is possible or asked for.")
      .on("(Any obj, *, dtype? dtype=None, device? device=None, bool? copy=None, bool? "
          "requires_grad=None)",
          [](const Arguments& a) {
            check_device(a.object(2));
            return asarray(a);
          });
  r.add("frombuffer", kFunction,
        "A one-dimensional tensor on the bytes of an object with the buffer protocol.")
      .on("(Any buffer, *, dtype dtype, int count=-1, int offset=0, bool requires_grad=False)",
          [](const Arguments& a) {
            Tensor t = from_bytes(a.object(0), a.dtype(1), a.integer(2), a.integer(3));
            if (a.boolean(4)) require_grad(t);
            return wrap(t);
          });
  r.add("from_dlpack", kFunction,
        "A tensor on the memory of any object that speaks DLPack, or on that of its capsule.")
      .on("(Any ext_tensor, *, device? device=None, bool? copy=None)", [](const Arguments& a) {
        check_device(a.object(1));
        return wrap(from_dlpack(a.object(0), a.optional_boolean(2)));
      });
  r.add("__dlpack__", kMethod, "A DLPack capsule of this tensor's memory.")
      .on("(Tensor self, *, Any stream=None, Any max_version=None, Any dl_device=None, bool? "
          "copy=None) -> Any",
          export_dlpack);
  r.add("__dlpack_device__", kMethod, "Where the memory is, in DLPack's words: (1, 0) is the CPU.")
      .on("(Tensor self) -> Any",
          [](const Arguments&) { return Py_BuildValue("(ii)", dlpack::kCpu, 0); });
}

}  // namespace fastgrad::py
