#include "kernels/cpu/conv_direct.h"

#include <algorithm>

#include "base/isa.h"
#include "kernels/cpu/conv_methods.h"
#include "kernels/cpu/conv_walk.h"
#include "kernels/cpu/prefetch.h"
#include "storage/buffer.h"

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
// Weights that all held pixels are multiplied with before the next ones: they stay in the
// first-level cache, whose other half the pixels fill.
constexpr int64_t kWeightBytes = 16 * 1024;
// Below so many taps the transposition costs more than the products with the matrix of patches.
constexpr int64_t kFewTaps = 48;
constexpr int64_t kFewChannels = 4;
// Elements of all partial sums of a weight gradient: clearing and adding them up must stay cheap
// beside making them.
constexpr int64_t kMostSums = 1 << 18;

int64_t divided(int64_t n, int64_t by) { return (n + by - 1) / by; }

// The channels of a group in blocks of two registers, the last of one where that holds the rest.
class Blocks {
 public:
  Blocks(int64_t channels, int64_t widest) : channels_(channels), widest_(widest) {}
  int64_t count() const { return divided(channels_, widest_); }
  int64_t first(int64_t b) const { return b * widest_; }
  int64_t channels(int64_t b) const { return std::min(widest_, channels_ - first(b)); }
  int64_t registers(int64_t b) const { return channels(b) > widest_ / 2 ? 2 : 1; }
  int64_t lanes(int64_t b) const { return registers(b) * widest_ / 2; }
  int64_t all_lanes() const { return first(count() - 1) + lanes(count() - 1); }

 private:
  int64_t channels_, widest_;
};

// The outputs of a pass in pieces that are held together: whole rows, or parts of one.
class Pieces {
 public:
  explicit Pieces(const ConvPass& pass) : pass_(pass) {
    int64_t parts = std::max<int64_t>(divided(pass.width(), kHeldPixels), 1);
    columns_ = std::max<int64_t>(divided(pass.width(), parts), 1);
    rows_ = parts > 1 ? 1 : std::max<int64_t>(kHeldPixels / columns_, 1);
  }
  int64_t most() const { return rows_ * columns_; }
  // Calls f(first row, rows, first column, columns) for rows of one plane of rows.
  template <class F>
  void for_each(F&& f) const {
    for (int64_t d = 0; d < pass_.outputs[0]; ++d)
      for (int64_t h = 0; h < pass_.outputs[1]; h += rows_) {
        int64_t rows = std::min(rows_, pass_.outputs[1] - h);
        for (int64_t c = 0; c < pass_.width(); c += columns_)
          f(d * pass_.outputs[1] + h, rows, c, std::min(columns_, pass_.width() - c));
      }
  }

 private:
  const ConvPass& pass_;
  int64_t rows_, columns_;
};

// A pass with its weights packed: [group][block][tap][lane], zero where there is no channel.
template <class T>
struct Packed {
  std::vector<int64_t> offsets;
  T* weights;
  int64_t taps() const { return static_cast<int64_t>(offsets.size()); }
};

// The weights of one group and block, for every pass.
template <class T>
void pack_block(const ConvWalk& walk, const T* w, int64_t channels, int64_t lanes,
                const std::vector<T*>& to) {
  const ConvDirect<T>& k = conv_direct(T{});
  int64_t size = walk.kernel_numel();
  bool all = walk.passes.size() == 1 && walk.takes_all(walk.passes[0]);
  // Where its channels lie one behind the other too, the kernels are one matrix.
  int64_t at_once = all && walk.from_step == size ? walk.from_channels : 1;
  T* turned = all ? to[0] : scratch<T>(2, size * lanes);
  if (channels < lanes) std::fill_n(turned, size * lanes * (all ? walk.from_channels : 1), T(0));
  for (int64_t c = 0; c < walk.from_channels; c += at_once) {
    k.transpose(w + c * walk.from_step, walk.to_step, channels, size * at_once, turned, lanes);
    if (all) turned += size * at_once * lanes;
    for (size_t p = 0; p < walk.passes.size() && !all; ++p) {
      const std::vector<ConvTap>& taps = walk.passes[p].taps;
      T* pass = to[p] + c * static_cast<int64_t>(taps.size()) * lanes;
      for (const ConvTap& tap : taps) {
        std::copy_n(turned + tap.kernel * lanes, lanes, pass);
        pass += lanes;
      }
    }
  }
}

