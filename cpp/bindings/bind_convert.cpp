#include <cstring>

#include "bindings/families.h"
#include "bindings/tensor_slots.h"
#include "bindings/types.h"
#include "core/promotion.h"
#include "core/recorder.h"
#include "kernels/copy.h"
#include "ops/convert.h"
#include "ops/item.h"

namespace fastgrad::py {
namespace {

PyObject* number_object(const Array& a, int64_t offset) {
  if (is_complex(a.dtype)) {
    if (a.dtype == DType::Complex64) {
      auto c = a.ptr<std::complex<float>>()[offset];
      return PyComplex_FromDoubles(static_cast<double>(c.real()), static_cast<double>(c.imag()));
    }
    auto c = a.ptr<std::complex<double>>()[offset];
    return PyComplex_FromDoubles(c.real(), c.imag());
  }
  Scalar s = element(a, offset);
  if (s.kind() == DTypeKind::Bool) return boolean(s.to_bool());
  return s.is_float() ? PyFloat_FromDouble(s.to_double()) : PyLong_FromLongLong(s.to_int());
}

// Reads one element; chosen once for a whole list.
using Reader = PyObject* (*)(const Array&, int64_t offset);
Reader reader(DType d) {
  if (d == DType::Float64)
    return [](const Array& a, int64_t at) { return PyFloat_FromDouble(a.ptr<double>()[at]); };
  if (d == DType::Float32)
    return
        [](const Array& a, int64_t at) { return PyFloat_FromDouble(double{a.ptr<float>()[at]}); };
  if (d == DType::Int64)
    return [](const Array& a, int64_t at) { return PyLong_FromLongLong(a.ptr<int64_t>()[at]); };
  if (d == DType::Bool)
    return [](const Array& a, int64_t at) { return boolean(a.ptr<bool>()[at]); };
  return number_object;
}

PyObject* nested_list(const Array& a, size_t dim, int64_t offset, Reader read) {
  if (dim == a.shape.size()) return read(a, offset);
  Object list = own(PyList_New(static_cast<Py_ssize_t>(a.shape[dim])));
  const bool is_last = dim + 1 == a.shape.size();
  for (int64_t i = 0; i < a.shape[dim]; ++i, offset += a.strides[dim]) {
    PyObject* item = is_last ? read(a, offset) : nested_list(a, dim + 1, offset, read);
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), check(item));
  }
  return list.release();
}

// The text that Tensor.type() gives for an element type, e.g. "fastgrad.FloatTensor".
std::string type_text(DType d) { return str("fastgrad.", scalar_type_name(d), "Tensor"); }

// "torch.FloatTensor" or "fastgrad.FloatTensor", a dtype, or a class such as fastgrad.FloatTensor;
// Tensor itself is the class of the default element type.
DType parse_type(PyObject* o) {
  if (is_dtype(o)) return to_dtype_arg(o);
  if (o == reinterpret_cast<PyObject*>(g_tensor_type)) return default_dtype();
  if (PyUnicode_Check(o)) {
    std::string s = text_of(o);
    if (s == "torch.Tensor" || s == "fastgrad.Tensor") return default_dtype();
    for (int i = 0; i < kNumDTypes; ++i) {
      std::string name = type_text(static_cast<DType>(i));
      if (s == name || s == "torch" + name.substr(std::strlen("fastgrad")))
        return static_cast<DType>(i);
    }
    fail(ErrorKind::Value, "invalid type: '", s, "'");
  }
  Object dtype(PyObject_GetAttrString(o, "dtype"));
  if (!dtype) PyErr_Clear();
  if (dtype && is_dtype(dtype.get())) return to_dtype_arg(dtype.get());
  return to_dtype_arg(o);
}

PyObject* convert(PyObject* self, DType dtype, bool copy, MemoryFormat format) {
  Tensor t = tensor_of(self);
  bool in_place = format == MemoryFormat::Preserve || has_format(format, t.shape(), t.strides());
  if (dtype == t.dtype() && !copy && in_place) return Py_NewRef(self);
  if (is_complex(t.dtype()) && !is_complex(dtype) && dtype != DType::Bool)
    warn("Casting complex values to real discards the imaginary part");
  return wrap(to_copy(t, dtype, format));
}

