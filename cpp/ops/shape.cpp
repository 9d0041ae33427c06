#include "ops/shape.h"

#include <algorithm>
#include <numeric>

#include "core/promotion.h"
#include "kernels/copy.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/infer.h"

namespace fastgrad {

FG_DEFINE_OP(Reshape) = {
    .name = "reshape",
    .backward_name = "ViewBackward0",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          auto strides = view_strides(in[0]->shape, in[0]->strides, a.list(0));
          FG_CHECK(strides,
                   "view size is not compatible with input tensor's size and stride (at least one "
                   "dimension spans across two contiguous subspaces). Use .reshape(...) instead.");
          out[0] = {in[0]->dtype, Dims(a.list(0)), *strides, 0};
        },
    .vjp = [](VjpContext& c) { c.set(0, reshape(c.g(), c.in_shape(0))); },
};

FG_DEFINE_OP(Expand) = {
    .name = "expand",
    .cls = OpClass::Linear,
    .view = true,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          // As PyTorch: only what is repeated has stride 0; a new dimension of size 1 goes on
          // from the one behind it.
          DimSpan target = a.list(0);
          size_t n = target.size(), lead = n - in[0]->shape.size();
          out[0] = {in[0]->dtype, Dims(target), Dims(n), 0};
          for (size_t i = n; i-- > 0;) {
            int64_t size = i >= lead ? in[0]->shape[i - lead] : 1;
            int64_t next = i + 1 < n ? target[i + 1] * out[0].strides[i + 1] : 1;
            int64_t stride = i >= lead ? in[0]->strides[i - lead] : lead == n ? 0 : next;
            out[0].strides[i] = size == target[i] ? stride : 0;
          }
        },
    .vjp = [](VjpContext& c) { c.set(0, c.g()); },  // the engine sums over broadcast dimensions
};

// The elements in row-major order, where strides do not allow a view.
FG_DEFINE_OP(ReshapeCopy) = {
    .name = "reshape",
    .backward_name = "UnsafeViewBackward0",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<>,
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { copy_array(*in[0], out[0].reshaped(in[0]->shape)); },
    .vjp = [](VjpContext& c) { c.set(0, reshape(c.g(), c.in_shape(0))); },
};

namespace {
void infer_permuted(const Attrs& a, Inputs in, Metas& out) {
  out[0].dtype = in[0]->dtype;
  for (int64_t d : a.list(0)) {
    out[0].shape.push_back(in[0]->shape[d]);
    out[0].strides.push_back(in[0]->strides[d]);
  }
}
void vjp_permuted(VjpContext& c) {
  DimSpan order = c.attrs().list(0);
  Dims inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i) inverse[order[i]] = static_cast<int64_t>(i);
  c.set(0, permute(c.g(), inverse));
}
}  // namespace

// List 0: the input's dimensions in the output's order.
#define FG_PERMUTATION(Id, op_name, backward) \
  FG_DEFINE_OP(Id) = {                        \
      .name = op_name,                        \
      .backward_name = backward,              \
      .cls = OpClass::Linear,                 \
      .view = true,                           \
      .infer = infer_permuted,                \
      .vjp = vjp_permuted,                    \
  };
FG_PERMUTATION(Permute, "permute", "PermuteBackward0")
FG_PERMUTATION(Transpose, "transpose", "TransposeBackward0")
FG_PERMUTATION(MatrixTranspose, "t", "TBackward0")
#undef FG_PERMUTATION

Tensor reshape(const Tensor& x, DimSpan shape) {
  Dims target = infer_size(shape, x.numel());
  bool viewable = x.is_contiguous() || view_strides(x.shape(), x.strides(), target);
  return apply(viewable ? Op::Reshape : Op::ReshapeCopy, {x}, Attrs().with(target));
}

Tensor view(const Tensor& x, DimSpan shape) {
  return apply(Op::Reshape, {x}, Attrs().with(infer_size(shape, x.numel())));
}

