#include "ops/scatter.h"

#include <cmath>
#include <limits>

#include "core/conditions.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/index.h"
#include "ops/along.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/infer.h"
#include "ops/pointwise.h"
#include "ops/positions.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

Dims at_least_vector(DimSpan shape) { return shape.empty() ? Dims{1} : Dims(shape); }

// The index in int64. A recording, which goes on with whatever values, has to know that its entries
// are in range of dim; otherwise the operation finds out for itself.
Tensor checked_index(const Tensor& index, const Tensor& x, int64_t dim, const char* op) {
  FG_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, op,
           "(): Expected dtype int32/int64 for index, got ", name(index.dtype()));
  bool wide = index.dtype() == DType::Int64;
  if (wide && !recorder()) return index;
  Array places = recorded::as_contiguous(index.array(), DType::Int64);
  int64_t size = at_least_vector(x.shape())[dim];
  if (!indices_in_range(places, 0, size)) fail_out_of_range(places, x.array(), dim);
  watch_range(wide ? index.array() : places, 0, size);
  return wide ? index : Tensor(std::move(places));
}

bool fits(DimSpan index, DimSpan other, int64_t but_dim) {
  for (size_t d = 0; d < index.size(); ++d)
    if (static_cast<int64_t>(d) != but_dim && index[d] > other[d]) return false;
  return true;
}

// The part of src that the index reaches.
Tensor reached(Tensor src, DimSpan index_shape) {
  for (size_t d = 0; d < index_shape.size() && src.ndim() > 0; ++d)
    if (src.shape()[d] != index_shape[d])
      src = narrow(src, static_cast<int64_t>(d), 0, index_shape[d]);
  return src;
}

struct Scattered {
  Tensor index, src;
  int64_t dim;
};

Scattered check_scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK(x.dtype() == src.dtype(),
           "scatter(): Expected self.dtype to be equal to src.dtype, got ", name(x.dtype()),
           " and ", name(src.dtype()));
  if (index.numel() == 0) {
    return {Tensor(), src, dim};
  }
  Dims i = at_least_vector(index.shape()), s = at_least_vector(src.shape()),
       to = at_least_vector(x.shape());
  FG_CHECK(i.size() == to.size(),
           "Index tensor must have the same number of dimensions as self tensor: ", index.shape(),
           " and ", x.shape());
  FG_CHECK(i.size() == s.size(),
           "Index tensor must have the same number of dimensions as src tensor: ", index.shape(),
           " and ", src.shape());
  FG_CHECK(fits(i, to, dim) && fits(i, s, -1), "Expected index ", index.shape(),
           " to be no larger than self ", x.shape(), " apart from dimension ", dim,
           " and to be no larger size than src ", src.shape());
  return {checked_index(index, x, dim, "scatter"), reached(src, index.shape()), dim};
}

// Arrays of one dimension at least, as the kernels want them.
Array as_vector(const Array& a) { return a.ndim() ? a : a.view(Dims{1}, Dims{1}); }

void run_scatter(const Attrs& a, Inputs in, const Array& out, ScatterMode mode) {
  Array index = recorded::as_contiguous(as_vector(*in[2]));
  const Array x = as_vector(out), src = as_vector(*in[1]).expanded(index.shape);
  const int64_t dim = a.integer(0);
  // In place nothing shall be written when something is wrong.
  const bool in_place = in[0]->data == out.data;
  if ((in_place && !indices_in_range(index, 0, x.shape[static_cast<size_t>(dim)])) ||
      !scatter_along(x, index, dim, src, mode))
    fail_out_of_range(index, x, dim);
}

Tensor ones_where_written(const Tensor& x, int64_t dim, const Tensor& index) {
  return scatter(Tensor(recorded::zeros(x.shape(), DType::Bool)), dim, index, true);
}

}  // namespace

// Inputs: x, src (0-d or of the index's shape), index. Attributes: dim.
FG_DEFINE_OP(Scatter) = {
    .name = "scatter",
    .cls = OpClass::Linear,
    .infer = infer_as_input,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          recorded::copy_array(*in[0], out[0]);
          run_scatter(a, in, out[0], ScatterMode::Set);
        },
    .vjp =
        [](VjpContext& c) {
          int64_t dim = c.attrs().integer(0);
          if (c.needs(0)) c.set(0, scatter(c.g(), dim, c.in(2), 0));
          if (c.needs(1)) c.set(1, gather(c.g(), dim, c.in(2)));
        },
    .save = {save_in(2), save_in(2)},
};

