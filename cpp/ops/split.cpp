#include "ops/split.h"

#include <algorithm>

#include "base/long_work.h"
#include "ops/basic_index.h"
#include "ops/join.h"

namespace fastgrad {
namespace {

void infer_split(const Attrs& a, Inputs in, Metas& out) {
  auto dim = static_cast<size_t>(a.integer(0));
  Meta m{in[0]->dtype, in[0]->shape, in[0]->strides, 0};
  for (int64_t size : a.list(0)) {
    m.shape[dim] = size;
    out.push_back(m);
    m.offset += size * in[0]->strides[dim];
  }
}

void vjp_split(VjpContext& c) {
  Tensors parts;
  for (size_t i = 0; i < c.node().outputs.size(); ++i) parts.push_back(c.g_or_zeros(i));
  c.set(0, cat(parts, c.attrs().integer(0)));
}

}  // namespace

// Attributes: dim; list 0: the sizes of the pieces.
#define FG_SPLIT(Id, op_name, backward) \
  FG_DEFINE_OP(Id) = {                  \
      .name = op_name,                  \
      .backward_name = backward,        \
      .cls = OpClass::Linear,           \
      .num_outputs = -1,                \
      .view = true,                     \
      .infer = infer_split,             \
      .vjp = vjp_split,                 \
  };
FG_SPLIT(Split, "split", "SplitBackward0")
FG_SPLIT(SplitWithSizes, "split_with_sizes", "SplitWithSizesBackward0")
#undef FG_SPLIT

Tensors split(const Tensor& x, int64_t size, int64_t dim) {
  FG_CHECK(x.ndim() > 0, "split expects at least a 1-dimensional tensor");
  FG_CHECK(size >= 0, "split expects split_size be non-negative, but got split_size=", size);
  dim = wrap_dim(dim, x.ndim());
  int64_t whole = x.shape()[dim];
  FG_CHECK(size > 0 || whole == 0,
           "split_size can only be 0 if dimension size is 0, but got dimension size of ", whole);
  SmallVector<int64_t, 8> sizes;
  for (int64_t left = whole; left > 0; left -= size) sizes.push_back(std::min(left, size));
  if (sizes.empty()) sizes.push_back(0);
  return apply_multi(Op::Split, {x}, Attrs(Scalar(dim)).with(sizes));
}

Tensors split(const Tensor& x, DimSpan sizes, int64_t dim) {
  FG_CHECK(x.ndim() > 0, "split expects at least a 1-dimensional tensor");
  dim = wrap_dim(dim, x.ndim());
  int64_t left = x.shape()[dim];
  bool fit = true;
  for (int64_t s : sizes) {
    FG_CHECK(
        s >= 0,
        "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=",
        to_string(sizes));
    fit = fit && s <= left;  // their sum might overflow
    if (fit) left -= s;
  }
  FG_CHECK(fit && left == 0, "split_with_sizes expects split_sizes to sum exactly to ",
           x.shape()[dim], " (input tensor's size at dimension ", dim,
           "), but got split_sizes=", to_string(sizes));
  return apply_multi(Op::SplitWithSizes, {x}, Attrs(Scalar(dim)).with(sizes));
}

Tensors chunk(const Tensor& x, int64_t chunks, int64_t dim) {
  FG_CHECK(x.ndim() > 0, "chunk expects at least a 1-dimensional tensor");
  FG_CHECK(chunks > 0, "chunk expects `chunks` to be greater than 0, got: ", chunks);
  dim = wrap_dim(dim, x.ndim());
  int64_t whole = x.shape()[dim];
  if (whole == 0) return split(x, SmallVector<int64_t, 8>(static_cast<size_t>(chunks), 0), dim);
  return split(x, (whole - 1) / chunks + 1, dim);
}

Tensors tensor_split(const Tensor& x, int64_t sections, int64_t dim) {
  FG_CHECK(x.ndim() > 0,
           "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK(sections > 0, "number of sections must be larger than 0, got ", sections);
  int64_t whole = x.shape()[dim], size = whole / sections, longer = whole % sections, at = 0;
  Tensors out;
  for (int64_t i = 0; i < sections; ++i) {
    if (i % 1024 == 1023) poll_interpreter();
    int64_t n = size + (i < longer);
    out.push_back(slice(x, dim, at, at + n));
    at += n;
  }
  return out;
}

Tensors tensor_split(const Tensor& x, DimSpan indices, int64_t dim) {
  FG_CHECK(x.ndim() > 0,
           "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  dim = wrap_dim(dim, x.ndim());
  Tensors out;
  int64_t at = 0;
  for (int64_t i : indices) {
    out.push_back(slice(x, dim, at, i));
    at = i;
  }
  out.push_back(slice(x, dim, at, std::nullopt));
  return out;
}

int64_t named_split_dim(const Tensor& x, const char* op) {
  int64_t least = op[0] == 'h' ? 1 : op[0] == 'v' ? 2 : 3;
  FG_CHECK(x.ndim() >= least, op, " requires a tensor with at least ", least, " dimension",
           least > 1 ? "s" : "", ", but got a tensor with ", x.ndim(), " dimensions!");
  if (op[0] == 'h') return x.ndim() == 1 ? 0 : 1;
  return op[0] == 'v' ? 0 : 2;
}

void check_divides(const Tensor& x, int64_t dim, int64_t sections, const char* op) {
  FG_CHECK(sections != 0 && x.shape()[dim] % sections == 0, op,
           " attempted to split along dimension ", dim, ", but the size of the dimension ",
           x.shape()[dim], " is not divisible by the split_size ", sections, "!");
}

}  // namespace fastgrad
