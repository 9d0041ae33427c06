#include "kernels/cpu/sort_keys.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/isa.h"
#include "kernels/cpu/key_lanes.h"
#include "kernels/cpu/reduce_integers.h"

namespace fastgrad {

const KeyTable& key_table() {
  static const KeyTable& table = []() -> const KeyTable& {
    if (isa() == Isa::Avx512 && kKeysAvx512.wide.make) return kKeysAvx512;
    if (isa() >= Isa::Avx2 && kKeysAvx2.wide.make) return kKeysAvx2;
    return kKeysBaseline;
  }();
  return table;
}

namespace {

const auto& kernels(int32_t) { return key_table().narrow; }
const auto& kernels(int64_t) { return key_table().wide; }

// So few are ordered by counting who comes before whom: nothing to guess.
constexpr int64_t kRanked = 127;
// For one of them all are compared only where they are fewer.
constexpr int64_t kFew = 48;

template <class Key>
constexpr Key kLeast = std::numeric_limits<Key>::min();
template <class Key>
constexpr Key kMost = std::numeric_limits<Key>::max();

struct Keyed {
  uint32_t key, index;
};

// Note [Short keys]
// A pass of a radix sort costs the same for every digit, and most digits of 64-bit keys decide
// nothing: few keys differ only there. So entries carry those bits of a key's distance from the
// least one that the number of keys makes likely to suffice, at most 32. Keys that come out equal
// are then put in order by insertion, of which there is little to do; where there is more, the
// lower bits were needed after all, and the passes over them come first.
template <class Key>
class RadixSort {
 public:
  RadixSort(const Key* key, int64_t n, Key least, int64_t* order, Key* sorted)
      : key_(key), n_(n), least_(least), order_(order), sorted_(sorted), memory_(2 * n) {}

  void run(int bits) {
    if (bits <= digit_bits()) return by_one_digit(bits);
    const int reach = n_ < 4096 ? 24 : 32;
    if (bits <= reach) {
      const Keyed* sorted = write(by_bits(0, bits, false));
      for (int64_t i = 0; sorted_ && i < n_; ++i)
        sorted_[i] = static_cast<Key>(static_cast<Distance>(least_) + sorted[i].key);
      return;
    }
    if (!by_leading(bits - reach, reach))
      for (int done = 0; done < bits; done += 32)
        write(by_bits(done, std::min(32, bits - done), done > 0));
    for (int64_t i = 0; sorted_ && i < n_; ++i) sorted_[i] = key_[order_[i]];
  }

 private:
  using Distance = std::make_unsigned_t<Key>;
  static constexpr int kMostBits = 11;

  Distance distance(int64_t place) const {
    return static_cast<Distance>(key_[place]) - static_cast<Distance>(least_);
  }
  const Keyed* write(const Keyed* sorted) {
    for (int64_t i = 0; i < n_; ++i) order_[i] = sorted[i].index;
    return sorted;
  }

  // Of a digit: fewer passes, or fewer buckets.
  int digit_bits() const { return n_ < 16384 ? 8 : kMostBits; }
  static void sum_before(uint32_t* count, uint32_t most) {
    uint32_t before = 0;
    for (uint32_t digit = 0; digit <= most; ++digit) {
      const uint32_t here = count[digit];
      count[digit] = before;
      before += here;
    }
  }

  // Places go where they belong at once.
  void by_one_digit(int bits) {
    uint32_t count[1 << kMostBits];
    const uint32_t most = (uint32_t{1} << bits) - 1;
    std::fill_n(count, most + 1, uint32_t{0});
    for (int64_t i = 0; i < n_; ++i) ++count[distance(i)];
    sum_before(count, most);
    for (int64_t i = 0; i < n_; ++i) order_[count[distance(i)]++] = i;
    if (!sorted_) return;
    for (uint32_t digit = 0, i = 0; digit <= most; ++digit)  // each count is where the next begins
      for (; i < count[digit]; ++i)
        sorted_[i] = static_cast<Key>(static_cast<Distance>(least_) + digit);
  }

