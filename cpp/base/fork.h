// Locks across fork(): the child has the forking thread only, so whatever another thread held at
// that moment would stay locked in it for ever.
#pragma once

#include <mutex>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FASTGRAD_CAN_FORK
#endif

namespace fastgrad {

// Holds the mutex that kMutex() refers to while the process forks: the child finds it free, and
// whole what it guards. To be called once per mutex.
template <std::mutex& (*kMutex)()>
bool hold_over_fork() {
#ifdef FASTGRAD_CAN_FORK
  auto release = [] { kMutex().unlock(); };
  return pthread_atfork([] { kMutex().lock(); }, release, release) == 0;
#else
  return true;
#endif
}

}  // namespace fastgrad