FG_DEFINE_OP(ScatterAdd) = {
    .name = "scatter_add",
    .cls = OpClass::Linear,
    .infer = infer_as_input,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          recorded::copy_array(*in[0], out[0]);
          run_scatter(a, in, out[0], ScatterMode::Add);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, c.g());
          if (c.needs(1)) c.set(1, gather(c.g(), c.attrs().integer(0), c.in(2)));
        },
    .save = {0, save_in(2)},
};

namespace {

// d/dx and d/dsrc of a product over each target: the product of the other factors, divided out
// where nothing is zero. A zero factor is left out of the division and enters through the sum of
// the zeros, which is zero as a number but has the derivative that higher orders need.
void vjp_product(VjpContext& c, int64_t dim) {
  Tensor x = c.in(0), src = c.in(1), index = c.in(2);
  Tensor x_zero = eq(x, 0), src_zero = eq(src, 0);
  Tensor x_safe = where(x_zero, 1, x), src_safe = where(src_zero, 1, src);
  Tensor count =
      scatter_add(to_dtype(x_zero, DType::Int64), dim, index, to_dtype(src_zero, DType::Int64));
  Tensor zeros = scatter_add(where(x_zero, x, 0), dim, index, where(src_zero, src, 0));
  Tensor product = scatter_reduce(x_safe, dim, index, src_safe, "prod");
  auto others = [](const Tensor& own, const Tensor& zero, const Tensor& safe, const Tensor& count,
                   const Tensor& zeros, const Tensor& product) {
    Tensor of_zero =
        where(eq(count, 1), product, where(eq(count, 2), mul(sub(zeros, own), product), 0));
    Tensor rest = div(product, safe);
    return where(zero, of_zero,
                 where(eq(count, 0), rest, where(eq(count, 1), mul(zeros, rest), 0)));
  };
  if (c.needs(0)) c.set(0, grad_mul(c.g(), others(x, x_zero, x_safe, count, zeros, product)));
  if (c.needs(1))
    c.set(1, grad_mul(gather(c.g(), dim, index),
                      others(src, src_zero, src_safe, gather(count, dim, index),
                             gather(zeros, dim, index), gather(product, dim, index))));
}

// The cotangent of a maximum is shared among those that attain it.
void vjp_extreme(VjpContext& c, int64_t dim) {
  Tensor x = c.in(0), src = c.in(1), index = c.in(2), y = c.out();
  DType d = c.g().dtype();
  Tensor x_wins = to_dtype(eq(x, y), d), src_wins = to_dtype(eq(src, gather(y, dim, index)), d);
  Tensor share = div(c.g(), scatter_add(x_wins, dim, index, src_wins));
  if (c.needs(0)) c.set(0, where(x_wins, share, 0));
  if (c.needs(1)) c.set(1, where(src_wins, gather(share, dim, index), 0));
}

}  // namespace

// Inputs: x, src, index. Attributes: dim, mode. x's own elements count.
FG_DEFINE_OP(ScatterReduce) = {
    .name = "scatter_reduce",
    .infer = infer_as_input,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          recorded::copy_array(*in[0], out[0]);
          run_scatter(a, in, out[0], static_cast<ScatterMode>(a.integer(1)));
        },
    .vjp =
        [](VjpContext& c) {
          bool product = static_cast<ScatterMode>(c.attrs().integer(1)) == ScatterMode::Multiply;
          (product ? vjp_product : vjp_extreme)(c, c.attrs().integer(0));
        },
    .save = {save_in(0) | save_in(1) | save_in(2) | kSaveOut,
             save_in(0) | save_in(1) | save_in(2) | kSaveOut},
};

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) {
  dim = wrap_dim(dim, x.ndim());
  if (index.numel() == 0) return reshape(narrow(reshape(x, Dims{-1}), 0, 0, 0), index.shape());
  FG_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32,
           "gather(): Expected dtype int32/int64 for index, got ", name(index.dtype()));
  Dims i = at_least_vector(index.shape()), from = at_least_vector(x.shape());
  FG_CHECK(i.size() == from.size(),
           "Index tensor must have the same number of dimensions as input tensor: ", index.shape(),
           " and ", x.shape());
  for (size_t d = 0; d < i.size(); ++d)
    FG_CHECK(static_cast<int64_t>(d) == dim || i[d] <= from[d], "Size does not match at dimension ",
             d, " expected index ", index.shape(), " to be no larger than self ", x.shape(),
             " apart from dimension ", dim);
  Tensor places = checked_index(index, x, dim, "gather");
  if (x.ndim() != index.ndim())  // one of them is 0-d
    return reshape(take_along(reshape(x, from), reshape(places, i), dim), index.shape());
  return take_along(x, places, dim);
}

