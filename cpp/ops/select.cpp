#include "ops/select.h"

#include <algorithm>
#include <numeric>

#include "core/conditions.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/elementwise.h"
#include "kernels/index.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/item.h"
#include "ops/pointwise.h"
#include "ops/positions.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

Dims all_dims(const Tensor& x) {
  Dims dims(static_cast<size_t>(x.ndim()));
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

// A row-major number over all of x's elements, of the index's shape: for the ops of ops/index.cpp.
Attrs over_all(const Tensor& x, bool accumulate = false) {
  return Attrs(Scalar(0), Scalar(accumulate)).with(all_dims(x));
}
Attrs along(int64_t dim, bool accumulate = false) {
  const int64_t dims[] = {dim};
  return Attrs(Scalar(dim), Scalar(accumulate)).with(dims);
}

void check_integer_index(const Tensor& index, const char* op) {
  FG_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, op,
           ": Expected dtype int32 or int64 for index, got ", name(index.dtype()));
}

// The index as int64 without gaps, counted from the front. fail(entry) speaks for entries out of
// range.
template <class Fail>
Tensor wrapped_index(const Tensor& index, int64_t size, bool negative_allowed, Fail fail) {
  Array wide = as_contiguous(index.array(), DType::Int64);
  const int64_t* p = wide.ptr<int64_t>();
  const int64_t low = negative_allowed ? -size : 0;
  if (!indices_in_range(wide, low, size))
    for (int64_t i = 0; i < wide.numel; ++i)
      if (p[i] >= size || p[i] < low) fail(p[i]);
  if (negative_allowed) {
    watch_range(index.array(), low, size);
    return counted_from_front(index.array(), size);
  }
  if (index.dtype() == DType::Int64 && index.is_contiguous()) {
    watch_range(index.array(), low, size);
    return index;
  }
  Array linear = recorded::contiguous_copy(index.array(), DType::Int64);
  watch_range(linear, low, size);
  return Tensor(std::move(linear));
}

// 0-d tensors are indexed along dim 0 as if they had one element there.
Tensor at_least_vector(const Tensor& x) { return x.ndim() == 0 ? reshape(x, Dims{1}) : x; }

}  // namespace

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index) {
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK_INDEX(index.ndim() <= 1, "index_select(): Index is supposed to be a vector, got ",
                 index.ndim(), " dimensions");
  check_integer_index(index, "index_select()");
  FG_CHECK(x.ndim() > 0 || index.numel() == 1,
           "index_select(): Index to scalar can have only 1 value, got ", index.numel(),
           " value(s)");
  Tensor from = at_least_vector(x);
  int64_t size = from.shape()[dim];
  Tensor linear = wrapped_index(at_least_vector(index), size, false, [&](int64_t i) {
    fail(ErrorKind::Index, "index out of range in self: index_select got ", i, " for dimension ",
         dim, " with size ", size);
  });
  Tensor y = apply(Op::IndexSelect, {from, linear}, along(dim));
  return x.ndim() == 0 ? reshape(y, {}) : y;
}

