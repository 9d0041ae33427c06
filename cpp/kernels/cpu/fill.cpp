#include "kernels/fill.h"

#include <cstring>

#include "kernels/copy.h"

namespace fastgrad {
namespace {

template <class Word>
void fill_words(void* dst, const void* value, int64_t n) {
  Word v;
  std::memcpy(&v, value, sizeof v);
  std::fill_n(static_cast<Word*>(dst), n, v);
}

struct Wide {
  uint64_t low, high;
};

// One element of an array's type, made of a double.
template <class T>
T number(double v) {
  if constexpr (std::is_same_v<T, bool>)
    return v != 0;
  else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return T(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

// f(i) for every element; f is in S, a type wide enough to count in.
template <class T, class S>
T linspace_at(S start, S end, S step, int64_t i, int64_t n) {
  S v = i < n / 2 ? start + step * static_cast<S>(i) : end - step * static_cast<S>(n - 1 - i);
  if constexpr (is_complex(dtype_of<T>))
    return T(static_cast<typename T::value_type>(v.real()),
             static_cast<typename T::value_type>(v.imag()));
  else
    return number<T>(static_cast<double>(v));
}

// Calls f(start, end, step, T) with scalars of the type that PyTorch counts in: float for integers,
// whose truncated values would differ otherwise.
template <class T, class F>
void with_linspace(const Array& out, std::complex<double> start, std::complex<double> end, F&& f) {
  if constexpr (is_complex(dtype_of<T>)) {
    f(start, end, out.numel > 1 ? (end - start) / static_cast<double>(out.numel - 1) : 0.0);
  } else if constexpr (std::is_integral_v<T>) {
    auto s = static_cast<T>(start.real()), e = static_cast<T>(end.real());
    float step = out.numel > 1 ? (static_cast<float>(e) - static_cast<float>(s)) /
                                     static_cast<float>(out.numel - 1)
                               : 0.0f;
    f(static_cast<float>(s), static_cast<float>(e), step);
  } else {
    double s = start.real(), e = end.real();
    f(s, e, out.numel > 1 ? (e - s) / static_cast<double>(out.numel - 1) : 0.0);
  }
}

}  // namespace

void fill_array(const Array& dst, const Array& value) {
  if (dst.numel == 0) return;
  alignas(16) char bytes[kMaxItemSize];
  cast_kernel(value.dtype, dst.dtype)(value.data, 1, bytes, 1, 1);
  if (!dst.contiguous) {
    Array one = Array::empty({}, dst.dtype);
    std::memcpy(one.data, bytes, dst.itemsize());
    copy_array(one, dst);
    return;
  }
  switch (dst.itemsize()) {
    case 1:
      std::memset(dst.data, bytes[0], static_cast<size_t>(dst.numel));
      break;
    case 2:
      fill_words<uint16_t>(dst.data, bytes, dst.numel);
      break;
    case 4:
      fill_words<uint32_t>(dst.data, bytes, dst.numel);
      break;
    case 8:
      fill_words<uint64_t>(dst.data, bytes, dst.numel);
      break;
    default:
      fill_words<Wide>(dst.data, bytes, dst.numel);
  }
}

void fill_arange(const Array& out, double start, double step) {
  dispatch_all(out.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < out.numel; ++i)
      out.ptr<T>()[i] = number<T>(start + static_cast<double>(i) * step);
  });
}

void fill_arange(const Array& out, int64_t start, int64_t step) {
  auto value = static_cast<uint64_t>(start);  // wraps where the last step leaves int64
  dispatch_all(out.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < out.numel; ++i, value += static_cast<uint64_t>(step)) {
      auto v = static_cast<int64_t>(value);
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
        out.ptr<T>()[i] = static_cast<T>(v);
      else
        out.ptr<T>()[i] = number<T>(static_cast<double>(v));
    }
  });
}

void fill_linspace(const Array& out, std::complex<double> start, std::complex<double> end) {
  dispatch_all(out.dtype, [&]<class T>(T) {
    with_linspace<T>(out, start, end, [&]<class S>(S s, S e, S step) {
      if (out.numel == 1) e = s;
      for (int64_t i = 0; i < out.numel; ++i)
        out.ptr<T>()[i] = linspace_at<T>(s, e, step, i, out.numel);
    });
  });
}

void fill_logspace(const Array& out, std::complex<double> start, std::complex<double> end,
                   double base) {
  Array exponents =
      Array::empty(out.shape, is_complex(out.dtype) ? DType::Complex128 : DType::Float64);
  fill_linspace(exponents, start, end);
  dispatch_all(out.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < out.numel; ++i) {
      if constexpr (is_complex(dtype_of<T>)) {
        std::complex<double> v = std::pow(base, exponents.ptr<std::complex<double>>()[i]);
        out.ptr<T>()[i] = T(static_cast<typename T::value_type>(v.real()),
                            static_cast<typename T::value_type>(v.imag()));
      } else {
        out.ptr<T>()[i] = number<T>(std::pow(base, exponents.ptr<double>()[i]));
      }
    }
  });
}

void fill_eye(const Array& out) {
  dispatch_all(out.dtype, [&]<class T>(T) {
    int64_t n = std::min(out.shape[0], out.shape[1]);
    for (int64_t i = 0; i < n; ++i) out.ptr<T>()[i * (out.shape[1] + 1)] = number<T>(1);
  });
}

}  // namespace fastgrad
