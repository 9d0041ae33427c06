// Rows side by side: element i of each as one register, of four rows of float32 or two of float64.
#pragma once

#include <cstdint>
#include <memory>

namespace fastgrad {

constexpr size_t kBesideBytes = 16;
template <class T>
constexpr int64_t kBeside = kBesideBytes / sizeof(T);

template <class T>
struct BesideTypes {
  typedef T type __attribute__((vector_size(kBesideBytes)));
  typedef T unaligned __attribute__((vector_size(kBesideBytes), aligned(sizeof(T)), may_alias));
};
template <class T>
using Beside = typename BesideTypes<T>::type;

// Registers that nobody has written to.
template <class T>
std::unique_ptr<Beside<T>[]> make_beside(int64_t count) {
  return std::make_unique_for_overwrite<Beside<T>[]>(static_cast<size_t>(count));
}

// Registers as the columns of what they were the rows of.
template <class V>
inline void turn(V (&v)[4]) {
  const V a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5),
          b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7),
          c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5),
          d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}
template <class V>
inline void turn(V (&v)[2]) {
  const V a = __builtin_shufflevector(v[0], v[1], 0, 2);
  v[1] = __builtin_shufflevector(v[0], v[1], 1, 3);
  v[0] = a;
}

// Elements of `count` rows, `apart` from one another; the missing rows are zeros.
template <class T>
inline Beside<T> load_column(const T* x, int64_t apart, int64_t count) {
  Beside<T> v{};
  for (int64_t r = 0; r < count; ++r) v[r] = x[r * apart];
  return v;
}

// Calls f(column, vector) for the columns of `count` rows of n elements.
template <class T, class F>
inline void for_columns(const T* x, int64_t n, int64_t apart, int64_t count, F&& f) {
  int64_t i = 0;
  if (count == kBeside<T>)
    for (; i + kBeside<T> <= n; i += kBeside<T>) {
      Beside<T> v[kBeside<T>];
      for (int64_t r = 0; r < kBeside<T>; ++r)
        v[r] = *reinterpret_cast<const typename BesideTypes<T>::unaligned*>(x + r * apart + i);
      turn(v);
      for (int64_t c = 0; c < kBeside<T>; ++c) f(i + c, v[c]);
    }
  for (; i < n; ++i) f(i, load_column(x + i, apart, count));
}

// Writes f(column) as the columns of `count` rows of n elements, calling it in order.
template <class T, class F>
inline void make_columns(T* y, int64_t n, int64_t apart, int64_t count, F&& f) {
  int64_t i = 0;
  if (count == kBeside<T>)
    for (; i + kBeside<T> <= n; i += kBeside<T>) {
      Beside<T> v[kBeside<T>];
      for (int64_t c = 0; c < kBeside<T>; ++c) v[c] = f(i + c);
      turn(v);
      for (int64_t r = 0; r < kBeside<T>; ++r)
        *reinterpret_cast<typename BesideTypes<T>::unaligned*>(y + r * apart + i) = v[r];
    }
  for (; i < n; ++i) {
    const Beside<T> v = f(i);
    for (int64_t r = 0; r < count; ++r) y[r * apart + i] = v[r];
  }
}

}  // namespace fastgrad