namespace {

// The checks that index_add and index_copy share: source fits x but along dim.
void check_source(const Tensor& x, int64_t dim, const Tensor& source, ErrorKind kind,
                  const char* op) {
  Dims a = x.shape(), b = source.shape();
  if (!a.empty()) a.erase(static_cast<size_t>(dim));
  if (!b.empty()) b.erase(static_cast<size_t>(dim));
  FG_CHECK_KIND(kind, a == b, op,
                ": Source/destination tensor must have same slice shapes except at dimension ", dim,
                ". Destination slice shape: ", a, " and source slice shape: ", b, ".");
}

}  // namespace

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                 Scalar alpha) {
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK_INDEX(index.ndim() <= 1,
                 "index_add_(): Index is supposed to be a vector, but got dim: ", index.ndim(),
                 " with type: ", scalar_type_name(index.dtype()), " and size: ", index.shape());
  check_integer_index(index, "index_add_()");
  FG_CHECK(x.dtype() == source.dtype(), "index_add_(): self (", scalar_type_name(x.dtype()),
           ") and source (", scalar_type_name(source.dtype()), ") must have the same scalar type");
  FG_CHECK(x.ndim() == source.ndim() || x.ndim() == 0 || source.ndim() == 0,
           "index_add_(): Source and destination must have the same number of dimensions, got ",
           source.shape(), " and ", x.shape());
  Tensor to = at_least_vector(x), from = at_least_vector(source), places = at_least_vector(index);
  int64_t size = to.shape()[dim];
  FG_CHECK(places.numel() == from.shape()[dim], "index_add_(): Number of indices (", places.numel(),
           ") should be equal to source.size(dim): (", from.shape()[dim], "), for dim: ", dim);
  check_source(to, dim, from, ErrorKind::Runtime, "index_add_()");
  Tensor linear = wrapped_index(places, size, false, [&](int64_t i) {
    fail(ErrorKind::Runtime, "index ", i, " is out of bounds for dimension ", dim, " with size ",
         size);
  });
  bool one = alpha.to_double() == 1;
  if (!one)
    from = mul(from, is_integral(x.dtype(), true) ? Operand(alpha.to_int()) : Operand(alpha));
  Tensor y = apply(Op::IndexAdd, {to, from, linear}, along(dim, true));
  return x.ndim() == 0 ? reshape(y, {}) : y;
}

Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source) {
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK_INDEX(index.ndim() <= 1, "index_copy_(): Index should have dimension 1 or 0 (got ",
                 index.ndim(), ")");
  FG_CHECK_INDEX(source.ndim() > 0 || index.numel() == 1,
                 "index_copy_(): When source is scalar, index should have one element (got ",
                 index.numel(), ")");
  FG_CHECK_INDEX(source.ndim() == x.ndim() || source.ndim() == 0 || x.ndim() == 0,
                 "index_copy_(): When source and destination are not scalars, their dimensionality "
                 "must match. Source dimensionality (",
                 source.ndim(), "), destination dimensionality (", x.ndim(), ")");
  FG_CHECK(index.dtype() == DType::Int64,
           "index_copy_(): Expected a long tensor for index, but got ",
           scalar_type_name(index.dtype()));
  FG_CHECK(x.dtype() == source.dtype(),
           "index_copy_(): self and source expected to have the same dtype, but got (self) ",
           scalar_type_name(x.dtype()), " and (source) ", scalar_type_name(source.dtype()));
  Tensor to = at_least_vector(x), from = at_least_vector(source), places = at_least_vector(index);
  check_source(to, dim, from, ErrorKind::Runtime, "index_copy_()");
  FG_CHECK_INDEX(places.numel() == from.shape()[dim], "index_copy_(): Number of indices (",
                 places.numel(), ") should be equal to source.size(dim) (", from.shape()[dim], ")");
  int64_t size = to.shape()[dim];
  Tensor linear = wrapped_index(places, size, false, [&](int64_t i) {
    fail(ErrorKind::Index, "index_copy_(): index ", i, " is out of bounds for dimension ", dim,
         " with size ", size);
  });
  Tensor y = apply(Op::IndexCopy, {to, from, linear}, along(dim));
  return x.ndim() == 0 ? reshape(y, {}) : y;
}

namespace {

// The value of a fill in x's element type; tensors must have no dimension.
Tensor fill_value(const Tensor& x, const Operand& value, const char* op) {
  if (!value.is_tensor()) return full({}, value.scalar(), x.dtype());
  FG_CHECK(value.array().ndim() == 0, op,
           " only supports a 0-dimensional value tensor, but got tensor with ",
           value.array().ndim(), " dimension(s).");
  return to_dtype(value.tensor(), x.dtype());
}

}  // namespace

Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Operand& value) {
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK(index.dtype() == DType::Int64, "index_fill_(): Expected dtype int64 for index.");
  FG_CHECK(index.ndim() <= 1, "Index has to be a vector/scalar, got ", index.ndim(), " dimensions");
  Tensor to = at_least_vector(x);
  int64_t size = to.shape()[dim];
  Tensor linear = wrapped_index(at_least_vector(index), size, true, [&](int64_t i) {
    fail(ErrorKind::Index, "index ", i, " is out of bounds for dimension ", dim, " with size ",
         size);
  });
  // Each place once, so that the gradient of a value that is put there counts it once.
  if (value.is_tensor() && value.tensor().requires_grad())
    linear = distinct_numbers(linear.array());
  Tensor y = apply(Op::IndexFill, {to, fill_value(x, value, "index_fill_"), linear}, along(dim));
  return x.ndim() == 0 ? reshape(y, {}) : y;
}

namespace {
Tensor numbered(const Tensor& x, const Tensor& index, const char* op) {
  FG_CHECK(index.dtype() == DType::Int64, op, ": Expected a long tensor for index, but got ",
           scalar_type_name(index.dtype()));
  FG_CHECK_INDEX(x.numel() > 0 || index.numel() == 0, op, ": tried to ", op[0], op[1], op[2],
                 op[0] == 't' ? "e" : "", op[0] == 't' ? " from" : " elements into",
                 " an empty tensor");
  return wrapped_index(index, x.numel(), true, [&](int64_t i) {
    fail(ErrorKind::Index, "out of range: tried to access index ", i, " on a tensor of ", x.numel(),
         " elements.");
  });
}
}  // namespace

Tensor take(const Tensor& x, const Tensor& index) {
  return apply(Op::Take, {x, numbered(x, index, "take()")}, over_all(x));
}

