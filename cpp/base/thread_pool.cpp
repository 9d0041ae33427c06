#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#define FASTGRAD_POSIX_THREADS
#endif

#include "base/errors.h"
#include "base/worker_affinity.h"

namespace fastgrad {
namespace {

// How long a thread looks for news before it sleeps: a few times what waking it costs.
constexpr std::chrono::microseconds kSpin{40};

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  asm volatile("yield");
#else
  std::this_thread::yield();
#endif
}

// Whether ready() turned true within kSpin.
template <class F>
bool spin_until(F&& ready) {
  auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

int processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
#endif
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

int default_size() {
  int size = processors();
  for (const char* name : {"FASTGRAD_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* text = std::getenv(name);
    if (long n = text ? std::strtol(text, nullptr, 10) : 0; n > 0)
      return static_cast<int>(std::min<long>(size, n));
  }
  return size;
}

std::atomic<int> g_size{0};  // 0: nobody has asked yet

// Set while this thread works on chunks: what is parallel inside runs in order.
constinit thread_local bool t_in_chunk = false;
struct InChunk {
  InChunk() { t_in_chunk = true; }
  ~InChunk() { t_in_chunk = false; }
};

// The one pool of the process. A job is published through claims_; whoever finds an unclaimed part
// there takes it, the caller too, so that nobody ever waits for a thread that has not begun.
class Pool {
 public:
  // False, and nothing done, where the pool works for another caller.
  bool try_run(int64_t n, int64_t grain, detail::ChunkCall call);
  void stop();

 private:
  void start(int threads);
  void worker(uint32_t seen);
  void work();
  void run_part(uint32_t part) noexcept;

  std::mutex busy_;  // held by the caller whose job runs; guards workers_ and affinity_
  std::vector<std::thread> workers_;
  WorkerAffinity affinity_;

  // The job: written by the caller before it publishes, read only by holders of a claim.
  detail::ChunkCall call_{};
  int64_t n_ = 0, grain_ = 0, part_size_ = 0;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;

  // Parts of the job << 32 | the next one to take. All that a claim needs is read after the
  // exchange that makes it, so a thread that slept through several jobs does no harm.
  alignas(64) std::atomic<uint64_t> claims_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // changes when there is news for the workers
  std::atomic<int> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false}, stopping_{false};
  std::mutex sleep_;
  std::condition_variable wake_workers_, wake_caller_;
};

void Pool::start(int threads) {
  stopping_ = false;
#ifdef FASTGRAD_POSIX_THREADS
  sigset_t all, before;  // signals are for the program's own threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
  uint32_t seen = epoch_.load();
  if (workers_.empty()) affinity_.begin();
  try {
    while (static_cast<int>(workers_.size()) < threads - 1)
      workers_.emplace_back([this, seen] { worker(seen); });
  } catch (const std::system_error&) {
    // No more threads to be had: those there are do the work.
  }
#ifdef FASTGRAD_POSIX_THREADS
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
}

void Pool::stop() {
  std::lock_guard lock(busy_);
  {
    std::lock_guard sleep(sleep_);
    stopping_ = true;
    epoch_.fetch_add(1);
  }
  wake_workers_.notify_all();
  for (auto& w : workers_) w.join();
  workers_.clear();
}

void Pool::worker(uint32_t seen) {
  t_in_chunk = true;
  for (;;) {
    if (!spin_until([&] { return epoch_.load(std::memory_order_acquire) != seen; })) {
      std::unique_lock lock(sleep_);
      sleepers_.fetch_add(1);
      while (epoch_.load() == seen) wake_workers_.wait(lock);
      sleepers_.fetch_sub(1);
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    work();
  }
}

void Pool::run_part(uint32_t part) noexcept {
  int64_t begin = part * part_size_, end = std::min(n_, begin + part_size_);
  try {
    for (; begin < end; begin += grain_) {
      if (failed_.load(std::memory_order_relaxed)) return;
      call_.call(call_.function, begin, std::min(end, begin + grain_));
    }
  } catch (...) {
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
}

void Pool::work() {
  uint64_t state = claims_.load(std::memory_order_acquire);
  for (;;) {
    auto parts = static_cast<uint32_t>(state >> 32), next = static_cast<uint32_t>(state);
    if (next >= parts) return;
    if (!claims_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire))
      continue;
    run_part(next);
    if (done_.fetch_add(1) + 1 == parts && caller_sleeps_.load()) {
      {
        std::lock_guard lock(sleep_);
      }
      wake_caller_.notify_one();
    }
    state = claims_.load(std::memory_order_acquire);
  }
}

bool Pool::try_run(int64_t n, int64_t grain, detail::ChunkCall call) {
  std::unique_lock lock(busy_, std::try_to_lock);
  if (!lock) return false;
  int threads = pool_size();
  if (static_cast<int>(workers_.size()) < threads - 1) start(threads);

  // A part is a run of whole chunks: enough parts to balance the threads, few enough to count.
  int64_t chunks = (n - 1) / grain + 1;
  int64_t chunks_per_part = std::max<int64_t>(1, chunks / (int64_t{64} * threads));
  part_size_ = chunks_per_part * grain;
  auto parts = static_cast<uint32_t>((chunks - 1) / chunks_per_part + 1);
  n_ = n;
  grain_ = grain;
  call_ = call;
  failed_.store(false, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  claims_.store(static_cast<uint64_t>(parts) << 32, std::memory_order_release);
  epoch_.fetch_add(1);
  if (int asleep = sleepers_.load()) {
    affinity_.avoid_this_processor(workers_);
    {
      std::lock_guard sleep(sleep_);
    }
    int wanted = static_cast<int>(parts) - 1;
    if (asleep <= wanted) {
      wake_workers_.notify_all();
    } else {
      for (int i = 0; i < wanted; ++i) wake_workers_.notify_one();
    }
  }
  {
    InChunk inside;
    work();
  }
  if (!spin_until([&] { return done_.load(std::memory_order_acquire) == parts; })) {
    affinity_.allow_all(workers_);
    std::unique_lock sleep(sleep_);
    caller_sleeps_ = true;
    while (done_.load() != parts) wake_caller_.wait(sleep);
    caller_sleeps_ = false;
  }
  if (failed_.load(std::memory_order_acquire)) {
    std::exception_ptr error = std::move(error_);
    error_ = nullptr;
    lock.unlock();
    std::rethrow_exception(error);
  }
  return true;
}

std::atomic<Pool*> g_pool{nullptr};

// Note [Pool and fork]
// A forked child has the forking thread only, and locks of the pool may be held by threads that no
// longer exist. The child therefore forgets the pool, its memory included, and makes a new one when
// it first needs it.
Pool& pool() {
  if (Pool* p = g_pool.load(std::memory_order_acquire)) return *p;
#ifdef FASTGRAD_POSIX_THREADS
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr, std::memory_order_relaxed); });
  (void)registered;
#endif
  Pool* fresh = new Pool;  // outlives every static destructor
  Pool* expected = nullptr;
  if (g_pool.compare_exchange_strong(expected, fresh)) return *fresh;
  delete fresh;
  return *expected;
}

}  // namespace

int pool_size() {
  int n = g_size.load(std::memory_order_relaxed);
  if (n == 0) [[unlikely]] {
    int fresh = default_size();
    n = g_size.compare_exchange_strong(n, fresh) ? fresh : n;
  }
  return n;
}

void set_pool_size(int n) {
  FG_CHECK(n > 0, "set_num_threads expects a positive integer, got ", n);
  if (g_size.exchange(n) != n)
    if (Pool* p = g_pool.load(std::memory_order_acquire)) p->stop();
}

void detail::run_chunks(int64_t n, int64_t grain, ChunkCall call) {
  if (!t_in_chunk && pool_size() > 1 && pool().try_run(n, grain, call)) return;
  for (int64_t begin = 0; begin < n; begin += grain)
    call.call(call.function, begin, std::min(n, begin + grain));
}

}  // namespace fastgrad
