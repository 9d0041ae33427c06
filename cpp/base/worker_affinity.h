// Where the pool's workers may run.
//
// Note [Waking on another processor]
// Linux chooses where a thread that is woken runs, and often chooses the processor of the thread
// that wakes it although another one is idle: a virtual machine's idle processor counts as taken
// while its host has it halted, and some kernels pack threads on purpose. The caller of
// parallel_for goes on computing at once, so a worker that is woken there waits until load is
// balanced next, some milliseconds later, and until then the caller does all of the work. Workers
// that sleep are therefore kept off the caller's processor before they are woken; where the caller
// comes to sleep itself, they may run everywhere again. bench/threads.py measures both.
#pragma once

#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif

namespace fastgrad {

// Not thread-safe: for whoever holds the pool. Does nothing on systems other than Linux, where the
// workers may run on one processor only, and where they are too many to tell each in good time.
class WorkerAffinity {
 public:
  // To be called before workers start, by the thread that starts them: they inherit where it runs.
  void begin();
  // Leaves the workers every processor but the one that this thread runs on.
  void avoid_this_processor(std::vector<std::thread>& workers);
  // Leaves them all that begin() found, or what somebody has set since.
  void allow_all(std::vector<std::thread>& workers);

 private:
#if defined(__linux__)
  void set(std::vector<std::thread>& workers, int avoided);

  static constexpr int kNone = -1;
  cpu_set_t given_;      // where the workers may run by the will of others
  cpu_set_t set_;        // what set() left of it
  int avoided_ = kNone;  // the processor that set_ lacks
#endif
};

}  // namespace fastgrad