Tensor view(const Tensor& x, DType dtype) {
  if (dtype == x.dtype()) return alias(x);
  auto from = static_cast<int64_t>(itemsize(x.dtype())), to = static_cast<int64_t>(itemsize(dtype));
  Array a = x.array();
  a.dtype = dtype;
  if (from != to) {
    auto between = [&] {
      return str("to view ", scalar_type_name(x.dtype()), " as ", scalar_type_name(dtype),
                 " (different element sizes)");
    };
    FG_CHECK(x.ndim() > 0, "self.dim() cannot be 0 ", between());
    FG_CHECK(x.strides().back() == 1, "self.stride(-1) must be 1 ", between(), ", but got ",
             x.strides().back());
    bool grows = to > from;
    int64_t ratio = grows ? to / from : from / to;
    int64_t offset = x.array().offset();
    if (grows) {
      FG_CHECK(x.size(-1) % ratio == 0, "self.size(-1) must be divisible by ", ratio, " ",
               between(), ", but got ", x.size(-1));
      FG_CHECK(offset % ratio == 0, "self.storage_offset() must be divisible by ", ratio, " ",
               between(), ", but got ", offset);
    }
    for (size_t i = 0; i < a.strides.size(); ++i) {
      bool last = i + 1 == a.strides.size();
      if (last) {
        a.shape[i] = grows ? a.shape[i] / ratio : a.shape[i] * ratio;
      } else if (grows) {
        FG_CHECK(a.strides[i] % ratio == 0, "self.stride(", i, ") must be divisible by ", ratio,
                 " ", between(), ", but got ", a.strides[i]);
        a.strides[i] /= ratio;
      } else {
        a.strides[i] *= ratio;
      }
    }
    a.numel = numel_of(a.shape);
    a.contiguous = is_contiguous(a.shape, a.strides);
  }
  return Tensor(std::move(a));
}

Tensor flatten(const Tensor& x, int64_t start, int64_t end) {
  start = wrap_dim(start, x.ndim());
  end = wrap_dim(end, x.ndim());
  FG_CHECK(start <= end, "flatten() has invalid args: start_dim cannot come after end_dim");
  if (x.ndim() == 0) return reshape(x, Dims{1});
  if (start == end) return x;
  Dims shape;
  int64_t joined = 1;
  for (int64_t i = 0; i < x.ndim(); ++i) {
    if (i >= start && i <= end) joined *= x.shape()[i];
    if (i < start || i > end) shape.push_back(x.shape()[i]);
    if (i == end) shape.push_back(joined);
  }
  return reshape(x, shape);
}

Tensor ravel(const Tensor& x) { return view(contiguous(x), Dims{-1}); }

Tensor unflatten(const Tensor& x, int64_t dim, DimSpan sizes) {
  dim = wrap_dim(dim, x.ndim());
  FG_CHECK(!sizes.empty(), "unflatten: sizes must be non-empty");
  FG_CHECK(x.ndim() > 0, "unflatten: expected a tensor with dimensions, got a 0-dim tensor");
  int64_t size = x.shape()[dim], known = 1;
  bool open = false;
  for (int64_t s : sizes) {
    if (s == -1) {
      FG_CHECK(!open, "only one dimension can be inferred");
      open = true;
    } else {
      known *= s;
    }
  }
  bool fits = open ? known != 0 && size % known == 0 : known == size;
  FG_CHECK(fits, "unflatten: Provided sizes ", to_string(sizes),
           " don't multiply up to the size of dim ", dim, " (", size, ") in the input tensor");
  Dims shape;
  for (int64_t i = 0; i < x.ndim(); ++i) {
    if (i != dim) shape.push_back(x.shape()[i]);
    if (i == dim)
      for (int64_t s : sizes) shape.push_back(s == -1 ? size / known : s);
  }
  return view(x, shape);
}

Tensor expand(const Tensor& x, DimSpan shape) {
  int64_t lead = static_cast<int64_t>(shape.size()) - x.ndim();
  FG_CHECK(lead >= 0, "expand(", name(x.dtype()), "{", x.shape(), "}, size=", to_string(shape),
           "): the number of sizes provided (", shape.size(),
           ") must be greater or equal to the number of dimensions in the tensor (", x.ndim(), ")");
  Dims target(shape);
  for (int64_t i = 0; i < static_cast<int64_t>(target.size()); ++i) {
    if (i < lead) {
      FG_CHECK(target[i] >= 0, "The expanded size of the tensor (", target[i],
               ") isn't allowed in a leading, non-existing dimension ", i);
      continue;
    }
    int64_t have = x.shape()[i - lead];
    if (target[i] == -1) target[i] = have;
    FG_CHECK(have == target[i] || have == 1, "The expanded size of the tensor (", target[i],
             ") must match the existing size (", have, ") at non-singleton dimension ", i,
             ".  Target sizes: ", to_string(shape), ".  Tensor sizes: ", to_string(x.shape()));
  }
  return apply(Op::Expand, {x}, Attrs().with(target));
}

