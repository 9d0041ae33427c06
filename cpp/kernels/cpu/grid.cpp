#include "kernels/grid.h"

#include <algorithm>
#include <type_traits>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/cpu/beside.h"
#include "kernels/cpu/grid_weights.h"

namespace fastgrad {
namespace {

// Channels are worked on a few at a time, their pixels side by side: (pixels + 1) vectors, of which
// the last one is zeros.
template <class T>
void load_pixels(const T* planes, int64_t pixels, int64_t count, Beside<T>* to) {
  for_columns(planes, pixels, pixels, count, [&](int64_t i, Beside<T> v) { to[i] = v; });
  to[pixels] = Beside<T>{};
}

inline float sum_of(Beside<float> v) { return (v[0] + v[1]) + (v[2] + v[3]); }
inline double sum_of(Beside<double> v) { return v[0] + v[1]; }

// Whether the samples are many enough for planes side by side.
bool is_dense(const GridSizes& s) { return s.channels > 1 && s.places * s.taps >= s.pixels; }

// Calls f with the number of taps, known to the compiler where it is usual.
template <class F>
void with_taps(int64_t taps, F&& f) {
  if (taps == 4)
    f(std::integral_constant<int64_t, 4>());
  else if (taps == 1)
    f(std::integral_constant<int64_t, 1>());
  else
    f(taps);
}

// Calls f(sample of the batch, first channel, channels) for groups of channels, on threads.
template <class T, class F>
void for_channels(const GridSizes& s, F&& f) {
  const int64_t groups = (s.channels + kBeside<T> - 1) / kBeside<T>;
  const int64_t work = std::max<int64_t>(s.places * s.taps * kBeside<T>, 1);
  parallel_for(s.batch * groups, std::max<int64_t>(kParallelGrain / work, 1),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t first = i % groups * kBeside<T>;
                   f(i / groups, first, std::min(kBeside<T>, s.channels - first));
                 }
               });
}

// An index as it may be used, whatever it is.
inline int64_t bounded(int32_t index, int64_t pixels) {
  return std::min<int64_t>(static_cast<uint32_t>(index), pixels);
}

template <class T>
void gather(const GridSizes& s, const T* x, const T* weight, const int32_t* index, T* y) {
  for_channels<T>(s, [&](int64_t n, int64_t first, int64_t count) {
    const T* planes = x + (n * s.channels + first) * s.pixels;
    const T* w = weight + n * s.places * s.taps;
    const int32_t* at = index + n * s.places * s.taps;
    T* to = y + (n * s.channels + first) * s.places;
    if (!is_dense(s)) {
      for (int64_t c = 0; c < count; ++c, planes += s.pixels, to += s.places)
        for (int64_t p = 0; p < s.places; ++p) {
          T total = 0;
          for (int64_t k = p * s.taps; k < (p + 1) * s.taps; ++k) {
            const int64_t i = bounded(at[k], s.pixels);
            total += (i < s.pixels ? planes[i] : T(0)) * w[k];
          }
          to[p] = total;
        }
      return;
    }
    const auto pixel = make_beside<T>(s.pixels + 1);
    load_pixels(planes, s.pixels, count, pixel.get());
    with_taps(s.taps, [&](auto taps) {
      make_columns(to, s.places, s.places, count, [&](int64_t p) {
        Beside<T> total = pixel[bounded(at[p * taps], s.pixels)] * w[p * taps];
        for (int64_t k = 1; k < taps; ++k)
          total += pixel[bounded(at[p * taps + k], s.pixels)] * w[p * taps + k];
        return total;
      });
    });
  });
}

template <class T>
void scatter(const GridSizes& s, const T* y, const T* weight, const int32_t* index, T* x) {
  for_channels<T>(s, [&](int64_t n, int64_t first, int64_t count) {
    T* planes = x + (n * s.channels + first) * s.pixels;
    const T* w = weight + n * s.places * s.taps;
    const int32_t* at = index + n * s.places * s.taps;
    const T* from = y + (n * s.channels + first) * s.places;
    if (!is_dense(s)) {
      std::fill_n(planes, count * s.pixels, T(0));
      for (int64_t c = 0; c < count; ++c, planes += s.pixels, from += s.places)
        for (int64_t p = 0; p < s.places; ++p)
          for (int64_t k = p * s.taps; k < (p + 1) * s.taps; ++k) {
            const int64_t i = bounded(at[k], s.pixels);
            if (i < s.pixels) planes[i] += from[p] * w[k];
          }
      return;
    }
    const auto pixel = make_beside<T>(s.pixels + 1);
    std::fill_n(pixel.get(), s.pixels + 1, Beside<T>{});
    with_taps(s.taps, [&](auto taps) {
      for_columns(from, s.places, s.places, count, [&](int64_t p, Beside<T> g) {
        for (int64_t k = 0; k < taps; ++k)
          pixel[bounded(at[p * taps + k], s.pixels)] += g * w[p * taps + k];
      });
    });
    make_columns(planes, s.pixels, s.pixels, count, [&](int64_t i) { return pixel[i]; });
  });
}

