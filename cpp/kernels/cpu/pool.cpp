// The means of windows, and their adjoint.
#include <cstring>
#include <vector>

#include "kernels/cpu/pool_windows.h"
#include "kernels/cpu/reduce_lanes.h"

namespace fastgrad {
namespace {

// What a mean divides by, turned over.
double weight_of(const PoolGeometry& g, size_t d, size_t h, int64_t w) {
  return g.dims[0].weight[d] * g.dims[1].weight[h] * g.dims[2].weight[static_cast<size_t>(w)];
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
template <class T, class N>
auto sum_of_window(const T* columns, N n) {
  constexpr int64_t kShort = 16;  // a call takes longer than that
  std::conditional_t<std::is_integral_v<T>, int64_t, T> total = 0;
  if constexpr (std::is_floating_point_v<T>)
    if (n >= kShort) return lanes(T{}).sum(columns, n);
  for (int64_t k = 0; k < n; ++k) total += columns[k];
  return total;
}

}  // namespace

void avg_pool(const PoolGeometry& g, const Array& x, const Array& y) {
  if (y.numel == 0) return;
  with_compute_type(y, [&](const Array& out) {
    Array from = as_contiguous(x, out.dtype);
    dispatch_numbers(out.dtype, "avg_pool", [&]<class T>(T) {
      using Total = std::conditional_t<std::is_integral_v<T>, int64_t, T>;
      const PoolWindows& last = g.dims[2];
      const Regular regular = regular_windows(last);
      const bool of_rows = is_of_rows(g), by_columns = is_by_columns<T>(g, regular),
                 of_few = are_few(g, regular);
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
              if (of_few) {
                const FewWindows<T> few(g, d, h, plane);
                int64_t start = last.start[static_cast<size_t>(w)];
                auto sums = [&](auto extent) {
                  for (int64_t i = w; i < w + count; ++i, start += regular.apart) {
                    Total total = 0;
                    for (int64_t r = 0; r < few.rows; ++r)
                      total += sum_of_window(few.row[r] + start, extent);
                    put(i, total);
                  }
                };
                if (regular.extent == 2)
                  sums(std::integral_constant<int64_t, 2>());
                else
                  sums(regular.extent);
                return;
              }
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
