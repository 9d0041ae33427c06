#include "kernels/fill.h"

#include <algorithm>
#include <cstring>

#include "kernels/copy.h"
#include "kernels/cpu/words.h"

namespace fastgrad {
namespace {

template <class Word>
void fill_words(void* dst, const void* value, int64_t n) {
  Word v;
  std::memcpy(&v, value, sizeof v);
  fill_line(static_cast<Word*>(dst), n, v);
}

struct Wide {
  uint64_t low, high;
};

// One element of an array's type, made of a double.
template <class T>
T number(double v) {
  if constexpr (std::is_same_v<T, bool>)
    return v != 0;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<int64_t>(v));  // wraps where T is too narrow
  else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return T(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

// Element i of n, counted from the nearer end in S.
template <class T, class S>
T linspace_at(S start, S end, S step, int64_t i, int64_t n) {
  S v = i < n / 2 ? start + step * static_cast<S>(i) : end - step * static_cast<S>(n - 1 - i);
  if constexpr (is_complex(dtype_of<T>))
    return T(static_cast<typename T::value_type>(v.real()),
             static_cast<typename T::value_type>(v.imag()));
  else
    return number<T>(static_cast<double>(v));
}

// A bound of a progression in T; integer types cut it off, as PyTorch does before it counts.
template <class T>
double bound(double v) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<double>(static_cast<T>(static_cast<int64_t>(v)));
  else
    return v;
}

// Calls f(start, end, step) with numbers of the type to count in: double, or its complex.
template <class T, class F>
void with_linspace(int64_t steps, std::complex<double> start, std::complex<double> end, F&& f) {
  auto last = static_cast<double>(std::max<int64_t>(steps - 1, 1));
  if constexpr (is_complex(dtype_of<T>)) {
    f(start, end, (end - start) / last);
  } else {
    double s = bound<T>(start.real()), e = bound<T>(end.real());
    f(s, e, (e - s) / last);
  }
}

// `bytes`: one element of dst's type.
void fill_bytes(const Array& dst, const char* bytes) {
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
    with_linspace<T>(out.numel, start, end, [&]<class S>(S s, S e, S step) {
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
  dispatch_all(out.dtype, [&]<class T>(T) {
    if constexpr (!is_complex(dtype_of<T>)) {
      start = bound<T>(start.real());
      end = bound<T>(end.real());
    }
    fill_linspace(exponents, start, end);
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