template <class T>
void dots(const GridSizes& s, const T* y, const T* x, const int32_t* index, T* weight) {
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    const auto pixel = make_beside<T>(is_dense(s) ? s.pixels + 1 : 0);
    for (int64_t n = begin; n < end; ++n) {
      T* all = weight + n * s.places * s.taps;
      std::fill_n(all, s.places * s.taps, T(0));
      for (int64_t first = 0; first < s.channels; first += kBeside<T>) {
        const int64_t count = std::min(kBeside<T>, s.channels - first);
        const T* planes = x + (n * s.channels + first) * s.pixels;
        const T* from = y + (n * s.channels + first) * s.places;
        const int32_t* at = index + n * s.places * s.taps;
        T* w = all;
        if (!is_dense(s)) {
          for (int64_t c = 0; c < count; ++c, planes += s.pixels, from += s.places)
            for (int64_t p = 0; p < s.places; ++p)
              for (int64_t k = p * s.taps; k < (p + 1) * s.taps; ++k) {
                const int64_t i = bounded(at[k], s.pixels);
                if (i < s.pixels) w[k] += from[p] * planes[i];
              }
          continue;
        }
        load_pixels(planes, s.pixels, count, pixel.get());
        with_taps(s.taps, [&](auto taps) {
          for_columns(from, s.places, s.places, count, [&](int64_t p, Beside<T> g) {
            for (int64_t k = 0; k < taps; ++k)
              w[p * taps + k] += sum_of(g * pixel[bounded(at[p * taps + k], s.pixels)]);
          });
        });
      }
    }
  });
}

}  // namespace

namespace {
const GridWeightTable& grid_weight_table() {
  return isa() >= Isa::Avx2 && kGridWeightsAvx2.f32 ? kGridWeightsAvx2 : kGridWeightsBaseline;
}
}  // namespace

void grid_weights(const GridOptions& o, const Array& grid, const Array& weight,
                  const Array* index) {
  const int64_t dims = static_cast<int64_t>(o.sizes.size()), all = grid.numel / dims;
  if (all == 0) return;
  const GridWeightTable& of = grid_weight_table();
  dispatch_float(grid.dtype, "grid_sample", [&]<class T>(T) {
    parallel_for(all, std::max<int64_t>(kParallelGrain / grid_taps(o.mode, o.sizes.size()), 1),
                 [&](int64_t begin, int64_t end) {
                   of(T{})(o, grid.ptr<T>(), begin, end, weight.ptr<T>(),
                           index ? index->ptr<int32_t>() : nullptr);
                 });
  });
}

void grid_gather(const GridSizes& s, const Array& x, const Array& weight, const Array& index,
                 const Array& y) {
  dispatch_float(y.dtype, "grid_sample", [&]<class T>(T) {
    gather(s, x.ptr<T>(), weight.ptr<T>(), index.ptr<int32_t>(), y.ptr<T>());
  });
}
void grid_scatter(const GridSizes& s, const Array& y, const Array& weight, const Array& index,
                  const Array& x) {
  dispatch_float(y.dtype, "grid_sample", [&]<class T>(T) {
    scatter(s, y.ptr<T>(), weight.ptr<T>(), index.ptr<int32_t>(), x.ptr<T>());
  });
}
void grid_dots(const GridSizes& s, const Array& y, const Array& x, const Array& index,
               const Array& weight) {
  dispatch_float(y.dtype, "grid_sample", [&]<class T>(T) {
    dots(s, y.ptr<T>(), x.ptr<T>(), index.ptr<int32_t>(), weight.ptr<T>());
  });
}

}  // namespace fastgrad
