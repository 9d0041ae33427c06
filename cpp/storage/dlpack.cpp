#include "storage/dlpack.h"

#include <algorithm>

namespace fastgrad::dlpack {
namespace {

enum Code : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBFloat = 4, kComplex = 5, kBool = 6 };

DataType data_type(DType d) {
  auto bits = static_cast<uint8_t>(itemsize(d) * 8);
  uint8_t code = kInt;
  if (d == DType::Bool)
    code = kBool;
  else if (d == DType::UInt8)
    code = kUInt;
  else if (d == DType::BFloat16)
    code = kBFloat;
  else if (is_floating(d))
    code = kFloat;
  else if (is_complex(d))
    code = kComplex;
  return {code, bits, 1};
}

DType dtype_of_view(const DataType& t) {
  for (int i = 0; i < kNumDTypes; ++i) {
    DataType own = data_type(static_cast<DType>(i));
    if (own.code == t.code && own.bits == t.bits && t.lanes == 1) return static_cast<DType>(i);
  }
  fail(ErrorKind::Type, "from_dlpack: unsupported element type (code ", int{t.code}, ", ",
       int{t.bits}, " bits, ", t.lanes,
       " lanes); tensors have float, bfloat, complex, int, uint8 and bool");
}

// The shape and strides of an export, and what keeps its memory alive.
struct Context {
  Array array;
  Dims shape, strides;
  Managed plain;
  ManagedVersioned versioned;

  explicit Context(const Array& a) : array(a), shape(a.shape), strides(a.strides) {
    array.buffer->add_outside_user();
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { array.buffer->drop_outside_user(); }
  View view() {
    return {array.data,
            {kCpu, 0},
            static_cast<int32_t>(shape.size()),
            data_type(array.dtype),
            shape.begin(),
            strides.begin(),
            0};
  }
};

}  // namespace

Managed* to_managed(const Array& a, void (*deleter)(Managed*)) {
  auto* c = new Context(a);
  c->plain = {c->view(), c, deleter};
  return &c->plain;
}

ManagedVersioned* to_managed(const Array& a, uint64_t flags, void (*deleter)(ManagedVersioned*)) {
  auto* c = new Context(a);
  c->versioned = {{1, 0}, c, deleter, flags, c->view()};
  return &c->versioned;
}

void destroy(Managed* m) { delete static_cast<Context*>(m->context); }
void destroy(ManagedVersioned* m) { delete static_cast<Context*>(m->context); }

Array describe(const View& view) {
  FG_CHECK_KIND(ErrorKind::Value, view.device.type == kCpu,
                "from_dlpack: the data is on a device of type ", view.device.type,
                ", and tensors live on the CPU (type 1)");
  Array a;
  a.dtype = dtype_of_view(view.dtype);
  for (int32_t d = 0; d < view.ndim; ++d) a.shape.push_back(view.shape[d]);
  a.numel = checked_numel(a.shape);
  if (view.strides) {
    for (int32_t d = 0; d < view.ndim; ++d) {
      FG_CHECK_VALUE(view.strides[d] >= 0 || view.shape[d] <= 1,
                     "from_dlpack: tensors with negative strides are not "
                     "supported; copy the data first");
      a.strides.push_back(view.strides[d]);
    }
  } else {
    a.strides = contiguous_strides(a.shape);
  }
  a.contiguous = is_contiguous(a.shape, a.strides);
  a.data = static_cast<char*>(view.data) + view.byte_offset;
  FG_CHECK_VALUE(
      reinterpret_cast<uintptr_t>(a.data) % std::min<size_t>(a.itemsize(), 8) == 0 || a.numel == 0,
      "from_dlpack: the data is not aligned to its elements; copy it first");
  return a;
}

}  // namespace fastgrad::dlpack
