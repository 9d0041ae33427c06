// Elements as words of their size, for those who move them and do not compute.
#pragma once

#include <cstdint>

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

}  // namespace
}  // namespace fastgrad