// Writes planes of the results of a piece where they belong among all results.
template <class T>
void spread(const ConvWalk& walk, const ConvPass& pass, const T* planes, int64_t channels,
            int64_t row, int64_t rows, int64_t column, int64_t columns, T* y) {
  int64_t step = pass.steps[2];
  for (int64_t c = 0; c < channels; ++c, y += walk.to_numel())
    for (int64_t r = row; r < row + rows; ++r, planes += columns) {
      int64_t d = pass.first[0] + r / pass.outputs[1] * pass.steps[0];
      int64_t h = pass.first[1] + r % pass.outputs[1] * pass.steps[1];
      T* to = y + (d * walk.to[1] + h) * walk.to[2] + pass.first[2] + column * step;
      for (int64_t i = 0; i < columns; ++i) to[i * step] = planes[i];
    }
}

// Where channels do not fill the vectors, pixels may.
template <class T>
bool is_narrow(const ConvWalk& walk) {
  int64_t block = conv_direct(T{}).block, width = walk.passes[0].width();
  bool few = walk.to_channels < kFewChannels || walk.to_channels <= block / 4;
  return few && width >= 4 && (width >= block / 4 || walk.from_channels == 1);
}

}  // namespace

template <class T>
ConvMethod method_of(const ConvWalk& walk) {
  int64_t block = conv_direct(T{}).block;
  if (!block || walk.passes.empty()) return ConvMethod::Columns;
  int64_t passes = static_cast<int64_t>(walk.passes.size());
  // Results that one element of the kernel reaches at most are a product that is then moved.
  if (passes > 1 && walk.kernel_numel() <= passes) return ConvMethod::Columns;
  bool few_taps = walk.from_channels * walk.kernel_numel() < kFewTaps * passes;
  if (is_narrow<T>(walk) || (few_taps && walk.passes[0].width() >= block / 2))
    return ConvMethod::Plane;
  return few_taps || walk.to_channels <= block / 4 ? ConvMethod::Columns : ConvMethod::Direct;
}
template ConvMethod method_of<float>(const ConvWalk&);
template ConvMethod method_of<double>(const ConvWalk&);

template <class T>
ConvMethod weight_grad_method(const ConvWalk& walk) {
  if (!conv_direct(T{}).block) return ConvMethod::Columns;
  return is_narrow<T>(walk)                         ? ConvMethod::Plane
         : method_of<T>(walk) == ConvMethod::Direct ? ConvMethod::Direct
                                                    : ConvMethod::Columns;
}
template ConvMethod weight_grad_method<float>(const ConvWalk&);
template ConvMethod weight_grad_method<double>(const ConvWalk&);