  // Entries by `width` bits from `shift` on; what is equal there stays in the order of places, or
  // in the one found before.
  const Keyed* by_bits(int shift, int width, bool again) {
    Keyed *from = memory_.get(), *to = from + n_;
    const int most = digit_bits();
    const int passes = (width + most - 1) / most, bits = (width + passes - 1) / passes;
    const uint32_t mask = (uint32_t{1} << bits) - 1;
    const uint32_t whole = width < 32 ? (uint32_t{1} << width) - 1 : ~uint32_t{0};
    uint32_t counts[4][1 << kMostBits];
    for (int p = 0; p < passes; ++p) std::fill_n(counts[p], mask + 1, uint32_t{0});
    cut_ = 0;
    for (int64_t i = 0; i < n_; ++i) {
      const int64_t place = again ? order_[i] : i;
      const Distance d = distance(place);
      const auto k = static_cast<uint32_t>(d >> shift) & whole;
      cut_ |= d;
      from[i] = {k, static_cast<uint32_t>(place)};
      ++counts[0][k & mask];
      if (passes > 1) ++counts[1][(k >> bits) & mask];
      if (passes > 2) ++counts[2][(k >> (2 * bits)) & mask];
      if (passes > 3) ++counts[3][k >> (3 * bits)];
    }
    cut_ &= (Distance{1} << shift) - 1;
    for (int p = 0; p < passes; ++p) {
      uint32_t* count = counts[p];
      sum_before(count, mask);
      for (int64_t i = 0; i < n_; ++i) to[count[(from[i].key >> (p * bits)) & mask]++] = from[i];
      std::swap(from, to);
    }
    return from;
  }

  // By the leading bits, the others by insertion; false where that is too much.
  bool by_leading(int shift, int width) {
    const Keyed* sorted = by_bits(shift, width, false);
    if (cut_ == 0) {
      write(sorted);
      return true;
    }
    int64_t moves = 0;
    order_[0] = sorted[0].index;
    for (int64_t i = 1; i < n_; ++i) {
      const int64_t place = sorted[i].index;
      int64_t j = i;
      if (sorted[i].key == sorted[i - 1].key)
        for (; j > 0 && key_[order_[j - 1]] > key_[place]; --j) order_[j] = order_[j - 1];
      order_[j] = place;
      moves += i - j;
      if (moves > 2 * n_) return false;
    }
    return true;
  }

  const Key* key_;
  int64_t n_;
  Key least_;
  int64_t* order_;
  Key* sorted_;
  Scratch<Keyed> memory_;
  Distance cut_ = 0;  // the bits below `shift` that are anywhere set
};

// The smallest and the largest key.
template <class Key>
std::pair<Key, Key> interval(const Key* key, int64_t n) {
  constexpr int64_t kAtOnce = 1024;
  Key low = kMost<Key>, high = kLeast<Key>;
  for (int64_t i = 0; i < n; i += kAtOnce) {
    const int64_t m = std::min(kAtOnce, n - i);
    low = std::min(low, integers(Key{}).smallest(key + i, m));
    high = std::max(high, integers(Key{}).largest(key + i, m));
  }
  return {low, high};
}

// Keys of a sample near where the k-th of n is: it lies between them nearly always.
template <class Key>
class Bracket {
 public:
  Bracket(const Key* key, int64_t n, int64_t k) : size_(n <= 256 ? 32 : kSample) {
    const int64_t step = n / size_;
    Key sample[kSample + kBehindKeys];
    int32_t rank[kSample];
    for (int64_t i = 0; i < size_; ++i) {  // anywhere in each step: data may have a period
      const uint64_t anywhere = static_cast<uint64_t>(i + n) * 0x9e3779b97f4a7c15u >> 40;
      sample[i] =
          key[i * step + static_cast<int64_t>(anywhere * static_cast<uint64_t>(step) >> 24)];
    }
    kernels(Key{}).ranks(sample, size_, rank);
    for (int64_t i = 0; i < size_; ++i) sorted_[rank[i]] = sample[i];
    const double size = static_cast<double>(size_);
    at_ = static_cast<double>(k) * size / static_cast<double>(n);
    margin_ = 1 + (n <= 1024 ? 1.5 : 2.5) * std::sqrt(at_ * (1 - at_ / size));
  }
  Key low() const {
    const auto i = static_cast<int64_t>(std::floor(at_ - margin_));
    return i < 0 ? kLeast<Key> : sorted_[i];
  }
  Key high() const {
    const auto i = static_cast<int64_t>(std::ceil(at_ + margin_));
    return i >= size_ ? kMost<Key> : sorted_[i];
  }
  Key middle() const { return sorted_[static_cast<int64_t>(at_)]; }

