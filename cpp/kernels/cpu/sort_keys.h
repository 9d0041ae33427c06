// Sorting and choosing by keys: signed integers that order as the elements do, so that there is one
// way for all types. Equal keys keep the order of their places.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/dtype.h"
#include "storage/allocator.h"

namespace fastgrad {

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
using KeyOf = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

// What has to follow n keys in memory: whole registers are read.
inline constexpr int64_t kBehindKeys = 16;

// The keys (KeyOf) of n elements of a compute type, and how many of these are NaN: -0 and 0 are
// one, all NaN are one and the greatest.
template <class Key>
int64_t make_keys(DType type, const void* p, int64_t n, bool descending, Key* key);

// Whether the elements are their own keys.
inline bool are_keys(DType type, bool descending) {
  return !descending && (type == DType::Int32 || type == DType::Int64);
}

// The places of n keys in ascending order, and the keys in that order where `sorted` is not null.
template <class Key>
void sort_places(const Key* key, int64_t n, int64_t* order, Key* sorted = nullptr);

// Finds some of up to `most` keys without sorting all; its memory serves for several lines.
template <class Key>
class KeyChooser {
 public:
  explicit KeyChooser(int64_t most) : most_(most) {}
  // The k-th in ascending order, counted from 0.
  int64_t kth(const Key* key, int64_t n, int64_t k);
  // The first k > 0 in ascending order.
  void first(const Key* key, int64_t n, int64_t k, int64_t* order);

 private:
  struct Kept {
    int64_t found, below;
  };
  // Keys with their places. There is room for all of a line.
  struct Candidates {
    std::unique_ptr<Scratch<Key>> keys;
    std::unique_ptr<Scratch<int64_t>> places;
    Key* key() const { return keys->get(); }
    int64_t* place() const { return places->get(); }
  };
  // Brings the keys from low to high together, or somewhat more than `most` of them. Null for
  // `place`: their places count from 0.
  Kept keep(const Key* key, const int64_t* place, int64_t n, Key low, Key high, Candidates& to,
            int64_t most = INT64_MAX);

  int64_t most_;
  Candidates side_[2];
};

extern template class KeyChooser<int32_t>;
extern template class KeyChooser<int64_t>;

}  // namespace fastgrad
