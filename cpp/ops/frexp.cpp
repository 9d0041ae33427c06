// The parts of a floating-point number: an elementwise op with two results.
#include "ops/frexp.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/copy.h"
#include "ops/pointwise.h"

namespace fastgrad {
namespace {

// x = mantissa 2^exponent with 1/2 <= |mantissa| < 1; 0, inf and NaN are their own mantissa with
// exponent 0.
template <class T>
T split(T x, int32_t& exponent) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr int kFraction = std::numeric_limits<T>::digits - 1;
  constexpr Bits kAll = sizeof(T) == 4 ? 0xff : 0x7ff, kHalf = kAll / 2 - 1;
  Bits bits = std::bit_cast<Bits>(x);
  Bits found = bits >> kFraction & kAll;
  if (found == 0 || found == kAll) [[unlikely]] {  // not a normal number
    exponent = 0;
    return found == kAll || x == 0 ? x : std::frexp(x, &exponent);
  }
  exponent = static_cast<int32_t>(found) - static_cast<int32_t>(kHalf);
  return std::bit_cast<T>((bits & ~(kAll << kFraction)) | kHalf << kFraction);
}

}  // namespace

FG_DEFINE_OP(Frexp) = {
    .name = "frexp",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[1].dtype = DType::Int32;
          for (Meta& m : out) m.shape = in[0]->shape;
        },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          Array x = as_contiguous(*in[0], compute_dtype(in[0]->dtype));
          dispatch_float(x.dtype, "frexp", [&]<class T>(T) {
            const T* from = x.ptr<T>();
            Array wide = x.dtype == out[0].dtype ? out[0] : Array::empty(x.shape, x.dtype);
            T* mantissa = wide.ptr<T>();
            auto* exponent = out[1].ptr<int32_t>();
            for (int64_t i = 0; i < x.numel; ++i) mantissa[i] = split(from[i], exponent[i]);
            if (x.dtype != out[0].dtype) copy_array(wide, out[0]);
          });
        },
    .vjp =
        [](VjpContext& c) {
          if (c.g(0).defined()) c.set(0, ldexp(c.g(0), neg(c.out(1))));
        },
    .save = {save_out(1), 0, 0, 0},
    .nondifferentiable_outputs = 2,
};

Tensors frexp(const Tensor& x) {
  FG_CHECK(is_floating(x.dtype()), "frexp() only supports floating-point dtypes, got ", x.dtype());
  return apply_multi(Op::Frexp, {x});
}

}  // namespace fastgrad
