// Eigenvalues and eigenvectors of tridiagonal matrices, by halves.
//
// Note [Halves of a tridiagonal matrix]
// Cuppen's way: without the element that joins them both halves are solved, and in the basis of
// their eigenvectors the whole is diag(d) + rho·z·zᵀ. Where z is nothing beside rounding, or can be
// made so by a rotation of two rows whose values are as good as equal, an eigenvector stays. The
// other values are the zeros of a rational function, and for orthogonal vectors z is replaced by
// the one for which these zeros are exact (Gu and Eisenstat). Vectors are rows. Those of a half are
// zero in the columns of the other, so products that make new ones are made of two, and leave out
// what is zero. Small parts are shared among threads, and then the steps of larger ones.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>

#include "base/thread_pool.h"
#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_ql.h"
#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {

template <class T>
class TridiagonalHalves {
 public:
  explicit TridiagonalHalves(int64_t n)
      : n_(n),
        rows_(n, n),
        old_(n, n),
        roots_(n, n),
        vectors_(4 * n),
        order_(n),
        merged_(n),
        kept_(n),
        dropped_(n),
        kind_(n),
        starts_(n / kLeaf + 2) {}

  // Replaces d by the eigenvalues, smallest first, and makes v's columns the eigenvectors of the
  // matrix with the diagonal d and e beside it, whose largest element is about 1. Returns how many
  // eigenvalues did not converge.
  int run(T* d, T* e, T* v) {
    d_ = d;
    e_ = e;
    failed_.store(0, std::memory_order_relaxed);
    std::fill_n(rows_.row(0), n_ * rows_.stride(), T(0));
    count_ = 0;
    divide(0, n_, false);
    starts_[count_] = n_;
    parallel_for(count_, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) solve(starts_[i], starts_[i + 1], kLeaf);
    });
    solve(0, n_, kAlone);
    T* sorted = vectors_.get();
    for (int64_t j = 0; j < n_; ++j) sorted[j] = d[order_[j]];
    std::copy_n(sorted, n_, d);
    constexpr int64_t kTile = 16;  // whole cache lines on both sides
    parallel_for(n_, 4 * kTile, [&](int64_t begin, int64_t end) {
      for (int64_t i0 = begin; i0 < end; i0 += kTile)
        for (int64_t j = 0; j < n_; ++j) {
          const T* row = rows_.row(order_[j]);
          for (int64_t i = i0; i < std::min(end, i0 + kTile); ++i) v[i * n_ + j] = row[i];
        }
    });
    return failed_.load(std::memory_order_relaxed);
  }

 private:
  // Up to kLeaf rows are solved by rotations, up to kAlone by one thread.
  static constexpr int64_t kLeaf = 64, kAlone = 128;

  static int64_t middle(int64_t begin, int64_t end) {
    return begin + ((end - begin) / 2 + 8) / 16 * 16;  // whole cache lines
  }
  // Takes out the elements that join parts, and notes those that one thread solves.
  void divide(int64_t begin, int64_t end, bool alone) {
    if (!alone && end - begin <= kAlone) {
      alone = true;
      starts_[count_++] = begin;
    }
    if (end - begin <= kLeaf) return;
    const int64_t mid = middle(begin, end);
    const T size = std::abs(e_[mid - 1]);
    d_[mid - 1] -= size;
    d_[mid] -= size;
    divide(begin, mid, alone);
    divide(mid, end, alone);
  }
  // Parts of `done` rows and fewer have been solved.
  void solve(int64_t begin, int64_t end, int64_t done) {
    if (end - begin <= done) {
      if (done == kLeaf) leaf(begin, end - begin);
      return;
    }
    const int64_t mid = middle(begin, end);
    solve(begin, mid, done);
    solve(mid, end, done);
    join(begin, mid, end);
  }

  void leaf(int64_t begin, int64_t n) {
    alignas(64) T z[kLeaf * kLeaf] = {};
    T e[kLeaf], turns[2 * kLeaf];
    const int64_t stride = LinedMatrix<T>::line_of(n + LinedMatrix<T>::kLine - 1);
    for (int64_t i = 0; i < n; ++i) {
      z[i * stride + i] = 1;
      e[i] = i + 1 < n ? e_[begin + i] : T(0);
    }
    if (int lost = ql_eigen(n, d_ + begin, e, z, stride, turns)) failed_ += lost;
    for (int64_t i = 0; i < n; ++i) std::copy_n(z + i * stride, n, rows_.row(begin + i) + begin);
    int32_t* order = order_.get() + begin;
    ascending_order(d_ + begin, n, order);
    for (int64_t i = 0; i < n; ++i) order[i] += static_cast<int32_t>(begin);
  }

  enum Kind : int8_t { kFirst, kBoth, kSecond };

  // Sorts the rows of [begin, end), each half of which is sorted, by their values.
  void merge(const int32_t* first, const int32_t* mid, const int32_t* last, int32_t* to) {
    std::merge(first, mid, mid, last, to, [&](int32_t i, int32_t j) { return d_[i] < d_[j]; });
  }

  // What remains to be solved of two halves: rows kept_[begin ...], `kept` of them, the others
  // being dropped_[begin ...], sorted.
  int64_t deflate(int64_t begin, int64_t mid, int64_t end, T* z, T rho) {
    const int32_t* merged = merged_.get() + begin;
    int32_t *kept = kept_.get() + begin, *dropped = dropped_.get() + begin;
    const int64_t n = end - begin;
    T largest = 0, largest_z = 0;
    for (int64_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::abs(d_[i]));
      largest_z = std::max(largest_z, std::abs(z[i]));
      kind_[i] = i < mid ? kFirst : kSecond;
    }
    const T tolerance = 4 * std::numeric_limits<T>::epsilon() * std::max(largest, largest_z);
    int64_t count = 0, out = 0;
    auto drop = [&](int32_t i) {
      int64_t at = out++;
      for (; at > 0 && d_[dropped[at - 1]] > d_[i]; --at) dropped[at] = dropped[at - 1];
      dropped[at] = i;
    };
    int32_t last = -1;
    for (int64_t k = 0; k < n; ++k) {
      const int32_t j = merged[k];
      if (rho * std::abs(z[j]) <= tolerance) {
        drop(j);
        continue;
      }
      if (last >= 0) {
        const T length = std::hypot(z[j], z[last]), c = z[j] / length, s = z[last] / length;
        if (std::abs((d_[j] - d_[last]) * c * s) <= tolerance) {
          rotate(last, j, c, s, begin, end);
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
  void rotate(int64_t i, int64_t j, T c, T s, int64_t begin, int64_t end) {
    T *x = rows_.row(i), *y = rows_.row(j);
    for (int64_t k = begin; k < end; ++k) {
      const T a = x[k], b = y[k];
      x[k] = c * a - s * b;
      y[k] = c * b + s * a;
    }
    const T di = d_[i], dj = d_[j];
    d_[i] = di * (c * c) + dj * (s * s);
    d_[j] = di * (s * s) + dj * (c * c);
  }

  void join(int64_t begin, int64_t mid, int64_t end) {
    const int64_t n = end - begin;
    T *z = vectors_.get(), *w = z + n_ + begin, *poles = z + 2 * n_ + begin,
      *left = z + 3 * n_ + begin;
    const T joint = e_[mid - 1], half = std::numbers::sqrt2_v<T> / 2, rho = 2 * std::abs(joint);
    for (int64_t i = begin; i < mid; ++i) z[i] = rows_.row(i)[mid - 1] * half;
    for (int64_t i = mid; i < end; ++i) z[i] = rows_.row(i)[mid] * (joint < 0 ? -half : half);
    const int32_t* order = order_.get();
    int32_t* merged = merged_.get() + begin;
    merge(order + begin, order + mid, order + end, merged);
    const int64_t kept = deflate(begin, mid, end, z, rho);
    const int32_t *solved = kept_.get() + begin, *dropped = dropped_.get() + begin;
    for (int64_t i = 0; i < kept; ++i) {
      poles[i] = d_[solved[i]];
      w[i] = z[solved[i]];
    }
    for (int64_t i = kept; i < n; ++i) left[i] = d_[dropped[i - kept]];
    // Column p of the new basis belongs to row kept_[places[p]]: the kinds one after another.
    int32_t* places = merged;
    int64_t counts[3] = {}, put = 0;
    for (int kind : {kFirst, kBoth, kSecond})
      for (int64_t i = 0; i < kept; ++i)
        if (kind_[solved[i]] == kind) {
          places[put++] = static_cast<int32_t>(i);
          ++counts[kind];
        }
    const int64_t cheap = std::max<int64_t>(1, kParallelGrain / n);
    parallel_for(n, cheap, [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p)
        std::copy_n(rows_.row(p < kept ? solved[places[p]] : dropped[p - kept]) + begin, n,
                    old_.row(begin + p) + begin);
    });
    find_vectors(begin, kept, poles, w, z + begin, rho, places);
    const int64_t stride = rows_.stride();
    gemm(dtype_of<T>, matrix_at(roots_.row(begin), kept, counts[0] + counts[1], stride),
         matrix_at(old_.row(begin) + begin, counts[0] + counts[1], mid - begin, stride),
         matrix_at(rows_.row(begin) + begin, kept, mid - begin, stride));
    gemm(dtype_of<T>, matrix_at(roots_.row(begin) + counts[0], kept, counts[1] + counts[2], stride),
         matrix_at(old_.row(begin + counts[0]) + mid, counts[1] + counts[2], end - mid, stride),
         matrix_at(rows_.row(begin) + mid, kept, end - mid, stride));
    parallel_for(n - kept, cheap, [&](int64_t first, int64_t last) {
      for (int64_t p = begin + kept + first; p < begin + kept + last; ++p)
        std::copy_n(old_.row(p) + begin, n, rows_.row(p) + begin);
    });
    std::copy(left + kept, left + n, d_ + begin + kept);
    for (int64_t i = 0; i < n; ++i) merged[i] = static_cast<int32_t>(begin + i);
    merge(merged, merged + kept, merged + n, order_.get() + begin);
  }

  // The zeros, which become elements of d, and in the rows of roots_ the vectors that belong to
  // them, their elements at their places.
  void find_vectors(int64_t begin, int64_t n, const T* poles, const T* w, T* weights, T rho,
                    const int32_t* places) {
    constexpr int64_t kSome = 16;
    parallel_for(n, kSome, [&](int64_t first, int64_t last) {
      for (int64_t j = first; j < last; ++j) {
        lapack::Int info = 0;
        lapack::laed4(static_cast<lapack::Int>(n), static_cast<lapack::Int>(j + 1), poles, w,
                      roots_.row(begin + j), rho, d_ + begin + j, &info);
        if (info) ++failed_;
      }
    });
    const bool direct = n <= 2;  // which laed4 gives as vectors
    // The distances of the zeros from pole i are roots_[j][i].
    parallel_for(direct ? 0 : n, 4 * kSome, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) weights[i] = roots_.row(begin + i)[i];
      for (int64_t j = 0; j < n; ++j) {
        const T *row = roots_.row(begin + j), pole = poles[j];
        for (int64_t i = first; i < std::min(j, last); ++i)
          weights[i] *= row[i] / (poles[i] - pole);
        for (int64_t i = std::max(j + 1, first); i < last; ++i)
          weights[i] *= row[i] / (poles[i] - pole);
      }
      for (int64_t i = first; i < last; ++i)
        weights[i] = std::copysign(std::sqrt(std::abs(weights[i])), w[i]);
    });
    parallel_for(n, kSome, [&](int64_t first, int64_t last) {
      Scratch<T> vector(n);
      for (int64_t j = first; j < last; ++j) {
        T *row = roots_.row(begin + j), *x = vector.get();
        for (int64_t i = 0; i < n; ++i) x[i] = direct ? row[i] : weights[i] / row[i];
        const T scale = 1 / std::sqrt(dot_of(x, x, n));
        for (int64_t p = 0; p < n; ++p) row[p] = x[places[p]] * scale;
      }
    });
  }

  int64_t n_;
  T *d_ = nullptr, *e_ = nullptr;
  LinedMatrix<T> rows_, old_, roots_;
  Scratch<T> vectors_;
  Scratch<int32_t> order_, merged_, kept_, dropped_;
  Scratch<Kind> kind_;
  Scratch<int64_t> starts_;
  int64_t count_ = 0;
  std::atomic<int> failed_{0};
};

}  // namespace fastgrad
