// Patches of an image as the columns of a matrix.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/conv.h"

namespace fastgrad {

// The outputs [first, last) along one dimension whose read position, output * stride + offset, lies
// in [0, size).
struct Reach {
  int64_t first, last;
  Reach(int64_t offset, int64_t stride, int64_t size, int64_t outputs) {
    first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    last = offset >= size ? 0 : (size - 1 - offset) / stride + 1;
    first = std::min(first, outputs);
    last = std::clamp(last, first, outputs);
  }
};

// Calls f(patch row, input row or null offset -1, output row, reach, offset along the last
// dimension) for the rows [row0, row1) of outputs, a row being a run along the last dimension.
template <class F>
inline void for_patch_rows(const ConvGeometry& g, int64_t channels, int64_t row0, int64_t row1,
                           F&& f) {
  int64_t patch = 0;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t kd = 0; kd < g.kernel[0]; ++kd)
      for (int64_t kh = 0; kh < g.kernel[1]; ++kh)
        for (int64_t kw = 0; kw < g.kernel[2]; ++kw, ++patch) {
          int64_t offset = kw * g.dilation[2] - g.pad[2];
          Reach reach(offset, g.stride[2], g.in[2], g.out[2]);
          for (int64_t row = row0; row < row1; ++row) {
            int64_t d = row / g.out[1] * g.stride[0] - g.pad[0] + kd * g.dilation[0];
            int64_t h = row % g.out[1] * g.stride[1] - g.pad[1] + kh * g.dilation[1];
            bool inside = d >= 0 && d < g.in[0] && h >= 0 && h < g.in[1];
            int64_t at = inside ? ((c * g.in[0] + d) * g.in[1] + h) * g.in[2] : -1;
            f(patch, at, row - row0, reach, offset);
          }
        }
}

// columns[patch][row][column] of one image of `channels` channels.
template <class T>
void image_to_columns(const ConvGeometry& g, const T* x, int64_t channels, int64_t row0,
                      int64_t row1, T* columns) {
  int64_t width = g.out[2], step = (row1 - row0) * width, stride = g.stride[2];
  for_patch_rows(g, channels, row0, row1,
                 [&](int64_t patch, int64_t at, int64_t row, Reach reach, int64_t offset) {
                   T* to = columns + patch * step + row * width;
                   if (at < 0) {
                     std::fill_n(to, width, T(0));
                     return;
                   }
                   const T* from = x + at + offset;
                   std::fill_n(to, reach.first, T(0));
                   if (stride == 1) {
                     if (reach.last > reach.first)
                       std::memcpy(to + reach.first, from + reach.first,
                                   sizeof(T) * static_cast<size_t>(reach.last - reach.first));
                   } else {
                     for (int64_t o = reach.first; o < reach.last; ++o) to[o] = from[o * stride];
                   }
                   std::fill(to + reach.last, to + width, T(0));
                 });
}

// Adds the columns back to where they came from.
template <class T>
void columns_to_image(const ConvGeometry& g, const T* columns, int64_t channels, int64_t row0,
                      int64_t row1, T* x) {
  int64_t width = g.out[2], step = (row1 - row0) * width, stride = g.stride[2];
  for_patch_rows(g, channels, row0, row1,
                 [&](int64_t patch, int64_t at, int64_t row, Reach reach, int64_t offset) {
                   if (at < 0) return;
                   const T* from = columns + patch * step + row * width;
                   T* to = x + at + offset;
                   if (stride == 1) {
                     for (int64_t o = reach.first; o < reach.last; ++o)
                       to[o] = static_cast<T>(to[o] + from[o]);
                   } else {
                     for (int64_t o = reach.first; o < reach.last; ++o)
                       to[o * stride] = static_cast<T>(to[o * stride] + from[o]);
                   }
                 });
}

}  // namespace fastgrad
