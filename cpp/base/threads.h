// Whether more than one thread has ever entered the library.
//
// Note [Reference counts]
// Atomic increments cost about 20 cycles and a recorded op makes a dozen. As long as one thread
// only has entered (enter_thread() at every binding), counts are plain integers. The flag turns
// true, for ever, when a second thread enters; that thread holds the GIL then, and the first one
// is not in the middle of a count, because code that counts references runs without the GIL only
// when the flag is already set (autograd/engine.cpp). Kernels never touch counts.
#pragma once

#include <atomic>

namespace fastgrad {

inline std::atomic<bool> g_multithreaded{false};
inline constinit thread_local bool t_entered = false;

void register_thread();

// Every entry from outside calls this before it touches a reference count.
inline void enter_thread() {
  if (!t_entered) [[unlikely]]
    register_thread();
}

// Threads that count references without the GIL at this moment.
inline std::atomic<int> g_threads_without_gil{0};

inline bool multithreaded() { return g_multithreaded.load(std::memory_order_relaxed); }

}  // namespace fastgrad
