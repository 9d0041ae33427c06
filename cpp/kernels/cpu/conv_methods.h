// The ways to compute a convolution; kernels/cpu/conv.cpp chooses.
#pragma once

#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/conv.h"

namespace fastgrad {

// Results are sums over images: so many images make a partial sum of their own, whatever the number
// of threads. `elements` is the size of one sum.
inline int64_t images_per_sum(int64_t batch, int64_t elements) {
  constexpr int64_t kMostElements = 1 << 20;
  int64_t sums = std::clamp<int64_t>(kMostElements / std::max<int64_t>(elements, 1), 1, 8);
  return std::max<int64_t>((batch + sums - 1) / sums, 1);
}

// Scratch memory that a thread keeps from call to call; which: different buffers of one call.
template <class T>
T* scratch(int which, int64_t elements) {
  static thread_local std::vector<T> held[3];
  if (static_cast<int64_t>(held[which].size()) < elements)
    held[which].resize(static_cast<size_t>(elements));
  return held[which].data();
}

// Whether there is a vector kernel for the case; float and double only.
enum class ConvMethod { Columns, Direct, Plane };
template <class T>
ConvMethod forward_method(const ConvGeometry& g);
template <class T>
ConvMethod weight_grad_method(const ConvGeometry& g);

template <class T>
void direct_forward(const ConvGeometry& g, const T* x, const T* w, const T* bias, T* y);
template <class T>
void direct_weight_grad(const ConvGeometry& g, const T* gy, const T* x, T* dw);
// Vectors along rows of pixels, for groups with few output channels.
template <class T>
void plane_forward(const ConvGeometry& g, const T* x, const T* w, const T* bias, T* y);
template <class T>
void plane_weight_grad(const ConvGeometry& g, const T* gy, const T* x, T* dw);

// The convolution of gy whose result is dx: for strides of 1, with flipped weights.
ConvGeometry input_grad_geometry(const ConvGeometry& g);
template <class T>
void flip_weights(const ConvGeometry& g, const T* w, T* flipped);

}  // namespace fastgrad
