// Chooses how a convolution is computed: as a product of matrices where the kernel is one element;
// directly where there are many channels, or few per group; else as a product with the matrix of
// patches, made a few rows of the image at a time.
#include "kernels/conv.h"

#include <vector>

#include "base/long_work.h"
#include "kernels/copy.h"
#include "kernels/cpu/conv_columns.h"
#include "kernels/cpu/conv_methods.h"
#include "kernels/cpu/conv_walk.h"
#include "kernels/gemm.h"

namespace fastgrad {
namespace {

// Elements of a matrix of patches that stay in the second-level cache.
constexpr int64_t kColumnElements = 64 * 1024;

double multiplications(const ConvGeometry& g) {
  return 1.0 * static_cast<double>(g.batch * g.out_channels) *
         static_cast<double>(g.out_numel() * g.patch());
}

template <class F>
void dispatch_conv(DType d, F&& f) {
  dispatch_real(d, "convolution", [&]<class T>(T t) {
    if constexpr (std::is_same_v<T, bool>)
      fail(ErrorKind::NotImplemented, "\"convolution\" not implemented for 'Bool'");
    else
      f(t);
  });
}

// Half types are convolved in float32, and outputs are row-major.
template <class F>
void with_contiguous_output(const Array& out, F&& f) {
  DType compute = compute_dtype(out.dtype);
  if (compute == out.dtype && out.contiguous) return f(out);
  Array wide = Array::empty(out.shape, compute);
  f(wide);
  copy_array(wide, out);
}

template <class T>
Matrix rows(const T* data, int64_t rows, int64_t cols, int64_t row_stride) {
  return {reinterpret_cast<char*>(const_cast<T*>(data)), rows, cols, row_stride, 1};
}

bool is_pointwise(const ConvGeometry& g) {
  for (int d = 0; d < 3; ++d)
    if (g.kernel[d] != 1 || g.stride[d] != 1 || g.pad[d] != 0 || g.in[d] != g.out[d]) return false;
  return true;
}

int64_t images_at_once(const ConvGeometry& g) {
  return images_per_chunk(g.out_numel() * g.patch() * g.group_out());
}

// Rows of output whose patches are made at a time.
int64_t rows_at_once(const ConvGeometry& g) {
  int64_t all = g.out[0] * g.out[1], per_row = g.patch() * g.out[2];
  return std::clamp<int64_t>(kColumnElements / std::max<int64_t>(per_row, 1), 1, all);
}

// Room for the patches of `rows` rows of outputs.
template <class T>
T* columns_for(const ConvGeometry& g, int64_t rows) {
  return scratch<T>(0, is_pointwise(g) ? 0 : g.patch() * rows * g.out[2]);
}

template <class T>
void columns_forward(const ConvGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  int64_t in = g.in_numel(), out = g.out_numel(), patch = g.patch();
  int64_t cin = g.group_in(), cout = g.group_out();
  int64_t rows_total = g.out[0] * g.out[1], block = rows_at_once(g);
  parallel_for(g.batch * g.groups, images_at_once(g), [&](int64_t begin, int64_t end) {
    T* columns = columns_for<T>(g, block);
    for (int64_t unit = begin; unit < end; ++unit) {
      int64_t i = unit % g.groups;
      const T* from = x + unit * cin * in;
      T* to = y + unit * cout * out;
      GemmOptions options;
      if (bias) {
        options.accumulate = true;
        for (int64_t k = 0; k < cout; ++k) std::fill_n(to + k * out, out, bias[i * cout + k]);
      }
      Matrix weights = rows(w + i * cout * patch, cout, patch, patch);
      if (is_pointwise(g)) {
        gemm(dtype_of<T>, weights, rows(from, cin, in, in), rows(to, cout, out, out), options);
        continue;
      }
      for (int64_t r = 0; r < rows_total; r += block) {
        int64_t stop = std::min(r + block, rows_total), width = (stop - r) * g.out[2];
        image_to_columns(g, from, cin, r, stop, columns);
        gemm(dtype_of<T>, weights, rows(columns, patch, width, width),
             rows(to + r * g.out[2], cout, width, out), options);
      }
    }
  });
}

template <class T>
void columns_input_grad(const ConvGeometry& g, const T* gy, const T* w, T* dx) {
  int64_t in = g.in_numel(), out = g.out_numel(), patch = g.patch();
  int64_t cin = g.group_in(), cout = g.group_out();
  int64_t rows_total = g.out[0] * g.out[1], block = rows_at_once(g);
  parallel_for(g.batch * g.groups, images_at_once(g), [&](int64_t begin, int64_t end) {
    T* columns = columns_for<T>(g, block);
    for (int64_t unit = begin; unit < end; ++unit) {
      int64_t i = unit % g.groups;
      const T* from = gy + unit * cout * out;
      T* to = dx + unit * cin * in;
      Matrix weights = rows(w + i * cout * patch, cout, patch, patch).transposed();
      if (is_pointwise(g)) {
        gemm(dtype_of<T>, weights, rows(from, cout, out, out), rows(to, cin, in, in));
        continue;
      }
      std::fill_n(to, cin * in, T(0));
      for (int64_t r = 0; r < rows_total; r += block) {
        int64_t stop = std::min(r + block, rows_total), width = (stop - r) * g.out[2];
        gemm(dtype_of<T>, weights, rows(from + r * g.out[2], cout, width, out),
             rows(columns, patch, width, width));
        columns_to_image(g, columns, cin, r, stop, to);
      }
    }
  });
}

template <class T>
void columns_weight_grad(const ConvGeometry& g, const T* gy, const T* x, T* dw) {
  int64_t in = g.in_numel(), out = g.out_numel(), patch = g.patch();
  int64_t cin = g.group_in(), cout = g.group_out(), size = g.out_channels * patch;
  int64_t rows_total = g.out[0] * g.out[1], block = rows_at_once(g);
  int64_t per_sum = images_per_sum(g.batch, size);
  int64_t sums_count = (g.batch + per_sum - 1) / per_sum;
  std::vector<T> more(static_cast<size_t>(std::max<int64_t>(sums_count - 1, 0) * size), T(0));
  std::fill_n(dw, size, T(0));
  GemmOptions add;
  add.accumulate = true;
  parallel_for(g.batch, per_sum, [&](int64_t begin, int64_t end) {
    T* columns = columns_for<T>(g, block);
    T* sum = begin ? more.data() + (begin / per_sum - 1) * size : dw;
    for (int64_t unit = begin * g.groups; unit < end * g.groups; ++unit) {
      int64_t i = unit % g.groups;
      const T *cotangent = gy + unit * cout * out, *from = x + unit * cin * in;
      Matrix to = rows(sum + i * cout * patch, cout, patch, patch);
      if (is_pointwise(g)) {
        gemm(dtype_of<T>, rows(cotangent, cout, out, out), rows(from, cin, in, in).transposed(), to,
             add);
        continue;
      }
      for (int64_t r = 0; r < rows_total; r += block) {
        int64_t stop = std::min(r + block, rows_total), width = (stop - r) * g.out[2];
        image_to_columns(g, from, cin, r, stop, columns);
        gemm(dtype_of<T>, rows(cotangent + r * g.out[2], cout, width, out),
             rows(columns, patch, width, width).transposed(), to, add);
      }
    }
  });
  for (int64_t s = 1; s < sums_count; ++s)
    for (int64_t i = 0; i < size; ++i)
      dw[i] = static_cast<T>(dw[i] + more[static_cast<size_t>((s - 1) * size + i)]);
}

// A kernel as large as the image: a product of matrices with a row per image.
bool is_whole(const ConvGeometry& g) {
  for (int d = 0; d < 3; ++d)
    if (g.out[d] != 1 || g.pad[d] != 0 || g.in[d] != g.kernel[d] ||
        (g.kernel[d] != 1 && g.dilation[d] != 1))
      return false;
  return true;
}

// Rows of images and groups as matrices: x, y and, per group, w.
template <class T>
struct WholeMatrices {
  const ConvGeometry& g;
  int64_t patch = g.patch(), cin = g.groups * patch;
  Matrix images(const T* x, int64_t i) const { return rows(x + i * patch, g.batch, patch, cin); }
  Matrix results(const T* y, int64_t i) const {
    return rows(y + i * g.group_out(), g.batch, g.group_out(), g.out_channels);
  }
  Matrix weights(const T* w, int64_t i) const {
    return rows(w + i * g.group_out() * patch, g.group_out(), patch, patch);
  }
};

template <class T>
void forward(const ConvGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  if (is_whole(g)) {
    WholeMatrices<T> m{g};
    for (int64_t i = 0; i < g.groups; ++i) {
      GemmOptions o;
      if (bias) o.row = reinterpret_cast<const char*>(bias + i * g.group_out());
      gemm(dtype_of<T>, m.images(x, i), m.weights(w, i).transposed(), m.results(y, i), o);
    }
    return;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (!is_pointwise(g)) {
      ConvWalk walk = forward_walk(g);
      ConvMethod method = method_of<T>(walk);
      if (method == ConvMethod::Direct) return direct_walk(walk, x, w, bias, y);
      if (method == ConvMethod::Plane) return plane_walk(walk, x, w, bias, y);
    }
  }
  columns_forward(g, x, w, bias, y);
}

template <class T>
void input_grad(const ConvGeometry& g, const T* gy, const T* w, T* dx) {
  if (is_whole(g)) {
    WholeMatrices<T> m{g};
    for (int64_t i = 0; i < g.groups; ++i)
      gemm(dtype_of<T>, m.results(gy, i), m.weights(w, i), m.images(dx, i));
    return;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (!is_pointwise(g)) {
      ConvWalk walk = input_grad_walk(g);
      ConvMethod method = method_of<T>(walk);
      const T* no_bias = nullptr;
      if (method == ConvMethod::Direct) return direct_walk(walk, gy, w, no_bias, dx);
      if (method == ConvMethod::Plane) return plane_walk(walk, gy, w, no_bias, dx);
    }
  }
  columns_input_grad(g, gy, w, dx);
}

template <class T>
void weight_grad(const ConvGeometry& g, const T* gy, const T* x, T* dw) {
  if (is_whole(g)) {
    WholeMatrices<T> m{g};
    for (int64_t i = 0; i < g.groups; ++i)
      gemm(dtype_of<T>, m.results(gy, i).transposed(), m.images(x, i), m.weights(dw, i));
    return;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (!is_pointwise(g)) {
      ConvWalk walk = forward_walk(g);
      ConvMethod method = weight_grad_method<T>(walk);
      if (method == ConvMethod::Direct) return direct_weight_grad(walk, gy, x, dw);
      if (method == ConvMethod::Plane) return plane_weight_grad(walk, gy, x, dw);
    }
  }
  columns_weight_grad(g, gy, x, dw);
}

// The same convolution without dimensions of size 1 at the end: rows run along the last one.
ConvGeometry with_rows(ConvGeometry g) {
  auto is_single = [&] {
    return g.in[2] == 1 && g.out[2] == 1 && g.kernel[2] == 1 && g.pad[2] == 0 &&
           (g.in[0] != 1 || g.in[1] != 1);
  };
  while (is_single())
    for (int64_t* sizes : {g.in, g.out, g.kernel, g.stride, g.pad, g.dilation})
      std::rotate(sizes, sizes + 2, sizes + 3);
  return g;
}

}  // namespace

void conv_forward(const ConvGeometry& g, const Array& x, const Array& w, const Array* bias,
                  const Array& y) {
  if (y.numel == 0) return;
  with_contiguous_output(y, [&](const Array& out) {
    Array from = as_contiguous(x, out.dtype), weights = as_contiguous(w, out.dtype), b;
    if (bias) b = as_contiguous(*bias, out.dtype);
    LongWork long_work(multiplications(g));
    dispatch_conv(out.dtype, [&]<class T>(T) {
      forward(with_rows(g), from.ptr<T>(), weights.ptr<T>(), bias ? b.ptr<T>() : nullptr,
              out.ptr<T>());
    });
  });
}

void conv_input_grad(const ConvGeometry& g, const Array& gy, const Array& w, const Array& dx) {
  if (dx.numel == 0) return;
  with_contiguous_output(dx, [&](const Array& out) {
    Array from = as_contiguous(gy, out.dtype), weights = as_contiguous(w, out.dtype);
    LongWork long_work(multiplications(g));
    dispatch_conv(out.dtype, [&]<class T>(T) {
      input_grad(with_rows(g), from.ptr<T>(), weights.ptr<T>(), out.ptr<T>());
    });
  });
}

void conv_weight_grad(const ConvGeometry& g, const Array& gy, const Array& x, const Array& dw) {
  if (dw.numel == 0) return;
  if (gy.numel == 0) {
    std::memset(dw.data, 0, static_cast<size_t>(dw.nbytes()));
    return;
  }
  with_contiguous_output(dw, [&](const Array& out) {
    Array cotangent = as_contiguous(gy, out.dtype), from = as_contiguous(x, out.dtype);
    LongWork long_work(multiplications(g));
    dispatch_conv(out.dtype, [&]<class T>(T) {
      weight_grad(with_rows(g), cotangent.ptr<T>(), from.ptr<T>(), out.ptr<T>());
    });
  });
}

void im2col(const ConvGeometry& g, const Array& x, const Array& columns) {
  if (columns.numel == 0) return;
  Array from = as_contiguous(x);
  int64_t channels = g.in_channels, step = channels * g.kernel_numel() * g.out_numel();
  auto run = [&]<class T>(T) {
    for (int64_t n = 0; n < g.batch; ++n)
      image_to_columns(g, from.ptr<T>() + n * channels * g.in_numel(), channels, 0,
                       g.out[0] * g.out[1], columns.ptr<T>() + n * step);
  };
  switch (columns.itemsize()) {  // moves bytes: zero is all bits zero in every type
    case 1:
      return run(uint8_t{});
    case 2:
      return run(uint16_t{});
    case 4:
      return run(uint32_t{});
    default:
      return run(uint64_t{});
  }
}

void col2im(const ConvGeometry& g, const Array& columns, const Array& x) {
  with_contiguous_output(x, [&](const Array& out) {
    if (out.numel == 0) return;
    std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
    if (columns.numel == 0) return;
    Array from = as_contiguous(columns, out.dtype);
    int64_t channels = g.in_channels, step = channels * g.kernel_numel() * g.out_numel();
    dispatch_conv(out.dtype, [&]<class T>(T) {
      for (int64_t n = 0; n < g.batch; ++n)
        columns_to_image(g, from.ptr<T>() + n * step, channels, 0, g.out[0] * g.out[1],
                         out.ptr<T>() + n * channels * g.in_numel());
    });
  });
}

}  // namespace fastgrad
