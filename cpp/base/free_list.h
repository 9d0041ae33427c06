// Per-thread free lists of fixed-size blocks: the reason why a small op never calls malloc.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace fastgrad {

// Not thrown here, so that kernels can be compiled without exceptions.
[[noreturn, gnu::cold]] void throw_bad_alloc();

// One list per Tag and thread. Blocks may be freed on another thread than they came from.
template <class Tag, size_t kSize, int kMaxKept = 4096>
class FreeList {
  static_assert(kSize >= sizeof(void*));

 public:
  static void* allocate() {
    List& l = list_;
    if (void* p = l.head) [[likely]] {
      l.head = *static_cast<void**>(p);
      ++l.room;
      return p;
    }
    void* p = std::aligned_alloc(64, (kSize + 63) / 64 * 64);
    if (!p) throw_bad_alloc();
    return p;
  }
  static void deallocate(void* p) {
    List& l = list_;
    if (l.room == 0) [[unlikely]] {
      if (!l.registered) register_cleanup();
      if (l.room == 0) {
        std::free(p);
        return;
      }
    }
    *static_cast<void**>(p) = l.head;
    l.head = p;
    --l.room;
  }

 private:
  struct List {
    void* head = nullptr;
    int room = 0;             // how many more blocks may be kept
    bool registered = false;  // the thread's end will empty the list, or has
  };
  struct Cleanup {
    ~Cleanup() {
      List& l = list_;
      while (void* p = l.head) {
        l.head = *static_cast<void**>(p);
        std::free(p);
      }
      l = List{nullptr, 0, true};
    }
  };
  [[gnu::cold, gnu::noinline]] static void register_cleanup() {
    static thread_local Cleanup cleanup;
    (void)&cleanup;
    list_.room = kMaxKept;
    list_.registered = true;
  }
  static constinit inline thread_local List list_{};
};

}  // namespace fastgrad
