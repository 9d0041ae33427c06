#include "kernels/pool.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/reduce_lanes.h"

namespace fastgrad {
namespace {

template <class T>
constexpr bool is_nan(T x) {
  return x != x;
}

// Calls f for the rows of outputs of a plane, in order.
template <class F>
void for_output_rows(const PoolGeometry& g, F&& f) {
  for (int64_t d = 0; d < g.dims[0].outputs(); ++d)
    for (int64_t h = 0; h < g.dims[1].outputs(); ++h)
      f(static_cast<size_t>(d), static_cast<size_t>(h));
}

// Calls f(offset of the row in the plane) for the rows of a window.
template <class F>
void for_rows(const PoolGeometry& g, size_t d, size_t h, F&& f) {
  const PoolWindows &wd = g.dims[0], &wh = g.dims[1];
  for (int64_t i = wd.start[d]; i < wd.stop[d]; i += wd.step)
    for (int64_t j = wh.start[h]; j < wh.stop[h]; j += wh.step)
      f((i * wh.size + j) * g.dims[2].size);
}

// Whether windows in these rows have elements: wide steps may lead from the padding in front of a
// short dimension to that behind it.
bool has_rows(const PoolGeometry& g, size_t d, size_t h) {
  return g.dims[0].start[d] < g.dims[0].stop[d] && g.dims[1].start[h] < g.dims[1].stop[h];
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

template <class F>
void dispatch_numbers(DType d, const char* op, F&& f) {
  dispatch_real(d, op, [&]<class T>(T t) {
    if constexpr (std::is_same_v<T, bool>)
      fail(ErrorKind::NotImplemented, "\"", op, "\" not implemented for 'Bool'");
    else
      f(t);
  });
}

// Windows along the last dimension that are one like the other, some positions apart.
struct Regular {
  int64_t first = 0, end = 0, apart = 1, extent = 0;
};
Regular regular_windows(const PoolWindows& w) {
  Regular r;
  for (size_t i = 0; i < w.start.size(); ++i) r.extent = std::max(r.extent, w.stop[i] - w.start[i]);
  if (r.extent < 1) return r;
  auto whole = [&](int64_t i) {
    return w.stop[static_cast<size_t>(i)] - w.start[static_cast<size_t>(i)] == r.extent;
  };
  auto apart = [&](int64_t i) {
    return w.start[static_cast<size_t>(i + 1)] - w.start[static_cast<size_t>(i)];
  };
  while (r.first < w.outputs() && !whole(r.first)) ++r.first;
  r.end = std::min(r.first + 1, w.outputs());
  if (r.end < w.outputs()) r.apart = apart(r.first);
  while (r.end < w.outputs() && whole(r.end) && apart(r.end - 1) == r.apart) ++r.end;
  return r;
}

// Regular windows that are worked on at a time, side by side, so that they fill registers.
constexpr int64_t kTile = 256;
// Calls f with the distance of windows: known to the compiler, it lets it use whole registers.
template <class F>
void with_distance(int64_t apart, F&& f) {
  if (apart == 2)
    f(std::integral_constant<int64_t, 2>());
  else if (apart == 1)
    f(std::integral_constant<int64_t, 1>());
  else
    f(apart);
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

// Calls one(w) and several(w, count) for the windows of a row, in order.
template <class One, class Several>
void for_row(int64_t outputs, const Regular& regular, One&& one, Several&& several) {
  for (int64_t w = 0; w < regular.first; ++w) one(w);
  for (int64_t w = regular.first; w < regular.end; w += kTile)
    several(w, std::min(kTile, regular.end - w));
  for (int64_t w = regular.end; w < outputs; ++w) one(w);
}

// What a mean divides by, turned over.
double weight_of(const PoolGeometry& g, size_t d, size_t h, int64_t w) {
  return g.dims[0].weight[d] * g.dims[1].weight[h] * g.dims[2].weight[static_cast<size_t>(w)];
}

// Whether windows are whole rows that follow one another, as those of a mean over the plane are.
bool is_of_rows(const PoolGeometry& g) {
  const PoolWindows& last = g.dims[2];
  return g.dims[1].step == 1 && last.step == 1 && last.outputs() == 1 && last.start[0] == 0 &&
         last.stop[0] == last.size;
}
// Calls f(offset in the plane, elements) for the runs of rows that the window of these rows is.
template <class F>
void for_runs(const PoolGeometry& g, size_t d, size_t h, F&& f) {
  const PoolWindows &wd = g.dims[0], &wh = g.dims[1];
  int64_t rows = wh.stop[h] - wh.start[h], row = g.dims[2].size;
  for (int64_t i = wd.start[d]; i < wd.stop[d] && rows > 0; i += wd.step)
    f((i * wh.size + wh.start[h]) * row, rows * row);
}

// Whether the only window is the whole plane.
bool is_of_planes(const PoolGeometry& g) {
  return is_of_rows(g) && g.out_numel() == 1 && g.dims[0].step == 1 &&
         g.dims[0].stop[0] - g.dims[0].start[0] == g.dims[0].size &&
         g.dims[1].stop[0] - g.dims[1].start[0] == g.dims[1].size;
}

// Whether the rows of windows are added up first, column by column: where most windows along the
// last dimension are unlike their neighbours, as those are that divide it into parts unevenly, and
// where they have several rows and are few, or lie so far apart that neighbours share no register.
template <class T>
bool is_by_columns(const PoolGeometry& g, const Regular& regular) {
  const PoolWindows &rows = g.dims[1], &last = g.dims[2];
  if (!std::is_floating_point_v<T> || last.step != 1 || last.outputs() == 0) return false;
  const bool several_rows = rows.outputs() > 0 && rows.stop[0] - rows.start[0] > 1;
  return 2 * (regular.end - regular.first) < last.outputs() || (several_rows && regular.apart > 2);
}
// The sum of each column over the rows of windows: in `sums`, or in the plane where it is one row.
template <class T>
const T* add_columns(const PoolGeometry& g, size_t d, size_t h, const T* plane, T* sums) {
  const int64_t width = g.dims[2].size;
  const T* only = nullptr;
  int64_t rows = 0;
  for_rows(g, d, h, [&](int64_t row) {
    const T* from = plane + row;
    if (++rows == 1)
      only = from;
    else if (rows == 2)
      for (int64_t k = 0; k < width; ++k) sums[k] = only[k] + from[k];
    else
      for (int64_t k = 0; k < width; ++k) sums[k] += from[k];
  });
  if (rows == 0) std::fill_n(sums, width, T(0));
  return rows == 1 ? only : sums;
}
template <class T>
T sum_of_window(const T* columns, int64_t n) {
  constexpr int64_t kShort = 16;  // a call takes longer than that
  if (n >= kShort) return lanes(T{}).sum(columns, n);
  T total = 0;
  for (int64_t k = 0; k < n; ++k) total += columns[k];
  return total;
}

// Planes that make a chunk of work for a thread.
int64_t planes_at_once(const PoolGeometry& g) {
  return std::max<int64_t>(kParallelGrain / std::max<int64_t>(g.in_numel(), 1), 1);
}

}  // namespace

namespace {

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

// The only window of these rows, which is whole rows.
template <class T>
void max_of_rows(const PoolGeometry& g, size_t d, size_t h, const T* plane, T* to, int64_t* place) {
  T best = lowest<T>();
  int64_t at = -1;
  for_runs(g, d, h, [&](int64_t first, int64_t n) {
    const T *run = plane + first, top = lanes(T{}).largest(run, n);
    if (at >= 0 && !(top > best) && !is_nan(top)) return;
    best = top;
    at = first;
    if (!place) return;
    int64_t found = n;
    while (is_nan(top) && !is_nan(run[--found])) {  // the last NaN, or else the first of its value
    }
    at += is_nan(top) ? found : lanes(T{}).find(run, n, top);
  });
  *to = best;
  if (place) *place = at < 0 ? nearest_place(g, d, h, 0) : at;
}

// One plane; place may be null.
template <class T>
void max_of_plane(const PoolGeometry& g, const Regular& regular, const T* plane, T* to,
                  int64_t* place) {
  const int64_t outputs = g.dims[2].outputs();
  const bool of_rows = std::is_floating_point_v<T> && is_of_rows(g);
  [[maybe_unused]] const bool few = !place && has_few_elements(g, regular);
  const bool wide = is_wide(g, regular);
  for_output_rows(g, [&](size_t d, size_t h) {
    const Regular here = has_rows(g, d, h) ? regular : Regular();
    if constexpr (std::is_floating_point_v<T>)
      if (of_rows) max_of_rows(g, d, h, plane, to, place);
    if (!of_rows)
      for_row(
          outputs, here, [&](int64_t w) { max_of_one(g, d, h, w, plane, to, place); },
          [&](int64_t w, int64_t count) {
            if (wide) return max_of_wide(g, d, h, here, w, count, plane, to, place);
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

void avg_pool(const PoolGeometry& g, const Array& x, const Array& y) {
  if (y.numel == 0) return;
  with_compute_type(y, [&](const Array& out) {
    Array from = as_contiguous(x, out.dtype);
    dispatch_numbers(out.dtype, "avg_pool", [&]<class T>(T) {
      using Total = std::conditional_t<std::is_integral_v<T>, int64_t, T>;
      const PoolWindows& last = g.dims[2];
      const Regular regular = regular_windows(last);
      const bool of_rows = is_of_rows(g), by_columns = is_by_columns<T>(g, regular);
      parallel_for(g.planes, planes_at_once(g), [&](int64_t begin, int64_t end) {
        std::vector<T> sums(static_cast<size_t>(by_columns ? last.size : 0));
        if constexpr (std::is_floating_point_v<T>) {
          if (is_of_planes(g)) {
            const T weight = static_cast<T>(weight_of(g, 0, 0, 0));
            const auto sum = lanes(T{}).sum;
            const int64_t n = g.in_numel();
            for (int64_t p = begin; p < end; ++p)
              out.ptr<T>()[p] = sum(from.ptr<T>() + p * n, n) * weight;
            return;
          }
        }
        for (int64_t p = begin; p < end; ++p) {
          const T* plane = from.ptr<T>() + p * g.in_numel();
          T* to = out.ptr<T>() + p * g.out_numel();
          for_output_rows(g, [&](size_t d, size_t h) {
            auto put = [&](int64_t w, Total total) {
              double weight = weight_of(g, d, h, w);
              if constexpr (std::is_integral_v<T>)
                to[w] = static_cast<T>(total / static_cast<int64_t>(1 / weight + 0.5));
              else
                to[w] = total * static_cast<T>(weight);
            };
            auto one = [&](int64_t w) {
              Total total = 0;
              for_rows(g, d, h, [&](int64_t row) {
                for (int64_t k = last.start[static_cast<size_t>(w)];
                     k < last.stop[static_cast<size_t>(w)]; ++k)
                  total += plane[row + k];
              });
              put(w, total);
            };
            auto several = [&](int64_t w, int64_t count) {
              Total totals[kTile] = {};
              for_rows(g, d, h, [&](int64_t row) {
                const T* window = plane + row + last.start[static_cast<size_t>(w)];
                for (int64_t k = 0; k < regular.extent; ++k)
                  with_distance(regular.apart, [&](auto apart) {
                    for (int64_t i = 0; i < count; ++i) totals[i] += window[k + i * apart];
                  });
              });
              for (int64_t i = 0; i < count; ++i) put(w + i, totals[i]);
            };
            if constexpr (std::is_floating_point_v<T>) {
              if (of_rows) {
                Total total = 0;
                for_runs(g, d, h,
                         [&](int64_t at, int64_t n) { total += lanes(T{}).sum(plane + at, n); });
                put(0, total);
                ++to;
                return;
              }
              if (by_columns) {
                const T* columns = add_columns(g, d, h, plane, sums.data());
                for (int64_t w = 0; w < last.outputs(); ++w) {
                  const int64_t start = last.start[static_cast<size_t>(w)];
                  put(w, sum_of_window(columns + start, last.stop[static_cast<size_t>(w)] - start));
                }
                to += last.outputs();
                return;
              }
            }
            for_row(last.outputs(), regular, one, several);
            to += last.outputs();
          });
        }
      });
    });
  });
}

// An element gets its parts in the order of the windows.
void avg_pool_adjoint(const PoolGeometry& g, const Array& gy, const Array& dx) {
  if (dx.numel == 0) return;
  with_compute_type(dx, [&](const Array& out) {
    std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
    Array from = as_contiguous(gy, out.dtype);
    if (from.numel == 0) return;
    dispatch_float(out.dtype, "avg_pool", [&]<class T>(T) {
      const PoolWindows& last = g.dims[2];
      const Regular regular = regular_windows(last);
      const bool of_rows = is_of_rows(g), by_columns = is_by_columns<T>(g, regular);
      parallel_for(g.planes, planes_at_once(g), [&](int64_t begin, int64_t end) {
        std::vector<T> parts(static_cast<size_t>(by_columns ? last.size : 0));
        for (int64_t p = begin; p < end; ++p) {
          const T* cotangent = from.ptr<T>() + p * g.out_numel();
          T* plane = out.ptr<T>() + p * g.in_numel();
          for_output_rows(g, [&](size_t d, size_t h) {
            auto part = [&](int64_t w) {
              return cotangent[w] * static_cast<T>(weight_of(g, d, h, w));
            };
            auto one = [&](int64_t w) {
              for_rows(g, d, h, [&](int64_t row) {
                for (int64_t k = last.start[static_cast<size_t>(w)];
                     k < last.stop[static_cast<size_t>(w)]; ++k)
                  plane[row + k] += part(w);
              });
            };
            auto several = [&](int64_t w, int64_t count) {
              T parts[kTile];
              for (int64_t i = 0; i < count; ++i) parts[i] = part(w + i);
              for_rows(g, d, h, [&](int64_t row) {
                T* window = plane + row + last.start[static_cast<size_t>(w)];
                for (int64_t k = regular.extent; k-- > 0;)
                  with_distance(regular.apart, [&](auto apart) {
                    for (int64_t i = 0; i < count; ++i) window[k + i * apart] += parts[i];
                  });
              });
            };
            if (of_rows) {
              const T all = part(0);
              for_runs(g, d, h, [&](int64_t at, int64_t n) {
                for (int64_t i = at; i < at + n; ++i) plane[i] += all;
              });
              ++cotangent;
              return;
            }
            if (by_columns) {
              std::fill(parts.begin(), parts.end(), T(0));
              for (int64_t w = 0; w < last.outputs(); ++w)
                for (int64_t k = last.start[static_cast<size_t>(w)];
                     k < last.stop[static_cast<size_t>(w)]; ++k)
                  parts[static_cast<size_t>(k)] += part(w);
              for_rows(g, d, h, [&](int64_t row) {
                for (int64_t k = 0; k < last.size; ++k)
                  plane[row + k] += parts[static_cast<size_t>(k)];
              });
              cotangent += last.outputs();
              return;
            }
            for_row(last.outputs(), regular, one, several);
            cotangent += last.outputs();
          });
        }
      });
    });
  });
}

}  // namespace fastgrad
