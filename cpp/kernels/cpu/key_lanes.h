// The innermost loops of sorting and searching, once per instruction set. They see keys: signed
// integers that order as the elements do.
#pragma once

#include <cstdint>

namespace fastgrad {

template <class Key, class Float>
struct KeyKernels {
  // The keys of floating-point elements, and how many of these are NaN: -0 and 0 are one, all NaN
  // are one and the greatest. `flip` is 0, or -1 for those of the opposite order.
  int64_t (*make)(const Float* p, int64_t n, Key flip, Key* key);
  // The place of each of n keys in ascending order, equal ones in theirs: all are compared with
  // all, several at a time. Both need memory up to the next multiple of 16.
  void (*ranks)(const Key* key, int64_t n, int32_t* rank);
  // Where the keys from low to high are; returns how many, and adds to `below` how many lie lower.
  // 16 more places than that may be written.
  int64_t (*between)(const Key* key, int64_t n, Key low, Key high, int32_t* place, int64_t* below);
  // Brings those of n elements together that differ from the one before, which p[0] has too;
  // returns how many. Null but with AVX-512.
  int64_t (*changes)(const Key* p, int64_t n, Key* to);
  int64_t (*float_changes)(const Float* p, int64_t n, Float* to);
};
struct KeyTable {
  KeyKernels<int32_t, float> narrow;
  KeyKernels<int64_t, double> wide;
};
// Null members where the compiler could not make them.
extern const KeyTable kKeysBaseline, kKeysAvx2, kKeysAvx512;
// The best for this processor.
const KeyTable& key_table();

}  // namespace fastgrad
