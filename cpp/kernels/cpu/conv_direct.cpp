#include "kernels/cpu/conv_direct.h"

#include <algorithm>
#include <cstring>

#include "base/isa.h"
#include "kernels/cpu/conv_methods.h"

namespace fastgrad {

const ConvDirectTable& conv_direct_table() {
  static const ConvDirectTable table = [] {
    if (isa() == Isa::Avx512 && kConvDirectAvx512.f64.block) return kConvDirectAvx512;
    if (isa() >= Isa::Avx2 && kConvDirectAvx2.f64.block) return kConvDirectAvx2;
    return ConvDirectTable{};
  }();
  return table;
}

namespace {

// Pixels whose channels are held before they are transposed into planes.
constexpr int64_t kHeldPixels = 128;
// Below so many taps the transposition costs more than the products with the matrix of patches.
constexpr int64_t kFewTaps = 48;
constexpr int64_t kFewChannels = 4;

// The image that is read: x itself, or a copy with zeros around it so that every read is inside.
class Image {
 public:
  explicit Image(const ConvGeometry& g) : g_(g) {
    copies_ = false;
    for (int d = 0; d < 3; ++d) {
      size_[d] = (g.out[d] - 1) * g.stride[d] + (g.kernel[d] - 1) * g.dilation[d] + 1;
      copies_ = copies_ || g.pad[d] != 0 || size_[d] > g.in[d];
    }
    if (!copies_) std::copy_n(g.in, 3, size_);
  }
  int64_t plane() const { return size_[0] * size_[1] * size_[2]; }
  // Where the rows of a patch lie, for `channels` channels.
  std::vector<int64_t> offsets(int64_t channels) const {
    std::vector<int64_t> at;
    at.reserve(static_cast<size_t>(channels * g_.kernel_numel()));
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t d = 0; d < g_.kernel[0]; ++d)
        for (int64_t h = 0; h < g_.kernel[1]; ++h)
          for (int64_t w = 0; w < g_.kernel[2]; ++w)
            at.push_back(((c * size_[0] + d * g_.dilation[0]) * size_[1] + h * g_.dilation[1]) *
                             size_[2] +
                         w * g_.dilation[2]);
    return at;
  }
  // The first pixel of a row of outputs.
  int64_t row(int64_t r) const {
    return (r / g_.out[1] * g_.stride[0] * size_[1] + r % g_.out[1] * g_.stride[1]) * size_[2];
  }
  int64_t row_step() const { return g_.stride[1] * size_[2]; }

  template <class T>
  const T* of(const T* x, int64_t channels) const {
    if (!copies_) return x;
    T* to = scratch<T>(0, channels * plane());
    int64_t first = std::max<int64_t>(g_.pad[2], 0);  // of a row, what is copied
    int64_t last = std::clamp(g_.in[2] + g_.pad[2], first, std::max(first, size_[2]));
    if (first > size_[2]) first = last = size_[2];
    last = std::min(last, size_[2]);
    T* row = to;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t d = 0; d < size_[0]; ++d)
        for (int64_t h = 0; h < size_[1]; ++h, row += size_[2]) {
          int64_t from_d = d - g_.pad[0], from_h = h - g_.pad[1];
          if (from_d < 0 || from_d >= g_.in[0] || from_h < 0 || from_h >= g_.in[1]) {
            std::fill_n(row, size_[2], T(0));
            continue;
          }
          const T* from = x + ((c * g_.in[0] + from_d) * g_.in[1] + from_h) * g_.in[2] - g_.pad[2];
          std::fill_n(row, first, T(0));
          std::copy(from + first, from + last, row + first);
          std::fill(row + last, row + size_[2], T(0));
        }
    return to;
  }

 private:
  const ConvGeometry& g_;
  int64_t size_[3];
  bool copies_;
};

int64_t blocks_of(int64_t channels, int64_t block) { return (channels + block - 1) / block; }

// weights[block][tap][lane] of one group, zero where there is no channel.
template <class T>
std::vector<T> packed_weights(const T* w, int64_t channels, int64_t taps, int64_t block) {
  std::vector<T> packed(static_cast<size_t>(blocks_of(channels, block) * taps * block), T(0));
  for (int64_t k = 0; k < channels; ++k) {
    T* to = packed.data() + k / block * taps * block + k % block;
    for (int64_t r = 0; r < taps; ++r) to[r * block] = w[k * taps + r];
  }
  return packed;
}

}  // namespace

namespace {

// Where channels do not fill the vectors, pixels may.
template <class T>
bool is_narrow(const ConvGeometry& g) {
  int64_t block = conv_direct(T{}).block;
  bool few = g.group_out() < kFewChannels || g.group_out() <= block / 2;
  return few && g.stride[2] == 1 && g.out[2] >= 4 && (g.out[2] >= block / 4 || g.group_in() == 1);
}

}  // namespace

