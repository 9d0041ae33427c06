#include "ops/item.h"

#include "core/memory.h"

namespace fastgrad {

Scalar element(const Array& a, int64_t offset) {
  return dispatch_all(a.dtype, [&]<class T>(T) -> Scalar {
    T v = a.ptr<T>()[offset];
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
      return Scalar(static_cast<float>(v));
    else if constexpr (is_complex(dtype_of<T>))
      return Scalar(static_cast<double>(v.real()));
    else
      return Scalar(v);
  });
}

bool truth(const Tensor& x) {
  FG_CHECK(x.numel() != 0, "Boolean value of Tensor with no values is ambiguous");
  FG_CHECK(x.numel() == 1, "Boolean value of Tensor with more than one value is ambiguous");
  deferred::settle(x.array());
  bool result = false;
  cast_kernel(x.dtype(), DType::Bool)(x.array().data, 1, reinterpret_cast<char*>(&result), 1, 1);
  if (Recorder* r = recorder()) [[unlikely]]
    r->watch_truth(x.array(), result);
  return result;
}

Scalar item(const Tensor& x) {
  FG_CHECK(x.numel() == 1, "a Tensor with ", x.numel(), " elements cannot be converted to Scalar");
  watch_values(x.array());
  return element(x.array());
}

}  // namespace fastgrad
