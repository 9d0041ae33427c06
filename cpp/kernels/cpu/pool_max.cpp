// The largest elements of windows.
#include <limits>

#include "kernels/cpu/pool_windows.h"
#include "kernels/cpu/reduce_lanes.h"

namespace fastgrad {
namespace {

template <class T>
constexpr bool is_nan(T x) {
  return x != x;
}

// The place that a window without elements gets.
int64_t nearest_place(const PoolGeometry& g, size_t d, size_t h, size_t w) {
  auto near = [](const PoolWindows& dim, size_t o) {
    return std::clamp<int64_t>(dim.start[o], 0, dim.size - 1);
  };
  return (near(g.dims[0], d) * g.dims[1].size + near(g.dims[1], h)) * g.dims[2].size +
         near(g.dims[2], w);
}

template <class T>
T lowest() {
  if constexpr (std::is_floating_point_v<T>)
    return -std::numeric_limits<T>::infinity();
  else
    return std::numeric_limits<T>::lowest();
}

// Of windows side by side: the largest elements, and where they are. A window has `extent` columns
// from `start` on, `step` apart.
template <class T>
using Place = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
template <bool kPlaces, class T>
void largest_side_by_side(const PoolGeometry& g, size_t d, size_t h, int64_t start, int64_t extent,
                          int64_t apart, int64_t count, const T* plane, T* best, Place<T>* at) {
  bool begun = false;
  for_rows(g, d, h, [&](int64_t row) {
    for (int64_t k = start; k < start + extent; k += g.dims[2].step) {
      const T* from = plane + row + k;
      [[maybe_unused]] auto here = static_cast<Place<T>>(row + k);
      with_distance(apart, [&](auto apart) {
        if (!begun) {
          for (int64_t i = 0; i < count; ++i) {
            best[i] = from[i * apart];
            if constexpr (kPlaces) at[i] = here + static_cast<Place<T>>(i * apart);
          }
          return;
        }
        for (int64_t i = 0; i < count; ++i) {
          T v = from[i * apart];
          bool take = (v > best[i]) | is_nan(v);
          best[i] = take ? v : best[i];
          if constexpr (kPlaces) at[i] = take ? here + static_cast<Place<T>>(i * apart) : at[i];
        }
      });
      begun = true;
    }
  });
}

// place may be null where there are no places.
template <bool kPlaces, class T>
void max_of_regular(const PoolGeometry& g, size_t d, size_t h, const Regular& regular, int64_t w,
                    int64_t count, const T* plane, T* to, int64_t* place) {
  T best[kTile];
  Place<T> at[kTile];
  largest_side_by_side<kPlaces>(g, d, h, g.dims[2].start[static_cast<size_t>(w)], regular.extent,
                                regular.apart, count, plane, best, at);
  for (int64_t i = 0; i < count; ++i) {
    to[w + i] = best[i];
    if constexpr (kPlaces) place[w + i] = at[i];
  }
}

// Whether windows side by side leave most of a register unused, while their columns fill it.
bool is_wide(const PoolGeometry& g, const Regular& regular) {
  constexpr int64_t kWide = 5;
  return g.dims[2].step == 1 && regular.extent >= kWide && regular.extent <= kTile &&
         regular.apart >= kWide;
}
// The same for these: the largest of each column, and then of the columns. Of equal elements the
// first counts, of NaN the last.
template <class T>
void max_of_wide(const PoolGeometry& g, size_t d, size_t h, const Regular& regular, int64_t w,
                 int64_t count, const T* plane, T* to, int64_t* place) {
  T best[kTile];
  Place<T> at[kTile];
  const int64_t several = (kTile - regular.extent) / regular.apart + 1;
  for (const int64_t end = w + count; w < end; w += several) {
    const int64_t windows = std::min(several, end - w);
    largest_side_by_side<true>(g, d, h, g.dims[2].start[static_cast<size_t>(w)], 1, 1,
                               (windows - 1) * regular.apart + regular.extent, plane, best, at);
    for (int64_t i = 0; i < windows; ++i) {
      int64_t top = i * regular.apart;
      for (int64_t k = top + 1; k < i * regular.apart + regular.extent; ++k) {
        const bool before = best[k] == best[top] && at[k] < at[top],
                   after = is_nan(best[k]) && (!is_nan(best[top]) || at[k] > at[top]);
        if (best[k] > best[top] || before || after) top = k;
      }
      to[w + i] = best[top];
      if (place) place[w + i] = at[top];
    }
  }
}

// The same without places, where windows have so few rows and columns and lie close: of neighbours
// in memory on the widest registers, of which every `apart`th is one of the windows'.
constexpr int64_t kMostElements = 64, kMostApart = 4;
template <class T>
void largest_of_regular(const PoolGeometry& g, size_t d, size_t h, const Regular& regular,
                        int64_t w, int64_t count, const T* plane, T* to) {
  const T* element[kMostElements];
  int64_t n = 0, start = g.dims[2].start[static_cast<size_t>(w)];
  for_rows(g, d, h, [&](int64_t row) {
    for (int64_t k = start; k < start + regular.extent; k += g.dims[2].step)
      element[n++] = plane + row + k;
  });
  if (regular.apart == 1) return lanes(T{}).largest_rows(element, n, count, to + w);
  T best[kTile * kMostApart];
  lanes(T{}).largest_rows(element, n, (count - 1) * regular.apart + 1, best);
  with_distance(regular.apart, [&](auto apart) {
    for (int64_t i = 0; i < count; ++i) to[w + i] = best[i * apart];
  });
}
// Whether that is so for every window.
bool has_few_elements(const PoolGeometry& g, const Regular& regular) {
  int64_t most = regular.extent;
  for (int d = 0; d < 2; ++d) {
    const PoolWindows& w = g.dims[d];
    int64_t extent = 0;
    for (size_t o = 0; o < w.start.size(); ++o) extent = std::max(extent, w.stop[o] - w.start[o]);
    most *= std::max<int64_t>(extent, 1);
  }
  return most <= kMostElements && regular.apart >= 1 && regular.apart <= kMostApart;
}

// The window that starts here: element by element.
template <class T>
void max_of_one(const PoolGeometry& g, size_t d, size_t h, int64_t w, const T* plane, T* to,
                int64_t* place) {
  const PoolWindows& last = g.dims[2];
  T best = lowest<T>();
  int64_t at = -1;
  for_rows(g, d, h, [&](int64_t row) {
    for (int64_t k = last.start[static_cast<size_t>(w)]; k < last.stop[static_cast<size_t>(w)];
         k += last.step) {
      T v = plane[row + k];
      if (at < 0 || v > best || is_nan(v)) {
        best = v;
        at = row + k;
      }
    }
  });
  to[w] = best;
  if (place) place[w] = at < 0 ? nearest_place(g, d, h, static_cast<size_t>(w)) : at;
}

// The largest element of runs of a plane, and its place: the first one, or that of the last NaN.
template <class T>
struct LargestOfRuns {
  const T* plane;
  bool placed;
  T best = lowest<T>();
  int64_t at = -1;