template <class T>
void direct_walk(const ConvWalk& walk, const T* x, const T* w, const T* bias, T* y) {
  const ConvDirect<T>& k = conv_direct(T{});
  const ConvImage image(walk);
  const Blocks blocks(walk.to_channels, k.block);
  int64_t count = blocks.count(), lanes = blocks.all_lanes();
  int64_t all_taps = 0, most = 0;
  std::vector<Packed<T>> packed;
  for (const ConvPass& pass : walk.passes) {
    packed.push_back({image.offsets(pass), nullptr});
    all_taps += packed.back().taps();
    most = std::max(most, Pieces(pass).most());
  }
  Ref<Buffer> memory =
      Buffer::allocate(sizeof(T) * static_cast<size_t>(walk.groups * lanes * (all_taps + 1)));
  T* starts = reinterpret_cast<T*>(memory->data());  // what the sums begin with
  T* next = starts + walk.groups * lanes;
  std::fill_n(starts, walk.groups * lanes, T(0));
  for (size_t p = 0; p < walk.passes.size(); ++p) {
    packed[p].weights = next;
    next += walk.groups * lanes * packed[p].taps();
  }
  int64_t grain = divided(kParallelGrain, std::max<int64_t>(all_taps * k.block, 1));
  parallel_for(walk.groups * count, grain, [&](int64_t begin, int64_t end) {
    std::vector<T*> to(packed.size());
    for (int64_t j = begin; j < end; ++j) {
      int64_t i = j / count, b = j % count, first = blocks.first(b), channels = blocks.channels(b);
      if (bias)
        std::copy_n(bias + i * walk.to_channels + first, channels, starts + i * lanes + first);
      for (size_t p = 0; p < to.size(); ++p)
        to[p] = packed[p].weights + (i * lanes + first) * packed[p].taps();
      pack_block(walk, w + i * walk.group_weights() + first * walk.to_step, channels,
                 blocks.lanes(b), to);
    }
  });
  constexpr int64_t kLine = kCacheLine / static_cast<int64_t>(sizeof(T));
  const bool dense = walk.is_dense();
  auto make_block = [&](const T* from, int64_t i, int64_t b, T* to) {
    int64_t width = blocks.lanes(b), at = i * lanes + blocks.first(b);
    int64_t channels = blocks.channels(b);
    T* held = scratch<T>(1, most * k.block);
    for (size_t p = 0; p < packed.size(); ++p) {
      const ConvPass& pass = walk.passes[p];
      int64_t taps = packed[p].taps();
      const T* weights = packed[p].weights + at * taps;
      int64_t most_taps = kWeightBytes / (width * static_cast<int64_t>(sizeof(T)));
      int64_t parts = std::max<int64_t>(divided(taps, most_taps), 1);
      int64_t some = std::max<int64_t>(divided(taps, parts), 1);
      Pieces(pass).for_each([&](int64_t row, int64_t rows, int64_t column, int64_t columns) {
        T* there = to + row * pass.width() + column;
        if (dense)  // the memory has time to come until the sums are there
          for (int64_t c = 0; c < channels; ++c)
            for (int64_t j = 0; j < rows * columns; j += kLine)
              prefetch_line_to_write(there + c * walk.to_numel() + j);
        for (int64_t t = 0; t < std::max<int64_t>(taps, 1); t += some)
          k.forward(from + image.row(pass, row) + column, image.row_step(),
                    packed[p].offsets.data() + t, std::min(some, taps - t), weights + t * width,
                    blocks.registers(b), t ? nullptr : starts + at, rows, columns, held);
        if (dense) {
          k.transpose(held, width, rows * columns, channels, there, walk.to_numel());
          return;
        }
        T* planes = scratch<T>(2, most * k.block);
        k.transpose(held, width, rows * columns, channels, planes, rows * columns);
        spread(walk, pass, planes, channels, row, rows, column, columns, to);
      });
    }
  };
  // Any share gives the same bits. A thread that begins within a unit copies its image once more.
  int64_t threads = pool_size(), share = divided(walk.units() * count, threads);
  parallel_for(walk.units() * count, walk.units() >= 2 * threads ? count : share,
               [&](int64_t begin, int64_t end) {
                 image.clear(T{});
                 const T* from = nullptr;
                 for (int64_t j = begin; j < end; ++j) {
                   int64_t unit = j / count, b = j % count;
                   if (j == begin || b == 0)
                     from = image.of(x + unit * walk.from_channels * walk.from_numel());
                   make_block(from, unit % walk.groups, b,
                              y + (unit * walk.to_channels + blocks.first(b)) * walk.to_numel());
                 }
               });
}
template void direct_walk(const ConvWalk&, const float*, const float*, const float*, float*);
template void direct_walk(const ConvWalk&, const double*, const double*, const double*, double*);

