// Singular vectors of bidiagonal matrices; see Note [Halves of a few diagonals].
//
// Note [A row between halves]
// Rows [begin, end) reach one column further than they are many, but for the last ones. So there is
// a right vector without a value: row `end` of those, which the row after the part then uses. With
// that row, number `at`, between two halves, and the basis of their vectors, the whole is diag(d)
// with d[at] = 0 whose row `at` is replaced by z. A rotation has taken the second half's right
// vector without a value out of it, which becomes that of the whole.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/linalg_bidiagonal_qr.h"
#include "kernels/cpu/linalg_halves.h"

namespace fastgrad {

template <class T>
class BidiagonalHalves : Halves<T> {
 public:
  explicit BidiagonalHalves(int64_t n)
      : Halves<T>(n, 1), left_(n, n), right_(n, n), left_basis_(n, n), vectors_(4 * n) {}

  // Replaces d by the singular values, largest first, and makes the columns of u and v the singular
  // vectors of the upper bidiagonal matrix with the diagonal d and e beside it, whose largest
  // element is about 1. Rows of u are u_stride apart. Returns how many values did not converge.
  int run(T* d, T* e, T* u, int64_t u_stride, T* v) {
    std::fill_n(left_.row(0), n_ * left_.stride(), T(0));
    std::fill_n(right_.row(0), n_ * right_.stride(), T(0));
    const int lost = this->solve_all(d, e);
    T* sorted = vectors_.get();
    for (int64_t j = 0; j < n_; ++j) sorted[n_ - 1 - j] = d[this->ordered(j)];
    std::copy_n(sorted, n_, d);
    this->write_columns(left_, u, u_stride, true);
    this->write_columns(right_, v, n_, true);
    return lost;
  }

 private:
  using Base = Halves<T>;
  using Base::basis_, Base::d_, Base::dropped_, Base::e_, Base::kept_, Base::kLeaf, Base::kSome,
      Base::n_, Base::order_, Base::places_;

  void part(int64_t) override {}

  void leaf(int64_t begin, int64_t end) override {
    constexpr int64_t kMost = kLeaf + 1, kLine = LinedMatrix<T>::kLine;
    const int64_t n = end - begin, width = n + (end < n_),
                  stride = LinedMatrix<T>::line_of(width + kLine - 1);
    alignas(64) T ut[kMost * kMost] = {}, vt[kMost * kMost] = {};
    T *d = d_ + begin, e[kMost], turns[4 * kMost], largest = 0;
    for (int64_t i = 0; i < n; ++i) {
      e[i] = i + 1 < width ? e_[begin + i] : T(0);
      largest = std::max({largest, std::abs(d[i]), std::abs(e[i])});
    }
    const T size = power_near(largest), scale = 1 / size;
    for (int64_t i = 0; i < n; ++i) {
      d[i] *= scale;
      e[i] *= scale;
      ut[i * stride + n - 1 - i] = vt[i * stride + n - 1 - i] = 1;
    }
    if (width > n) {
      // Rotations of the column that is too many with each other one, from the last on.
      T* over = right_.row(end) + begin;
      over[n] = 1;
      T moved = e[n - 1];
      for (int64_t i = n; i-- > 0;) {
        const Rotation<T> turned(d[i], moved);
        T* row = vt + (n - 1 - i) * stride;
        Base::rotate(over, row, turned.cosine, turned.sine, width);
        d[i] = turned.length;
        if (i == 0) break;
        moved = -turned.sine * e[i - 1];
        e[i - 1] *= turned.cosine;
      }
    }
    if (bidiagonal_qr(n, d, e, ut, vt, stride, turns)) this->note_failure();
    for (int64_t i = 0; i < n; ++i) {
      T* row = right_.row(begin + i) + begin;
      const int64_t at = (n - 1 - i) * stride;
      std::copy_n(ut + at, n, left_.row(begin + i) + begin);
      for (int64_t j = 0; j < width; ++j) row[j] = d[i] < 0 ? -vt[at + j] : vt[at + j];
      d[i] = std::abs(d[i]) * size;
    }
    this->note_order(begin, n);
  }

