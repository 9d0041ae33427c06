// The walk of the elementwise engine. The block kernels stand in elementwise_loops.h.
#include <algorithm>

#include "base/isa.h"
#include "kernels/copy.h"
#include "kernels/cpu/elementwise_table.h"

namespace fastgrad {
namespace {

// One input on its way into blocks.
struct Feed {
  const char* data;
  CastKernel cast;  // null when the blocks can be read in place
  int64_t itemsize;
  bool scalar;
  bool direct;  // contiguous and of the compute type
  StridedCursor cursor;
  alignas(64) char block[kBlock * sizeof(double)];
};

bool is_scalar(const Array& a) {
  for (size_t i = 0; i < a.shape.size(); ++i)
    if (a.shape[i] != 1 && a.strides[i] != 0) return false;
  return true;
}

// The dimensions from the one with the longest stride to that with the shortest.
Dims memory_order(const Array& a) {
  Dims order;
  for (int64_t d = 0; d < a.ndim(); ++d) order.push_back(d);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    return a.strides[static_cast<size_t>(i)] > a.strides[static_cast<size_t>(j)];
  });
  return order;
}

const KernelTable g_kernels = [] {
  KernelTable table;
  fill_arithmetic_kernels(table);
  fill_comparison_kernels(table);
  fill_special_kernels(table);
  fill_transcendental_kernels(table);
  if (isa() >= Isa::Avx2) {
    fill_arithmetic_kernels_avx2(table);
    fill_comparison_kernels_avx2(table);
    fill_vector_kernels_avx2(table);
  }
  if (isa() >= Isa::Avx512) {
    fill_arithmetic_kernels_avx512(table);
    fill_comparison_kernels_avx512(table);
    fill_vector_kernels_avx512(table);
  }
  return table;
}();

}  // namespace

BlockKernel block_kernel(ElementwiseOp op, DType compute) {
  return g_kernels.k[index(op)][static_cast<int>(compute)];
}

void run_elementwise(BlockKernel kernel, DType compute, DType result, const Array* const* inputs,
                     int num_inputs, const Array& given_out) {
  if (given_out.numel == 0) return;
  // Walked in the order of the output's memory: a transposed operand beside a transposed output
  // is as good as contiguous.
  Array out = given_out;
  Array reordered[kMaxElementwiseInputs];
  const Array* given[kMaxElementwiseInputs];
  for (int k = 0; k < num_inputs; ++k) given[k] = inputs[k];
  if (!out.contiguous) {
    Dims order = memory_order(out);
    out = out.permuted(order);
    for (int k = 0; k < num_inputs; ++k) {
      reordered[k] = given[k]->permuted(order);
      given[k] = &reordered[k];
    }
  }
  // An input that overlaps the output other than element by element is copied first.
  Array held[kMaxElementwiseInputs];
  const Array* in[kMaxElementwiseInputs];
  for (int k = 0; k < num_inputs; ++k) {
    in[k] = given[k];
    bool aligned = in[k]->data == out.data && in[k]->strides == out.strides &&
                   in[k]->itemsize() == out.itemsize();
    if (!aligned && memory_overlaps(*in[k], out)) {
      held[k] = contiguous_copy(*in[k]);
      in[k] = &held[k];
    }
  }
  unsigned scalars = 0;
  bool direct = out.contiguous && out.dtype == result;
  const char* pointers[kMaxElementwiseInputs];
  alignas(16) char scalar_values[kMaxElementwiseInputs][kMaxItemSize];
  for (int k = 0; k < num_inputs; ++k) {
    pointers[k] = in[k]->data;
    bool single = is_scalar(*in[k]);
    if (single) {
      scalars |= 1u << k;
      cast_kernel(in[k]->dtype, compute)(in[k]->data, 0, scalar_values[k], 0, 1);
      pointers[k] = scalar_values[k];
    }
    direct = direct && (single || (in[k]->contiguous && in[k]->dtype == compute));
  }
  if (direct) {
    kernel(out.data, pointers, scalars, out.numel);
    return;
  }

  const Array* all[kMaxElementwiseInputs + 1] = {&out};
  for (int k = 0; k < num_inputs; ++k) all[k + 1] = in[k];
  CollapsedDims dims = collapse(out.shape, {all, static_cast<size_t>(num_inputs) + 1});
  int64_t size = static_cast<int64_t>(itemsize(compute));
  SmallVector<Feed, kMaxElementwiseInputs> feeds;
  for (int k = 0; k < num_inputs; ++k) {
    const Array& a = *in[k];
    feeds.push_back(Feed{a.data,
                         cast_kernel(a.dtype, compute),
                         static_cast<int64_t>(a.itemsize()),
                         (scalars >> k & 1) != 0,
                         a.contiguous && a.dtype == compute,
                         StridedCursor(dims.shape, dims.strides[k + 1], 0),
                         {}});
  }
  bool out_direct = out.contiguous && out.dtype == result;
  CastKernel store = cast_kernel(result, out.dtype);
  StridedCursor out_cursor(dims.shape, dims.strides[0], 0);
  int64_t out_size = static_cast<int64_t>(out.itemsize());
  int64_t result_size = static_cast<int64_t>(itemsize(result));
  alignas(64) char out_block[kBlock * sizeof(double)];

  for (int64_t at = 0; at < out.numel; at += kBlock) {
    int64_t n = std::min(kBlock, out.numel - at);
    for (int k = 0; k < num_inputs; ++k) {
      Feed& f = feeds[k];
      if (f.scalar) continue;
      if (f.direct) {
        pointers[k] = f.data + at * size;
        continue;
      }
      char* dst = f.block;
      f.cursor.advance(n, [&](int64_t offset, int64_t stride, int64_t count) {
        f.cast(f.data + offset * f.itemsize, stride, dst, 1, count);
        dst += count * size;
      });
      pointers[k] = f.block;
    }
    if (out_direct) {
      kernel(out.data + at * out_size, pointers, scalars, n);
      continue;
    }
    kernel(out_block, pointers, scalars, n);
    const char* src = out_block;
    out_cursor.advance(n, [&](int64_t offset, int64_t stride, int64_t count) {
      store(src, 1, out.data + offset * out_size, stride, count);
      src += count * result_size;
    });
  }
}

}  // namespace fastgrad
