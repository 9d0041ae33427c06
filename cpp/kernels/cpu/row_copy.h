// Short rows copied at a length that the compiler knows.
//
// A row of 2 to 128 bytes is copied by two loads and two stores of a power of two that overlap in
// its middle: a call of memcpy, or a loop whose end the processor has to guess, costs more than the
// row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fastgrad {
namespace {

// Of kEnd to 2 * kEnd bytes.
template <int kEnd>
struct EndsCopy {
  int64_t bytes;
  void operator()(const char* from, char* to) const {
    struct End {
      unsigned char bytes[kEnd];
    } first, last;
    std::memcpy(&first, from, kEnd);
    std::memcpy(&last, from + bytes - kEnd, kEnd);
    std::memcpy(to, &first, kEnd);
    std::memcpy(to + bytes - kEnd, &last, kEnd);
  }
};

struct LongCopy {
  int64_t bytes;
  void operator()(const char* from, char* to) const {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
};

// Calls f with the largest power of two below `bytes`, from kSize on, as a constant; false, and no
// call, where that is above 64.
template <int kSize, class F>
bool with_end(int64_t bytes, F&& f) {
  auto at = [&]<int kEnd>() {
    if constexpr (kEnd >= kSize)
      if (bytes <= 2 * kEnd) {
        f.template operator()<kEnd>();
        return true;
      }
    return false;
  };
  return at.template operator()<1>() || at.template operator()<2>() ||
         at.template operator()<4>() || at.template operator()<8>() ||
         at.template operator()<16>() || at.template operator()<32>() ||
         at.template operator()<64>();
}

// Calls f(copy) with what copies rows of `bytes` bytes, of words of kSize bytes: copy(from, to).
template <int kSize, class F>
void with_row_copy(int64_t bytes, F&& f) {
  if (!with_end<kSize>(bytes, [&]<int kEnd>() { f(EndsCopy<kEnd>{bytes}); })) f(LongCopy{bytes});
}

}  // namespace
}  // namespace fastgrad
