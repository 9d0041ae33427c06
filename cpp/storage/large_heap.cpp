#include "storage/large_heap.h"

#include <algorithm>
#include <iterator>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace fastgrad::memory {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t round_to_huge_pages(size_t size) { return (size + kHugePage - 1) / kHugePage * kHugePage; }

#if defined(__unix__) || defined(__APPLE__)

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// Addresses without memory; null when there are none. A limit on address space may allow less than
// is asked for: `size` comes back as what was had, `least` or more.
char* reserve(size_t& size, size_t least) {
  for (; size >= least; size /= 2) {
    void* p = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) return static_cast<char*>(p);
  }
  return nullptr;
}

void ask_for_huge_pages([[maybe_unused]] char* begin, [[maybe_unused]] size_t size) {
#ifdef MADV_HUGEPAGE
  madvise(begin, size, MADV_HUGEPAGE);
#endif
}

bool commit(char* begin, size_t size) {
  if (mprotect(begin, size, PROT_READ | PROT_WRITE) != 0) return false;
  ask_for_huge_pages(begin, size);
  return true;
}

// Gives the pages back; the addresses stay usable, with fresh ones.
bool release_pages(char* begin, size_t size) {
  if (mmap(begin, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED)
    return false;
  ask_for_huge_pages(begin, size);
  return true;
}

#else

char* reserve(size_t&, size_t) { return nullptr; }
bool commit(char*, size_t) { return false; }
bool release_pages(char*, size_t) { return false; }

#endif

}  // namespace

void LargeHeap::add(char* begin, size_t size) {
  auto after = by_place_.lower_bound(begin);
  if (after != by_place_.end() && begin + size == after->first) {
    size += after->second;
    remove(after++);
  }
  if (after != by_place_.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == begin) {
      begin = before->first;
      size += before->second;
      remove(before);
    }
  }
  by_place_.emplace(begin, size);
  by_size_.emplace(size, begin);
}

void LargeHeap::remove(std::map<char*, size_t>::iterator at) {
  by_size_.erase({at->second, at->first});
  by_place_.erase(at);
}

// The first `size` bytes of the shortest piece that has them; null when there is none.
char* LargeHeap::cut(size_t size) {
  auto found = by_size_.lower_bound({size, nullptr});
  if (found == by_size_.end()) return nullptr;
  auto [have, begin] = *found;
  remove(by_place_.find(begin));
  if (have > size) add(begin + size, have - size);
  return begin;
}

// Adds fresh memory to the free pieces, so that one of them has `size` bytes.
bool LargeHeap::extend(size_t size) {
  const size_t whole = round_to_huge_pages(size);
  if (!by_place_.empty()) {  // a free piece before the fresh memory becomes part of the block
    auto [begin, last] = *std::prev(by_place_.end());
    if (begin + last == next_) size -= last;
  }
  size = round_to_huge_pages(size);
  if (static_cast<size_t>(end_ - next_) < size) {
    size = whole;
    const size_t least = size + kHugePage;  // room to align
    size_t range = std::max(size_t{1} << 38, least);
    char* begin = reserve(range, least);
    if (!begin) return false;
    const size_t skip = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
    next_ = begin + skip;
    end_ = begin + range;
  }
  if (!commit(next_, size)) return false;
  add(next_, size);
  next_ += size;
  return true;
}

void* LargeHeap::take(size_t size, bool& fresh) {
  std::lock_guard lock(mutex);
  fresh = kept_bytes_ < size;
  char* p = cut(size);
  if (!p) {
    fresh = true;
    p = extend(size) ? cut(size) : nullptr;
  }
  if (p && !fresh) kept_bytes_ -= size;
  return p;
}

void LargeHeap::give_back(void* p, size_t size, uint64_t cap) {
  std::lock_guard lock(mutex);
  char* begin = static_cast<char*>(p);
  if (kept_bytes_ + size <= cap || !release_pages(begin, size)) kept_bytes_ += size;
  add(begin, size);
}

void LargeHeap::release_free() {
  std::lock_guard lock(mutex);
  uint64_t kept = 0;
  for (auto [begin, size] : by_place_)
    if (!release_pages(begin, size)) kept += size;
  kept_bytes_ = std::min(kept, kept_bytes_);
}

uint64_t LargeHeap::kept_bytes() {
  std::lock_guard lock(mutex);
  return kept_bytes_;
}

}  // namespace fastgrad::memory
