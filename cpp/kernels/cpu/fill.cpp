#include "kernels/fill.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <type_traits>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/short_lines.h"

namespace fastgrad {
namespace {

// A bound of a progression; integer types cut it off, as PyTorch does before it counts.
double bound(double v, DType dtype) {
  if (!is_integral(dtype, true)) return v;
  v = std::trunc(v);
  alignas(16) char bytes[kMaxItemSize];
  cast_kernel(DType::Float64, dtype)(reinterpret_cast<const char*>(&v), 1, bytes, 1, 1);
  cast_kernel(dtype, DType::Float64)(bytes, 1, reinterpret_cast<char*>(&v), 1, 1);
  return v;
}

// Calls make(i, n, to) for the elements from i on, n numbers of type S, and converts them to out's
// type where that is another one.
template <class S, class F>
void fill_by_blocks(const Array& out, F&& make) {
  constexpr int64_t kBlock = 512;
  const CastKernel convert = cast_kernel(dtype_of<S>, out.dtype);
  const auto size = static_cast<int64_t>(out.itemsize());
  parallel_for(out.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    S block[kBlock];
    for (int64_t i = begin; i < end; i += kBlock) {
      const int64_t n = std::min(kBlock, end - i);
      if (out.dtype == dtype_of<S>) {
        make(i, n, out.ptr<S>() + i);
      } else {
        make(i, n, block);
        convert(reinterpret_cast<const char*>(block), 1, out.data + i * size, 1, n);
      }
    }
  });
}

// to[j] = f(i + j) for j < n, which the compiler counts in registers: those of every processor
// convert int32 to double, but not int64.
template <class S, class F>
void count_from(int64_t i, int64_t n, S* to, F&& f) {
  const auto first = static_cast<double>(i);
  const auto stop = static_cast<int32_t>(n);
  for (int32_t j = 0; j < stop; ++j) to[j] = f(first + j);
}

// A progression of `steps` numbers, counted from the nearer end.
template <class S>
struct Linspace {
  S start, end, step;
  int64_t steps;

  Linspace(S first, S last, int64_t n)
      : start(first),
        end(n == 1 ? first : last),
        step((last - first) / static_cast<double>(std::max<int64_t>(n - 1, 1))),
        steps(n) {}
  void operator()(int64_t i, int64_t n, S* to) const {
    const int64_t near = std::clamp<int64_t>(steps / 2 - i, 0, n);
    const auto last = static_cast<double>(steps - 1);
    count_from(i, near, to, [&](double k) { return start + step * S(k); });
    count_from(i + near, n - near, to + near, [&](double k) { return end - step * S(last - k); });
  }
};

// Calls f(progression, S) with the type to count in: double, or its complex.
template <class F>
void with_linspace(const Array& out, std::complex<double> start, std::complex<double> end, F&& f) {
  if (is_complex(out.dtype))
    f(Linspace<std::complex<double>>(start, end, out.numel), std::complex<double>{});
  else
    f(Linspace<double>(bound(start.real(), out.dtype), bound(end.real(), out.dtype), out.numel),
      double{});
}

// `bytes`: one element of dst's type.
void fill_bytes(const Array& dst, const char* bytes) {
  if (dst.numel == 1) {  // the cotangent of every scalar loss
    if (dst.itemsize() == 4)
      std::memcpy(dst.data, bytes, 4);
    else
      std::memcpy(dst.data, bytes, dst.itemsize());
    return;
  }
  if (!dst.contiguous) {
    Array one = Array::empty({}, dst.dtype);
    std::memcpy(one.data, bytes, dst.itemsize());
    copy_array(one, dst);
    return;
  }
  constexpr int64_t kGrain = 1 << 18;
  const auto size = static_cast<int64_t>(dst.itemsize());
  parallel_for(dst.nbytes(), kGrain, [&](int64_t begin, int64_t end) {
    repeat_word(bytes, size, dst.data + begin, end - begin);
  });
}

}  // namespace

void fill_array(const Array& dst, const Array& value) {
  if (dst.numel == 0) return;
  alignas(16) char bytes[kMaxItemSize];
  cast_kernel(value.dtype, dst.dtype)(value.data, 1, bytes, 1, 1);
  fill_bytes(dst, bytes);
}

void fill_array(const Array& dst, const Scalar& value) {
  alignas(16) char bytes[kMaxItemSize];
  value.store(dst.dtype, bytes);
  fill_bytes(dst, bytes);
}

void fill_arange(const Array& out, double start, double step) {
  fill_by_blocks<double>(out, [=](int64_t i, int64_t n, double* to) {
    count_from(i, n, to, [=](double k) { return start + k * step; });
  });
}

void fill_arange(const Array& out, int64_t start, int64_t step) {
  // Wraps where the last step leaves int64.
  const auto first = static_cast<uint64_t>(start), by = static_cast<uint64_t>(step);
  auto count = [=](int64_t i, int64_t n, auto* to) {
    constexpr int64_t kAtOnce = 8;  // which need not wait for one another
    uint64_t ahead[kAtOnce], value = first + static_cast<uint64_t>(i) * by;
    for (uint64_t k = 0; k < kAtOnce; ++k) ahead[k] = k * by;
    using To = std::remove_pointer_t<decltype(to)>;
    int64_t j = 0;
    for (; j + kAtOnce <= n; j += kAtOnce, value += kAtOnce * by)
      for (int64_t k = 0; k < kAtOnce; ++k)
        to[j + k] = static_cast<To>(static_cast<int64_t>(value + ahead[k]));
    for (; j < n; ++j, value += by) to[j] = static_cast<To>(static_cast<int64_t>(value));
  };
  constexpr double kExact = 9007199254740992.0;  // below it double counts without rounding
  const auto from = static_cast<double>(start), steps = static_cast<double>(step);
  const double last = from + static_cast<double>(out.numel) * steps;
  if (!is_floating(out.dtype))
    fill_by_blocks<int64_t>(out, count);
  else if (std::abs(from) < kExact && std::abs(last) < kExact)
    fill_arange(out, from, steps);
  else
    fill_by_blocks<double>(out, count);
}

void fill_linspace(const Array& out, std::complex<double> start, std::complex<double> end) {
  with_linspace(out, start, end,
                [&]<class S>(const auto& line, S) { fill_by_blocks<S>(out, line); });
}

void fill_logspace(const Array& out, std::complex<double> start, std::complex<double> end,
                   double base) {
  with_linspace(out, start, end, [&]<class S>(const auto& line, S) {
    fill_by_blocks<S>(out, [&](int64_t i, int64_t n, S* to) {
      line(i, n, to);
      for (int64_t j = 0; j < n; ++j) to[j] = std::pow(base, to[j]);
    });
  });
}

void fill_eye(const Array& out) {
  const Dims size{std::min(out.shape[0], out.shape[1])}, step{out.shape[1] + 1};
  fill_array(out.view(size, step), Scalar(1));
}

}  // namespace fastgrad