 private:
  static constexpr int64_t kSample = 64;
  int64_t size_;
  Key sorted_[kSample];
  double at_, margin_;
};

}  // namespace

template <class Key>
int64_t make_keys(DType type, const void* p, int64_t n, bool descending, Key* key) {
  const Key flip = descending ? Key{-1} : Key{0};
  return dispatch_real(type, "keys", [&]<class T>(T) -> int64_t {
    if constexpr (!std::is_same_v<KeyOf<T>, Key>) {
      return 0;
    } else if constexpr (std::is_floating_point_v<T>) {
      return kernels(Key{}).make(static_cast<const T*>(p), n, flip, key);
    } else {
      const T* from = static_cast<const T*>(p);
      for (int64_t i = 0; i < n; ++i) key[i] = static_cast<Key>(from[i]) ^ flip;
      return 0;
    }
  });
}
template int64_t make_keys(DType, const void*, int64_t, bool, int32_t*);
template int64_t make_keys(DType, const void*, int64_t, bool, int64_t*);

template <class Key>
void sort_places(const Key* key, int64_t n, int64_t* order, Key* sorted) {
  using Distance = std::make_unsigned_t<Key>;
  if (n <= kRanked) {
    int32_t rank[kRanked + 1];
    kernels(Key{}).ranks(key, n, rank);
    for (int64_t i = 0; i < n; ++i) order[rank[i]] = i;
  } else {
    const auto [least, most] = interval(key, n);
    const int bits = static_cast<int>(std::bit_width(
        static_cast<Distance>(static_cast<Distance>(most) - static_cast<Distance>(least))));
    if (bits > 0 && n <= int64_t{UINT32_MAX})
      return RadixSort<Key>(key, n, least, order, sorted).run(bits);
    std::iota(order, order + n, int64_t{0});
    if (bits > 0)
      std::stable_sort(order, order + n, [key](int64_t a, int64_t b) { return key[a] < key[b]; });
  }
  for (int64_t i = 0; sorted && i < n; ++i) sorted[i] = key[order[i]];
}
template void sort_places(const int32_t*, int64_t, int64_t*, int32_t*);
template void sort_places(const int64_t*, int64_t, int64_t*, int64_t*);

template <class Key>
typename KeyChooser<Key>::Kept KeyChooser<Key>::keep(const Key* key, const int64_t* place,
                                                     int64_t n, Key low, Key high, Candidates& to,
                                                     int64_t most) {
  constexpr int64_t kAtOnce = 1024;
  if (!to.keys) {
    to.keys = std::make_unique<Scratch<Key>>(most_ + kBehindKeys);
    to.places = std::make_unique<Scratch<int64_t>>(most_);
  }
  int32_t here[kAtOnce + kBehindKeys];
  Kept kept{0, 0};
  const int64_t step = most < kFew ? 2 * kFew : kAtOnce;
  for (int64_t i = 0; i < n && kept.found <= most; i += step) {
    const int64_t m =
        kernels(Key{}).between(key + i, std::min(step, n - i), low, high, here, &kept.below);
    Key* key_to = to.key() + kept.found;
    int64_t* place_to = to.place() + kept.found;
    for (int64_t j = 0; j < m; ++j) key_to[j] = key[i + here[j]];
    if (place)
      for (int64_t j = 0; j < m; ++j) place_to[j] = place[i + here[j]];
    else
      for (int64_t j = 0; j < m; ++j) place_to[j] = i + here[j];
    kept.found += m;
  }
  return kept;
}

template <class Key>
int64_t KeyChooser<Key>::kth(const Key* key, int64_t n, int64_t k) {
  const int64_t* place = nullptr;
  bool by_one = false;  // where many are equal, or the sample was none
  for (int turn = 0; n > kFew; turn ^= 1) {
    const Bracket<Key> bracket(key, n, k);
    Key low = by_one ? bracket.middle() : bracket.low(), high = by_one ? low : bracket.high();
    Candidates& to = side_[turn];
    Kept kept = keep(key, place, n, low, high, to);
    if (k < kept.below) {
      high = low - 1;
      low = kLeast<Key>;
      kept = keep(key, place, n, low, high, to);
    } else if (k >= kept.below + kept.found) {
      low = high + 1;
      high = kMost<Key>;
      kept = keep(key, place, n, low, high, to);
    }
    k -= kept.below;
    if (low == high) return to.place()[k];
    by_one = kept.found > n / 2;
    key = to.key();
    place = to.place();
    n = kept.found;
  }
  int32_t rank[kRanked + 1];
  kernels(Key{}).ranks(key, n, rank);
  int64_t found = 0;
  for (int64_t i = 0; i < n; ++i) found += rank[i] == k ? i : 0;
  return place ? place[found] : found;
}

template <class Key>
void KeyChooser<Key>::first(const Key* key, int64_t n, int64_t k, int64_t* order) {
  if (k == n) return sort_places(key, n, order);
  int64_t few[kRanked];
  if (n <= kFew || (n <= kRanked && k > n / 4)) {
    sort_places(key, n, few);
    std::copy_n(few, k, order);
    return;
  }
  Candidates& to = side_[0];
  Kept kept;
  int64_t sorted;
  // All that come before `last`, and as many of its equals as are wanted, which are in order. False
  // where it is not the k-th.
  auto take_equals = [&](Key last) {
    kept = last == kLeast<Key> ? Kept{0, 0} : keep(key, nullptr, n, kLeast<Key>, last - 1, to, k);
    sorted = kept.found;
    if (sorted > k || keep(key, nullptr, n, last, last, side_[1], k - sorted).found < k - sorted)
      return false;
    std::copy_n(side_[1].place(), k - sorted, order + sorted);
    return true;
  };
  const Bracket<Key> bracket(key, n, k - 1);
  const Key high = bracket.high();
  if (bracket.middle() != high || !take_equals(high)) {
    // All that are not beyond the bracket, or before its end, where these are not too many.
    const int64_t most = std::max(kRanked, k + k / 4);
    kept = keep(key, nullptr, n, kLeast<Key>, high, to, most);
    if (kept.found > most && high > kLeast<Key>)
      kept = keep(key, nullptr, n, kLeast<Key>, high - 1, to, most);
    sorted = k;
    if (kept.found < k || kept.found > most) take_equals(key[kth(key, n, k - 1)]);
  }
  if (sorted == 0) return;
  auto write = [&](int64_t* in_order) {
    sort_places(to.key(), kept.found, in_order);
    for (int64_t i = 0; i < sorted; ++i) order[i] = to.place()[in_order[i]];
  };
  if (kept.found <= kRanked)
    write(few);
  else
    write(Scratch<int64_t>(kept.found).get());
}

template class KeyChooser<int32_t>;
template class KeyChooser<int64_t>;

}  // namespace fastgrad
