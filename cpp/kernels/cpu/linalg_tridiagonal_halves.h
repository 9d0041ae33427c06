// Eigenvectors of tridiagonal matrices; see Note [Halves of a few diagonals].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "kernels/cpu/linalg_halves.h"

namespace fastgrad {

// In the basis of its halves' vectors a matrix is diag(d) + rho·z·zᵀ.
template <class T>
class TridiagonalHalves : Halves<T> {
 public:
  explicit TridiagonalHalves(int64_t n) : Halves<T>(n, 0), rows_(n, n), vectors_(4 * n) {}

  // Replaces d by the eigenvalues, smallest first, and makes v's columns the eigenvectors of the
  // matrix with the diagonal d and e beside it, whose largest element is about 1. Returns how many
  // eigenvalues did not converge.
  int run(T* d, T* e, T* v) {
    std::fill_n(rows_.row(0), n_ * rows_.stride(), T(0));
    const int lost = this->solve_all(d, e);
    T* sorted = vectors_.get();
    for (int64_t j = 0; j < n_; ++j) sorted[j] = d[this->ordered(j)];
    std::copy_n(sorted, n_, d);
    this->write_columns(rows_, v, n_, false);
    return lost;
  }

 private:
  using Base = Halves<T>;
  using Base::basis_, Base::d_, Base::dropped_, Base::e_, Base::kept_, Base::kLeaf, Base::kSome,
      Base::n_;

  void part(int64_t mid) override {
    const T size = std::abs(e_[mid - 1]);
    d_[mid - 1] -= size;
    d_[mid] -= size;
  }

  void leaf(int64_t begin, int64_t end) override {
    constexpr int64_t kMost = kLeaf + 1;
    alignas(64) T z[kMost * kMost] = {};
    T e[kMost], turns[2 * kMost];
    const int64_t n = end - begin, stride = LinedMatrix<T>::line_of(n + LinedMatrix<T>::kLine - 1);
    for (int64_t i = 0; i < n; ++i) {
      z[i * stride + i] = 1;
      e[i] = i + 1 < n ? e_[begin + i] : T(0);
    }
    if (ql_eigen(n, d_ + begin, e, z, stride, turns)) this->note_failure();
    for (int64_t i = 0; i < n; ++i) std::copy_n(z + i * stride, n, rows_.row(begin + i) + begin);
    this->note_order(begin, n);
  }

  void join(int64_t begin, int64_t mid, int64_t end) override {
    const int64_t n = end - begin;
    T *z = vectors_.get(), *w = z + n_ + begin, *poles = z + 2 * n_ + begin,
      *left = z + 3 * n_ + begin;
    const T joint = e_[mid - 1], half = std::numbers::sqrt2_v<T> / 2, rho = 2 * std::abs(joint);
    T largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      z[i] =
          i < mid ? rows_.row(i)[mid - 1] * half : rows_.row(i)[mid] * (joint < 0 ? -half : half);
      largest = std::max({largest, std::abs(d_[i]), std::abs(z[i])});
    }
    const T tolerance = 4 * std::numeric_limits<T>::epsilon() * largest;
    this->merge_halves(begin, mid, end);
    auto close = [&](T distance, T c, T s) { return std::abs(distance * c * s) <= tolerance; };
    auto turn = [&](int64_t i, int64_t j, T c, T s) {
      Base::rotate(rows_.row(i) + begin, rows_.row(j) + begin, c, s, n);
      const T di = d_[i], dj = d_[j];
      d_[i] = di * (c * c) + dj * (s * s);
      d_[j] = di * (s * s) + dj * (c * c);
    };
    const int64_t kept = this->deflate(begin, n, 0, z, tolerance, rho, close, turn);
    for (int64_t i = 0; i < kept; ++i) {
      poles[i] = d_[kept_[begin + i]];
      w[i] = z[kept_[begin + i]];
    }
    for (int64_t i = kept; i < n; ++i) left[i] = d_[dropped_[begin + i - kept]];
    const auto counts = this->place(begin, kept);
    find_vectors(begin, kept, poles, w, z + begin, rho);
    this->renew(rows_, basis_, begin, mid, end, end, kept, counts);
    std::copy(left + kept, left + n, d_ + begin + kept);
    this->merge_new(begin, kept, end);
  }

  // The zeros, which become elements of d, and the basis.
  void find_vectors(int64_t begin, int64_t n, const T* poles, const T* w, T* weights, T rho) {
    parallel_for(n, kSome, [&](int64_t first, int64_t last) FG_ONCE {
      for (int64_t j = first; j < last; ++j) {
        lapack::Int info = 0;
        lapack::laed4(static_cast<lapack::Int>(n), static_cast<lapack::Int>(j + 1), poles, w,
                      basis_.row(begin + j), rho, d_ + begin + j, &info);
        if (info) this->note_failure();
      }
    });
    const bool direct = n <= 2;  // which laed4 gives as vectors
    // The distances of zero j from the poles are now row j.
    parallel_for(direct ? 0 : n, 4 * kSome, [&](int64_t first, int64_t last) FG_ONCE {
      for (int64_t i = first; i < last; ++i) weights[i] = basis_.row(begin + i)[i];
      for (int64_t j = 0; j < n; ++j) {
        const T *row = basis_.row(begin + j), pole = poles[j];
        auto some = [&](int64_t from, int64_t to) {
          for (int64_t i = from; i < to; ++i) weights[i] *= row[i] / (poles[i] - pole);
        };
        some(first, std::min(j, last));
        some(std::max(j + 1, first), last);
      }
      for (int64_t i = first; i < last; ++i)
        weights[i] = std::copysign(std::sqrt(std::abs(weights[i])), w[i]);
    });
    parallel_for(n, kSome, [&](int64_t first, int64_t last) FG_ONCE {
      Scratch<T> x(n);
      for (int64_t j = first; j < last; ++j) {
        T* row = basis_.row(begin + j);
        this->normalise(row, begin, n, x.get(),
                        [&](int64_t i) { return direct ? row[i] : weights[i] / row[i]; });
      }
    });
  }

  LinedMatrix<T> rows_;
  Scratch<T> vectors_;
};

}  // namespace fastgrad
