#include "ops/join.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/copy.h"
#include "kernels/fill.h"
#include "ops/basic_index.h"
#include "ops/creation.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// An input of join() without gaps and of the result's type: where it is, where it goes in the first
// piece of the result, and how many bytes of each piece it makes up.
struct Whole {
  const char* from;
  int64_t at, bytes;
};

// Side by side in each of `outer` pieces of the result, which are piece bytes long: a few pieces
// at a time, so that those who share a line of the cache meet there.
void join_pieces(std::span<const Whole> inputs, char* to, int64_t piece, int64_t outer) {
  constexpr int64_t kGrain = 1 << 18, kAtOnce = 1 << 14;
  if (outer == 1) {
    for (const Whole& x : inputs)
      parallel_for(x.bytes, kGrain, [&](int64_t begin, int64_t end) {
        std::memcpy(to + x.at + begin, x.from + begin, static_cast<size_t>(end - begin));
      });
    return;
  }
  const int64_t few = std::max<int64_t>(1, kAtOnce / piece);
  parallel_for(outer, std::max<int64_t>(1, kGrain / piece), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o += few)
      for (const Whole& x : inputs)
        copy_rows(x.from + o * x.bytes, x.bytes, to + o * piece + x.at, piece, x.bytes,
                  std::min(few, end - o));
  });
}

// Copies the inputs side by side along dim: input i has sizes[i] entries there.
void join(Inputs in, const Array& out, size_t dim, DimSpan sizes) {
  DimSpan shape(out.shape);
  int64_t outer = numel_of(shape.first(dim)), inner = numel_of(shape.subspan(dim + 1));
  int64_t bytes = inner * static_cast<int64_t>(out.itemsize());
  int64_t at = 0;  // where input i begins along dim
  SmallVector<Whole, 8> whole;
  for (size_t i = 0; i < in.size(); at += sizes[i++]) {
    const Array& x = *in[i];
    if (x.numel == 0) continue;
    if (x.contiguous && x.dtype == out.dtype) {
      whole.push_back({x.data, at * bytes, sizes[i] * bytes});
      continue;
    }
    Array part = out.narrowed(static_cast<int64_t>(dim), at, sizes[i]);
    recorded::copy_array(x, part.view(
                                x.shape, x.ndim() == part.ndim() ? part.strides : [&] {
                                  Dims strides = part.strides;  // stack: the new dimension goes
                                  strides.erase(dim);
                                  return strides;
                                }()));
  }
  if (!whole.empty())
    join_pieces({whole.data(), whole.size()}, out.data, shape[dim] * bytes, outer);
}

DType common_dtype(Inputs in) {
  DType first = in[0]->dtype;
  if (std::all_of(in.begin(), in.end(), [&](const Array* a) { return a->dtype == first; }))
    return first;
  ResultType type;
  for (const Array* a : in) type.add(*a);
  return type.get();
}

bool is_skipped(DimSpan shape) { return shape.size() == 1 && shape[0] == 0; }

}  // namespace

// Attributes: dim; list 0: the sizes along it.
FG_DEFINE_OP(Cat) = {
    .name = "cat",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          auto dim = static_cast<size_t>(a.integer(0));
          out[0].dtype = common_dtype(in);
          const Array* model = in[0];
          for (const Array* x : in)
            if (!is_skipped(x->shape)) model = x;
          out[0].shape = model->shape;
          int64_t total = 0;
          for (int64_t n : a.list(0))
            FG_CHECK(!__builtin_add_overflow(total, n, &total), "cat: the sizes along dimension ",
                     a.integer(0), " have a sum that an int64 cannot count");
          out[0].shape[dim] = total;
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          join(in, out[0], static_cast<size_t>(a.integer(0)), a.list(0));
        },
    .vjp =
        [](VjpContext& c) {
          DimSpan sizes = c.attrs().list(0);
          int64_t dim = c.attrs().integer(0), at = 0;
          for (size_t i = 0; i < sizes.size(); at += sizes[i++]) {
            if (!c.needs(i)) continue;
            bool skipped = is_skipped(c.in_shape(i)) && c.g().ndim() != 1;
            c.set(i, skipped ? Tensor(recorded::zeros(c.in_shape(i), c.in_dtype(i)))
                             : narrow(c.g(), dim, at, sizes[i]));
          }
        },
};

// Attributes: list 0: rows and columns of each matrix.
FG_DEFINE_OP(BlockDiag) = {
    .name = "block_diag",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          DimSpan sizes = a.list(0);
          out[0].dtype = common_dtype(in);
          out[0].shape = {0, 0};
          for (size_t i = 0; i < sizes.size(); ++i) out[0].shape[i % 2] += sizes[i];
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          fill_array(out[0], Scalar(0));
          DimSpan sizes = a.list(0);
          int64_t row = 0, column = 0;
          for (size_t i = 0; i < in.size(); row += sizes[2 * i], column += sizes[2 * i + 1], ++i)
            copy_array(*in[i],
                       out[0].narrowed(0, row, sizes[2 * i]).narrowed(1, column, sizes[2 * i + 1]));
        },
    .vjp =
        [](VjpContext& c) {
          DimSpan sizes = c.attrs().list(0);
          int64_t row = 0, column = 0;
          for (size_t i = 0; i < c.num_inputs(); ++i) {
            const int64_t rows = sizes[2 * i], columns = sizes[2 * i + 1];
            if (c.needs(i)) c.set(i, narrow(narrow(c.g(), 0, row, rows), 1, column, columns));
            row += rows;
            column += columns;
          }
        },
};

