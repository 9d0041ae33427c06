#include "bindings/buffer_protocol.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "core/memory.h"

namespace fastgrad::py {
namespace {

// The struct module's letters; numpy.dtype knows them.
const char* format_of(DType d) {
  switch (d) {
    case DType::Bool:
      return "?";
    case DType::UInt8:
      return "B";
    case DType::Int8:
      return "b";
    case DType::Int16:
      return "h";
    case DType::Int32:
      return "i";
    case DType::Int64:
      return sizeof(long) == 8 ? "l" : "q";
    case DType::Float16:
      return "e";
    case DType::Float32:
      return "f";
    case DType::Float64:
      return "d";
    case DType::Complex64:
      return "Zf";
    case DType::Complex128:
      return "Zd";
    case DType::BFloat16:
      break;
  }
  fail(ErrorKind::Type,
       "Got unsupported ScalarType BFloat16: Python's buffers and NumPy have no such type; "
       "convert first, e.g. with .float()");
}

std::optional<DType> dtype_of_format(const char* format, Py_ssize_t size) {
  const char* f = format ? format : "B";
  const char native = std::endian::native == std::endian::little ? '<' : '>';
  if (*f == '=' || *f == '@' || *f == native || (*f == '!' && native == '>')) ++f;
  FG_CHECK_VALUE(*f != '>' && *f != '<' && *f != '!',
                 "given numpy array has byte order different from the native "
                 "byte order. Conversion between byte orders is currently not supported; convert "
                 "it first, e.g. "
                 "with .astype(a.dtype.newbyteorder('='))");
  bool complex = *f == 'Z';
  if (complex) ++f;
  if (!f[0] || f[1]) return std::nullopt;
  switch (*f) {
    case '?':
      return DType::Bool;
    case 'e':
      return DType::Float16;
    case 'f':
      return complex ? DType::Complex64 : DType::Float32;
    case 'd':
      return complex ? DType::Complex128 : DType::Float64;
    case 'B':
    case 'c':
      return DType::UInt8;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n':
      switch (size) {
        case 1:
          return DType::Int8;
        case 2:
          return DType::Int16;
        case 4:
          return DType::Int32;
        case 8:
          return DType::Int64;
        default:
          return std::nullopt;
      }
    default:
      return std::nullopt;
  }
}

[[noreturn]] void fail_unsupported(PyObject* o) {
  Object dtype(PyObject_GetAttrString(o, "dtype"));
  Object type(dtype ? PyObject_GetAttrString(dtype.get(), "type") : nullptr);
  Object name(type ? PyObject_GetAttrString(type.get(), "__name__") : nullptr);
  PyErr_Clear();
  fail(ErrorKind::Type, unsupported_array_text(name ? text_of(name.get()).c_str() : "unknown"));
}

// A buffer of somebody else, for as long as a tensor uses it.
struct HeldView {
  Py_buffer view;
  ~HeldView() { PyBuffer_Release(&view); }
};
void release_held(void* context) {
  if (interpreter_is_gone()) return;
  AcquireGil gil;
  delete static_cast<HeldView*>(context);
}

// What a view of a tensor's memory needs for as long as it lives, whatever becomes of the tensor.
struct Exported {
  explicit Exported(const Ref<Buffer>& of) : buffer(of) { buffer->add_outside_user(); }
  Exported(const Exported&) = delete;
  Exported& operator=(const Exported&) = delete;
  ~Exported() { buffer->drop_outside_user(); }

