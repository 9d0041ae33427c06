// What a tensor is: sizes, strides, element type; promotion and the default element type.
#include "bindings/families.h"
#include "bindings/types.h"
#include "core/promotion.h"
#include "core/recorder.h"
#include "ops/item.h"

namespace fastgrad::py {
namespace {

PyObject* int_tuple(DimSpan values) {
  Object t = own(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
  for (size_t i = 0; i < values.size(); ++i)
    PyTuple_SET_ITEM(t.get(), static_cast<Py_ssize_t>(i), check(PyLong_FromLongLong(values[i])));
  return t.release();
}

// One of the entries of a shape or of strides.
PyObject* entry(DimSpan values, int64_t dim) {
  FG_CHECK_INDEX(!values.empty(), "Dimension specified as ", dim, " but tensor has no dimensions");
  return PyLong_FromLongLong(
      values[static_cast<size_t>(wrap_dim(dim, static_cast<int64_t>(values.size())))]);
}

void bind_sizes(Registry& r) {
  r.add("size", kMethod | kLazy,
        "The sizes of all dimensions as a fastgrad.Size, or the size of one.")
      .on("(Tensor self, int? dim=None) -> Any", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        return a.has(1) ? entry(t.shape(), a.integer(1)) : make_size(t.shape());
      });
  r.add("stride", kMethod,
        "How many elements of memory lie between neighbours along each dimension, or along one.")
      .on("(Tensor self, int? dim=None) -> Any", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        return a.has(1) ? entry(t.strides(), a.integer(1)) : int_tuple(t.strides());
      });
  for (const char* name : {"dim", "ndimension"})
    r.add(name, kMethod, "The number of dimensions.")
        .on("(Tensor self) -> int",
            [](const Arguments& a) { return PyLong_FromLongLong(a.tensor(0).ndim()); });
  r.add("numel", kBoth | kLazy, "The number of elements.")
      .on("(Tensor input) -> int",
          [](const Arguments& a) { return PyLong_FromLongLong(a.tensor(0).numel()); });
  r.add("nelement", kMethod | kLazy, "The number of elements.")
      .on("(Tensor self) -> int",
          [](const Arguments& a) { return PyLong_FromLongLong(a.tensor(0).numel()); });
  r.add("element_size", kMethod | kLazy, "Bytes per element.")
      .on("(Tensor self) -> int",
          [](const Arguments& a) { return PyLong_FromSize_t(a.tensor(0).array().itemsize()); });
  r.add("storage_offset", kMethod, "Elements of memory before this tensor's first one.")
      .on("(Tensor self) -> int", [](const Arguments& a) {
        refuse_recording(".storage_offset()");
        return PyLong_FromLongLong(a.tensor(0).array().offset());
      });
  r.add("data_ptr", kMethod, "The address of the first element; 0 when there is none.")
      .on("(Tensor self) -> int", [](const Arguments& a) {
        refuse_recording(".data_ptr()");
        Tensor t = a.tensor(0);
        t->array.buffer->add_outside_user();  // for ever
        return PyLong_FromVoidPtr(t.numel() ? t.array().data : nullptr);
      });
  r.add("is_contiguous", kMethod | kLazy,
        "Whether the elements lie in memory in the order of the format.")
      .on("(Tensor self, memory_format? memory_format=None) -> bool", [](const Arguments& a) {
        Tensor t = a.tensor(0);
        MemoryFormat format = a.memory_format(1, MemoryFormat::Contiguous);
        FG_CHECK(format != MemoryFormat::Preserve,
                 "preserve memory format is unsupported by the contiguous operator");
        return boolean(has_format(format, t.shape(), t.strides()));
      });
}

void bind_kinds(Registry& r) {
  r.add("is_floating_point", kBoth | kLazy, "Whether the element type is a floating-point type.")
      .on("(Tensor input) -> bool",
          [](const Arguments& a) { return boolean(is_floating(a.tensor(0).dtype())); });
  r.add("is_complex", kBoth | kLazy, "Whether the element type is complex.")
      .on("(Tensor input) -> bool",
          [](const Arguments& a) { return boolean(is_complex(a.tensor(0).dtype())); });
  r.add("is_signed", kMethod, "Whether the element type has negative values.")
      .on("(Tensor self) -> bool", [](const Arguments& a) {
        DType d = a.tensor(0).dtype();
        return boolean(d != DType::Bool && d != DType::UInt8);
      });
  r.add("is_conj", kBoth, "False: conjugation is never delayed.")
      .on("(Tensor input)", [](const Arguments&) { return boolean(false); });
  r.add("is_neg", kBoth, "False: negation is never delayed.")
      .on("(Tensor input)", [](const Arguments&) { return boolean(false); });
  r.add("is_inference", kBoth, "Whether the tensor was made in inference mode.")
      .on("(Tensor input) -> bool",
          [](const Arguments& a) { return boolean(a.tensor(0)->inference); });
  for (const char* name : {"is_pinned", "is_shared"})
    r.add(name, kMethod, "False: tensors have plain memory of this process.")
        .on("(Tensor self) -> bool", [](const Arguments&) { return boolean(false); });
  r.add("get_device", kBoth, "-1: tensors live on the CPU.")
      .on("(Tensor input) -> int", [](const Arguments&) { return PyLong_FromLong(-1); });
  r.add("is_same_size", kBoth, "Whether two tensors have the same shape.")
      .on("(Tensor input, Tensor other) -> bool",
          [](const Arguments& a) { return boolean(a.tensor(0).shape() == a.tensor(1).shape()); });
  r.add("is_set_to", kMethod, "Whether two tensors are the same elements of the same memory.")
      .on("(Tensor self, Tensor tensor) -> bool", [](const Arguments& a) {
        Tensor x = a.tensor(0), y = a.tensor(1);
        return boolean(x.array().data == y.array().data && x.shape() == y.shape() &&
                       x.strides() == y.strides() && x.dtype() == y.dtype());
      });
  r.add("get_default_device", kFunction, "Where new tensors live: the CPU.")
      .on("() -> Any", [](const Arguments&) { return cpu_device(); });
  r.add("set_default_device", kFunction, "Accepts the CPU, where new tensors live anyway.")
      .on("(device? device) -> None", [](const Arguments& a) {
        check_device(a.object(0));
        return none();
      });
  r.add("is_nonzero", kBoth, "The truth of a one-element tensor.")
      .on("(Tensor input) -> bool", [](const Arguments& a) { return boolean(truth(a.tensor(0))); });
  r.add("is_tensor", kFunction, "Whether obj is a fastgrad tensor.")
      .on("(Any obj) -> bool", [](const Arguments& a) { return boolean(is_tensor(a.object(0))); });
  r.add("is_storage", kFunction, "False: fastgrad has no storage objects.")
      .on("(Any obj)", [](const Arguments&) { return boolean(false); });
}

void add_to(ResultType& type, PyObject* o) {
  if (is_tensor(o))
    type.add(impl_of(o)->array);
  else if (PyComplex_Check(o))
    type.add_number(to_complex(default_dtype()));
  else
    type.add(to_number(o));
}

void bind_promotion(Registry& r) {
  r.add("get_default_dtype", kFunction, "The type that floating-point numbers get in new tensors.")
      .on("() -> dtype", [](const Arguments&) { return wrap(default_dtype()); });
  r.add("set_default_dtype", kFunction,
        "Sets the type that floating-point numbers get in new tensors.")
      .on("(Any d) -> None", [](const Arguments& a) {
        FG_CHECK_TYPE(
            is_dtype(a.object(0)),
            "invalid dtype object: only floating-point types are supported as the default type");
        set_default_dtype(a.dtype(0));
        return none();
      });
  r.add("result_type", kFunction,
        "The element type of the result of arithmetic on two tensors or numbers.")
      .on("(Tensor|Number tensor1, Tensor|Number tensor2) -> dtype", [](const Arguments& a) {
        ResultType type;
        add_to(type, a.object(0));
        add_to(type, a.object(1));
        return wrap(type.get());
      });
  r.add("promote_types", kFunction,
        "The smallest type that holds the values of both types and is of at least their kind.")
      .on("(dtype type1, dtype type2) -> dtype",
          [](const Arguments& a) { return wrap(promote_types(a.dtype(0), a.dtype(1))); });
  r.add("can_cast", kFunction,
        "Whether results of the first type may be written into tensors of the second.")
      .on("(dtype from_, dtype to) -> bool",
          [](const Arguments& a) { return boolean(can_cast(a.dtype(0), a.dtype(1))); });
}

}  // namespace

void bind_inspect(Registry& r) {
  bind_sizes(r);
  bind_kinds(r);
  bind_promotion(r);
}

}  // namespace fastgrad::py