Tensors broadcast_tensors(std::span<const Tensor> tensors) {
  Dims shape;
  for (const Tensor& x : tensors) shape = broadcast(shape, x.shape());
  Tensors out;
  for (const Tensor& x : tensors) out.push_back(x.shape() == shape ? x : expand(x, shape));
  return out;
}

Tensor permute(const Tensor& x, DimSpan dims) {
  FG_CHECK(
      static_cast<int64_t>(dims.size()) == x.ndim(),
      "permute(sparse_coo): number of dimensions in the tensor input does not match the length "
      "of the desired ordering of dimensions i.e. input.dim() = ",
      x.ndim(), " is not equal to len(dims) = ", dims.size());
  Dims order;
  for (int64_t d : dims) {
    d = wrap_dim(d, x.ndim());
    FG_CHECK(std::find(order.begin(), order.end(), d) == order.end(),
             "permute(): duplicate dims are not allowed.");
    order.push_back(d);
  }
  return apply(Op::Permute, {x}, Attrs().with(order));
}

namespace {
Tensor swapped(Op op, const Tensor& x, int64_t dim0, int64_t dim1) {
  Dims order(static_cast<size_t>(x.ndim()));
  std::iota(order.begin(), order.end(), 0);
  if (x.ndim() > 0) std::swap(order[dim0], order[dim1]);
  return apply(op, {x}, Attrs().with(order));
}
}  // namespace

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  return swapped(Op::Transpose, x, wrap_dim(dim0, x.ndim()), wrap_dim(dim1, x.ndim()));
}

Tensor t(const Tensor& x) {
  FG_CHECK(x.ndim() <= 2, "t() expects a tensor with <= 2 dimensions, but self is ", x.ndim(), "D");
  return swapped(Op::MatrixTranspose, x, 0, x.ndim() < 2 ? 0 : 1);
}

Tensor movedim(const Tensor& x, DimSpan source, DimSpan destination) {
  FG_CHECK(source.size() == destination.size(),
           "movedim: Invalid source or destination dims: source (", to_string(source),
           " dims) should contain the same number of dims as destination (", to_string(destination),
           " dims)");
  auto wrapped = [&](DimSpan dims, const char* which) {
    Dims out;
    for (int64_t d : dims) {
      d = wrap_dim(d, x.ndim());
      FG_CHECK(std::find(out.begin(), out.end(), d) == out.end(), "movedim: repeated dim in `",
               which, "` (", to_string(dims), ")");
      out.push_back(d);
    }
    return out;
  };
  Dims from = wrapped(source, "source"), to = wrapped(destination, "destination");
  if (x.ndim() == 0) return alias(x);
  Dims order(static_cast<size_t>(x.ndim()), -1);
  for (size_t i = 0; i < from.size(); ++i) order[to[i]] = from[i];
  int64_t next = 0;
  for (int64_t& d : order) {
    if (d >= 0) continue;
    while (std::find(from.begin(), from.end(), next) != from.end()) ++next;
    d = next++;
  }
  return permute(x, order);
}

Tensor atleast_1d(const Tensor& x) { return x.ndim() == 0 ? reshape(x, Dims{1}) : x; }

Tensor atleast_2d(const Tensor& x) {
  if (x.ndim() == 0) return reshape(x, Dims{1, 1});
  return x.ndim() == 1 ? unsqueeze(x, 0) : x;
}

Tensor atleast_3d(const Tensor& x) {
  if (x.ndim() == 0) return reshape(x, Dims{1, 1, 1});
  if (x.ndim() == 1) return unsqueeze(unsqueeze(x, 0), -1);
  return x.ndim() == 2 ? unsqueeze(x, -1) : x;
}

}  // namespace fastgrad
