// Sorting by the digits of a number that orders as the value does.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "storage/allocator.h"

namespace fastgrad {
namespace {

// Uninitialised memory for the length of a call, from the tensors' allocator: large blocks of the
// system's would be fresh pages every time.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t n)
      : bytes_(static_cast<size_t>(n) * sizeof(T)), data_(memory::allocate(bytes_)) {}
  ~Scratch() { memory::deallocate(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return static_cast<T*>(data_); }

 private:
  size_t bytes_;
  void* data_;
};

template <class T>
using KeyOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

// Orders as the value: -0 and 0 are one, all NaN are one and the greatest.
template <class T>
KeyOf<T> sort_key(T v) {
  using Key = KeyOf<T>;
  constexpr Key sign = Key{1} << (8 * sizeof(Key) - 1);
  if constexpr (std::is_floating_point_v<T>) {
    using Signed = std::make_signed_t<Key>;
    const Key bits = std::bit_cast<Key>(v + T(0));
    // All bits turn where the sign is set, else the sign: without a branch, which nobody can guess.
    const Key turn = static_cast<Key>(static_cast<Signed>(bits) >> (8 * sizeof(Key) - 1)) | sign;
    return v != v ? ~Key{0} : bits ^ turn;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Key>(v) ^ sign;
  } else {
    return static_cast<Key>(v);
  }
}

template <class Key>
struct Keyed {
  Key key;
  uint32_t index;
};

// Sorts n entries by key, equal ones in their order, between two arrays; returns the sorted one.
template <class Key>
Keyed<Key>* radix_sort(Keyed<Key>* from, Keyed<Key>* to, int64_t n) {
  const int bits = n >= 16384 ? 11 : 8;  // of a digit: fewer passes, or fewer buckets
  const Key mask = (Key{1} << bits) - 1;
  Key varies = 0;
  for (int64_t i = 1; i < n; ++i) varies |= from[i].key ^ from[0].key;
  int shifts[sizeof(Key)], passes = 0;
  for (int shift = 0; shift < static_cast<int>(8 * sizeof(Key)); shift += bits)
    if ((varies >> shift) & mask) shifts[passes++] = shift;
  auto counts = std::make_unique<uint32_t[]>(static_cast<size_t>(passes << bits));
  for (int64_t i = 0; i < n; ++i)
    for (int p = 0; p < passes; ++p) ++counts[(p << bits) + ((from[i].key >> shifts[p]) & mask)];
  for (int p = 0; p < passes; ++p) {
    uint32_t* count = counts.get() + (p << bits);
    const int shift = shifts[p];
    uint32_t before = 0;
    for (Key digit = 0; digit <= mask; ++digit) {
      uint32_t here = count[digit];
      count[digit] = before;
      before += here;
    }
    for (int64_t i = 0; i < n; ++i) to[count[(from[i].key >> shift) & mask]++] = from[i];
    std::swap(from, to);
  }
  return from;
}

// Calls f(sorted entries) for the n > 0 elements of p, in ascending or descending order, equal ones
// in their own. Integers that lie close together get keys of half the size.
template <class T, class F>
void with_sorted_keys(const T* p, int64_t n, bool descending, F&& f) {
  using Key = KeyOf<T>;
  auto sort_with = [&]<class K>(K, Key least) {
    Scratch<Keyed<K>> memory(2 * n);
    Keyed<K>* keys = memory.get();
    const K flip = descending ? ~K{0} : K{0};
    for (int64_t i = 0; i < n; ++i)
      keys[i] = {static_cast<K>(static_cast<K>(sort_key(p[i]) - least) ^ flip),
                 static_cast<uint32_t>(i)};
    f(static_cast<const Keyed<K>*>(radix_sort(keys, keys + n, n)));
  };
  if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
    T least = p[0], most = p[0];
    for (int64_t i = 1; i < n; ++i) {
      least = p[i] < least ? p[i] : least;
      most = p[i] > most ? p[i] : most;
    }
    if (sort_key(most) - sort_key(least) <= UINT32_MAX)
      return sort_with(uint32_t{}, sort_key(least));
  }
  sort_with(Key{}, Key{0});
}

}  // namespace
}  // namespace fastgrad
