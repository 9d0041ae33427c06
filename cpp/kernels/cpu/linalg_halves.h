// What divisions in halves have in common: of tridiagonal matrices for their eigenvectors, and of
// bidiagonal ones for their singular vectors.
//
// Note [Halves of a few diagonals]
// Cuppen's way: without the row or element that joins them both halves are solved, and in the basis
// of their vectors the whole is a diagonal beside one more vector z. Where z is nothing beside
// rounding, or can be made so by a rotation of two rows whose values are as good as equal, a vector
// stays. The other values are the zeros of a rational function, and for orthogonal vectors z is
// replaced by the one for which these zeros are exact (Gu and Eisenstat). Vectors are rows. Those
// of a half are zero in the columns of the other, so products that make new ones are made of two,
// and leave out what is zero. Small parts are shared among threads, and then the steps of larger
// ones.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/thread_pool.h"
#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_parts.h"
#include "kernels/cpu/linalg_ql.h"
#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {

template <class T>
class Halves {
 protected:
  // `gap` rows between two halves belong to neither.
  Halves(int64_t n, int64_t gap)
      : n_(n),
        gap_(gap),
        old_(n, n),
        basis_(n, n),
        order_(n),
        places_(n),
        kept_(n),
        dropped_(n),
        kind_(n),
        starts_(n / 32 + 2) {}
  virtual ~Halves() = default;

  // Up to kLeaf rows are solved by rotations, up to kAlone by one thread.
  static constexpr int64_t kLeaf = 63, kAlone = 127;
  // Vectors that a thread takes at a time.
  static constexpr int64_t kSome = 16;

  // Rows [begin, end) by themselves.
  virtual void leaf(int64_t begin, int64_t end) = 0;
  // Takes out what joins the halves that end and begin before and at row `mid`.
  virtual void part(int64_t mid) = 0;
  // Solves [begin, end) from its halves; the second one begins at `mid`.
  virtual void join(int64_t begin, int64_t mid, int64_t end) = 0;

  // Replaces d by the values. Returns how many did not converge.
  int solve_all(T* d, T* e) {
    d_ = d;
    e_ = e;
    failed_.store(0, std::memory_order_relaxed);
    count_ = 0;
    divide(0, n_, false);
    parallel_for(count_, 1, [&](int64_t first, int64_t last) FG_ONCE {
      for (int64_t i = first; i < last; ++i)
        solve(starts_[i], i + 1 < count_ ? starts_[i + 1] - gap_ : n_, kLeaf);
    });
    solve(0, n_, kAlone);
    return failed_.load(std::memory_order_relaxed);
  }

  // The row of the j-th value in ascending order.
  int64_t ordered(int64_t j) { return order_[j]; }
  // The columns of v, whose rows are `stride` apart, are the rows, ordered.
  void write_columns(LinedMatrix<T>& rows, T* v, int64_t stride, bool descending) {
    constexpr int64_t kTile = 16;  // whole cache lines on both sides
    parallel_for(n_, 4 * kTile, [&](int64_t begin, int64_t end) FG_ONCE {
      for (int64_t i0 = begin; i0 < end; i0 += kTile)
        for (int64_t j = 0; j < n_; ++j) {
          const T* row = rows.row(ordered(descending ? n_ - 1 - j : j));
          for (int64_t i = i0; i < std::min(end, i0 + kTile); ++i) v[i * stride + j] = row[i];
        }
    });
  }
  // Notes the values' order in a leaf.
  void note_order(int64_t begin, int64_t n) {
    int32_t* order = order_.get() + begin;
    ascending_order(d_ + begin, n, order);
    for (int64_t i = 0; i < n; ++i) order[i] += static_cast<int32_t>(begin);
  }
  void note_failure() { failed_.fetch_add(1, std::memory_order_relaxed); }

  // All rows of both halves by their values are now places_[begin ...].
  void merge_halves(int64_t begin, int64_t mid, int64_t end) {
    const int32_t* order = order_.get();
    merge(order + begin, order + mid - gap_, order + mid, order + end, places_.get() + begin);
    for (int64_t i = begin; i < end; ++i) kind_[i] = i < mid ? kFirst : kSecond;
  }

  // Row i remains to be solved in any case, as the first one.
  void keep(int64_t begin, int64_t i) {
    kept_[begin] = static_cast<int32_t>(i);
    kind_[i] = kBoth;
  }
  // Which rows of n remain to be solved: kept_ from begin + `count` on. The others, dropped_ from
  // begin on, are sorted. turn(i, j, c, s) rotates rows i and j so that i has no part in z.
  template <class Close, class Turn>
  int64_t deflate(int64_t begin, int64_t n, int64_t count, T* z, T tolerance, T weight,
                  Close&& close, Turn&& turn) {
    const int32_t* merged = places_.get() + begin;
    int32_t *kept = kept_.get() + begin, *dropped = dropped_.get() + begin;
    int64_t out = 0;
    auto drop = [&](int32_t i) {
      int64_t at = out++;
      for (; at > 0 && d_[dropped[at - 1]] > d_[i]; --at) dropped[at] = dropped[at - 1];
      dropped[at] = i;
    };
    int32_t last = -1;
    for (int64_t k = 0; k < n; ++k) {
      const int32_t j = merged[k];
      if (weight * std::abs(z[j]) <= tolerance) {
        drop(j);
        continue;
      }
      if (last >= 0) {
        const T length = std::hypot(z[j], z[last]), c = z[j] / length, s = z[last] / length;
        if (close(d_[j] - d_[last], c, s)) {
          turn(last, j, c, s);
          z[j] = length;
          z[last] = 0;
          if (kind_[last] != kind_[j]) kind_[j] = kBoth;
          drop(last);
        } else {
          kept[count++] = last;
        }
      }
      last = j;
    }
    if (last >= 0) kept[count++] = last;
    return count;
  }
  static void rotate(T* x, T* y, T c, T s, int64_t n) {
    for (int64_t k = 0; k < n; ++k) {
      const T a = x[k], b = y[k];
      x[k] = c * a - s * b;
      y[k] = c * b + s * a;
    }
  }

