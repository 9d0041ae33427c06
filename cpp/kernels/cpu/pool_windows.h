// Walking over the windows of pooling.
#pragma once

#include <algorithm>
#include <type_traits>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/pool.h"

namespace fastgrad {

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
inline bool has_rows(const PoolGeometry& g, size_t d, size_t h) {
  return g.dims[0].start[d] < g.dims[0].stop[d] && g.dims[1].start[h] < g.dims[1].stop[h];
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
inline Regular regular_windows(const PoolWindows& w) {
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

// Windows too few to fill registers, one after the other: the rows of those of these output rows.
constexpr int64_t kFew = 8, kFewRows = 8, kFewColumns = 8;
template <class T>
struct FewWindows {
  const T* row[kFewRows];
  int64_t rows = 0;

  FewWindows(const PoolGeometry& g, size_t d, size_t h, const T* plane) {
    for_rows(g, d, h, [&](int64_t at) { row[rows++] = plane + at; });
  }
};
// Whether every row of outputs has so few regular windows, of so few rows.
inline bool are_few(const PoolGeometry& g, const Regular& regular) {
  int64_t rows = 1;
  for (int d = 0; d < 2; ++d) {
    const PoolWindows& w = g.dims[d];
    int64_t most = 0;
    for (size_t o = 0; o < w.start.size(); ++o)
      most = std::max(most, (w.stop[o] - w.start[o] + w.step - 1) / w.step);
    rows *= most;
  }
  return regular.end - regular.first < kFew && rows <= kFewRows;
}

// Calls one(w) and several(w, count) for the windows of a row, in order.
template <class One, class Several>
void for_row(int64_t outputs, const Regular& regular, One&& one, Several&& several) {
  for (int64_t w = 0; w < regular.first; ++w) one(w);
  for (int64_t w = regular.first; w < regular.end; w += kTile)
    several(w, std::min(kTile, regular.end - w));
  for (int64_t w = regular.end; w < outputs; ++w) one(w);
}

// Whether windows are whole rows that follow one another, as those of a mean over the plane are.
inline bool is_of_rows(const PoolGeometry& g) {
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

// Planes that make a chunk of work for a thread.
inline int64_t planes_at_once(const PoolGeometry& g) {
  return std::max<int64_t>(kParallelGrain / std::max<int64_t>(g.in_numel(), 1), 1);
}

}  // namespace fastgrad