template <class T>
ConvMethod forward_method(const ConvGeometry& g) {
  int64_t block = conv_direct(T{}).block;
  if (!block) return ConvMethod::Columns;
  bool few_taps = g.patch() < kFewTaps;
  if (is_narrow<T>(g) || (few_taps && g.stride[2] == 1 && g.out[2] >= block / 2))
    return ConvMethod::Plane;
  return few_taps || g.group_out() < block / 2 ? ConvMethod::Columns : ConvMethod::Direct;
}
template ConvMethod forward_method<float>(const ConvGeometry&);
template ConvMethod forward_method<double>(const ConvGeometry&);

template <class T>
ConvMethod weight_grad_method(const ConvGeometry& g) {
  if (!conv_direct(T{}).block) return ConvMethod::Columns;
  return is_narrow<T>(g)                              ? ConvMethod::Plane
         : forward_method<T>(g) == ConvMethod::Direct ? ConvMethod::Direct
                                                      : ConvMethod::Columns;
}
template ConvMethod weight_grad_method<float>(const ConvGeometry&);
template ConvMethod weight_grad_method<double>(const ConvGeometry&);

template <class T>
void direct_forward(const ConvGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  const ConvDirect<T>& k = conv_direct(T{});
  Image image(g);
  int64_t taps = g.patch(), cin = g.group_in(), cout = g.group_out(), out = g.out_numel();
  int64_t blocks = blocks_of(cout, k.block), rows = g.out[0] * g.out[1], width = g.out[2];
  std::vector<int64_t> offsets = image.offsets(cin);
  std::vector<T> packed, biases(static_cast<size_t>(g.groups * blocks * k.block), T(0));
  for (int64_t i = 0; i < g.groups; ++i) {
    std::vector<T> group = packed_weights(w + i * cout * taps, cout, taps, k.block);
    packed.insert(packed.end(), group.begin(), group.end());
    if (bias) std::copy_n(bias + i * cout, cout, biases.data() + i * blocks * k.block);
  }
  int64_t rows_held = std::max<int64_t>(kHeldPixels / width, 1);
  parallel_for(g.batch * g.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      int64_t n = unit / g.groups, i = unit % g.groups;
      const T* from = image.of(x + (n * g.in_channels + i * cin) * g.in_numel(), cin);
      T* held = scratch<T>(1, rows_held * width * k.block);
      for (int64_t b = 0; b < blocks; ++b) {
        int64_t channels = std::min(k.block, cout - b * k.block);
        const T* weights = packed.data() + (i * blocks + b) * taps * k.block;
        T* to = y + (n * g.out_channels + i * cout + b * k.block) * out;
        for (int64_t r = 0; r < rows; r += rows_held) {
          int64_t count = std::min(rows_held, rows - r);
          for (int64_t j = 0; j < count; ++j)
            k.forward(from + image.row(r + j), g.stride[2], offsets.data(), taps, weights,
                      biases.data() + (i * blocks + b) * k.block, width,
                      held + j * width * k.block);
          k.transpose(held, k.block, count * width, channels, to + r * width, out);
        }
      }
    }
  });
}
template void direct_forward(const ConvGeometry&, const float*, const float*, const float*, float*);
template void direct_forward(const ConvGeometry&, const double*, const double*, const double*,
                             double*);

template <class T>
void direct_weight_grad(const ConvGeometry& g, const T* gy, const T* x, T* dw) {
  const ConvDirect<T>& k = conv_direct(T{});
  Image image(g);
  int64_t taps = g.patch(), cin = g.group_in(), cout = g.group_out(), out = g.out_numel();
  int64_t blocks = blocks_of(cout, k.block), width = g.out[2];
  int64_t tiles = blocks_of(taps, k.taps);
  std::vector<int64_t> offsets = image.offsets(cin);
  offsets.resize(static_cast<size_t>(tiles * k.taps), 0);  // what these sum up is not used
  int64_t size = g.groups * blocks * tiles * k.taps * k.block;
  int64_t per_sum = images_per_sum(g.batch, size), sums_count = blocks_of(g.batch, per_sum);
  std::vector<T> sums(static_cast<size_t>(size * sums_count), T(0));
  int64_t rows_held = std::max<int64_t>(kHeldPixels / width, 1);
  parallel_for(g.batch, per_sum, [&](int64_t begin, int64_t end) {
    T* into = sums.data() + begin / per_sum * size;
    for (int64_t n = begin; n < end; ++n)
      for (int64_t i = 0; i < g.groups; ++i) {
        const T* from = image.of(x + (n * g.in_channels + i * cin) * g.in_numel(), cin);
        T* pixels = scratch<T>(1, rows_held * width * k.block);
        for (int64_t b = 0; b < blocks; ++b) {
          int64_t channels = std::min(k.block, cout - b * k.block);
          if (channels < k.block) std::fill_n(pixels, rows_held * width * k.block, T(0));
          const T* cotangent = gy + (n * g.out_channels + i * cout + b * k.block) * out;
          T* block_sums = into + (i * blocks + b) * tiles * k.taps * k.block;
          for (int64_t d = 0; d < g.out[0]; ++d)
            for (int64_t r = 0; r < g.out[1]; r += rows_held) {
              int64_t count = std::min(rows_held, g.out[1] - r), row = d * g.out[1] + r;
              k.transpose(cotangent + row * width, out, channels, count * width, pixels, k.block);
              for (int64_t t = 0; t < tiles; ++t)
                k.weight_grad(from + image.row(row), g.stride[2], image.row_step(),
                              offsets.data() + t * k.taps, count, width, pixels,
                              block_sums + t * k.taps * k.block);
            }
        }
      }
  });
  for (int64_t i = 0; i < g.groups; ++i)
    for (int64_t c = 0; c < cout; ++c)
      for (int64_t r = 0; r < taps; ++r) {
        int64_t at = ((i * blocks + c / k.block) * tiles * k.taps + r) * k.block + c % k.block;
        T total = sums[static_cast<size_t>(at)];
        for (int64_t s = 1; s < sums_count; ++s) total += sums[static_cast<size_t>(s * size + at)];
        dw[(i * cout + c) * taps + r] = total;
      }
}
template void direct_weight_grad(const ConvGeometry&, const float*, const float*, float*);
template void direct_weight_grad(const ConvGeometry&, const double*, const double*, double*);