template <DType dtype>
PyObject* convert_to(const Arguments& a) {
  return convert(a.object(0), dtype, false, a.memory_format(1, MemoryFormat::Preserve));
}

void bind_to(Registry& r) {
  r.add("to", kMethod,
        "The same values in another element type; itself when nothing changes and copy is not set.")
      .on("(Tensor self, dtype dtype, bool non_blocking=False, bool copy=False, *, memory_format? "
          "memory_format=None)",
          [](const Arguments& a) {
            return convert(a.object(0), a.dtype(1), a.boolean(3),
                           a.memory_format(4, MemoryFormat::Preserve));
          })
      .on("(Tensor self, device? device=None, dtype? dtype=None, bool non_blocking=False, bool "
          "copy=False, *, "
          "memory_format? memory_format=None)",
          [](const Arguments& a) {
            if (a.has(1)) check_device(a.object(1));
            return convert(a.object(0), a.optional_dtype(2).value_or(a.tensor(0).dtype()),
                           a.boolean(4), a.memory_format(5, MemoryFormat::Preserve));
          })
      .on("(Tensor self, Tensor other, bool non_blocking=False, bool copy=False, *, memory_format? "
          "memory_format=None)",
          [](const Arguments& a) {
            return convert(a.object(0), a.tensor(1).dtype(), a.boolean(3),
                           a.memory_format(4, MemoryFormat::Preserve));
          });
  r.add("type", kMethod, "The name of the tensor's type, or the values in the given type.")
      .on("(Tensor self, Any dtype=None, bool non_blocking=False)", [](const Arguments& a) {
        if (!a.has(1)) return PyUnicode_FromString(type_text(a.tensor(0).dtype()).c_str());
        return convert(a.object(0), parse_type(a.object(1)), false, MemoryFormat::Preserve);
      });
  r.add("type_as", kMethod, "The values in the element type of other.")
      .on("(Tensor self, Tensor other)", [](const Arguments& a) {
        return convert(a.object(0), a.tensor(1).dtype(), false, MemoryFormat::Preserve);
      });
  static constexpr std::pair<const char*, Body> kNamed[] = {
      {"double", convert_to<DType::Float64>},   {"float", convert_to<DType::Float32>},
      {"half", convert_to<DType::Float16>},     {"bfloat16", convert_to<DType::BFloat16>},
      {"long", convert_to<DType::Int64>},       {"int", convert_to<DType::Int32>},
      {"short", convert_to<DType::Int16>},      {"char", convert_to<DType::Int8>},
      {"byte", convert_to<DType::UInt8>},       {"bool", convert_to<DType::Bool>},
      {"cfloat", convert_to<DType::Complex64>}, {"cdouble", convert_to<DType::Complex128>}};
  for (auto [name, body] : kNamed)
    r.add(name, kMethod, "The values in the element type of this name.")
        .on("(Tensor self, memory_format? memory_format=None)", body);
  r.add("cpu", kMethod, "Itself: tensors live on the CPU.")
      .on("(Tensor self, memory_format? memory_format=None)", [](const Arguments& a) {
        return convert(a.object(0), a.tensor(0).dtype(), false,
                       a.memory_format(1, MemoryFormat::Preserve));
      });
  r.add("cuda", kMethod, "Fails: this build has no CUDA backend.")
      .on("(Tensor self, Any device=None, bool non_blocking=False, memory_format? "
          "memory_format=None)",
          [](const Arguments&) {
            check_device(own(PyUnicode_FromString("cuda")).get());
            return none();
          });
}

}  // namespace

