// Convolutions to few channels: vectors run along the pixels of a row.
#include <algorithm>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_methods.h"
#include "kernels/cpu/conv_walk.h"

namespace fastgrad {
namespace {

// The weights of a pass, [channel of all groups][tap].
template <class T>
std::vector<T> plane_weights(const ConvWalk& walk, const ConvPass& pass, const T* w) {
  std::vector<T> weights;
  weights.reserve(static_cast<size_t>(walk.groups * walk.to_channels * walk.from_channels) *
                  pass.taps.size());
  for (int64_t i = 0; i < walk.groups; ++i)
    for (int64_t k = 0; k < walk.to_channels; ++k)
      for (int64_t c = 0; c < walk.from_channels; ++c)
        for (const ConvTap& tap : pass.taps)
          weights.push_back(
              w[i * walk.group_weights() + k * walk.to_step + c * walk.from_step + tap.kernel]);
  return weights;
}

// Copies planes of a pass, [channel][its outputs], to where they belong among all results.
template <class T>
void spread(const ConvWalk& walk, const ConvPass& pass, const T* planes, T* y) {
  int64_t width = pass.width(), step = pass.steps[2];
  for (int64_t c = 0; c < walk.to_channels; ++c, y += walk.to_numel())
    for (int64_t d = 0; d < pass.outputs[0]; ++d)
      for (int64_t h = 0; h < pass.outputs[1]; ++h, planes += width) {
        T* to =
            y +
            ((pass.first[0] + d * pass.steps[0]) * walk.to[1] + pass.first[1] + h * pass.steps[1]) *
                walk.to[2] +
            pass.first[2];
        if (step == 2)
          for (int64_t j = 0; j < width; ++j) to[2 * j] = planes[j];
        else
          for (int64_t j = 0; j < width; ++j) to[j * step] = planes[j];
      }
}

}  // namespace

template <class T>
void plane_walk(const ConvWalk& walk, const T* x, const T* w, const T* bias, T* y) {
  const ConvDirect<T>& k = conv_direct(T{});
  const ConvImage image(walk);
  const bool dense = walk.is_dense();
  int64_t channels = walk.to_channels, largest = 0;
  std::vector<std::vector<int64_t>> offsets;
  std::vector<std::vector<T>> weights;
  for (const ConvPass& pass : walk.passes) {
    offsets.push_back(image.offsets(pass));
    bool as_it_lies =
        walk.takes_all(pass) && (walk.from_channels == 1 || walk.from_step == walk.kernel_numel());
    weights.push_back(as_it_lies ? std::vector<T>() : plane_weights(walk, pass, w));
    largest = std::max(largest, pass.rows() * pass.width());
  }
  const int64_t taps_of_each =
      walk.from_channels * walk.kernel_numel() / static_cast<int64_t>(walk.passes.size());
  const int64_t grain = images_per_chunk(walk.to_numel() * channels * taps_of_each);
  parallel_for(walk.units(), grain, [&](int64_t begin, int64_t end) {
    image.clear(T{});
    for (int64_t unit = begin; unit < end; ++unit) {
      int64_t c = unit % walk.groups * channels;
      const T* from = image.of(x + unit * walk.from_channels * walk.from_numel());
      T* to = y + unit * channels * walk.to_numel();
      for (size_t p = 0; p < walk.passes.size(); ++p) {
        const ConvPass& pass = walk.passes[p];
        int64_t taps = static_cast<int64_t>(offsets[p].size()),
                area = pass.outputs[1] * pass.width();
        T* planes = dense ? to : scratch<T>(1, channels * largest);
        const T* all = weights[p].empty() ? w : weights[p].data();
        for (int64_t d = 0; d < pass.outputs[0]; ++d)
          k.plane_forward(from + image.row(pass, d * pass.outputs[1]), image.row_step(),
                          offsets[p].data(), taps, all + c * taps, bias ? bias + c : nullptr,
                          channels, pass.outputs[1], pass.width(), planes + d * area,
                          pass.outputs[0] * area);
        if (!dense) spread(walk, pass, planes, to);
      }
    }
  });
}
template void plane_walk(const ConvWalk&, const float*, const float*, const float*, float*);
template void plane_walk(const ConvWalk&, const double*, const double*, const double*, double*);

template <class T>
void plane_weight_grad(const ConvWalk& walk, const T* gy, const T* x, T* dw) {
  const ConvDirect<T>& k = conv_direct(T{});
  const ConvImage image(walk);
  const ConvPass& pass = walk.passes[0];
  std::vector<int64_t> offsets = image.offsets(pass);
  int64_t taps = static_cast<int64_t>(offsets.size()), channels = walk.to_channels;
  int64_t size = walk.groups * channels * taps, per_sum = images_per_sum(walk.batch, size);
  int64_t sums_count = (walk.batch + per_sum - 1) / per_sum, area = pass.outputs[1] * pass.width();
  std::vector<T> sums(static_cast<size_t>(sums_count * size), T(0));
  parallel_for(walk.batch, per_sum, [&](int64_t begin, int64_t end) {
    T* into = sums.data() + begin / per_sum * size;
    image.clear(T{});
    for (int64_t unit = begin * walk.groups; unit < end * walk.groups; ++unit) {
      const T* from = image.of(x + unit * walk.from_channels * walk.from_numel());
      for (int64_t d = 0; d < pass.outputs[0]; ++d)
        k.plane_weight_grad(from + image.row(pass, d * pass.outputs[1]), image.row_step(),
                            offsets.data(), taps, gy + unit * channels * walk.to_numel() + d * area,
                            walk.to_numel(), channels, pass.outputs[1], pass.width(),
                            into + unit % walk.groups * channels * taps);
    }
  });
  std::copy_n(sums.data(), size, dw);
  for (int64_t s = 1; s < sums_count; ++s)
    for (int64_t i = 0; i < size; ++i) dw[i] += sums[static_cast<size_t>(s * size + i)];
}
template void plane_weight_grad(const ConvWalk&, const float*, const float*, float*);
template void plane_weight_grad(const ConvWalk&, const double*, const double*, double*);

}  // namespace fastgrad