template <class T>
void plane_forward(const ConvGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  const ConvDirect<T>& k = conv_direct(T{});
  Image image(g);
  int64_t taps = g.patch(), cin = g.group_in(), cout = g.group_out(), out = g.out_numel();
  int64_t width = g.out[2];
  std::vector<int64_t> offsets = image.offsets(cin);
  int64_t units = g.batch * g.groups;
  int64_t grain = std::max<int64_t>(kParallelGrain / std::max<int64_t>(out * cout, 1), 1);
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      int64_t n = unit / g.groups, i = unit % g.groups;
      const T* from = image.of(x + (n * g.in_channels + i * cin) * g.in_numel(), cin);
      int64_t c = i * cout;
      for (int64_t d = 0; d < g.out[0]; ++d)
        k.plane_forward(from + image.row(d * g.out[1]), image.row_step(), offsets.data(), taps,
                        w + c * taps, bias ? bias + c : nullptr, cout, g.out[1], width,
                        y + (n * g.out_channels + c) * out + d * g.out[1] * width, out);
    }
  });
}
template void plane_forward(const ConvGeometry&, const float*, const float*, const float*, float*);
template void plane_forward(const ConvGeometry&, const double*, const double*, const double*,
                            double*);

template <class T>
void plane_weight_grad(const ConvGeometry& g, const T* gy, const T* x, T* dw) {
  const ConvDirect<T>& k = conv_direct(T{});
  Image image(g);
  int64_t taps = g.patch(), cin = g.group_in(), cout = g.group_out(), out = g.out_numel();
  std::vector<int64_t> offsets = image.offsets(cin);
  int64_t size = g.out_channels * taps, per_sum = images_per_sum(g.batch, size);
  int64_t sums_count = blocks_of(g.batch, per_sum);
  std::vector<T> sums(static_cast<size_t>(sums_count * size), T(0));
  parallel_for(g.batch, per_sum, [&](int64_t begin, int64_t end) {
    T* into = sums.data() + begin / per_sum * size;
    for (int64_t n = begin; n < end; ++n)
      for (int64_t i = 0; i < g.groups; ++i) {
        const T* from = image.of(x + (n * g.in_channels + i * cin) * g.in_numel(), cin);
        int64_t c = i * cout;
        for (int64_t d = 0; d < g.out[0]; ++d)
          k.plane_weight_grad(from + image.row(d * g.out[1]), image.row_step(), offsets.data(),
                              taps, gy + (n * g.out_channels + c) * out + d * g.out[1] * g.out[2],
                              out, cout, g.out[1], g.out[2], into + c * taps);
      }
  });
  std::copy_n(sums.data(), size, dw);
  for (int64_t s = 1; s < sums_count; ++s)
    for (int64_t i = 0; i < size; ++i) dw[i] += sums[static_cast<size_t>(s * size + i)];
}
template void plane_weight_grad(const ConvGeometry&, const float*, const float*, float*);
template void plane_weight_grad(const ConvGeometry&, const double*, const double*, double*);

ConvGeometry input_grad_geometry(const ConvGeometry& g) {
  ConvGeometry r = g;
  r.in_channels = g.out_channels;
  r.out_channels = g.in_channels;
  for (int d = 0; d < 3; ++d) {
    r.in[d] = g.out[d];
    r.out[d] = g.in[d];
    r.pad[d] = (g.kernel[d] - 1) * g.dilation[d] - g.pad[d];
  }
  return r;
}

template <class T>
void flip_weights(const ConvGeometry& g, const T* w, T* flipped) {
  int64_t size = g.kernel_numel(), cin = g.group_in(), cout = g.group_out();
  for (int64_t i = 0; i < g.groups; ++i)
    for (int64_t k = 0; k < cout; ++k)
      for (int64_t c = 0; c < cin; ++c) {
        const T* from = w + ((i * cout + k) * cin + c) * size;
        T* to = flipped + ((i * cin + c) * cout + k) * size;
        for (int64_t s = 0; s < size; ++s) to[s] = from[size - 1 - s];
      }
}
template void flip_weights(const ConvGeometry&, const float*, float*);
template void flip_weights(const ConvGeometry&, const double*, double*);

}  // namespace fastgrad