void bind_convert(Registry& r) {
  bind_to(r);
  r.add("item", kMethod, "The value of a one-element tensor as a Python number.")
      .on("(Tensor input) -> Number", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        FG_CHECK(t.numel() == 1, "a Tensor with ", t.numel(),
                 " elements cannot be converted to Scalar");
        refuse_recording(".item()");
        return number_object(t.array(), 0);
      });
  r.add("tolist", kMethod, "The elements as (nested lists of) Python numbers.")
      .on("(Tensor input) -> Any", [](const Arguments& a) {
        refuse_recording(".tolist()");
        const Array& x = a.tensor(0).array();
        return nested_list(x, 0, 0, reader(x.dtype));
      });
  r.add("__complex__", kMethod, "The value of a one-element tensor as a complex number.")
      .on("(Tensor self) -> Any", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        FG_CHECK_VALUE(t.numel() == 1,
                       "only one element tensors can be converted to Python scalars");
        refuse_recording("complex(tensor)");
        std::complex<double> v;
        cast_kernel(t.dtype(), DType::Complex128)(t.array().data, 1, reinterpret_cast<char*>(&v), 1,
                                                  1);
        return PyComplex_FromDoubles(v.real(), v.imag());
      });
  r.add("__format__", kMethod, "A 0-d tensor is formatted as its value; others take no format.")
      .on("(Tensor self, str format_spec) -> str", [](const Arguments& a) -> PyObject* {
        PyObject* self = a.object(0);
        if (Py_TYPE(self) == g_tensor_type && a.tensor(0).ndim() == 0) {
          refuse_recording("formatting a tensor");
          Object value = own(number_object(a.tensor(0).array(), 0));
          return PyObject_Format(value.get(), a.object(1));
        }
        FG_CHECK_TYPE(PyUnicode_GET_LENGTH(a.object(1)) == 0,
                      "unsupported format string passed to Tensor.__format__: only "
                      "0-d tensors take one, use .item() or a loop");
        return PyObject_Str(self);
      });
  r.add("clone", kBoth, "A copy; gradients flow through it.")
      .on("(Tensor input, *, memory_format? memory_format=None)", [](const Arguments& a) {
        return wrap(clone(a.tensor(0), a.memory_format(1, MemoryFormat::Preserve)));
      });
  r.add("contiguous", kMethod, "Itself when the elements lie row by row, else a copy.")
      .on("(Tensor self, memory_format? memory_format=None)", [](const Arguments& a) {
        MemoryFormat format = a.memory_format(1, MemoryFormat::Contiguous);
        FG_CHECK(format != MemoryFormat::Preserve,
                 "preserve memory format is unsupported by the contiguous operator");
        return wrap(contiguous(a.tensor(0), format));
      });
  r.add("detach", kBoth | kLazy, "The same memory without history.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(a.tensor(0).detach()); });
  r.add("requires_grad_", kMethod | kLazy, "Sets requires_grad; the tensor itself.")
      .on("(Tensor self, bool requires_grad=True)", [](const Arguments& a) {
        change_requires_grad(a.tensor(0), a.boolean(1));
        return Py_NewRef(a.object(0));
      });
  r.add("copy_", kMethod, "Writes a tensor, or a number into every element.")
      .on("(Tensor input, Tensor|Number other, bool non_blocking=False)", [](const Arguments& a) {
        if (is_tensor(a.object(1)))
          copy_(a.tensor(0), a.tensor(1));
        else
          fill_(a.tensor(0), a.operand(1));
        return Py_NewRef(a.object(0));
      });
  r.add("zero_", kBoth, "Fills with zeros.").on("(Tensor input)", [](const Arguments& a) {
    fill_(a.tensor(0), 0);
    return Py_NewRef(a.object(0));
  });
  constexpr const char* fill = "(Tensor input, Tensor|Number value)";
  r.add("fill_", kBoth, "Fills with a value: a number, or a tensor of no dimensions.")
      .on(fill, [](const Arguments& a) {
        fill_(a.tensor(0), a.operand(1));
        return Py_NewRef(a.object(0));
      });
  r.add("fill", kFunction, "A tensor like the input, filled with a value.")
      .on(fill, [](const Arguments& a) {
        Tensor filled = clone(a.tensor(0), MemoryFormat::Preserve);
        fill_(filled, a.operand(1));
        return wrap(filled);
      });
}

}  // namespace fastgrad::py
