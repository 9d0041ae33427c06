// Eigenvalues and eigenvectors of symmetric 4 x 4 matrices: see Note [Small eigenproblems] in
// linalg_ql.h.
//
// Note [Two rotations at once]
// A rotation takes its time waiting, for two roots and a quotient, and those of the QL method wait
// for one another. Jacobi's come in pairs that share no row: (01)(23), (02)(31), (03)(12). Here a
// pair shares its registers too, and so waits once; three or four sweeps of three pairs are the
// rule. With fewer rows there are no such pairs, and with more the sweeps take too long.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/linalg_ql.h"

namespace fastgrad {

template <class T>
class SymmetricFour {
 public:
  // As small_symmetric_eigen, or -1 where an element is not finite.
  [[gnu::noinline]] int run(const T* from, bool lower, T* w, T* v) {
    const int64_t row_step = lower ? 4 : 1, col_step = lower ? 1 : 4;
    T a[4][4], largest = 0, nothing = 0;
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        a[i][j] = from[i * row_step + j * col_step];
        largest = std::max(largest, std::abs(a[i][j]));
        nothing += a[i][j] * 0;
      }
    if (!(nothing == 0)) return -1;
    const T size = power_near(largest), scale = 1 / size;
    low_ = Pair{a[0][0], a[2][2]} * scale;
    high_ = Pair{a[1][1], a[3][3]} * scale;
    within_ = Pair{a[1][0], a[3][2]} * scale;
    top_ = Pair{a[2][0], a[3][0]} * scale;
    bottom_ = Pair{a[2][1], a[3][1]} * scale;
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < 4; ++j) v_[i][j] = i == j;
    if (!converge()) return 1;
    const T values[4] = {low_[0], high_[0], low_[1], high_[1]};
    int32_t order[4];
    ascending_order(values, 4, order);
    for (int64_t j = 0; j < 4; ++j) {
      w[j] = values[order[j]] * size;
      for (int64_t i = 0; v && i < 4; ++i) v[i * 4 + j] = v_[order[j]][i];
    }
    return 0;
  }

 private:
  // Of the rotations of rows 0 with 1 and 2 with 3.
  typedef T Pair __attribute__((vector_size(2 * sizeof(T))));
  using Truth = decltype(Pair() < Pair());
  struct Turns {
    Pair cosine, sine;
  };

  static constexpr T kEpsilon = std::numeric_limits<T>::epsilon() / 2;
  // Beside a largest element of about 1 this is far less than rounding.
  static constexpr T kNothing = kEpsilon * kEpsilon;

  static Pair root(Pair x) { return Pair{std::sqrt(x[0]), std::sqrt(x[1])}; }
  static Pair size_of(Pair x) { return x < 0 ? -x : x; }
  static bool any(Truth x) { return x[0] | x[1]; }
  // Whether x, between the diagonal's p and q, is more than rounding.
  static Truth counts(Pair x, Pair p, Pair q) {
    return x * x > kEpsilon * kEpsilon * size_of(p * q) + kNothing * kNothing;
  }

  // Makes x, between p and q, zero where it counts.
  static Turns turn(Truth counting, Pair x, Pair& p, Pair& q) {
    const Pair one = {T(1), T(1)}, zero = {}, difference = q - p, twice = x + x,
               length = root(difference * difference + twice * twice), both = length + length,
               h = size_of(difference) + length, square = both * h, quotient = one / square,
               inverse = root(square) * quotient, sign = difference < 0 ? -twice : twice,
               moved = counting ? sign * x * both * quotient : zero;
    p -= moved;
    q += moved;
    return {counting ? h * inverse : one, counting ? sign * inverse : zero};
  }

  static void turn_rows(T cosine, T sine, T* x, T* y) {
    for (int64_t i = 0; i < 4; i += 2) {
      Pair &p = *reinterpret_cast<Pair*>(x + i), &q = *reinterpret_cast<Pair*>(y + i);
      const Pair old = p;
      p = cosine * old - sine * q;
      q = sine * old + cosine * q;
    }
  }

  bool converge() {
    Pair low = low_, high = high_, within = within_, top = top_, bottom = bottom_;
    T *v0 = v_[0], *v1 = v_[1], *v2 = v_[2], *v3 = v_[3];
    for (int step = 0; step < 3 * 40; ++step) {
      const Truth counting = counts(within, low, high);
      if (step % 3 == 0) {
        const Pair right = {low[1], high[1]};
        if (!any(counting | counts(top, Pair{low[0], low[0]}, right) |
                 counts(bottom, Pair{high[0], high[0]}, right))) {
          low_ = low;
          high_ = high;
          return true;
        }
      }
      if (any(counting)) {
        const Turns by = turn(counting, within, low, high);
        const T c = by.cosine[0], s = by.sine[0];
        const Pair p = c * top - s * bottom, q = s * top + c * bottom, left = {p[0], q[0]},
                   right = {p[1], q[1]};
        within = Pair{};
        // As columns now.
        top = by.cosine[1] * left - by.sine[1] * right;
        bottom = by.sine[1] * left + by.cosine[1] * right;
        turn_rows(c, s, v0, v1);
        turn_rows(by.cosine[1], by.sine[1], v2, v3);
      } else {
        const Pair left = {top[0], bottom[0]};
        bottom = Pair{top[1], bottom[1]};
        top = left;
      }
      // The order of rows becomes 0 2 3 1.
      const Pair left = top, right = bottom;
      top = Pair{right[0], within[0]};
      bottom = Pair{within[1], left[1]};
      within = Pair{left[0], right[1]};
      const Pair old_low = low;
      low = Pair{low[0], high[1]};
      high = Pair{old_low[1], high[0]};
      T* const v = v1;
      v1 = v2;
      v2 = v3;
      v3 = v;
    }
    return false;
  }

  // The diagonal's rows 0 and 2, 1 and 3; the elements (0, 1) and (2, 3); rows 0 and 1 in columns 2
  // and 3; and the eigenvectors as rows.
  Pair low_, high_, within_, top_, bottom_;
  alignas(16) T v_[4][4];
};

}  // namespace fastgrad