template <class T>
void direct_weight_grad(const ConvWalk& walk, const T* gy, const T* x, T* dw) {
  const ConvDirect<T>& k = conv_direct(T{});
  const ConvImage image(walk);
  const ConvPass& pass = walk.passes[0];
  const Blocks blocks(walk.to_channels, k.block);
  const Pieces pieces(pass);
  std::vector<int64_t> offsets = image.offsets(pass);
  int64_t taps = static_cast<int64_t>(offsets.size()), tiles = divided(taps, k.taps);
  offsets.resize(static_cast<size_t>(tiles * k.taps), 0);  // what these sum up is not used
  int64_t lanes = blocks.all_lanes(), size = walk.groups * lanes * tiles * k.taps;
  int64_t per_sum = images_per_sum(walk.batch, size, kMostSums);
  int64_t sums_count = divided(walk.batch, per_sum);
  Ref<Buffer> memory = Buffer::allocate(sizeof(T) * static_cast<size_t>(size * sums_count));
  T* sums = reinterpret_cast<T*>(memory->data());
  // A sum is one thread's, or shared by its blocks of channels where there are few: any share gives
  // the same bits.
  int64_t count = blocks.count(),
          shares = std::min<int64_t>(divided(pool_size(), sums_count), count);
  int64_t some = divided(count, shares);
  parallel_for(sums_count * shares, 1, [&](int64_t begin, int64_t) {
    int64_t sum = begin / shares, stop = std::min(walk.batch, (sum + 1) * per_sum);
    int64_t first_block = begin % shares * some, last_block = std::min(first_block + some, count);
    image.clear(T{});
    T* pixels = scratch<T>(1, pieces.most() * k.block);
    T* into = sums + sum * size;
    for (int64_t n = sum * per_sum; n < stop; ++n)
      for (int64_t i = 0; i < walk.groups; ++i) {
        int64_t unit = n * walk.groups + i;
        const T* from = image.of(x + unit * walk.from_channels * walk.from_numel());
        for (int64_t b = first_block; b < last_block; ++b) {
          int64_t channels = blocks.channels(b), width = blocks.lanes(b);
          if (channels < width) std::fill_n(pixels, pieces.most() * width, T(0));
          const T* cotangent = gy + (unit * walk.to_channels + blocks.first(b)) * walk.to_numel();
          T* block_sums = into + (i * lanes + blocks.first(b)) * tiles * k.taps;
          if (n == sum * per_sum) std::fill_n(block_sums, tiles * k.taps * width, T(0));
          pieces.for_each([&](int64_t row, int64_t rows, int64_t column, int64_t columns) {
            k.transpose(cotangent + row * pass.width() + column, walk.to_numel(), channels,
                        rows * columns, pixels, width);
            for (int64_t t = 0; t < tiles; ++t)
              k.weight_grad(from + image.row(pass, row) + column, image.row_step(),
                            offsets.data() + t * k.taps, rows, columns, blocks.registers(b), pixels,
                            block_sums + t * k.taps * width);
          });
        }
      }
  });
  parallel_for(walk.groups * count, divided(kParallelGrain, taps * k.block),
               [&](int64_t begin, int64_t end) {
                 for (int64_t j = begin; j < end; ++j) {
                   int64_t i = j / count, b = j % count, width = blocks.lanes(b);
                   T* block_sums = sums + (i * lanes + blocks.first(b)) * tiles * k.taps;
                   for (int64_t s = 1; s < sums_count; ++s)
                     for (int64_t at = 0; at < taps * width; ++at)
                       block_sums[at] += block_sums[s * size + at];
                   k.transpose(block_sums, width, taps, blocks.channels(b),
                               dw + i * walk.group_weights() + blocks.first(b) * walk.to_step,
                               walk.to_step);
                 }
               });
}
template void direct_weight_grad(const ConvWalk&, const float*, const float*, float*);
template void direct_weight_grad(const ConvWalk&, const double*, const double*, double*);

}  // namespace fastgrad
