// A convolution, or its adjoint in x, as passes over an image that is read at unit steps.
//
// Note [Passes]
// Along a dimension output o of a convolution reads x at o * stride + k * dilation - pad. The copy
// of x that is read holds the positions of each residue modulo the last stride in a run of their
// own, so that neighbouring outputs read neighbours. Element i of dx gets a product from each
// o = (i + pad - k * dilation) / stride that is whole: which k those are depends on i modulo the
// stride alone. So each residue is a pass: a convolution of gy at stride 1 with some elements of
// the kernel, whose results lie `steps` apart.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/conv_columns.h"
#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_methods.h"

namespace fastgrad {

// An element of the kernel, and what output 0 of the pass reads for it.
struct ConvTap {
  int64_t kernel;
  int64_t at[3];
};

struct ConvPass {
  int64_t outputs[3], first[3], steps[3];  // what is computed, and where it lies in the result
  std::vector<ConvTap> taps;               // of each channel that is read

  int64_t rows() const { return outputs[0] * outputs[1]; }
  int64_t width() const { return outputs[2]; }
};

// Channels are those of one group; an element of w is at group * group_weights +
// to_channel * to_step + from_channel * from_step + tap.kernel.
struct ConvWalk {
  int64_t batch, groups, from_channels, to_channels;
  int64_t from[3], to[3], stride[3];
  int64_t to_step, from_step;
  std::vector<ConvPass> passes;

  int64_t from_numel() const { return from[0] * from[1] * from[2]; }
  int64_t to_numel() const { return to[0] * to[1] * to[2]; }
  int64_t units() const { return batch * groups; }
  int64_t group_weights() const {
    return std::max(to_channels * to_step, from_channels * from_step);
  }
  int64_t kernel_numel() const { return std::min(to_step, from_step); }
  // Whether the taps of a pass are the whole kernel, in order.
  bool takes_all(const ConvPass& pass) const {
    return static_cast<int64_t>(pass.taps.size()) == kernel_numel();
  }
  // Whether the results of a pass are all results, in order.
  bool is_dense() const { return passes.size() == 1 && std::equal(to, to + 3, passes[0].outputs); }
};

ConvWalk forward_walk(const ConvGeometry& g);
ConvWalk input_grad_walk(const ConvGeometry& g);

// The image that is read: x itself, or a copy with zeros around it so that every read is inside.
class ConvImage {
 public:
  explicit ConvImage(const ConvWalk& walk);

  // Where the taps of a pass lie, channel by channel, from an output's first element.
  std::vector<int64_t> offsets(const ConvPass& pass) const;
  // What row r of a pass reads begins here.
  int64_t row(const ConvPass& pass, int64_t r) const {
    return r / pass.outputs[1] * steps_[0] + r % pass.outputs[1] * steps_[1];
  }
  int64_t row_step() const { return steps_[1]; }

  // Readies this thread's copy for `of`.
  template <class T>
  void clear(T) const {
    if (copies_) std::fill_n(scratch<T>(0, channels_ * plane_), channels_ * plane_, T(0));
  }
  template <class T>
  const T* of(const T* x) const {
    if (!copies_) return x;
    T* to = scratch<T>(0, channels_ * plane_);
    copy(x, to);
    return to;
  }

 private:
  template <class T>
  void copy(const T* x, T* to) const;
  // Calls f(row of x, row of the copy) for all rows.
  template <class T, class F>
  void for_each_row(const T* x, T* to, F&& f) const;

  int64_t channels_, in_[3], low_[3], size_[3];
  int64_t stride_, run_, row_size_, plane_, steps_[2];
  std::vector<Reach> rows_, runs_;  // what lies inside x
  bool copies_;
};

}  // namespace fastgrad
