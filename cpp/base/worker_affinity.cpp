#include "base/worker_affinity.h"

#if defined(__linux__)
#include <pthread.h>

namespace fastgrad {
namespace {

// A call to the system for each worker costs what waking it does; it is made when the caller has
// moved to another processor.
constexpr size_t kMostWorkers = 15;

}  // namespace

void WorkerAffinity::begin() {
  if (sched_getaffinity(0, sizeof given_, &given_) != 0) CPU_ZERO(&given_);
  set_ = given_;
  avoided_ = kNone;
}

void WorkerAffinity::set(std::vector<std::thread>& workers, int avoided) {
  if (avoided == avoided_ || workers.empty() || workers.size() > kMostWorkers) return;
  cpu_set_t now;
  if (pthread_getaffinity_np(workers[0].native_handle(), sizeof now, &now) != 0) return;
  if (!CPU_EQUAL(&now, &set_)) given_ = now;  // somebody else has set it
  set_ = given_;
  avoided_ = avoided;
  if (avoided != kNone) CPU_CLR(avoided, &set_);
  if (CPU_COUNT(&set_) == 0) set_ = given_;
  if (CPU_EQUAL(&now, &set_)) return;
  for (auto& w : workers) pthread_setaffinity_np(w.native_handle(), sizeof set_, &set_);
}

void WorkerAffinity::avoid_this_processor(std::vector<std::thread>& workers) {
  set(workers, sched_getcpu());
}

void WorkerAffinity::allow_all(std::vector<std::thread>& workers) { set(workers, kNone); }

}  // namespace fastgrad

#else

namespace fastgrad {

void WorkerAffinity::begin() {}
void WorkerAffinity::avoid_this_processor(std::vector<std::thread>&) {}
void WorkerAffinity::allow_all(std::vector<std::thread>&) {}

}  // namespace fastgrad

#endif
