#include "kernels/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "kernels/copy.h"

namespace fastgrad {
namespace {

constexpr int kBatch = 16;  // blocks made together, so that the compiler can make them side by side

// Calls f(i, words) for runs of `per_block` elements, each with its block.
template <class F>
void for_blocks(RandomStream s, int64_t n, int per_block, F&& f) {
  RandomBlock blocks[kBatch];
  for (int64_t i = 0; i < n; i += int64_t{kBatch} * per_block) {
    philox<kBatch>(s.seed, s.block + static_cast<uint64_t>(i / per_block), 0, blocks);
    for (int b = 0; b < kBatch && i + b * per_block < n; ++b) f(i + b * per_block, blocks[b]);
  }
}

uint64_t word64(const RandomBlock& w, int k) { return uint64_t{w[2 * k]} << 32 | w[2 * k + 1]; }
// In [0, 1), all 53 bits random.
double uniform64(uint64_t w) { return static_cast<double>(w >> 11) * 0x1p-53; }
// In (0, 1).
double open_uniform64(uint64_t w) { return (static_cast<double>(w >> 12) + 0.5) * 0x1p-52; }

// Calls f(i, w) with 64 random bits for each element.
template <class F>
void for_words64(RandomStream s, int64_t n, F&& f) {
  for_blocks(s, n, 2, [&](int64_t i, const RandomBlock& w) {
    f(i, word64(w, 0));
    if (i + 1 < n) f(i + 1, word64(w, 1));
  });
}

// Elements [begin, begin + n) of a result at a time, made in type V and converted: one loop for all
// element types. make(values, begin, n) puts them.
template <class V, class F>
void fill_in_pieces(const Array& out, F&& make) {
  if (out.dtype == dtype_of<V>) return make(out.ptr<V>(), int64_t{0}, out.numel);
  constexpr int64_t kPiece = 512;
  const CastKernel cast = cast_kernel(dtype_of<V>, out.dtype);
  const auto size = static_cast<int64_t>(itemsize(out.dtype));
  V values[kPiece];
  for (int64_t i = 0; i < out.numel; i += kPiece) {
    const int64_t n = std::min(kPiece, out.numel - i);
    make(values, i, n);
    cast(reinterpret_cast<const char*>(values), 1, out.data + i * size, 1, n);
  }
}

// value(i, w) for each element, with 64 random bits.
template <class V, class F>
void fill_from_words(const Array& out, RandomStream s, F&& value) {
  fill_in_pieces<V>(out, [&](V* values, int64_t begin, int64_t n) {
    const RandomStream rest{s.seed, s.block + static_cast<uint64_t>(begin / 2)};
    for_words64(rest, n, [&](int64_t i, uint64_t w) { values[i] = value(begin + i, w); });
  });
}

// Two independent normal numbers from uniform u in (0, 1] and v in [0, 1): Box and Muller.
template <class T>
void normal_pair(T u, T v, T& a, T& b) {
  T r = std::sqrt(T(-2) * std::log(u)), angle = T(2) * std::numbers::pi_v<T> * v;
  a = r * std::cos(angle);
  b = r * std::sin(angle);
}

template <class T>
constexpr int kDigits = std::is_same_v<T, Half>       ? 11
                        : std::is_same_v<T, BFloat16> ? 8
                                                      : 24;

// Floating-point types, complex ones as their two halves.
template <class F>
void dispatch_floating(const Array& out, const char* op, F&& f) {
  switch (out.dtype) {
    case DType::Float16:
      return f(Half{}, out.numel);
    case DType::BFloat16:
      return f(BFloat16{}, out.numel);
    case DType::Float32:
      return f(float{}, out.numel);
    case DType::Float64:
      return f(double{}, out.numel);
    case DType::Complex64:
      return f(float{}, 2 * out.numel);
    case DType::Complex128:
      return f(double{}, 2 * out.numel);
    default:
      fail(ErrorKind::NotImplemented, "[", op, "] expected a floating-point tensor, got ",
           name(out.dtype));
  }
}

template <class T>
T narrow(double v) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return T(static_cast<float>(v));
  else if constexpr (is_complex(dtype_of<T>))
    return T(static_cast<typename T::value_type>(v));
  else if constexpr (std::is_same_v<T, bool>)
    return v != 0;
  else
    return static_cast<T>(v);
}

template <class T>
double widen(T v) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return static_cast<double>(static_cast<float>(v));
  else
    return static_cast<double>(v);
}

