// Large blocks, cut from one range of addresses.
//
// Note [Large blocks]
// Fresh pages are the largest single cost of an op on a large array, so freed blocks keep theirs.
// A freed block joins the free ones on either side of it, a request takes the shortest piece that
// is long enough, and what is new is mapped next to what there is. So a training step, whose two
// passes want blocks of many sizes, needs little more than is alive at its peak, and asks the
// system for nothing once a first step is over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace fastgrad::memory {

#if defined(__unix__) || defined(__APPLE__)
inline constexpr bool kHasLargeHeap = true;
#else
inline constexpr bool kHasLargeHeap = false;
#endif

// Any thread may call any member.
class LargeHeap {
 public:
  // Sizes are multiples of this.
  static constexpr size_t kGrain = 4096;

  // Null when there is no such memory. Sets `fresh` when the system has to give pages for it.
  void* take(size_t size, bool& fresh);
  // Keeps the block's pages, unless those of more than `cap` free bytes would be kept.
  void give_back(void* p, size_t size, uint64_t cap);
  // Returns the pages of all free memory to the system.
  void release_free();
  // Free bytes that keep their pages.
  uint64_t kept_bytes();

  std::mutex mutex;  // public so that it can be held over a fork

 private:
  void add(char* begin, size_t size);  // joins its neighbours
  void remove(std::map<char*, size_t>::iterator at);
  char* cut(size_t size);
  bool extend(size_t size);

  // Free pieces, no two of which touch. Which of their pages are there is known in sum only.
  std::map<char*, size_t> by_place_;
  std::set<std::pair<size_t, char*>> by_size_;
  uint64_t kept_bytes_ = 0;
  char *next_ = nullptr, *end_ = nullptr;  // addresses that are reserved and not yet used
};

}  // namespace fastgrad::memory
