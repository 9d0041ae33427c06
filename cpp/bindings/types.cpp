#include "bindings/types.h"

#include <cstring>

namespace fastgrad::py {
namespace {

// ---- dtype: one object per element type

struct DTypeObject {
  PyObject_HEAD DType dtype;
};
PyTypeObject* g_dtype_type = nullptr;
DTypeObject* g_dtypes[kNumDTypes];

DType dtype_of_object(PyObject* o) { return reinterpret_cast<DTypeObject*>(o)->dtype; }

PyObject* dtype_repr(PyObject* self) {
  return PyUnicode_FromFormat("fastgrad.%s", name(dtype_of_object(self)));
}
PyObject* dtype_reduce(PyObject* self, PyObject*) {
  return PyUnicode_FromString(name(dtype_of_object(self)));
}
PyObject* dtype_itemsize(PyObject* self, void*) {
  return PyLong_FromSize_t(itemsize(dtype_of_object(self)));
}
PyObject* dtype_is_floating(PyObject* self, void*) {
  return boolean(is_floating(dtype_of_object(self)));
}
PyObject* dtype_is_complex(PyObject* self, void*) {
  return boolean(is_complex(dtype_of_object(self)));
}
PyObject* dtype_is_signed(PyObject* self, void*) {
  DType d = dtype_of_object(self);
  return boolean(d != DType::Bool && d != DType::UInt8);
}
PyObject* dtype_to_real(PyObject* self, PyObject*) { return wrap(to_real(dtype_of_object(self))); }
PyObject* dtype_to_complex(PyObject* self, PyObject*) {
  DType d = dtype_of_object(self);
  return wrap(is_complex(d) ? d : to_complex(d));
}

PyGetSetDef dtype_getset[] = {
    {"itemsize", dtype_itemsize, nullptr, "Bytes per element.", nullptr},
    {"is_floating_point", dtype_is_floating, nullptr, "Whether the type is a floating-point type.",
     nullptr},
    {"is_complex", dtype_is_complex, nullptr, "Whether the type is a complex type.", nullptr},
    {"is_signed", dtype_is_signed, nullptr, "Whether the type has negative values.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef dtype_methods[] = {
    {"to_real", dtype_to_real, METH_NOARGS, "The real type of the same precision."},
    {"to_complex", dtype_to_complex, METH_NOARGS, "The complex type of the same precision."},
    {"__reduce__", dtype_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot dtype_slots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(dtype_repr)},
    {Py_tp_getset, dtype_getset},
    {Py_tp_methods, dtype_methods},
    {Py_tp_doc, const_cast<char*>("The type of a tensor's elements, e.g. fastgrad.float64.")},
    {0, nullptr},
};
PyType_Spec dtype_spec = {"fastgrad.dtype", sizeof(DTypeObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, dtype_slots};

// ---- device: CPU so far

struct DeviceObject {
  PyObject_HEAD bool has_index;
};
PyTypeObject* g_device_type = nullptr;
PyObject* g_cpu = nullptr;

PyObject* device_repr(PyObject* self) {
  bool indexed = reinterpret_cast<DeviceObject*>(self)->has_index;
  return PyUnicode_FromString(indexed ? "device(type='cpu', index=0)" : "device(type='cpu')");
}
PyObject* device_str(PyObject* self) {
  return PyUnicode_FromString(reinterpret_cast<DeviceObject*>(self)->has_index ? "cpu:0" : "cpu");
}
PyObject* device_type(PyObject*, void*) { return PyUnicode_FromString("cpu"); }
PyObject* device_index(PyObject* self, void*) {
  return reinterpret_cast<DeviceObject*>(self)->has_index ? PyLong_FromLong(0) : none();
}
PyObject* device_compare(PyObject* a, PyObject* b, int op) {
  if (!is_device(b) || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  bool same = reinterpret_cast<DeviceObject*>(a)->has_index ==
              reinterpret_cast<DeviceObject*>(b)->has_index;
  return boolean(same == (op == Py_EQ));
}
Py_hash_t device_hash(PyObject* self) {
  return reinterpret_cast<DeviceObject*>(self)->has_index ? 2 : 1;
}
PyObject* device_reduce(PyObject* self, PyObject*) {
  return Py_BuildValue("(O(N))", reinterpret_cast<PyObject*>(g_device_type), device_str(self));
}

// What a device text names; fails for all but the CPU.
bool parse_device(const std::string& text) {
  if (text == "cpu") return false;
  if (text == "cpu:0") return true;
  if (text.rfind("cuda", 0) == 0)
    fail(ErrorKind::Runtime, "device '", text,
         "': this build of fastgrad has no CUDA backend, so "
         "tensors live on the CPU; use device='cpu'");
  fail(ErrorKind::Runtime, "Expected one of cpu device type at start of device string: ", text);
}

PyObject* device_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* what = nullptr;
  PyObject* index = nullptr;
  static const char* names[] = {"type", "index", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:device", const_cast<char**>(names), &what,
                                   &index))
    return nullptr;
  return guarded([&]() -> PyObject* {
    bool has_index = index && index != Py_None;
    if (is_device(what)) {
      has_index = has_index || reinterpret_cast<DeviceObject*>(what)->has_index;
    } else {
      FG_CHECK_TYPE(PyUnicode_Check(what), "device(): argument 'type' must be str, not ",
                    type_name(what));
      has_index = parse_device(text_of(what)) || has_index;
    }
    PyObject* self = check(type->tp_alloc(type, 0));
    reinterpret_cast<DeviceObject*>(self)->has_index = has_index;
    return self;
  });
}

PyGetSetDef device_getset[] = {
    {"type", device_type, nullptr, "The kind of device: 'cpu'.", nullptr},
    {"index", device_index, nullptr, "The number of the device, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
// `with fg.device("cpu"):` asks for the only device that there is.
PyObject* device_enter(PyObject* self, PyObject*) { return Py_NewRef(self); }
PyObject* device_exit(PyObject*, PyObject*) { Py_RETURN_FALSE; }
PyMethodDef device_methods[] = {{"__reduce__", device_reduce, METH_NOARGS, nullptr},
                                {"__enter__", device_enter, METH_NOARGS, nullptr},
                                {"__exit__", device_exit, METH_VARARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyType_Slot device_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(device_new)},
    {Py_tp_repr, reinterpret_cast<void*>(device_repr)},
    {Py_tp_str, reinterpret_cast<void*>(device_str)},
    {Py_tp_richcompare, reinterpret_cast<void*>(device_compare)},
    {Py_tp_hash, reinterpret_cast<void*>(device_hash)},
    {Py_tp_getset, device_getset},
    {Py_tp_methods, device_methods},
    {Py_tp_doc, const_cast<char*>("device(type, index=None)\n\nWhere a tensor's memory lives.")},
    {0, nullptr},
};
PyType_Spec device_spec = {"fastgrad.device", sizeof(DeviceObject), 0, Py_TPFLAGS_DEFAULT,
                           device_slots};

// ---- layout: strided only

PyObject* g_strided = nullptr;
PyObject* layout_repr(PyObject*) { return PyUnicode_FromString("fastgrad.strided"); }
PyObject* layout_reduce(PyObject*, PyObject*) { return PyUnicode_FromString("strided"); }
PyMethodDef layout_methods[] = {{"__reduce__", layout_reduce, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyType_Slot layout_slots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(layout_repr)},
    {Py_tp_methods, layout_methods},
    {Py_tp_doc,
     const_cast<char*>("How a tensor lies in memory; fastgrad.strided is the only one.")},
    {0, nullptr},
};
PyType_Spec layout_spec = {"fastgrad.layout", sizeof(PyObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, layout_slots};

// ---- memory_format

struct MemoryFormatObject {
  PyObject_HEAD MemoryFormat format;
};
PyTypeObject* g_memory_format_type = nullptr;

const char* format_name(PyObject* self) {
  return kMemoryFormatNames[static_cast<int>(reinterpret_cast<MemoryFormatObject*>(self)->format)];
}
PyObject* format_repr(PyObject* self) {
  return PyUnicode_FromFormat("fastgrad.%s", format_name(self));
}
PyObject* format_reduce(PyObject* self, PyObject*) {
  return PyUnicode_FromString(format_name(self));
}
PyMethodDef format_methods[] = {{"__reduce__", format_reduce, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyType_Slot format_slots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(format_repr)},
    {Py_tp_methods, format_methods},
    {Py_tp_doc,
     const_cast<char*>(
         "The order of a tensor's elements in memory, e.g. fastgrad.contiguous_format.")},
    {0, nullptr},
};
PyType_Spec format_spec = {"fastgrad.memory_format", sizeof(MemoryFormatObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, format_slots};

// ---- Size: a tuple of ints

PyTypeObject* g_size_type = nullptr;
PyObject* g_linalg_error = nullptr;

PyObject* size_repr(PyObject* self) {
  std::string s = "fastgrad.Size([";
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
    if (i) s += ", ";
    s += text_of(PyTuple_GET_ITEM(self, i));
  }
  return PyUnicode_FromString((s + "])").c_str());
}
PyObject* size_numel(PyObject* self, PyObject*) {
  int64_t n = 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i)
    n *= PyLong_AsLongLong(PyTuple_GET_ITEM(self, i));
  return PyLong_FromLongLong(n);
}
PyObject* as_size(PyObject* tuple) {
  if (!tuple || tuple == Py_NotImplemented || !PyTuple_CheckExact(tuple)) return tuple;
  Object t(tuple);
  return PyObject_CallOneArg(reinterpret_cast<PyObject*>(g_size_type), t.get());
}
// Slices and sums of sizes are sizes again.
PyObject* size_subscript(PyObject* self, PyObject* key) {
  return as_size(PyTuple_Type.tp_as_mapping->mp_subscript(self, key));
}
PyObject* size_concat(PyObject* a, PyObject* b) {
  if (!PyTuple_Check(b))
    return PyErr_Format(PyExc_TypeError, "can only concatenate tuple (not \"%s\") to fastgrad.Size",
                        Py_TYPE(b)->tp_name);
  return as_size(PyTuple_Type.tp_as_sequence->sq_concat(a, b));
}
PyObject* size_reduce(PyObject* self, PyObject*) {
  Object t(PySequence_Tuple(self));
  if (!t) return nullptr;
  Object plain(PyTuple_GetSlice(self, 0, PyTuple_GET_SIZE(self)));
  return Py_BuildValue("(O(O))", reinterpret_cast<PyObject*>(g_size_type), plain.get());
}
PyMethodDef size_methods[] = {
    {"numel", size_numel, METH_NOARGS, "The product of the sizes."},
    {"__reduce__", size_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot size_slots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(size_repr)},
    {Py_mp_subscript, reinterpret_cast<void*>(size_subscript)},
    {Py_sq_concat, reinterpret_cast<void*>(size_concat)},
    {Py_tp_methods, size_methods},
    {Py_tp_doc, const_cast<char*>("A tensor's shape: a tuple of ints.")},
    {0, nullptr},
};
PyType_Spec size_spec = {"fastgrad.Size", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_TUPLE_SUBCLASS,
                         size_slots};

PyTypeObject* make_type(PyObject* module, PyType_Spec* spec, PyObject* bases,
                        const char* attribute) {
  PyObject* t = check(PyType_FromSpecWithBases(spec, bases));
  check_status(PyModule_AddObjectRef(module, attribute, t));
  return reinterpret_cast<PyTypeObject*>(t);
}

}  // namespace

void add_types(PyObject* module) {
  g_dtype_type = make_type(module, &dtype_spec, nullptr, "dtype");
  for (int i = 0; i < kNumDTypes; ++i) {
    auto* d = reinterpret_cast<DTypeObject*>(check(g_dtype_type->tp_alloc(g_dtype_type, 0)));
    d->dtype = static_cast<DType>(i);
    g_dtypes[i] = d;
    PyObject* o = reinterpret_cast<PyObject*>(d);
    check_status(PyModule_AddObjectRef(module, kDTypeInfo[i].name, o));
    if (*kDTypeInfo[i].alias) check_status(PyModule_AddObjectRef(module, kDTypeInfo[i].alias, o));
  }
  g_device_type = make_type(module, &device_spec, nullptr, "device");
  g_cpu = check(g_device_type->tp_alloc(g_device_type, 0));
  reinterpret_cast<DeviceObject*>(g_cpu)->has_index = false;
  PyTypeObject* layout = make_type(module, &layout_spec, nullptr, "layout");
  g_strided = check(layout->tp_alloc(layout, 0));
  check_status(PyModule_AddObjectRef(module, "strided", g_strided));
  g_memory_format_type = make_type(module, &format_spec, nullptr, "memory_format");
  for (int i = 0; i < 4; ++i) {
    Object o = own(g_memory_format_type->tp_alloc(g_memory_format_type, 0));
    reinterpret_cast<MemoryFormatObject*>(o.get())->format = static_cast<MemoryFormat>(i);
    check_status(PyModule_AddObjectRef(module, kMemoryFormatNames[i], o.get()));
  }
  g_size_type = make_type(module, &size_spec, reinterpret_cast<PyObject*>(&PyTuple_Type), "Size");
  // As torch._C._LinAlgError: a RuntimeError that can be told from others.
  g_linalg_error = check(PyErr_NewExceptionWithDoc(
      "fastgrad.linalg.LinAlgError", "A matrix was singular or not positive definite.",
      PyExc_RuntimeError, nullptr));
  check_status(PyModule_AddObjectRef(module, "LinAlgError", g_linalg_error));
}

PyObject* wrap(DType d) {
  return Py_NewRef(reinterpret_cast<PyObject*>(g_dtypes[static_cast<int>(d)]));
}
bool is_dtype(PyObject* o) { return Py_TYPE(o) == g_dtype_type; }

DType to_dtype_arg(PyObject* o) {
  if (is_dtype(o)) return dtype_of_object(o);
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::Float64;
  if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::Int64;
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::Bool;
  if (o == reinterpret_cast<PyObject*>(&PyComplex_Type)) return DType::Complex128;
  // numpy.dtype('float32').name and numpy.float32.__name__ are our names.
  bool numpy = std::strncmp(Py_TYPE(o)->tp_name, "numpy", 5) == 0;
  if (numpy || PyType_Check(o)) {
    Object text(PyObject_GetAttrString(o, numpy ? "name" : "__name__"));
    if (text && PyUnicode_Check(text.get())) {
      std::string s = text_of(text.get());
      for (int i = 0; i < kNumDTypes; ++i)
        if (s == kDTypeInfo[i].name) return static_cast<DType>(i);
      if (s == "bool_") return DType::Bool;
    }
    PyErr_Clear();
  }
  fail(ErrorKind::Type, "expected a dtype such as fastgrad.float64, got ", text_of(o));
}

PyObject* make_size(DimSpan dims) {
  auto n = static_cast<Py_ssize_t>(dims.size());
  PyObject* t = check(g_size_type->tp_alloc(g_size_type, n));
  for (Py_ssize_t i = 0; i < n; ++i)
    PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(dims[static_cast<size_t>(i)]));
  return t;
}
PyTypeObject* size_type() { return g_size_type; }
PyObject* cpu_device() { return Py_NewRef(g_cpu); }
bool is_device(PyObject* o) { return Py_TYPE(o) == g_device_type; }
void check_device(PyObject* o) {
  if (o == Py_None || is_device(o)) return;
  FG_CHECK(!PyLong_Check(o),
           "Cannot access accelerator device when none is available: device=", text_of(o),
           " names one, and tensors live on the CPU");
  FG_CHECK_TYPE(PyUnicode_Check(o), "expected a device or its name as a str, got ", type_name(o));
  parse_device(text_of(o));
}
PyObject* strided_layout() { return Py_NewRef(g_strided); }
bool is_layout(PyObject* o) { return Py_TYPE(o) == Py_TYPE(g_strided); }
bool is_memory_format(PyObject* o) { return Py_TYPE(o) == g_memory_format_type; }
MemoryFormat to_memory_format(PyObject* o) {
  return reinterpret_cast<MemoryFormatObject*>(o)->format;
}
PyObject* linalg_error() { return g_linalg_error; }

}  // namespace fastgrad::py
