// NumPy in and out.
#include "bindings/buffer_protocol.h"
#include "bindings/creation_options.h"
#include "bindings/families.h"

namespace fastgrad::py {
namespace {

void refuse_grad(const Tensor& t) {
  FG_CHECK(!t.requires_grad(),
           "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
}

// The object that numpy asks for: the shared array, another type, a copy.
PyObject* as_array(PyObject* self, PyObject* dtype, PyObject* copy) {
  Object array = own(numpy_array(self));
  bool must_copy = copy == Py_True, must_share = copy == Py_False;
  if (dtype == Py_None)
    return must_copy ? PyObject_CallMethod(array.get(), "copy", nullptr) : array.release();
  if (must_share) {
    Object own_dtype = own(PyObject_GetAttrString(array.get(), "dtype"));
    int same = PyObject_RichCompareBool(own_dtype.get(), dtype, Py_EQ);
    check_status(same);
    FG_CHECK_VALUE(
        same,
        "Unable to avoid copy while creating an array as requested: the tensor's elements are ",
        text_of(own_dtype.get()), ", not ", text_of(dtype));
    return array.release();
  }
  Object method = own(PyObject_GetAttrString(array.get(), "astype"));
  Object args = own(PyTuple_Pack(1, dtype));
  Object kwargs = own(Py_BuildValue("{s:O}", "copy", must_copy ? Py_True : Py_False));
  return PyObject_Call(method.get(), args.get(), kwargs.get());
}

}  // namespace

void bind_numpy(Registry& r) {
  r.add("numpy", kMethod,
        "The NumPy array that shares this tensor's memory. force=True detaches first.")
      .on("(Tensor self, *, bool force=False) -> Any", [](const Arguments& a) -> PyObject* {
        if (!a.boolean(1)) {
          refuse_grad(a.tensor(0));
          return numpy_array(a.object(0));
        }
        Object detached(wrap(a.tensor(0).detach()));
        return numpy_array(detached.get());
      });
  r.add("__array__", kMethod, "What numpy.asarray makes of this tensor.")
      .on("(Tensor self, Any dtype=None, bool? copy=None)", [](const Arguments& a) {
        refuse_grad(a.tensor(0));
        return as_array(a.object(0), a.object(1), a.object(2));
      });
  r.add("from_numpy", kFunction, "A tensor that shares the memory of a NumPy array.")
      .on("(Any ndarray)", [](const Arguments& a) {
        FG_CHECK_TYPE(is_ndarray(a.object(0)), "expected np.ndarray (got ", type_name(a.object(0)),
                      ")");
        return wrap(tensor_from_buffer(a.object(0), /*copy=*/false));
      });
}

}  // namespace fastgrad::py