  void add(int64_t first, int64_t n) {
    const T *run = plane + first, top = lanes(T{}).largest(run, n);
    if (at >= 0 && !(top > best) && !is_nan(top)) return;
    best = top;
    at = first;
    if (!placed) return;
    int64_t found = n;
    while (is_nan(top) && !is_nan(run[--found])) {  // the last NaN, or else the first of its value
    }
    at += is_nan(top) ? found : lanes(T{}).find(run, n, top);
  }
};

// The only window of these rows, which is whole rows.
template <class T>
void max_of_rows(const PoolGeometry& g, size_t d, size_t h, const T* plane, T* to, int64_t* place) {
  LargestOfRuns<T> largest{plane, place != nullptr};
  for_runs(g, d, h, [&](int64_t first, int64_t n) { largest.add(first, n); });
  *to = largest.best;
  if (place) *place = largest.at < 0 ? nearest_place(g, d, h, 0) : largest.at;
}
// Windows whose rows are long.
constexpr int64_t kLong = 64;
template <class T>
void max_of_long(const PoolGeometry& g, size_t d, size_t h, const Regular& regular, int64_t w,
                 int64_t count, const T* plane, T* to, int64_t* place) {
  for (const int64_t end = w + count; w < end; ++w) {
    LargestOfRuns<T> largest{plane, place != nullptr};
    const int64_t start = g.dims[2].start[static_cast<size_t>(w)];
    for_rows(g, d, h, [&](int64_t row) { largest.add(row + start, regular.extent); });
    to[w] = largest.best;
    if (place) place[w] = largest.at;
  }
}

// Windows that are few, element by element.
template <class T>
void max_of_few(const PoolGeometry& g, size_t d, size_t h, const Regular& regular, int64_t w,
                int64_t count, const T* plane, T* to, int64_t* place) {
  const FewWindows<T> few(g, d, h, plane);
  int64_t start = g.dims[2].start[static_cast<size_t>(w)];
  auto run = [&](auto extent, auto step) {
    for (int64_t i = w; i < w + count; ++i, start += regular.apart) {
      const T* at = few.row[0] + start;
      for (int64_t r = 0; r < few.rows; ++r)
        for (int64_t k = 0; k < extent; k += step) {
          const T* next = few.row[r] + start + k;
          const bool take = (*next > *at) | is_nan(*next);
          at += (next - at) * int64_t{take};  // nobody can guess it: no branch
        }
      to[i] = *at;
      if (place) place[i] = at - plane;
    }
  };
  using Two = std::integral_constant<int64_t, 2>;
  using One = std::integral_constant<int64_t, 1>;
  if (regular.extent == 2 && g.dims[2].step == 1)
    run(Two(), One());
  else
    run(regular.extent, g.dims[2].step);
}

// One plane; place may be null.
template <class T>
void max_of_plane(const PoolGeometry& g, const Regular& regular, const T* plane, T* to,
                  int64_t* place) {
  const int64_t outputs = g.dims[2].outputs();
  const bool of_rows = std::is_floating_point_v<T> && is_of_rows(g);
  [[maybe_unused]] const bool few = !place && has_few_elements(g, regular);
  [[maybe_unused]] const bool is_long =
      g.dims[2].step == 1 && regular.extent >= kLong && regular.apart >= kLong / 4;
  const bool wide = is_wide(g, regular),
             of_few = are_few(g, regular) && regular.extent <= kFewColumns;
  for_output_rows(g, [&](size_t d, size_t h) {
    const Regular here = has_rows(g, d, h) ? regular : Regular();
    if constexpr (std::is_floating_point_v<T>)
      if (of_rows) max_of_rows(g, d, h, plane, to, place);
    if (!of_rows)
      for_row(
          outputs, here, [&](int64_t w) { max_of_one(g, d, h, w, plane, to, place); },
          [&](int64_t w, int64_t count) {
            if constexpr (std::is_floating_point_v<T>)
              if (is_long) return max_of_long(g, d, h, here, w, count, plane, to, place);
            if (wide) return max_of_wide(g, d, h, here, w, count, plane, to, place);
            if (of_few) return max_of_few(g, d, h, here, w, count, plane, to, place);
            if (place) {
              max_of_regular<true>(g, d, h, here, w, count, plane, to, place);
              return;
            }
            if constexpr (std::is_floating_point_v<T>)
              if (few) return largest_of_regular(g, d, h, here, w, count, plane, to);
            max_of_regular<false>(g, d, h, here, w, count, plane, to, place);
          });
    to += outputs;
    if (place) place += outputs;
  });
}

}  // namespace

void max_pool(const PoolGeometry& g, const Array& x, const Array& y, const Array* places) {
  if (y.numel == 0) return;
  with_compute_type(y, [&](const Array& out) {
    Array from = as_contiguous(x, out.dtype);
    dispatch_numbers(out.dtype, "max_pool", [&]<class T>(T) {
      const Regular regular = g.in_numel() <= INT32_MAX ? regular_windows(g.dims[2]) : Regular();
      parallel_for(g.planes, planes_at_once(g), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p)
          max_of_plane(g, regular, from.ptr<T>() + p * g.in_numel(),
                       out.ptr<T>() + p * g.out_numel(),
                       places ? places->ptr<int64_t>() + p * g.out_numel() : nullptr);
      });
    });
  });
}

}  // namespace fastgrad
