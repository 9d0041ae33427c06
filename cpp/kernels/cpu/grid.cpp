#include "kernels/grid.h"

#include <algorithm>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/cpu/grid_tiles.h"
#include "kernels/fill.h"

namespace fastgrad {
namespace {

// Channels that are worked on for the weights of a tile where threads share channels.
constexpr int64_t kGroup = 8;

template <class T>
GridTask<T> task_of(const GridOptions& o, const Array& x, const Array& y, const Array& grid,
                    const Array& to) {
  GridTask<T> t{&o, x.shape[1], 1, 1, 0, x.ptr<T>(), y.ptr<T>(), grid.ptr<T>(), to.ptr<T>()};
  for (int64_t n : o.sizes) t.pixels *= n;
  for (size_t d = 1; d + 1 < grid.shape.size(); ++d) t.places *= grid.shape[d];
  t.tiles = (t.places + kGridTile - 1) / kGridTile;
  return t;
}

int64_t taps_of(const GridOptions& o) {
  return o.mode == GridMode::Nearest ? 1 : o.mode == GridMode::Bilinear ? 1 << o.sizes.size() : 16;
}

const GridTable& grid_table() {
  if (isa() >= Isa::Avx512 && kGridAvx512.f32.sample) return kGridAvx512;
  return isa() >= Isa::Avx2 && kGridAvx2.f32.sample ? kGridAvx2 : kGridBaseline;
}

// Calls kernel(task, begin, end) for tiles.
template <class T>
void for_tiles(const GridTask<T>& t, int64_t batch, typename GridKernels<T>::Kernel kernel) {
  const int64_t work = kGridTile * taps_of(*t.options) * (t.channels + 1);
  parallel_for(batch * t.tiles, std::max<int64_t>(kParallelGrain / work, 1),
               [&](int64_t begin, int64_t end) { kernel(t, begin, end); });
}

}  // namespace

void grid_sample(const GridOptions& o, const Array& x, const Array& grid, const Array& y) {
  if (y.numel == 0) return;
  dispatch_float(y.dtype, "grid_sample", [&]<class T>(T) {
    for_tiles(task_of<T>(o, x, y, grid, y), x.shape[0], grid_table()(T{}).sample);
  });
}

void grid_spread(const GridOptions& o, const Array& y, const Array& grid, const Array& x) {
  if (x.numel == 0) return;
  dispatch_float(y.dtype, "grid_sample", [&]<class T>(T) {
    const GridTask<T> t = task_of<T>(o, x, y, grid, x);
    const int64_t each = std::max<int64_t>(t.pixels + t.places * taps_of(o), 1);
    const int64_t grain = std::max<int64_t>(kParallelGrain / each, std::min(kGroup, t.channels));
    parallel_for(x.shape[0] * t.channels, grain,
                 [&](int64_t begin, int64_t end) { grid_table()(T{}).spread(t, begin, end); });
  });
}

void grid_slopes(const GridOptions& o, const Array& y, const Array& x, const Array& grid,
                 const Array& slopes) {
  if (slopes.numel == 0) return;
  if (x.shape[1] == 0) return fill_array(slopes, Scalar(0.0));
  dispatch_float(y.dtype, "grid_sample", [&]<class T>(T) {
    for_tiles(task_of<T>(o, x, y, grid, slopes), x.shape[0], grid_table()(T{}).slopes);
  });
}

}  // namespace fastgrad