Tensor put(const Tensor& x, const Tensor& index, const Tensor& source, bool accumulate) {
  FG_CHECK(x.dtype() == source.dtype(),
           "put_(): self and source expected to have the same dtype, but got self.dtype = ",
           scalar_type_name(x.dtype()), " and source.dtype = ", scalar_type_name(source.dtype()));
  FG_CHECK_INDEX(source.numel() == index.numel(),
                 "put_(): Expected source and index to have the same number of elements, but got "
                 "source.numel() = ",
                 source.numel(), ", index.numel() = ", index.numel());
  return apply(Op::Put, {x, reshape(source, index.shape()), numbered(x, index, "put_()")},
               over_all(x, accumulate));
}

namespace {

// The kernel of where() on any element type it has; half types go through float32.
void eval_masked_fill(const Attrs&, Inputs in, std::span<Array> out) {
  DType compute = compute_dtype(out[0].dtype);
  BlockKernel kernel = block_kernel(ElementwiseOp::Where, compute);
  FG_CHECK_KIND(ErrorKind::NotImplemented, kernel, "\"masked_fill\" not implemented for '",
                scalar_type_name(out[0].dtype), "'");
  Array mask = in[1]->expanded(out[0].shape), value = in[2]->expanded(out[0].shape),
        x = in[0]->expanded(out[0].shape);
  const Array* operands[] = {&mask, &value, &x};
  run_elementwise(kernel, compute, compute, operands, 3, out[0]);
}

}  // namespace

// Inputs: x, mask, value (0-d).
FG_DEFINE_OP(MaskedFill) = {
    .name = "masked_fill",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = broadcast(in[0]->shape, in[1]->shape);
        },
    .eval = eval_masked_fill,
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, masked_fill(c.g(), c.in(1), 0));
          if (c.needs(2)) c.set(2, where(c.in(1), c.g(), 0));
        },
    .save = {save_in(1), 0, save_in(1), 0},
};

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Operand& value) {
  FG_CHECK(mask.dtype() == DType::Bool,
           "masked_fill_ only supports boolean masks, but got mask with dtype ",
           name(mask.dtype()));
  return apply(Op::MaskedFill, {x, mask, fill_value(x, value, "masked_fill_")});
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  FG_CHECK(mask.dtype() == DType::Bool, "masked_select: expected BoolTensor for mask, got ",
           name(mask.dtype()));
  Dims shape = broadcast(x.shape(), mask.shape());
  Tensor from = x.shape() == shape ? x : expand(x, shape);
  Tensor positions = positions_where(mask.array().expanded(shape));
  return apply(Op::MaskedSelect, {from, positions}, over_all(from));
}

Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source) {
  FG_CHECK(mask.dtype() == DType::Bool,
           "masked_scatter_ only supports boolean masks, but got mask with dtype ",
           scalar_type_name(mask.dtype()));
  FG_CHECK(x.dtype() == source.dtype(),
           "masked_scatter: expected self and source to have same dtypes but got ",
           scalar_type_name(x.dtype()), " and ", scalar_type_name(source.dtype()));
  Dims shape = broadcast(x.shape(), mask.shape());
  Tensor to = x.shape() == shape ? x : expand(x, shape);
  Tensor linear = positions_where(mask.array().expanded(shape));
  int64_t count = linear.numel();
  FG_CHECK(source.numel() >= count,
           "Number of elements of source < number of ones in mask: ", source.numel(), " < ", count);
  Tensor values = reshape(source, Dims{-1});
  if (values.numel() != count) values = narrow(values, 0, 0, count);
  return apply(Op::MaskedScatter, {to, values, linear}, over_all(to));
}

Tensor nonzero(const Tensor& x) { return coordinates_of(positions_where(x.array()), x.shape()); }

Tensor argwhere(const Tensor& x) { return nonzero(x); }

Tensors nonzero_tuple(const Tensor& x) { return unbind(nonzero(at_least_vector(x)), 1); }

Tensor one_hot(const Tensor& classes, int64_t num_classes) {
  FG_CHECK(classes.dtype() == DType::Int64,
           "one_hot is only applicable to index tensor of type LongTensor, got ",
           name(classes.dtype()));
  Array at = recorded::as_contiguous(classes.array());
  const int64_t* p = at.ptr<int64_t>();
  int64_t least = at.numel ? *std::min_element(p, p + at.numel) : 0;
  int64_t most = at.numel ? *std::max_element(p, p + at.numel) : -1;
  FG_CHECK(at.numel || num_classes > 0, "Can not infer total number of classes from empty tensor.");
  FG_CHECK(least >= 0, "Class values must be non-negative.");
  FG_CHECK(num_classes == -1 || num_classes > most,
           "Class values must be smaller than num_classes.");
  int64_t n = num_classes == -1 ? most + 1 : num_classes;
  if (num_classes == -1)
    watch_largest(at, most);
  else
    watch_range(at, 0, n);
  return one_hot_rows(at, n);
}

}  // namespace fastgrad