// One element's own sequence of numbers, for methods that may reject and try again.
class ElementStream {
 public:
  ElementStream(RandomStream s, int64_t i)
      : seed_(s.seed), block_(s.block + static_cast<uint64_t>(i)) {}
  double next() {
    if (used_ == 2) {
      philox<1>(seed_, block_, ++lane_, &words_);
      used_ = 0;
    }
    return open_uniform64(word64(words_, used_++));
  }

 private:
  uint64_t seed_, block_, lane_ = 0;
  RandomBlock words_{};
  int used_ = 2;
};

double poisson(double rate, ElementStream& u) {
  if (rate == 0) return 0;
  if (rate < 10) {  // count uniform factors until their product falls below exp(-rate)
    double limit = std::exp(-rate), product = u.next();
    double count = 0;
    while (product > limit) {
      product *= u.next();
      ++count;
    }
    return count;
  }
  // Hörmann's transformed rejection with squeeze (PTRS, 1993).
  double b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    double x = u.next() - 0.5, v = u.next();
    double us = 0.5 - std::abs(x);
    double k = std::floor((2 * a / us + b) * x + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <=
        k * std::log(rate) - rate - std::lgamma(k + 1))
      return k;
  }
}

}  // namespace

void fill_uniform(const Array& out, RandomStream s, double from, double to) {
  dispatch_floating(out, "uniform", [&]<class T>(T, int64_t n) {
    T* p = out.ptr<T>();
    if constexpr (std::is_same_v<T, double>) {
      double highest = std::nextafter(to, from);
      for_words64(s, n, [&](int64_t i, uint64_t w) {
        double v = from + (to - from) * uniform64(w);
        p[i] = v < to || from == to ? v : highest;  // the sum may round up to `to`
      });
    } else {
      constexpr int digits = kDigits<T>;
      auto low = static_cast<float>(from), width = static_cast<float>(to - from);
      auto high = static_cast<float>(to);
      float highest = std::nextafter(high, low);
      for_blocks(s, n, 4, [&](int64_t i, const RandomBlock& w) {
        for (int k = 0; k < 4 && i + k < n; ++k) {
          float u = static_cast<float>(w[static_cast<size_t>(k)] >> (32 - digits)) *
                    (1.0f / static_cast<float>(1 << digits));
          float v = low + width * u;
          p[i + k] = T(v < high || low == high ? v : highest);
        }
      });
    }
  });
}

void fill_normal(const Array& out, RandomStream s, double mean, double std) {
  double offset = mean;
  if (is_complex(out.dtype)) {  // half of the variance in each part; the mean is real
    std *= std::numbers::sqrt2 / 2;
    mean = 0;
  }
  dispatch_floating(out, "normal", [&]<class T>(T, int64_t n) {
    T* p = out.ptr<T>();
    if constexpr (std::is_same_v<T, double>) {
      for_blocks(s, n, 2, [&](int64_t i, const RandomBlock& w) {
        double a, b;
        normal_pair(1 - uniform64(word64(w, 0)), uniform64(word64(w, 1)), a, b);
        p[i] = mean + std * a;
        if (i + 1 < n) p[i + 1] = mean + std * b;
      });
    } else {
      auto m = static_cast<float>(mean), d = static_cast<float>(std);
      for_blocks(s, n, 4, [&](int64_t i, const RandomBlock& w) {
        float z[4];
        for (size_t k = 0; k < 4; k += 2)
          normal_pair((static_cast<float>(w[k]) + 1.0f) * 0x1p-32f,
                      static_cast<float>(w[k + 1] >> 8) * 0x1p-24f, z[k], z[k + 1]);
        for (int k = 0; k < 4 && i + k < n; ++k) p[i + k] = T(m + d * z[k]);
      });
    }
  });
  if (!is_complex(out.dtype) || offset == 0) return;
  dispatch_floating(out, "normal", [&]<class T>(T, int64_t n) {
    for (int64_t i = 0; i < n; i += 2) out.ptr<T>()[i] = narrow<T>(widen(out.ptr<T>()[i]) + offset);
  });
}

