// Asking for memory before it is needed.
//
// Note [Prefetch]
// The processor's own prefetching follows a stream only within a page, and learns of a store when
// it happens. Kernels over arrays beyond the near caches therefore ask for what the next kilobyte
// of work reads and writes: a third less time where the arrays lie in the last cache, a tenth where
// they lie in memory, on Intel's processors. On AMD's (Zen 5) the same asking costs up to half of
// the time, so there plain streams do without: gains_by_prefetch(). Groups of deferred rows do so
// up to 24 MB, for half to three quarters of the time; beyond, that would cost as much. Stores past
// the caches would save the memory a read, but one core does not get them out any faster, and
// whoever reads the result next finds it in no cache.
//
// Reductions are the exception: they read one stream and write nothing, and gain everywhere. On
// Zen 5 those of 16 MB or more, of which the last cache holds little, want to ask 16 kB ahead
// instead of 4, an eighth to a quarter less time; smaller ones lose a twentieth by that.
#pragma once

#include <cstdint>

namespace fastgrad {
namespace {

inline constexpr int64_t kCacheLine = 64;

[[maybe_unused, gnu::always_inline]] inline void prefetch_line_to_read(
    [[maybe_unused]] const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 0);
#endif
}
[[maybe_unused, gnu::always_inline]] inline void prefetch_line_to_write([[maybe_unused]] void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 1);
#endif
}

}  // namespace
}  // namespace fastgrad