// Attributes: dim.
FG_DEFINE_OP(Stack) = {
    .name = "stack",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = common_dtype(in);
          out[0].shape = in[0]->shape;
          out[0].shape.insert(static_cast<size_t>(a.integer(0)), static_cast<int64_t>(in.size()));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          SmallVector<int64_t, 16> ones(in.size(), 1);
          join(in, out[0], static_cast<size_t>(a.integer(0)), ones);
        },
    .vjp =
        [](VjpContext& c) {
          for (size_t i = 0; i < c.num_inputs(); ++i)
            if (c.needs(i)) c.set(i, select(c.g(), c.attrs().integer(0), static_cast<int64_t>(i)));
        },
};

Tensor cat(std::span<const Tensor> tensors, int64_t dim) {
  FG_CHECK_VALUE(!tensors.empty(), "cat(): expected a non-empty list of Tensors");
  const Tensor* model = nullptr;
  for (size_t i = 0; i < tensors.size(); ++i) {
    FG_CHECK(tensors[i].ndim() > 0, "zero-dimensional tensor (at position ", i,
             ") cannot be concatenated");
    if (!model && !is_skipped(tensors[i].shape())) model = &tensors[i];
  }
  if (!model) model = &tensors[0];
  dim = wrap_dim(dim, model->ndim());
  SmallVector<int64_t, 8> sizes;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Dims& shape = tensors[i].shape();
    if (is_skipped(shape)) {
      sizes.push_back(0);
      continue;
    }
    FG_CHECK(shape.size() == model->shape().size(),
             "Tensors must have same number of dimensions: got ", model->ndim(), " and ",
             shape.size());
    for (size_t d = 0; d < shape.size(); ++d)
      FG_CHECK(shape[d] == model->shape()[d] || static_cast<int64_t>(d) == dim,
               "Sizes of tensors must match except in dimension ", dim, ". Expected size ",
               model->shape()[d], " but got size ", shape[d], " for tensor number ", i,
               " in the list.");
    sizes.push_back(shape[dim]);
  }
  return apply(Op::Cat, tensors, Attrs(Scalar(dim)).with(sizes));
}

Tensor stack(std::span<const Tensor> tensors, int64_t dim) {
  FG_CHECK(!tensors.empty(), "stack expects a non-empty TensorList");
  dim = wrap_dim(dim, tensors[0].ndim() + 1);
  for (size_t i = 1; i < tensors.size(); ++i)
    FG_CHECK(tensors[i].shape() == tensors[0].shape(),
             "stack expects each tensor to be equal size, but got ", tensors[0].shape(),
             " at entry 0 and ", tensors[i].shape(), " at entry ", i);
  return apply(Op::Stack, tensors, Attrs(Scalar(dim)));
}

namespace {
template <class F>
Tensors mapped(std::span<const Tensor> tensors, F&& f) {
  Tensors out;
  for (const Tensor& x : tensors) out.push_back(f(x));
  return out;
}
}  // namespace

Tensor hstack(std::span<const Tensor> tensors) {
  FG_CHECK(!tensors.empty(), "hstack expects a non-empty TensorList");
  Tensors parts = mapped(tensors, atleast_1d);
  return cat(parts, parts[0].ndim() == 1 ? 0 : 1);
}

Tensor vstack(std::span<const Tensor> tensors) {
  FG_CHECK(!tensors.empty(), "vstack expects a non-empty TensorList");
  return cat(mapped(tensors, atleast_2d), 0);
}

Tensor dstack(std::span<const Tensor> tensors) {
  FG_CHECK(!tensors.empty(), "dstack expects a non-empty TensorList");
  return cat(mapped(tensors, atleast_3d), 2);
}

Tensor column_stack(std::span<const Tensor> tensors) {
  FG_CHECK(!tensors.empty(), "column_stack expects a non-empty TensorList");
  return hstack(mapped(
      tensors, [](const Tensor& x) { return x.ndim() <= 1 ? reshape(x, Dims{x.numel(), 1}) : x; }));
}

Tensor block_diag(std::span<const Tensor> tensors) {
  if (tensors.empty()) return Tensor(Array::empty(Dims{1, 0}, default_dtype()));
  Tensors blocks;
  Dims sizes;
  for (size_t i = 0; i < tensors.size(); ++i) {
    FG_CHECK(tensors[i].ndim() <= 2,
             "block_diag: Input tensors must have 2 or fewer dimensions. Input ", i, " has ",
             tensors[i].ndim(), " dimensions");
    blocks.push_back(atleast_2d(tensors[i]));
    for (int64_t n : blocks.back().shape()) sizes.push_back(n);
  }
  return apply(Op::BlockDiag, blocks, Attrs().with(sizes));
}

}  // namespace fastgrad
