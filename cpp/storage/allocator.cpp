#include "storage/allocator.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "base/errors.h"
#include "base/fork.h"
#include "storage/large_heap.h"

namespace fastgrad::memory {
namespace {

// Four classes per doubling: at most 25 % of a block is slack. Each thread keeps blocks of the
// small classes, the process those of the others; what is above them comes from a heap of its own.
constexpr size_t kMinBlock = 256;
constexpr int kSmallClasses = 28;  // up to 32 KiB
constexpr int kClasses = kHasLargeHeap ? 49 : 157;
constexpr size_t kLargestClass = size_t{1} << (kHasLargeHeap ? 20 : 47);
constexpr size_t kSmallKept = 64;
constexpr uint64_t kKeptCap = uint64_t{2} << 30;

struct SizeClass {
  int index;
  size_t size;
};

SizeClass size_class(size_t n) {
  if (n <= kMinBlock) return {0, kMinBlock};
  int log = std::bit_width(n - 1) - 1;  // 2^log < n <= 2^(log+1)
  size_t step = size_t{1} << (log - 2);
  size_t quarter = (n - (size_t{1} << log) + step - 1) / step;  // 1..4
  return {(log - 8) * 4 + static_cast<int>(quarter), (size_t{1} << log) + quarter * step};
}

std::atomic<uint64_t> g_allocated, g_peak, g_cached, g_calls, g_system_calls, g_limit;

void* system_allocate(size_t size) {
  g_system_calls.fetch_add(1, std::memory_order_relaxed);
  return std::aligned_alloc(64, size);
}

// Blocks that any thread may take, by class.
struct SharedCache {
  std::mutex mutex;
  std::array<std::vector<void*>, kClasses> blocks;

  void* take(SizeClass c) {
    std::lock_guard lock(mutex);
    auto& b = blocks[c.index];
    if (b.empty()) return nullptr;
    void* p = b.back();
    b.pop_back();
    g_cached.fetch_sub(c.size, std::memory_order_relaxed);
    return p;
  }
  bool keep(void* p, SizeClass c) {
    if (g_cached.load(std::memory_order_relaxed) + c.size > kKeptCap) return false;
    std::lock_guard lock(mutex);
    blocks[c.index].push_back(p);
    g_cached.fetch_add(c.size, std::memory_order_relaxed);
    return true;
  }
  void clear() {
    std::lock_guard lock(mutex);
    for (auto& b : blocks) {
      for (void* p : b) std::free(p);
      b.clear();
    }
    g_cached.store(0);
  }
};

// What all threads share. It outlives every static destructor.
struct Shared {
  SharedCache cache;
  LargeHeap heap;
};
Shared& shared();
std::mutex& cache_mutex() { return shared().cache.mutex; }
std::mutex& heap_mutex() { return shared().heap.mutex; }
Shared& shared() {
  static Shared* s = new Shared;
  [[maybe_unused]] static const bool held =
      hold_over_fork<cache_mutex>() && hold_over_fork<heap_mutex>();
  return *s;
}

// Blocks of one thread, by class; chained through their own first bytes.
struct SmallCache {
  std::array<void*, kSmallClasses> head{};
  std::array<uint16_t, kSmallClasses> count{};
  bool registered = false, dead = false;
};
constinit thread_local SmallCache t_small{};

void clear_small_cache() {
  for (int i = 0; i < kSmallClasses; ++i) {
    while (void* p = t_small.head[i]) {
      t_small.head[i] = *static_cast<void**>(p);
      std::free(p);
    }
    t_small.count[i] = 0;
  }
}
struct SmallCleanup {
  ~SmallCleanup() {
    clear_small_cache();
    t_small.dead = true;
  }
};
[[gnu::cold, gnu::noinline]] void register_small_cleanup() {
  static thread_local SmallCleanup cleanup;
  (void)&cleanup;
  t_small.registered = true;
}

[[noreturn]] void out_of_memory(size_t nbytes) {
  uint64_t limit = g_limit.load();
  fail(ErrorKind::Memory, "cannot allocate ", nbytes, " bytes (", nbytes >> 20, " MiB); ",
       g_allocated.load() >> 20, " MiB are in use by tensors",
       limit ? str(" and the limit is ", limit >> 20, " MiB") : std::string());
}

void count_up(size_t size, size_t nbytes) {
  g_calls.fetch_add(1, std::memory_order_relaxed);
  uint64_t now = g_allocated.fetch_add(size, std::memory_order_relaxed) + size;
  uint64_t limit = g_limit.load(std::memory_order_relaxed);
  if (limit && now > limit) [[unlikely]] {
    g_allocated.fetch_sub(size);
    out_of_memory(nbytes);
  }
  if (now > g_peak.load(std::memory_order_relaxed)) g_peak.store(now, std::memory_order_relaxed);
}

}  // namespace

namespace {

size_t large_size(size_t nbytes) {
  return (nbytes + LargeHeap::kGrain - 1) / LargeHeap::kGrain * LargeHeap::kGrain;
}

// The block that get() finds; when there is none, kept memory that is in its way is given up first.
template <class Get>
void* take_or_fail(size_t size, size_t nbytes, Get&& get) {
  void* p = get();
  if (!p) {
    empty_cache();
    p = get();
  }
  if (!p) {
    g_allocated.fetch_sub(size);
    out_of_memory(nbytes);
  }
  return p;
}

void* allocate_large(size_t nbytes) {
  if (!kHasLargeHeap || nbytes > (size_t{1} << 47)) out_of_memory(nbytes);
  const size_t size = large_size(nbytes);
  count_up(size, nbytes);
  return take_or_fail(size, nbytes, [&] {
    bool fresh = false;
    void* p = shared().heap.take(size, fresh);
    if (fresh) g_system_calls.fetch_add(1, std::memory_order_relaxed);
    return p;
  });
}

}  // namespace

void* allocate(size_t nbytes) {
  if (nbytes > kLargestClass) return allocate_large(nbytes);
  SizeClass c = size_class(nbytes);
  count_up(c.size, nbytes);
  if (c.index < kSmallClasses) {
    SmallCache& s = t_small;
    if (void* p = s.head[c.index]) {
      s.head[c.index] = *static_cast<void**>(p);
      --s.count[c.index];
      return p;
    }
  } else if (void* p = shared().cache.take(c)) {
    return p;
  }
  return take_or_fail(c.size, nbytes, [&] { return system_allocate(c.size); });
}

void deallocate(void* p, size_t nbytes) {
  if (nbytes > kLargestClass) {
    const size_t size = large_size(nbytes);
    g_allocated.fetch_sub(size, std::memory_order_relaxed);
    return shared().heap.give_back(p, size, kKeptCap);
  }
  SizeClass c = size_class(nbytes);
  g_allocated.fetch_sub(c.size, std::memory_order_relaxed);
  if (c.index < kSmallClasses) {
    SmallCache& s = t_small;
    if (!s.registered && !s.dead) register_small_cleanup();
    if (!s.dead && s.count[c.index] < kSmallKept) {
      *static_cast<void**>(p) = s.head[c.index];
      s.head[c.index] = p;
      ++s.count[c.index];
      return;
    }
  } else if (shared().cache.keep(p, c)) {
    return;
  }
  std::free(p);
}

Stats stats() {
  return {g_allocated.load(), g_peak.load(), g_cached.load() + shared().heap.kept_bytes(),
          g_calls.load(), g_system_calls.load()};
}

void empty_cache() {
  shared().cache.clear();
  shared().heap.release_free();
  clear_small_cache();
}

void set_limit(uint64_t bytes) { g_limit.store(bytes); }

}  // namespace fastgrad::memory