  void join(int64_t begin, int64_t mid, int64_t end) override {
    const int64_t n = end - begin, at = mid - 1, last = std::min(end + 1, n_);
    T *z = vectors_.get(), *w = z + n_ + begin, *poles = z + 2 * n_ + begin,
      *rest = z + 3 * n_ + begin;
    // All of these are divided by a size, so that squares are far from underflow.
    T largest = std::max(std::abs(d_[at]), std::abs(e_[at]));
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(d_[i]));
    const T size = power_near(largest), scale = 1 / size,
            tolerance = 4 * std::numeric_limits<T>::epsilon() * largest * scale;
    left_.row(at)[at] = 1;
    this->merge_halves(begin, mid, end);
    if (largest < 16 * std::numeric_limits<T>::min()) return nothing_to_join(begin, at, n);
    const T first = d_[at] * scale, second = e_[at] * scale;
    for (int64_t i = begin; i < end; ++i) {
      d_[i] *= scale;
      z[i] = i <= at ? first * right_.row(i)[at] : second * right_.row(i)[mid];
    }
    d_[at] = 0;
    if (end < n_) {
      const T beyond = second * right_.row(end)[mid], length = std::hypot(z[at], beyond);
      if (length > tolerance)
        Base::rotate(right_.row(end) + begin, right_.row(at) + begin, z[at] / length,
                     beyond / length, last - begin);
      z[at] = length;
    }
    if (!(std::abs(z[at]) > tolerance)) z[at] = tolerance;
    auto close = [&](T distance, T, T) { return std::abs(distance) <= tolerance; };
    auto turn = [&](int64_t i, int64_t j, T c, T s) {
      Base::rotate(left_.row(i) + begin, left_.row(j) + begin, c, s, n);
      Base::rotate(right_.row(i) + begin, right_.row(j) + begin, c, s, last - begin);
    };
    this->keep(begin, at);
    const int64_t kept = this->deflate(begin, n - 1, 1, z, tolerance, T(1), close, turn);
    for (int64_t i = 0; i < kept; ++i) {
      poles[i] = d_[kept_[begin + i]];
      w[i] = z[kept_[begin + i]];
    }
    if (kept > 1) poles[1] = std::max(poles[1], tolerance / 2);
    for (int64_t i = kept; i < n; ++i) rest[i] = d_[dropped_[begin + i - kept]];
    const auto counts = this->place(begin, kept);
    find_vectors(begin, kept, poles, w, z + begin);
    this->renew(left_, left_basis_, begin, mid, end, end, kept, counts);
    this->renew(right_, basis_, begin, mid, end, last, kept, counts);
    std::copy(rest + kept, rest + n, d_ + begin + kept);
    for (int64_t i = begin; i < end; ++i) d_[i] *= size;
    this->merge_new(begin, kept, end);
  }

  // A part that is nothing beside the whole.
  void nothing_to_join(int64_t begin, int64_t at, int64_t n) {
    d_[at] = 0;
    order_[begin] = static_cast<int32_t>(at);
    std::copy_n(places_.get() + begin, n - 1, order_.get() + begin + 1);
  }

  // The zeros, which become elements of d, and both bases.
  void find_vectors(int64_t begin, int64_t n, const T* poles, T* w, T* weights) {
    const T length = std::sqrt(dot_of(w, w, n)), rho = length * length;
    for (int64_t i = 0; i < n; ++i) w[i] /= length;
    parallel_for(n, kSome, [&](int64_t first, int64_t last) FG_ONCE {
      Scratch<T> sums(n);
      for (int64_t j = first; j < last; ++j) {
        T* row = basis_.row(begin + j);
        lapack::Int info = 0;
        if (n == 1) {
          d_[begin] = length;
          row[0] = -length;
          sums[0] = length;
        } else {
          lapack::lasd4(static_cast<lapack::Int>(n), static_cast<lapack::Int>(j + 1), poles, w, row,
                        rho, d_ + begin + j, sums.get(), &info);
        }
        if (info) this->note_failure();
        for (int64_t i = 0; i < n; ++i) row[i] *= sums[i];
      }
    });
    // Row j is now the squares of the poles minus that of zero j.
    parallel_for(n, 4 * kSome, [&](int64_t first, int64_t last) FG_ONCE {
      for (int64_t i = first; i < last; ++i) weights[i] = basis_.row(begin + n - 1)[i];
      for (int64_t j = 0; j + 1 < n; ++j) {
        const T* row = basis_.row(begin + j);
        auto some = [&](int64_t from, int64_t to, T pole) {
          for (int64_t i = from; i < to; ++i)
            weights[i] *= row[i] / (poles[i] - pole) / (poles[i] + pole);
        };
        some(first, std::min(j + 1, last), poles[j + 1]);
        some(std::max(j + 1, first), last, poles[j]);
      }
      for (int64_t i = first; i < last; ++i)
        weights[i] = std::copysign(std::sqrt(std::abs(weights[i])), w[i]);
    });
    parallel_for(n, kSome, [&](int64_t first, int64_t last) FG_ONCE {
      Scratch<T> x(n);
      for (int64_t j = first; j < last; ++j) {
        T* row = basis_.row(begin + j);
        this->normalise(left_basis_.row(begin + j), begin, n, x.get(),
                        [&](int64_t i) { return i == 0 ? T(-1) : poles[i] * weights[i] / row[i]; });
        this->normalise(row, begin, n, x.get(), [&](int64_t i) { return weights[i] / row[i]; });
      }
    });
  }

  LinedMatrix<T> left_, right_, left_basis_;
  Scratch<T> vectors_;
};

}  // namespace fastgrad
