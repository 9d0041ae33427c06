#include "kernels/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/random_lines.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

constexpr int64_t kBatch = 128;  // blocks made together

// Calls f(i, words, count) for runs of elements from i on, of which each block serves `per_block`;
// the words of their blocks lie one behind the other.
template <class F>
void for_batches(RandomStream s, int64_t n, int64_t per_block, F&& f) {
  alignas(64) uint32_t words[4 * kBatch];
  const RandomWords make = random_words();
  for (int64_t i = 0; i < n; i += kBatch * per_block) {
    const int64_t count = std::min(kBatch * per_block, n - i);
    make(s.seed, s.block + static_cast<uint64_t>(i / per_block),
         (count + per_block - 1) / per_block, reinterpret_cast<RandomBlock*>(words));
    f(i, words, count);
  }
}
// The same by several threads.
template <class F>
void for_batches_parallel(RandomStream s, int64_t n, int64_t per_block, F&& f) {
  parallel_for(n, kParallelGrain, [&](int64_t begin, int64_t end) {
    const RandomStream from{s.seed, s.block + static_cast<uint64_t>(begin / per_block)};
    for_batches(from, end - begin, per_block, [&](int64_t i, const uint32_t* words, int64_t count) {
      f(begin + i, words, count);
    });
  });
}

// The k-th 64 bits.
uint64_t word64(const uint32_t* w, int64_t k) { return uint64_t{w[2 * k]} << 32 | w[2 * k + 1]; }
// In [0, 1), all 53 bits random.
double uniform64(uint64_t w) { return static_cast<double>(w >> 11) * 0x1p-53; }
// In (0, 1).
double open_uniform64(uint64_t w) { return (static_cast<double>(w >> 12) + 0.5) * 0x1p-52; }

