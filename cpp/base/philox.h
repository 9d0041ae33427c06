// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011):
// random bits as a function of a key and a position, so that any element of a random tensor can be
// made without making those before it, by any thread.
#pragma once

#include <array>
#include <cstdint>

namespace fastgrad {

// Where a sequence of random blocks starts. A block is four 32-bit words.
struct RandomStream {
  uint64_t seed = 0;
  uint64_t block = 0;
};

using RandomBlock = std::array<uint32_t, 4>;

inline constexpr uint64_t kPhiloxMultiply0 = 0xD2511F53, kPhiloxMultiply1 = 0xCD9E8D57;
inline constexpr uint32_t kPhiloxStep0 = 0x9E3779B9, kPhiloxStep1 = 0xBB67AE85;
inline constexpr int kPhiloxRounds = 10;

// Blocks `first` to first + N - 1 of a seed; `lane` selects one of 2^64 sequences that share them.
template <int N>
inline void philox(uint64_t seed, uint64_t first, uint64_t lane, RandomBlock* out) {
  uint32_t c0[N], c1[N], c2[N], c3[N];
  for (int i = 0; i < N; ++i) {
    uint64_t block = first + static_cast<uint64_t>(i);
    c0[i] = static_cast<uint32_t>(block);
    c1[i] = static_cast<uint32_t>(block >> 32);
    c2[i] = static_cast<uint32_t>(lane);
    c3[i] = static_cast<uint32_t>(lane >> 32);
  }
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (int i = 0; i < N; ++i) {
      uint64_t p0 = kPhiloxMultiply0 * c0[i], p1 = kPhiloxMultiply1 * c2[i];
      uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c0[i] = n0;
      c1[i] = static_cast<uint32_t>(p1);
      c2[i] = n2;
      c3[i] = static_cast<uint32_t>(p0);
    }
    k0 += kPhiloxStep0;
    k1 += kPhiloxStep1;
  }
  for (int i = 0; i < N; ++i) out[i] = {c0[i], c1[i], c2[i], c3[i]};
}

}  // namespace fastgrad
