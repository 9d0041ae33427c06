#include "kernels/cpu/conv_walk.h"

#include "kernels/cpu/row_copy.h"

namespace fastgrad {
namespace {

// A residue along one dimension, with the elements of the kernel that it takes.
struct Line {
  int64_t outputs, first, step;
  std::vector<int64_t> kernel, at;
};

int64_t modulo(int64_t a, int64_t b) { return (a % b + b) % b; }

std::vector<Line> forward_lines(const ConvGeometry& g, int d) {
  Line line{g.out[d], 0, 1, {}, {}};
  for (int64_t k = 0; k < g.kernel[d]; ++k) {
    line.kernel.push_back(k);
    line.at.push_back(k * g.dilation[d] - g.pad[d]);
  }
  return {line};
}

std::vector<Line> input_grad_lines(const ConvGeometry& g, int d) {
  std::vector<Line> lines;
  int64_t stride = g.stride[d];
  for (int64_t residue = 0; residue < stride; ++residue) {
    int64_t first = modulo(residue - g.pad[d], stride);
    if (first >= g.in[d]) continue;
    Line line{(g.in[d] - first + stride - 1) / stride, first, stride, {}, {}};
    for (int64_t k = 0; k < g.kernel[d]; ++k)
      if (k * g.dilation[d] % stride == residue) {
        line.kernel.push_back(k);
        line.at.push_back((first + g.pad[d] - k * g.dilation[d]) / stride);
      }
    lines.push_back(std::move(line));
  }
  return lines;
}

ConvPass pass_of(const ConvGeometry& g, const Line* const lines[3]) {
  ConvPass pass;
  for (int d = 0; d < 3; ++d) {
    pass.outputs[d] = lines[d]->outputs;
    pass.first[d] = lines[d]->first;
    pass.steps[d] = lines[d]->step;
  }
  for (size_t i = 0; i < lines[0]->at.size(); ++i)
    for (size_t j = 0; j < lines[1]->at.size(); ++j)
      for (size_t k = 0; k < lines[2]->at.size(); ++k)
        pass.taps.push_back(
            {(lines[0]->kernel[i] * g.kernel[1] + lines[1]->kernel[j]) * g.kernel[2] +
                 lines[2]->kernel[k],
             {lines[0]->at[i], lines[1]->at[j], lines[2]->at[k]}});
  return pass;
}

template <class F>
void fill_passes(const ConvGeometry& g, F&& lines_of, ConvWalk* walk) {
  std::vector<Line> lines[3];
  for (int d = 0; d < 3; ++d) lines[d] = lines_of(g, d);
  for (const Line& i : lines[0])
    for (const Line& j : lines[1])
      for (const Line& k : lines[2]) {
        const Line* const all[3] = {&i, &j, &k};
        walk->passes.push_back(pass_of(g, all));
      }
}

}  // namespace

ConvWalk forward_walk(const ConvGeometry& g) {
  ConvWalk walk{};
  walk.batch = g.batch;
  walk.groups = g.groups;
  walk.from_channels = g.group_in();
  walk.to_channels = g.group_out();
  walk.to_step = g.patch();
  walk.from_step = g.kernel_numel();
  for (int d = 0; d < 3; ++d) {
    walk.from[d] = g.in[d];
    walk.to[d] = g.out[d];
    walk.stride[d] = g.stride[d];
  }
  fill_passes(g, forward_lines, &walk);
  return walk;
}

ConvWalk input_grad_walk(const ConvGeometry& g) {
  ConvWalk walk{};
  walk.batch = g.batch;
  walk.groups = g.groups;
  walk.from_channels = g.group_out();
  walk.to_channels = g.group_in();
  walk.to_step = g.kernel_numel();
  walk.from_step = g.patch();
  for (int d = 0; d < 3; ++d) {
    walk.from[d] = g.out[d];
    walk.to[d] = g.in[d];
    walk.stride[d] = 1;
  }
  fill_passes(g, input_grad_lines, &walk);
  return walk;
}

ConvImage::ConvImage(const ConvWalk& walk) : channels_(walk.from_channels) {
  copies_ = walk.stride[2] != 1;
  for (int d = 0; d < 3; ++d) {
    int64_t low = 0, high = 0;  // what is read lies in [low, high]
    bool any = false;
    for (const ConvPass& pass : walk.passes)
      for (const ConvTap& tap : pass.taps) {
        int64_t last = tap.at[d] + (pass.outputs[d] - 1) * walk.stride[d];
        low = any ? std::min(low, tap.at[d]) : tap.at[d];
        high = any ? std::max(high, last) : last;
        any = true;
      }
    in_[d] = walk.from[d];
    copies_ = copies_ || low < 0 || high >= in_[d];
    low_[d] = low;
    size_[d] = high - low + 1;
  }
  if (!copies_)
    for (int d = 0; d < 3; ++d) {
      low_[d] = 0;
      size_[d] = in_[d];
    }
  stride_ = walk.stride[2];
  run_ = (size_[2] + stride_ - 1) / stride_;
  row_size_ = run_ * stride_;
  plane_ = size_[0] * size_[1] * row_size_;
  steps_[0] = walk.stride[0] * size_[1] * row_size_;
  steps_[1] = walk.stride[1] * row_size_;
  for (int d = 0; d < 2; ++d) rows_.push_back(Reach(low_[d], 1, in_[d], size_[d]));
  for (int64_t q = 0; q < stride_; ++q) runs_.push_back(Reach(low_[2] + q, stride_, in_[2], run_));
}

template <class T, class F>
void ConvImage::for_each_row(const T* x, T* to, F&& f) const {
  for (int64_t c = 0; c < channels_; ++c)
    for (int64_t d = rows_[0].first; d < rows_[0].last; ++d)
      for (int64_t h = rows_[1].first; h < rows_[1].last; ++h)
        f(x + ((c * in_[0] + d + low_[0]) * in_[1] + h + low_[1]) * in_[2] + low_[2],
          to + c * plane_ + (d * size_[1] + h) * row_size_);
}

template <class T>
void ConvImage::copy(const T* x, T* to) const {
  if (stride_ == 1) {
    const Reach r = runs_[0];
    if (r.last <= r.first) return;
    with_row_copy<sizeof(T)>((r.last - r.first) * static_cast<int64_t>(sizeof(T)), [&](auto copy) {
      for_each_row(x, to, [&](const T* from, T* row) {
        copy(reinterpret_cast<const char*>(from + r.first), reinterpret_cast<char*>(row + r.first));
      });
    });
    return;
  }
  for_each_row(x, to, [&](const T* from, T* row) {
    for (size_t q = 0; q < runs_.size(); ++q, ++from, row += run_) {
      const Reach& r = runs_[q];
      if (stride_ == 2)
        conv_direct(T{}).take_second(from + 2 * r.first, r.last - r.first, row + r.first);
      else
        for (int64_t j = r.first; j < r.last; ++j) row[j] = from[j * stride_];
    }
  });
}
template void ConvImage::copy<float>(const float*, float*) const;
template void ConvImage::copy<double>(const double*, double*) const;

std::vector<int64_t> ConvImage::offsets(const ConvPass& pass) const {
  std::vector<int64_t> at;
  at.reserve(static_cast<size_t>(channels_) * pass.taps.size());
  for (int64_t c = 0; c < channels_; ++c)
    for (const ConvTap& tap : pass.taps) {
      int64_t column = tap.at[2] - low_[2];
      at.push_back(c * plane_ +
                   ((tap.at[0] - low_[0]) * size_[1] + tap.at[1] - low_[1]) * row_size_ +
                   column % stride_ * run_ + column / stride_);
    }
  return at;
}

}  // namespace fastgrad