void fill_integers(const Array& out, RandomStream s, int64_t from, uint64_t range) {
  dispatch_all(out.dtype, [&]<class T>(T) {
    for_words64(s, out.numel, [&](int64_t i, uint64_t w) {
      // The high half of w * range is uniform below range but for a bias of range / 2^64.
      uint64_t below =
          range ? static_cast<uint64_t>(static_cast<unsigned __int128>(w) * range >> 64) : w;
      auto v = static_cast<int64_t>(static_cast<uint64_t>(from) + below);
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
        out.ptr<T>()[i] = static_cast<T>(v);
      else
        out.ptr<T>()[i] = narrow<T>(static_cast<double>(v));
    });
  });
}

void fill_bernoulli(const Array& out, RandomStream s, const Array& p) {
  Array chances = as_contiguous(p, DType::Float64);
  const double* c = chances.ptr<double>();
  int64_t stride = chances.numel == 1 ? 0 : 1;
  fill_from_words<bool>(out, s,
                        [&](int64_t i, uint64_t w) { return uniform64(w) < c[i * stride]; });
}

void fill_by(const Array& out, RandomStream s, double a, double b,
             double (*f)(double, double, double)) {
  dispatch_all(out.dtype, [&]<class T>(T) {
    for_words64(s, out.numel, [&](int64_t i, uint64_t w) {
      out.ptr<T>()[i] = narrow<T>(f(open_uniform64(w), a, b));
    });
  });
}

void fill_poisson(const Array& out, RandomStream s, const Array& rates) {
  Array wide = as_contiguous(rates, DType::Float64);
  fill_in_pieces<double>(out, [&](double* values, int64_t begin, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      ElementStream u(s, begin + i);
      values[i] = poisson(wide.ptr<double>()[begin + i], u);
    }
  });
}

void fill_permutation(const Array& out, RandomStream s) {
  std::vector<int64_t> order(static_cast<size_t>(out.numel));
  std::iota(order.begin(), order.end(), int64_t{0});
  // Fisher and Yates: place i gets one of those that are left.
  for_words64(s, out.numel, [&](int64_t i, uint64_t w) {
    auto left = static_cast<uint64_t>(out.numel - i);
    auto j = i + static_cast<int64_t>(static_cast<unsigned __int128>(w) * left >> 64);
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(j)]);
  });
  cast_kernel(DType::Int64, out.dtype)(reinterpret_cast<const char*>(order.data()), 1, out.data, 1,
                                       out.numel);
}

void fill_multinomial(const Array& out, RandomStream s, const Array& weights, bool replacement) {
  int64_t rows = weights.shape[0], n = weights.shape[1], draws = out.shape[1];
  std::vector<double> sums(static_cast<size_t>(n));
  std::vector<std::pair<double, int64_t>> keys(static_cast<size_t>(n));
  for (int64_t row = 0; row < rows; ++row) {
    const double* w = weights.ptr<double>() + row * n;
    int64_t* drawn = out.ptr<int64_t>() + row * draws;
    if (replacement) {
      std::partial_sum(w, w + n, sums.begin());
      // The last one that can be drawn: rounding must not lead to those of weight 0 behind it.
      auto last = std::lower_bound(sums.begin(), sums.end(), sums.back()) - sums.begin();
      RandomStream t{s.seed, s.block + static_cast<uint64_t>(row) * blocks_for(draws)};
      for_words64(t, draws, [&](int64_t i, uint64_t bits) {
        auto at = std::upper_bound(sums.begin(), sums.end(), uniform64(bits) * sums.back()) -
                  sums.begin();
        drawn[i] = std::min<int64_t>(at, last);
      });
    } else {
      // The order of exponential variables with rates w is an order drawn by weight.
      RandomStream t{s.seed, s.block + static_cast<uint64_t>(row) * blocks_for(n)};
      for_words64(t, n, [&](int64_t i, uint64_t bits) {
        double wait = w[i] > 0 ? -std::log(open_uniform64(bits)) / w[i] : HUGE_VAL;
        keys[static_cast<size_t>(i)] = {wait, i};
      });
      std::partial_sort(keys.begin(), keys.begin() + draws, keys.end());
      for (int64_t i = 0; i < draws; ++i) drawn[i] = keys[static_cast<size_t>(i)].second;
    }
  }
}

}  // namespace fastgrad