  enum Kind : int8_t { kFirst, kBoth, kSecond };  // where a row is not zero
  struct Counts {
    int64_t of[3] = {};
  };
  // Column p of a new basis belongs to row kept_[places_[p]]: the kinds one after another.
  Counts place(int64_t begin, int64_t kept) {
    Counts counts;
    int64_t put = begin;
    for (int kind : {kFirst, kBoth, kSecond})
      for (int64_t i = 0; i < kept; ++i)
        if (kind_[kept_[begin + i]] == kind) {
          places_[put++] = static_cast<int32_t>(i);
          ++counts.of[kind];
        }
    return counts;
  }

  // A row of a basis: vector(i) for row kept_[i], divided by the length. x has room for n elements.
  template <class F>
  void normalise(T* row, int64_t begin, int64_t n, T* x, F&& vector) {
    for (int64_t i = 0; i < n; ++i) x[i] = vector(i);
    T square = dot_of(x, x, n);
    if (!std::isnormal(square)) [[unlikely]] {
      const T size = power_near(largest_of(x, n));
      for (int64_t i = 0; i < n; ++i) x[i] /= size;
      square = dot_of(x, x, n);
    }
    const T scale = 1 / std::sqrt(square);
    const int32_t* places = places_.get() + begin;
    for (int64_t p = 0; p < n; ++p) row[p] = x[places[p]] * scale;
  }

  // New rows [begin, end), in the columns [begin, last), whose second half begins at `mid`: those
  // that the basis makes of kept ones, then those that were dropped.
  void renew(LinedMatrix<T>& rows, LinedMatrix<T>& basis, int64_t begin, int64_t mid, int64_t end,
             int64_t last, int64_t kept, const Counts& counts) {
    const int64_t n = end - begin, width = last - begin, stride = rows.stride();
    const int64_t cheap = std::max<int64_t>(1, kParallelGrain / width);
    parallel_for(n, cheap, [&](int64_t from, int64_t to) FG_ONCE {
      for (int64_t p = from; p < to; ++p) {
        const int64_t i = p < kept ? kept_[begin + places_[begin + p]] : dropped_[begin + p - kept];
        std::copy_n(rows.row(i) + begin, width, old_.row(begin + p) + begin);
      }
    });
    auto multiply = [&](int64_t first, int64_t count, int64_t col, int64_t cols) {
      gemm(dtype_of<T>, matrix_at(basis.row(begin) + first, kept, count, stride),
           matrix_at(old_.row(begin + first) + col, count, cols, stride),
           matrix_at(rows.row(begin) + col, kept, cols, stride));
    };
    multiply(0, counts.of[kFirst] + counts.of[kBoth], begin, mid - begin);
    multiply(counts.of[kFirst], counts.of[kBoth] + counts.of[kSecond], mid, last - mid);
    parallel_for(n - kept, cheap, [&](int64_t from, int64_t to) FG_ONCE {
      for (int64_t p = begin + kept + from; p < begin + kept + to; ++p)
        std::copy_n(old_.row(p) + begin, width, rows.row(p) + begin);
    });
  }
  // Notes the order of the new rows' values, of which those kept and those dropped are sorted.
  void merge_new(int64_t begin, int64_t kept, int64_t end) {
    int32_t* all = places_.get();
    for (int64_t i = begin; i < end; ++i) all[i] = static_cast<int32_t>(i);
    merge(all + begin, all + begin + kept, all + begin + kept, all + end, order_.get() + begin);
  }

  int64_t n_, gap_;
  T *d_ = nullptr, *e_ = nullptr;
  LinedMatrix<T> old_, basis_;
  Scratch<int32_t> order_, places_, kept_, dropped_;

 private:
  static int64_t middle(int64_t begin, int64_t end) {
    return begin + ((end - begin) / 2 + 8) / 16 * 16;  // whole cache lines
  }
  // Notes the parts that one thread solves, too.
  void divide(int64_t begin, int64_t end, bool alone) {
    if (!alone && end - begin <= kAlone) {
      alone = true;
      starts_[count_++] = begin;
    }
    if (end - begin <= kLeaf) return;
    const int64_t mid = middle(begin, end);
    part(mid);
    divide(begin, mid - gap_, alone);
    divide(mid, end, alone);
  }
  // Parts of `done` rows and fewer have been solved.
  void solve(int64_t begin, int64_t end, int64_t done) {
    if (end - begin <= done) {
      if (done == kLeaf) leaf(begin, end);
      return;
    }
    const int64_t mid = middle(begin, end);
    solve(begin, mid - gap_, done);
    solve(mid, end, done);
    join(begin, mid, end);
  }
  void merge(const int32_t* first, const int32_t* first_end, const int32_t* second,
             const int32_t* second_end, int32_t* to) {
    std::merge(first, first_end, second, second_end, to,
               [&](int32_t i, int32_t j) { return d_[i] < d_[j]; });
  }

  Scratch<Kind> kind_;
  Scratch<int64_t> starts_;
  int64_t count_ = 0;
  std::atomic<int> failed_{0};
};

}  // namespace fastgrad
