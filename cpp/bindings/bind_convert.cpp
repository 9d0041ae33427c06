#include "bindings/families.h"
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

PyObject* nested_list(const Array& a, size_t dim, int64_t offset) {
  if (dim == a.shape.size()) return number_object(a, offset);
  Object list = own(PyList_New(static_cast<Py_ssize_t>(a.shape[dim])));
  for (int64_t i = 0; i < a.shape[dim]; ++i)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), check(nested_list(a, dim + 1, offset + i * a.strides[dim])));
  return list.release();
}

}  // namespace

void bind_convert(Registry& r) {
  r.add("item", kMethod, "The value of a one-element tensor as a Python number.")
      .on("(Tensor input)", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        FG_CHECK(t.numel() == 1, "a Tensor with ", t.numel(), " elements cannot be converted to Scalar");
        return number_object(t.array(), 0);
      });
  r.add("tolist", kMethod, "The elements as (nested lists of) Python numbers.")
      .on("(Tensor input)", [](const Arguments& a) { return nested_list(a.tensor(0).array(), 0, 0); });
  r.add("clone", kBoth, "A copy; gradients flow through it.")
      .on("(Tensor input, *, Any memory_format=None)", [](const Arguments& a) { return wrap(clone(a.tensor(0))); });
  r.add("contiguous", kMethod, "Itself when the elements lie row by row, else a copy.")
      .on("(Tensor input, *, Any memory_format=None)", [](const Arguments& a) { return wrap(contiguous(a.tensor(0))); });
  r.add("detach", kBoth, "The same memory without history.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(a.tensor(0).detach()); });
  r.add("copy_", kMethod, "Writes src into this tensor.")
      .on("(Tensor input, Tensor src, bool non_blocking=False)", [](const Arguments& a) {
        copy_(a.tensor(0), a.tensor(1));
        return Py_NewRef(a.object(0));
      });
  r.add("zero_", kMethod, "Fills with zeros.").on("(Tensor input)", [](const Arguments& a) {
    fill_(a.tensor(0), 0);
    return Py_NewRef(a.object(0));
  });
  r.add("fill_", kMethod, "Fills with a value.")
      .on("(Tensor input, Number value)", [](const Arguments& a) {
        fill_(a.tensor(0), a.number(1));
        return Py_NewRef(a.object(0));
      });
}

}  // namespace fastgrad::py