  Ref<Buffer> buffer;
  SmallVector<Py_ssize_t, 8> shape, strides;
};

bool is_column_major(const Array& a) {
  Dims shape = a.shape, strides = a.strides;
  std::reverse(shape.begin(), shape.end());
  std::reverse(strides.begin(), strides.end());
  return is_contiguous(shape, strides);
}

PyObject* numpy_function(const char* name) {
  Object numpy = own(PyImport_ImportModule("numpy"));
  return check(PyObject_GetAttrString(numpy.get(), name));
}

}  // namespace

int tensor_getbuffer(PyObject* self, Py_buffer* view, int flags) {
  refuse_recording("handing a tensor's memory to NumPy or another library");
  return guarded(
      [&]() -> int {
        view->obj = nullptr;
        Tensor t = tensor_of(self);
        FG_CHECK(!t.requires_grad(),
                 "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                 "instead.");
        const Array& a = t.array();
        const char* format = format_of(a.dtype);
        auto keep = std::make_unique<Exported>(a.buffer);
        for (size_t d = 0; d < a.shape.size(); ++d) {
          keep->shape.push_back(static_cast<Py_ssize_t>(a.shape[d]));
          keep->strides.push_back(static_cast<Py_ssize_t>(a.strides[d]) *
                                  static_cast<Py_ssize_t>(a.itemsize()));
        }
        bool strided = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
        bool fits = strided || a.contiguous;
        if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS) fits = a.contiguous;
        if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS) fits = is_column_major(a);
        if ((flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS)
          fits = a.contiguous || is_column_major(a);
        if (!fits) {
          PyErr_SetString(PyExc_BufferError,
                          "the tensor's elements do not lie in memory in the order asked for; use "
                          ".contiguous()");
          throw PythonError{};
        }
        view->buf = a.data;
        view->len = static_cast<Py_ssize_t>(a.nbytes());
        view->readonly = 0;
        view->itemsize = static_cast<Py_ssize_t>(a.itemsize());
        view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
        view->ndim = static_cast<int>(a.shape.size());
        view->shape = flags & PyBUF_ND ? keep->shape.data() : nullptr;
        view->strides = strided ? keep->strides.data() : nullptr;
        view->suboffsets = nullptr;
        view->internal = keep.release();
        view->obj = Py_NewRef(self);
        return 0;
      },
      -1);
}

void tensor_releasebuffer(PyObject*, Py_buffer* view) {
  delete static_cast<Exported*>(view->internal);
}

bool is_ndarray(PyObject* o) {
  PyTypeObject* t = Py_TYPE(o);
  if (std::strcmp(t->tp_name, "numpy.ndarray") == 0) return true;
  if (!t->tp_mro || t == &PyUnicode_Type) return false;
  for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(t->tp_mro); ++i) {
    PyObject* base = PyTuple_GET_ITEM(t->tp_mro, i);
    if (PyType_Check(base) &&
        std::strcmp(reinterpret_cast<PyTypeObject*>(base)->tp_name, "numpy.ndarray") == 0)
      return true;
  }
  return false;
}

bool is_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_Check(o); }

Tensor tensor_from_buffer(PyObject* o, bool copy) {
  auto held = std::make_unique<HeldView>();
  Py_buffer& view = held->view;
  bool read_only = false;
  bool array = is_ndarray(o);
  if (PyObject_GetBuffer(o, &view, PyBUF_RECORDS) < 0) {
    PyErr_Clear();
    read_only = true;
    if (PyObject_GetBuffer(o, &view, PyBUF_RECORDS_RO) < 0) {
      view.obj = nullptr;
      if (!array) throw PythonError{};
      PyErr_Clear();
      fail_unsupported(o);  // datetime64 and the like have no buffers
    }
  }
  std::optional<DType> dtype = dtype_of_format(view.format, view.itemsize);
  if (!dtype && array) fail_unsupported(o);
  FG_CHECK_TYPE(dtype, "can't convert a buffer with elements of format '",
                view.format ? view.format : "B", "' to a tensor");
  FG_CHECK_TYPE(view.strides || view.ndim == 0, "can't convert a ", type_name(o),
                " to a tensor: its buffer has no strides");
  Array a;
  a.dtype = *dtype;
  for (int i = 0; i < view.ndim; ++i) {
    a.shape.push_back(view.shape[i]);
    FG_CHECK_VALUE(
        view.strides[i] >= 0 || view.shape[i] <= 1 || copy,
        "At least one stride in the given numpy array is negative, and tensors with negative "
        "strides "
        "are not currently supported. (You can probably work around this by making a copy of your "
        "array with array.copy().)");
    FG_CHECK_VALUE(view.strides[i] % view.itemsize == 0,
                   "given numpy array strides not a multiple of the element byte size. Copy the "
                   "numpy array to "
                   "reallocate the memory.");
    a.strides.push_back(view.strides[i] / view.itemsize);
  }
  a.numel = checked_numel(a.shape);
  a.contiguous = is_contiguous(a.shape, a.strides);
  a.data = static_cast<char*>(view.buf);
  if (copy) {
    a.buffer = Buffer::foreign(view.buf, 0, nullptr, nullptr);
    return Tensor(constant_values(contiguous_copy(a)));
  }
  if (read_only)
    warn(
        "The given NumPy array is not writable, and fastgrad does not support non-writable "
        "tensors. "
        "This means writing to this tensor will result in undefined behavior. You may want to copy "
        "the array to protect its data or make it writable before converting it to a tensor.");
  size_t reach =
      a.numel == 0 ? 0 : static_cast<size_t>(extent(a.shape, a.strides).hi + 1) * a.itemsize();
  a.buffer = Buffer::foreign(view.buf, reach, held.release(), release_held);
  return Tensor(std::move(a));
}

std::string unsupported_array_text(const char* type) {
  return str("can't convert np.ndarray of type numpy.", type,
             ". The only supported types are: float64, float32, ",
             "float16, complex64, complex128, int64, int32, int16, int8, uint8, and bool.");
}

PyObject* numpy_array(PyObject* t) {
  // Not initialised under a lock of C++: the import lets go of the GIL.
  static PyObject* asarray = nullptr;
  if (!asarray) asarray = numpy_function("asarray");
  Object view = own(PyMemoryView_FromObject(t));
  return PyObject_CallOneArg(asarray, view.get());
}

}  // namespace fastgrad::py