// Calls f(i, w) with 64 random bits for each element.
template <class F>
void for_words64(RandomStream s, int64_t n, F&& f) {
  for_batches(s, n, 2, [&](int64_t i, const uint32_t* words, int64_t count) {
    for (int64_t k = 0; k < count; ++k) f(i + k, word64(words, k));
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

// Two independent normal numbers from uniform u in (0, 1] and an angle: sqrt(-2 log u) times its
// cosine and its sine (Box and Muller). Of n pairs; u and angle are overwritten, z gets them side
// by side.
template <class T>
void normal_pairs(T* u, T* angle, int64_t n, T mean, T std, T* z) {
  auto apply = [n](ElementwiseOp op, const T* x, T* y) {
    const char* in = reinterpret_cast<const char*>(x);
    block_kernel(op, dtype_of<T>)(reinterpret_cast<char*>(y), &in, 0, n);
  };
  T sine[2 * kBatch];
  apply(ElementwiseOp::Log, u, u);
  for (int64_t k = 0; k < n; ++k) u[k] *= T(-2);
  apply(ElementwiseOp::Sqrt, u, u);
  apply(ElementwiseOp::Sin, angle, sine);
  apply(ElementwiseOp::Cos, angle, angle);
  for (int64_t k = 0; k < n; ++k) {
    z[2 * k] = mean + std * (u[k] * angle[k]);
    z[2 * k + 1] = mean + std * (u[k] * sine[k]);
  }
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
    return open_uniform64(word64(words_.data(), used_++));
  }

 private:
  uint64_t seed_, block_, lane_ = 0;
  RandomBlock words_{};
  int used_ = 2;
};

// A cubed normal number z, which Marsaglia and Tsang's method (2000) accepts in more than 95 % of
// the cases; u is uniform in (0, 1).
struct GammaDraw {
  explicit GammaDraw(double concentration) : d(concentration - 1. / 3), c(1 / std::sqrt(9 * d)) {}
  bool accepts(double z, double u) {
    const double root = 1 + c * z, square = z * z;
    const double v = root * root * root;
    value = d * v;
    if (!(root > 0)) return false;
    return u < 1 - 0.0331 * (square * square) ||
           std::log(u) < 0.5 * square + d * (1 - v + std::log(v));
  }
  double d, c, value = 0;
};

// With rate 1, from a normal and a uniform number and, where these are refused, from the element's
// own. Concentrations below 1 are raised by 1, which a power of a uniform number makes up for.
double gamma(double concentration, double z, double u, ElementStream& more) {
  if (!(concentration >= 0)) return std::numeric_limits<double>::quiet_NaN();
  const bool raised = concentration < 1;
  GammaDraw draw(raised ? concentration + 1 : concentration);
  while (!draw.accepts(z, u)) {
    z = std::sqrt(-2 * std::log(more.next())) * std::cos(2 * std::numbers::pi * more.next());
    u = more.next();
  }
  return raised ? draw.value * std::pow(more.next(), 1 / concentration) : draw.value;
}

// log k!
double log_factorial(double k) {
  if (k < 10) {
    constexpr double factorials[] = {1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880};
    return std::log(factorials[static_cast<int>(k)]);
  }
  const double r = 1 / k, r2 = r * r;  // Stirling's series
  const double rest = r * (1. / 12 - r2 * (1. / 360 - r2 * (1. / 1260 - r2 / 1680)));
  return (k + 0.5) * std::log(k) - k + 0.91893853320467274178 + rest;
}

// Numbers of one rate.
class PoissonDraw {
 public:
  explicit PoissonDraw(double rate) : rate_(rate), small_(rate < 10) {
    if (small_) {
      none_ = std::exp(-rate);
    } else {
      b_ = 0.931 + 2.53 * std::sqrt(rate);
      a_ = -0.059 + 0.02483 * b_;
      inverse_alpha_ = 1.1239 + 1.1328 / (b_ - 3.4);
      v_r_ = 0.9277 - 3.6224 / (b_ - 2);
    }
  }
  double rate() const { return rate_; }
  // From two uniform numbers and, where these are refused, from the element's own.
  double draw(double u, double v, ElementStream& more) const {
    if (small_) return invert(u);
    double k;
    while (!accepts(u - 0.5, v, k)) {
      u = more.next();
      v = more.next();
    }
    return k;
  }

 private:
  // What the distribution function passes u at. Beyond kMost lies less than u can tell.
  double invert(double u) const {
    constexpr int kMost = 64;
    static constexpr auto inverse = [] {
      std::array<double, kMost + 1> r{};
      for (int k = 1; k <= kMost; ++k) r[static_cast<size_t>(k)] = 1. / k;
      return r;
    }();
    size_t k = 0;
    for (double p = none_; u > p && k < kMost; p *= rate_ * inverse[k]) {
      u -= p;
      ++k;
    }
    return static_cast<double>(k);
  }
  // Hörmann's transformed rejection with squeeze (PTRS, 1993).
  bool accepts(double x, double v, double& k) const {
    const double us = 0.5 - std::abs(x);
    k = std::floor((2 * a_ / us + b_) * x + rate_ + 0.43);
    if (us >= 0.07 && v <= v_r_) return true;
    if (k < 0 || (us < 0.013 && v > us)) return false;
    return std::log(v * inverse_alpha_ / (a_ / (us * us) + b_)) <=
           k * std::log(rate_) - rate_ - log_factorial(k);
  }

  double rate_;
  bool small_;
  double none_ = 0, a_ = 0, b_ = 0, inverse_alpha_ = 0, v_r_ = 0;
};

}  // namespace

void fill_uniform(const Array& out, RandomStream s, double from, double to) {
  dispatch_floating(out, "uniform", [&]<class T>(T, int64_t n) {
    T* p = out.ptr<T>();
    if constexpr (std::is_same_v<T, double>) {
      double highest = std::nextafter(to, from);
      for_batches_parallel(s, n, 2, [&](int64_t i, const uint32_t* words, int64_t count) {
        for (int64_t k = 0; k < count; ++k) {
          double v = from + (to - from) * uniform64(word64(words, k));
          p[i + k] = v < to || from == to ? v : highest;  // the sum may round up to `to`
        }
      });
    } else {
      constexpr int digits = kDigits<T>;
      constexpr float unit = 1.0f / static_cast<float>(1 << digits);
      auto low = static_cast<float>(from), width = static_cast<float>(to - from);
      auto high = static_cast<float>(to);
      const float highest = std::nextafter(high, low);
      const bool empty = low == high;
      for_batches_parallel(s, n, 4, [&](int64_t i, const uint32_t* words, int64_t count) {
        for (int64_t k = 0; k < count; ++k) {
          // Few enough digits for a signed number, which is converted faster.
          float u = static_cast<float>(static_cast<int32_t>(words[k] >> (32 - digits))) * unit;
          float v = low + width * u;
          p[i + k] = T((v < high) | empty ? v : highest);
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
    using V = std::conditional_t<std::is_same_v<T, double>, double, float>;
    constexpr int64_t per_block = std::is_same_v<V, double> ? 2 : 4;
    constexpr V turn = V(2) * std::numbers::pi_v<V>;
    T* p = out.ptr<T>();
    for_batches_parallel(s, n, per_block, [&](int64_t i, const uint32_t* words, int64_t count) {
      V u[2 * kBatch], angle[2 * kBatch], z[4 * kBatch];
      const int64_t pairs = (count + 1) / 2;
      for (int64_t k = 0; k < pairs; ++k) {
        if constexpr (std::is_same_v<V, double>) {
          u[k] = 1 - uniform64(word64(words, 2 * k));
          angle[k] = turn * uniform64(word64(words, 2 * k + 1));
        } else {
          u[k] = (static_cast<float>(words[2 * k]) + 1.0f) * 0x1p-32f;
          const auto digits = static_cast<int32_t>(words[2 * k + 1] >> 8);
          angle[k] = turn * (static_cast<float>(digits) * 0x1p-24f);
        }
      }
      normal_pairs(u, angle, pairs, static_cast<V>(mean), static_cast<V>(std), z);
      for (int64_t k = 0; k < count; ++k) p[i + k] = T(z[k]);
    });
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
    const RandomStream from{s.seed, s.block + static_cast<uint64_t>(begin)};
    const double* rate = wide.ptr<double>() + begin;
    PoissonDraw drawn(0);  // many are often of one rate
    for_batches(from, n, 1, [&](int64_t i, const uint32_t* words, int64_t count) {
      for (int64_t k = 0; k < count; ++k) {
        if (rate[i + k] != drawn.rate()) drawn = PoissonDraw(rate[i + k]);
        ElementStream more(s, begin + i + k);
        values[i + k] = drawn.draw(open_uniform64(word64(words, 2 * k)),
                                   open_uniform64(word64(words, 2 * k + 1)), more);
      }
    });
  });
}

void fill_gamma(const Array& out, RandomStream s, const Array& concentrations) {
  Array wide = as_contiguous(concentrations, DType::Float64);
  fill_in_pieces<double>(out, [&](double* values, int64_t begin, int64_t n) {
    const RandomStream from{s.seed, s.block + static_cast<uint64_t>(begin)};
    // Of an element's block: half for the radius, a quarter for the angle and for the acceptance.
    for_batches(from, n, 1, [&](int64_t i, const uint32_t* words, int64_t count) {
      double radius[kBatch], angle[kBatch], z[2 * kBatch];
      for (int64_t k = 0; k < count; ++k) {
        radius[k] = 1 - uniform64(word64(words, 2 * k));
        angle[k] = 2 * std::numbers::pi * (static_cast<double>(words[4 * k + 2]) * 0x1p-32);
      }
      normal_pairs(radius, angle, count, 0., 1., z);
      for (int64_t k = 0; k < count; ++k) {
        const double u = (static_cast<double>(words[4 * k + 3]) + 0.5) * 0x1p-32;
        ElementStream more(s, begin + i + k);
        values[i + k] = gamma(wide.ptr<double>()[begin + i + k], z[2 * k], u, more);
      }
    });
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

// Of few at a time, put upon what is before them: a processor works on several such chains at once.
// The sums never fall, and stay where a weight is 0, as those of one chain.
static void running_sums(const double* w, int64_t n, double* sums) {
  constexpr int64_t kChain = 16;
  double before = 0;
  for (int64_t i = 0; i < n; i += kChain) {
    double sum = 0;
    for (int64_t k = i; k < std::min(i + kChain, n); ++k) {
      sum += w[k];
      sums[k] = before + sum;
    }
    before += sum;
  }
}

void fill_multinomial(const Array& out, RandomStream s, const Array& weights, bool replacement) {
  int64_t rows = weights.shape[0], n = weights.shape[1], draws = out.shape[1];
  const Array memory = Array::empty(Dims{replacement ? n : 0}, DType::Float64);
  double* sums = memory.ptr<double>();
  std::vector<std::pair<double, int64_t>> keys(static_cast<size_t>(replacement ? 0 : n));
  for (int64_t row = 0; row < rows; ++row) {
    const double* w = weights.ptr<double>() + row * n;
    int64_t* drawn = out.ptr<int64_t>() + row * draws;
    if (replacement) {
      running_sums(w, n, sums);
      const double sum = sums[n - 1];
      // The last one that can be drawn: rounding must not lead to those of weight 0 behind it.
      const int64_t last = std::lower_bound(sums, sums + n, sum) - sums;
      RandomStream t{s.seed, s.block + static_cast<uint64_t>(row) * blocks_for(draws)};
      for_words64(t, draws, [&](int64_t i, uint64_t bits) {
        const int64_t at = std::upper_bound(sums, sums + n, uniform64(bits) * sum) - sums;
        drawn[i] = std::min(at, last);
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
