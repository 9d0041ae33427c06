#include "kernels/gate.h"

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

constexpr double kTanhScale = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double kTanhCubic = 0.044715;
constexpr double kNormalPeak = 0.39894228040143267794;  // 1 / sqrt(2 pi)

// y[i] = op(x[i]); y may be x.
template <class T>
void run_row(ElementwiseOp op, const T* x, T* y, int64_t n) {
  const char* in[] = {reinterpret_cast<const char*>(x)};
  block_kernel(op, dtype_of<T>)(reinterpret_cast<char*>(y), in, 0, n);
}

// The gate of a block, or (tanh) what it is made of.
template <class T>
void gate_block(Gate kind, const T* x, T* gates, int64_t n) {
  switch (kind) {
    case Gate::Normal:
      return run_row(ElementwiseOp::Ndtr, x, gates, n);
    case Gate::Sigmoid:
      return run_row(ElementwiseOp::Sigmoid, x, gates, n);
    case Gate::NormalTanh:
      for (int64_t i = 0; i < n; ++i)
        gates[i] =
            static_cast<T>(kTanhScale) * (x[i] + static_cast<T>(kTanhCubic) * x[i] * x[i] * x[i]);
      run_row(ElementwiseOp::Tanh, gates, gates, n);
      for (int64_t i = 0; i < n; ++i) gates[i] = T(0.5) + T(0.5) * gates[i];
  }
}

// d (x gate(x)) / dx of a block, given its gates.
template <class T>
void slope_block(Gate kind, const T* x, const T* gates, T* work, T* slopes, int64_t n) {
  switch (kind) {
    case Gate::Normal:
      for (int64_t i = 0; i < n; ++i) work[i] = T(-0.5) * x[i] * x[i];
      run_row(ElementwiseOp::Exp, work, work, n);
      for (int64_t i = 0; i < n; ++i)
        slopes[i] = gates[i] + x[i] * (work[i] * static_cast<T>(kNormalPeak));
      return;
    case Gate::Sigmoid:
      for (int64_t i = 0; i < n; ++i) slopes[i] = gates[i] * (T(1) + x[i] * (T(1) - gates[i]));
      return;
    case Gate::NormalTanh:
      // tanh' is 4 gate (1 - gate).
      for (int64_t i = 0; i < n; ++i)
        slopes[i] = gates[i] + x[i] * (T(2) * gates[i] * (T(1) - gates[i])) *
                                   (static_cast<T>(kTanhScale) *
                                    (T(1) + static_cast<T>(3 * kTanhCubic) * x[i] * x[i]));
  }
}

// Calls f(begin, end) for blocks that stay in the first-level cache, on all threads.
template <class F>
void for_blocks(int64_t n, F&& f) {
  parallel_for(n, kParallelGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kBlock) f(i, std::min(kBlock, end - i));
  });
}

template <class F>
void with_compute_type(const Array& out, F&& f) {
  DType compute = compute_dtype(out.dtype);
  if (compute == out.dtype) return f(out);
  Array wide = Array::empty(out.shape, compute);
  f(wide);
  copy_array(wide, out);
}

}  // namespace

void gate(Gate kind, const Array& x, const Array& out) {
  with_compute_type(out, [&](const Array& to) {
    Array from = as_contiguous(x, to.dtype);
    dispatch_float(to.dtype, "gelu", [&]<class T>(T) {
      const T* source = from.ptr<T>();
      T* target = to.ptr<T>();
      for_blocks(to.numel, [&](int64_t i, int64_t n) {
        T gates[kBlock];
        gate_block(kind, source + i, gates, n);
        for (int64_t k = 0; k < n; ++k) target[i + k] = source[i + k] * gates[k];
      });
    });
  });
}

void gate_grad(Gate kind, const Array& g, const Array& x, const Array& out) {
  with_compute_type(out, [&](const Array& to) {
    Array from = as_contiguous(x, to.dtype), cotangent = as_contiguous(g, to.dtype);
    dispatch_float(to.dtype, "gelu", [&]<class T>(T) {
      const T *source = from.ptr<T>(), *cotangents = cotangent.ptr<T>();
      T* target = to.ptr<T>();
      for_blocks(to.numel, [&](int64_t i, int64_t n) {
        T gates[kBlock], work[kBlock], slopes[kBlock];
        gate_block(kind, source + i, gates, n);
        slope_block(kind, source + i, gates, work, slopes, n);
        for (int64_t k = 0; k < n; ++k)
          target[i + k] = cotangents[i + k] == 0 ? T(0) : cotangents[i + k] * slopes[k];
      });
    });
  });
}

}  // namespace fastgrad
