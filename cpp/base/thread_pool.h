// Work split over threads.
//
// Note [Fixed chunks]
// parallel_for cuts [0, n) at the multiples of grain, whatever the number of threads, and calls the
// function once per chunk. A kernel that keeps one partial result per chunk and combines them in
// order gives the same bits on 1, 2, 3, ... threads; one that writes disjoint outputs does anyway.
// Workers run kernels only: they touch no reference count and no Python object, so they need no
// enter_thread() and no GIL, and at the end of the process they are parked and simply go with it.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace fastgrad {

// How many elements of light work make a chunk: handing one over costs some microseconds where the
// other thread sleeps.
inline constexpr int64_t kParallelGrain = 32768;

// The most threads that work on one call, the caller among them. At first as many as this process
// may run on, or fewer by the environment's FASTGRAD_NUM_THREADS or OMP_NUM_THREADS.
int pool_size();
// n > 0. More threads than processors are allowed.
void set_pool_size(int n);

namespace detail {
struct ChunkCall {  // a reference to the function: it lives as long as the call
  void* function;
  void (*call)(void* function, int64_t begin, int64_t end);
};
void run_chunks(int64_t n, int64_t grain, ChunkCall call);
}  // namespace detail

// Calls fn(begin, end) for each chunk of grain > 0 indices of [0, n), the last one shorter, in any
// order and on any thread, and returns when all are done. At once and here where there is only one
// chunk; in order and here inside another parallel_for, and while the pool works for another
// caller. What fn throws is thrown here; chunks not begun by then are left out.
template <class F>
inline void parallel_for(int64_t n, int64_t grain, F&& fn) {
  if (n <= grain) {
    if (n > 0) fn(int64_t{0}, n);
    return;
  }
  using Function = std::remove_reference_t<F>;
  detail::run_chunks(n, grain,
                     {const_cast<void*>(static_cast<const void*>(std::addressof(fn))),
                      [](void* function, int64_t begin, int64_t end) {
                        (*static_cast<Function*>(function))(begin, end);
                      }});
}

}  // namespace fastgrad