namespace {
// Negative entries count from the end; gather() complains of what is out of range.
Tensor from_front(const Tensor& index, DimSpan shape, int64_t dim) {
  const int64_t size = shape.empty() ? 1 : shape[static_cast<size_t>(dim)];
  Array rows = as_contiguous(index.array());
  if (!indices_in_range(rows, -size, size))
    for (int64_t i = 0; i < rows.numel; ++i) {
      int64_t k = rows.ptr<int64_t>()[i];
      FG_CHECK(k >= -size && k < size, "index ", k, " is out of bounds for dimension ", dim,
               " with size ", size);
    }
  watch_range(index.array(), -size, size);
  return counted_from_front(index.array(), size);
}
}  // namespace

Tensor take_along_dim(const Tensor& x, const Tensor& index, std::optional<int64_t> dim) {
  FG_CHECK(index.dtype() == DType::Int64,
           "take_along_dim(): dtype of indices should be Long but got ",
           scalar_type_name(index.dtype()));
  if (!dim) {
    Tensor flat = reshape(x, Dims{-1});
    return gather(flat, 0, from_front(reshape(index, Dims{-1}), flat.shape(), 0));
  }
  FG_CHECK(x.ndim() == index.ndim(),
           "take_along_dim(): input and indices should have the same number of dimensions, "
           "but got ",
           x.ndim(), " dimensions for input, and ", index.ndim(), " dimensions for indices");
  int64_t d = wrap_dim(*dim, x.ndim());
  Dims a = x.shape(), b = index.shape();
  if (!a.empty()) a[d] = b[d] = 1;
  Dims both = broadcast(a, b), from = both, at = both;
  if (!a.empty()) {
    from[d] = x.shape()[d];
    at[d] = index.shape()[d];
  }
  Tensor places = at == index.shape() ? index : expand(index, at);
  return gather(from == x.shape() ? x : expand(x, from), d, from_front(places, from, d));
}

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Operand& src) {
  if (src.is_tensor()) {
    Scattered s = check_scatter(x, dim, index, src.tensor());
    if (!s.index.defined()) return clone(x);
    return apply(Op::Scatter, {x, s.src, s.index}, Attrs(Scalar(s.dim)));
  }
  Tensor value = full({}, src.scalar(), x.dtype());
  Scattered s = check_scatter(x, dim, index, Tensor(value.array().expanded(index.shape())));
  if (!s.index.defined()) return clone(x);
  return apply(Op::Scatter, {x, value, s.index}, Attrs(Scalar(s.dim)));
}

Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  Scattered s = check_scatter(x, dim, index, src);
  if (!s.index.defined()) return clone(x);
  return apply(Op::ScatterAdd, {x, s.src, s.index}, Attrs(Scalar(s.dim)));
}

namespace {

// The value that leaves the other side of a reduction as it is.
Scalar neutral(ScatterMode mode, DType d) {
  if (mode == ScatterMode::Add) return 0;
  if (mode == ScatterMode::Multiply) return 1;
  bool max = mode == ScatterMode::Max;
  if (is_floating(d)) return max ? -INFINITY : INFINITY;
  if (d == DType::Bool) return !max;
  return dispatch_real(d, "scatter_reduce", [&]<class T>(T) {
    return Scalar(static_cast<int64_t>(max ? std::numeric_limits<T>::lowest()
                                           : std::numeric_limits<T>::max()));
  });
}

}  // namespace

Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self) {
  bool mean = reduce == "mean";
  FG_CHECK(mean || reduce == "sum" || reduce == "prod" || reduce == "amax" || reduce == "amin",
           "reduce argument must be either sum, prod, mean, amax or amin, got ", reduce);
  Scattered s = check_scatter(x, dim, index, src);
  if (!s.index.defined()) return clone(x);
  ScatterMode mode = reduce == "prod"   ? ScatterMode::Multiply
                     : reduce == "amax" ? ScatterMode::Max
                     : reduce == "amin" ? ScatterMode::Min
                                        : ScatterMode::Add;
  Tensor start = include_self ? x : scatter(x, s.dim, s.index, neutral(mode, x.dtype()));
  if (mode != ScatterMode::Add)
    return apply(Op::ScatterReduce, {start, s.src, s.index},
                 Attrs(Scalar(s.dim), Scalar(static_cast<int64_t>(mode))));
  Tensor sum = scatter_add(start, s.dim, s.index, s.src);
  if (!mean) return sum;
  Tensor count = ones_like(Tensor(x.array()));
  if (!include_self) count = where(ones_where_written(x, s.dim, s.index), 0, count);
  count = to_dtype(count, x.dtype());
  count = scatter_add(count, s.dim, s.index, ones_like(Tensor(s.src.array())));
  if (is_integral(x.dtype(), true)) return floor_divide(sum, count);
  return div(sum, count);
}

}  // namespace fastgrad
