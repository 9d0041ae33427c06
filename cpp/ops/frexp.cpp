// The parts of a floating-point number: an elementwise op with two results.
#include "ops/frexp.h"

#include "kernels/copy.h"
#include "kernels/cpu/special_arithmetic.h"
#include "ops/pointwise.h"

namespace fastgrad {

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
            for (int64_t i = 0; i < x.numel; ++i) {
              wide.ptr<T>()[i] = math::frexp_mantissa(from[i]);
              out[1].ptr<int32_t>()[i] = math::frexp_exponent(from[i]);
            }
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
