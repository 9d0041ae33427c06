// Memory for tensor data: size classes with a cache per thread for small blocks and a shared one
// for middling blocks, and a heap for large ones. Freed memory is kept: Note [Large blocks].
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastgrad::memory {

// 64-byte aligned. Raises ErrorKind::Memory, with the size asked for, when it cannot be had.
void* allocate(size_t nbytes);
// nbytes as given to allocate.
void deallocate(void* p, size_t nbytes);

struct Stats {
  uint64_t allocated;           // bytes in use now (blocks above the inline size)
  uint64_t peak_allocated;      // highest value of `allocated`
  uint64_t cached;              // freed bytes that are kept for re-use
  uint64_t allocations;         // calls so far
  uint64_t system_allocations;  // calls that had to ask the system
};
Stats stats();
// Returns kept blocks to the system.
void empty_cache();
// Most bytes that may be in use (0: no limit). Past it allocate() fails.
void set_limit(uint64_t bytes);

}  // namespace fastgrad::memory
