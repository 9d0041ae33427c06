// Elements as words of their size, for those who move them and do not compute.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fastgrad {
namespace {

struct Bytes16 {
  uint64_t low, high;
};

// Calls f with a word of as many bytes as an element has: 1, 2, 4, 8 or 16.
template <class F>
auto with_word(int64_t size, F&& f) {
  switch (size) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    case 8:
      return f(uint64_t{});
    default:
      return f(Bytes16{});
  }
}

// n times the value. What is in the first-level cache is copied by wide registers, which code for
// every processor has not.
template <class T>
void fill_line(T* to, int64_t n, const T& value) {
  constexpr int64_t kSize = sizeof(T), kSeed = 512 / kSize, kMost = 8192 / kSize;
  int64_t done = std::min(n, kSeed);
  std::fill_n(to, done, value);
  for (int64_t m; done < n; done += m) {
    m = std::min({n - done, done, kMost});
    // GCC makes a slow instruction of a memcpy whose size has a bound that it sees.
    std::memmove(static_cast<void*>(to + done), to, static_cast<size_t>(m * kSize));
  }
}

}  // namespace
}  // namespace fastgrad
