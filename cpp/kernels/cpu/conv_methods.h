// The ways to compute a convolution; kernels/cpu/conv.cpp chooses.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/conv.h"

namespace fastgrad {

// Results are sums over images: so many images make a partial sum of their own, whatever the number
// of threads. `elements` is the size of one sum, `most` that of all together.
inline int64_t images_per_sum(int64_t batch, int64_t elements, int64_t most = 1 << 20) {
  int64_t sums = std::clamp<int64_t>(most / std::max<int64_t>(elements, 1), 1, 8);
  return std::max<int64_t>((batch + sums - 1) / sums, 1);
}

// Images and groups, of so many multiplications each, that make a chunk of work for a thread.
inline int64_t images_per_chunk(int64_t multiplications) {
  return std::max<int64_t>(kParallelGrain / std::max<int64_t>(multiplications / 16, 1), 1);
}

// Scratch memory, on a cache line, that a thread keeps from call to call; which: different buffers
// of one call.
template <class T>
T* scratch(int which, int64_t elements) {
  constexpr size_t kLine = 64;
  static thread_local std::vector<T> held[3];
  std::vector<T>& memory = held[which];
  size_t need = static_cast<size_t>(elements) + kLine / sizeof(T);
  if (memory.size() < need) memory.resize(need);
  size_t beyond = reinterpret_cast<uintptr_t>(memory.data()) % kLine;
  return memory.data() + (beyond ? (kLine - beyond) / sizeof(T) : 0);
}

struct ConvWalk;

// Whether there is a vector kernel for the case; float and double only.
enum class ConvMethod { Columns, Direct, Plane };
template <class T>
ConvMethod method_of(const ConvWalk& walk);
template <class T>
ConvMethod weight_grad_method(const ConvWalk& walk);

// The results of a walk; of its weight gradient, for the walk of the forward direction.
template <class T>
void direct_walk(const ConvWalk& walk, const T* x, const T* w, const T* bias, T* y);
template <class T>
void direct_weight_grad(const ConvWalk& walk, const T* gy, const T* x, T* dw);
// Vectors along rows of pixels, for groups with few output channels.
template <class T>
void plane_walk(const ConvWalk& walk, const T* x, const T* w, const T* bias, T* y);
template <class T>
void plane_weight_grad(const ConvWalk& walk, const T* gy, const T* x, T* dw);

}  // namespace fastgrad
