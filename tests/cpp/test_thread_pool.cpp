// The pool that splits kernels over threads.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

#include "base/thread_pool.h"
#include "check.h"

namespace fastgrad {
namespace {

struct PoolSize {
  explicit PoolSize(int n) : before(pool_size()) { set_pool_size(n); }
  ~PoolSize() { set_pool_size(before); }
  int before;
};

// How often each index was visited; every chunk has to be one of the fixed ones.
std::vector<int> visits(int64_t n, int64_t grain) {
  std::vector<int> seen(static_cast<size_t>(n));
  std::atomic<bool> fixed{true};
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    if (begin % grain || end != std::min(n, begin + grain)) fixed = false;
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  CHECK(fixed);
  return seen;
}

double sum_of_parts(const std::vector<float>& x, int64_t grain) {
  auto n = static_cast<int64_t>(x.size());
  std::vector<float> parts(static_cast<size_t>((n + grain - 1) / grain));
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    float s = 0;
    for (int64_t i = begin; i < end; ++i) s += x[static_cast<size_t>(i)];
    parts[static_cast<size_t>(begin / grain)] = s;
  });
  float s = 0;
  for (float p : parts) s += p;
  return s;
}

TEST(every_index_is_visited_once) {
  for (int threads : {1, 2, 3, 8}) {
    PoolSize size(threads);
    for (auto [n, grain] : {std::pair<int64_t, int64_t>{0, 4},
                            {1, 4},
                            {4, 4},
                            {5, 4},
                            {1000, 7},
                            {100000, 1},
                            {100001, 1000}})
      CHECK(visits(n, grain) == std::vector<int>(static_cast<size_t>(n), 1));
  }
}

TEST(results_do_not_depend_on_the_number_of_threads) {
  std::vector<float> x(100003);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / static_cast<float>(i + 1);
  double expected = [&] {
    PoolSize one(1);
    return sum_of_parts(x, 1000);
  }();
  for (int threads : {2, 3, 5}) {
    PoolSize size(threads);
    for (int round = 0; round < 50; ++round) CHECK(sum_of_parts(x, 1000) == expected);
  }
}

TEST(several_threads_work) {
  PoolSize size(2);
  std::atomic<int> inside{0};
  std::atomic<bool> met{false};
  // Each chunk waits for another one to run beside it, for a second at most.
  parallel_for(2, 1, [&](int64_t, int64_t) {
    ++inside;
    for (int i = 0; i < 1000 && !met; ++i) {
      if (inside == 2) met = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  CHECK(met);
}

TEST(nested_loops_run_in_order) {
  PoolSize size(3);
  std::atomic<int> total{0};
  std::atomic<bool> in_order{true};
  parallel_for(8, 1, [&](int64_t, int64_t) {
    int64_t next = 0;
    parallel_for(10, 3, [&](int64_t begin, int64_t end) {
      if (begin != next) in_order = false;
      next = end;
      total += static_cast<int>(end - begin);
    });
  });
  CHECK(in_order);
  CHECK(total == 80);
}

TEST(exceptions_reach_the_caller) {
  for (int threads : {1, 3}) {
    PoolSize size(threads);
    for (int round = 0; round < 20; ++round) {
      std::string text;
      try {
        parallel_for(100, 1, [](int64_t begin, int64_t) {
          if (begin == 42) throw std::runtime_error("chunk 42");
        });
      } catch (const std::runtime_error& e) {
        text = e.what();
      }
      CHECK(text == "chunk 42");
      CHECK(visits(1000, 10) == std::vector<int>(1000, 1));
    }
  }
}

TEST(callers_in_several_threads) {
  PoolSize size(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        std::atomic<int64_t> total{0};
        parallel_for(1000, 10, [&](int64_t begin, int64_t end) { total += end - begin; });
        if (total != 1000) ++wrong;
      }
    });
  for (auto& c : callers) c.join();
  CHECK(wrong == 0);
}

TEST(the_size_may_change_between_calls) {
  PoolSize keep(2);
  for (int round = 0; round < 20; ++round) {
    set_pool_size(1 + round % 4);
    CHECK(pool_size() == 1 + round % 4);
    CHECK(visits(1000, 10) == std::vector<int>(1000, 1));
  }
  CHECK_FAILS(ErrorKind::Runtime, set_pool_size(0));
}

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_THREAD__)
// (The thread sanitizer allows no new threads in a forked child.)
TEST(a_forked_child_has_its_own_pool) {
  PoolSize size(3);
  CHECK(visits(1000, 10) == std::vector<int>(1000, 1));
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    bool right = true;
    for (int round = 0; round < 20; ++round)
      right = right && visits(1000, 10) == std::vector<int>(1000, 1);
    _exit(right ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(visits(1000, 10) == std::vector<int>(1000, 1));
}
#endif

#if defined(__linux__)
// Where the other thread may run that takes one of two chunks; nothing if it did not come to that.
cpu_set_t processors_of_a_worker() {
  cpu_set_t found;
  CPU_ZERO(&found);
  auto caller = std::this_thread::get_id();
  std::atomic<int> inside{0};
  std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the worker sleeps by now
  parallel_for(2, 1, [&](int64_t, int64_t) {
    if (std::this_thread::get_id() != caller) sched_getaffinity(0, sizeof found, &found);
    ++inside;
    for (int i = 0; i < 1000 && inside < 2; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  return found;
}

TEST(a_woken_worker_runs_beside_its_caller) {
  cpu_set_t before;
  CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
  if (CPU_COUNT(&before) < 2) return;  // one processor: nowhere else to go
  PoolSize size(2);
  CHECK(visits(1000, 10) ==
        std::vector<int>(1000, 1));  // the worker has begun, and may run anywhere
  for (int cpu = 0, tried = 0; cpu < CPU_SETSIZE && tried < 2; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    ++tried;
    cpu_set_t here, rest = before;
    CPU_ZERO(&here);
    CPU_SET(cpu, &here);
    CPU_CLR(cpu, &rest);
    CHECK(sched_setaffinity(0, sizeof here, &here) == 0);
    bool beside = false;  // on a busy machine a worker may not sleep yet, or come too late
    for (int round = 0; round < 100 && !beside; ++round) {
      cpu_set_t found = processors_of_a_worker();
      beside = CPU_EQUAL(&found, &rest);
    }
    CHECK(beside);
  }
  CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
}
#endif

}  // namespace
}  // namespace fastgrad
