#include "ops/complex.h"

#include <cmath>

#include "core/promotion.h"
#include "kernels/copy.h"

namespace fastgrad {
namespace {

void refuse_gradients(const char* op, const Tensor& x) {
  FG_CHECK_KIND(
      ErrorKind::NotImplemented, !(grad_enabled() && x.requires_grad()), op,
      "(): gradients through complex tensors are not supported yet; detach() the input first");
}

// combine(a, b, out, n) on row-major operands of one shape.
template <class F>
Tensor pairwise(const char* op, const Tensor& a, const Tensor& b, F&& combine) {
  refuse_gradients(op, a);
  refuse_gradients(op, b);
  auto half_to_double = [](DType d) { return is_floating(d) && d != DType::BFloat16; };
  FG_CHECK(half_to_double(a.dtype()) && half_to_double(b.dtype()),
           "Expected both inputs to be Half, Float or Double tensors but got ",
           scalar_type_name(a.dtype()), " and ", scalar_type_name(b.dtype()));
  FG_CHECK(a.dtype() == b.dtype(), "Expected object of scalar type ", scalar_type_name(a.dtype()),
           " but got scalar type ", scalar_type_name(b.dtype()), " for second argument");
  Dims shape = broadcast(a.shape(), b.shape());
  DType part = compute_dtype(a.dtype());
  Array x = contiguous_copy(a.array().expanded(shape), part),
        y = contiguous_copy(b.array().expanded(shape), part);
  Array out = Array::empty(shape, to_complex(part));
  dispatch_float(part, op, [&]<class T>(T) {
    auto* to = out.ptr<std::complex<T>>();
    for (int64_t i = 0; i < out.numel; ++i) to[i] = combine(x.ptr<T>()[i], y.ptr<T>()[i]);
  });
  return Tensor(std::move(out));
}

// Part `index` (0 real, 1 imaginary) of every element.
Tensor part_of(const char* op, const Tensor& x, int index) {
  refuse_gradients(op, x);
  Array a = x.array();
  a.dtype = to_real(a.dtype);
  a.data += index * static_cast<int64_t>(a.itemsize());
  for (int64_t& s : a.strides) s *= 2;
  a.contiguous = is_contiguous(a.shape, a.strides);
  return Tensor(std::move(a));
}

}  // namespace

Tensor complex(const Tensor& real, const Tensor& imag) {
  return pairwise("complex", real, imag, []<class T>(T a, T b) { return std::complex<T>(a, b); });
}

Tensor polar(const Tensor& abs, const Tensor& angle) {
  return pairwise("polar", abs, angle, []<class T>(T r, T phi) {
    return std::complex<T>(r * std::cos(phi), r * std::sin(phi));
  });
}

Tensor real(const Tensor& x) { return is_complex(x.dtype()) ? part_of("real", x, 0) : x; }

Tensor imag(const Tensor& x) {
  FG_CHECK(is_complex(x.dtype()), "imag is not implemented for tensors with non-complex dtypes.");
  return part_of("imag", x, 1);
}

Tensor view_as_real(const Tensor& x) {
  FG_CHECK(is_complex(x.dtype()), "view_as_real is only supported for complex tensors");
  Array a = part_of("view_as_real", x, 0).array();
  a.shape.push_back(2);
  a.strides.push_back(1);
  a.numel *= 2;
  a.contiguous = is_contiguous(a.shape, a.strides);
  return Tensor(std::move(a));
}

Tensor view_as_complex(const Tensor& x) {
  FG_CHECK(x.dtype() == DType::Float32 || x.dtype() == DType::Float64,
           "view_as_complex is only supported for floating point tensors of 32 or 64 bits, but got "
           "a tensor of scalar type: ",
           scalar_type_name(x.dtype()));
  refuse_gradients("view_as_complex", x);
  FG_CHECK(x.ndim() > 0, "Input tensor must have one or more dimensions");
  FG_CHECK(x.size(-1) == 2, "Tensor must have a last dimension of size 2");
  FG_CHECK(x.strides().back() == 1, "Tensor must have a last dimension with stride 1");
  Array a = x.array();
  FG_CHECK(a.offset() % 2 == 0, "Tensor must have a storage_offset divisible by 2");
  a.shape.pop_back();
  a.strides.pop_back();
  for (int64_t& s : a.strides) {
    FG_CHECK(s % 2 == 0, "Tensor must have a stride divisible by 2 for all but last dimension");
    s /= 2;
  }
  a.dtype = to_complex(x.dtype());
  a.numel /= 2;
  a.contiguous = is_contiguous(a.shape, a.strides);
  return Tensor(std::move(a));
}

}  // namespace fastgrad
