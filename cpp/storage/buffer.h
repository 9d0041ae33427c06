// A ref-counted block of memory with a version counter.
//
// Up to 128 bytes live inside the object, so that a small tensor needs one pooled block for its
// data. Every view of the memory shares the Buffer and hence the version, which in-place writes
// bump; `.data` makes an Alias, which shares the memory but has a version of its own.
//
// The values of a Buffer may be due still: see Note [Deferred rows] in core/deferred.h.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/free_list.h"
#include "base/ref.h"

namespace fastgrad {

class Buffer {
 public:
  static constexpr size_t kInlineBytes = 128;

  static Ref<Buffer> allocate(size_t nbytes) {
    if (nbytes > kInlineBytes) return allocate_large(nbytes);
    Buffer* b = make(Kind::Inline);
    b->data_ = b->inline_;
    b->nbytes_ = nbytes;
    return Ref<Buffer>::adopt(b);
  }
  // Memory of somebody else (NumPy, DLPack...); release(context) runs when it is no longer used.
  static Ref<Buffer> foreign(void* data, size_t nbytes, void* context, void (*release)(void*));
  // The same memory under another version counter.
  static Ref<Buffer> alias(const Ref<Buffer>& parent);

  char* data() const { return data_; }
  size_t nbytes() const { return nbytes_; }
  uint32_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.store(version() + 1, std::memory_order_relaxed); }
  void set_version(uint32_t v) { version_.store(v, std::memory_order_relaxed); }
  uint32_t use_count() const { return refs_.get(); }
  bool is_foreign() const { return kind_ == Kind::Foreign; }
  // Whose memory it is: this, or the parent of an alias.
  Buffer* root() { return kind_ == Kind::Alias ? static_cast<Buffer*>(context_) : this; }
  // Whether there may be an alias of it: the memory has more than one version counter.
  bool was_aliased() const {
    return (outside_users_.load(std::memory_order_relaxed) & kAliased) != 0;
  }
  bool owns_memory() const { return kind_ == Kind::Inline || kind_ == Kind::Owned; }

  // Whether code that does not tell may write to the memory: its owner, or others who were given
  // its address and have not let go of it.
  bool is_shared_outside() const {
    return !owns_memory() || (outside_users_.load(std::memory_order_relaxed) & ~kAliased) != 0;
  }
  void add_outside_user() { root()->outside_users_.fetch_add(1, std::memory_order_relaxed); }
  void drop_outside_user() { root()->outside_users_.fetch_sub(1, std::memory_order_relaxed); }

  // Which of the deferred computations makes the values, for who keeps them; 0: they are here.
  int32_t deferred() const { return deferred_.load(std::memory_order_acquire); }
  void set_deferred(int32_t which) { deferred_.store(which, std::memory_order_release); }
  // Whether the memory was made since new_age() returned `age`.
  bool is_younger_than(uint32_t age) { return root()->born_ - age < kLastAge; }
  static uint32_t new_age() { return ++age_; }

  // Called when a Buffer goes whose values nobody came for.
  static inline void (*forget_deferred)(Buffer* gone) = nullptr;

  void retain() { refs_.increment(); }
  void release() {
    if (refs_.decrement()) destroy();
  }

 private:
  enum class Kind : uint8_t { Inline, Owned, Foreign, Alias };
  // Ages may come around: then something old passes for young.
  static constexpr uint32_t kLastAge = 1u << 31;
  static inline std::atomic<uint32_t> age_{0};
  explicit Buffer(Kind kind) : kind_(kind), born_(age_.load(std::memory_order_relaxed)) {}
  static Buffer* make(Kind kind);
  static Ref<Buffer> allocate_large(size_t nbytes);
  void destroy() {
    if (kind_ != Kind::Inline || deferred() != 0) release_memory();
    free();
  }
  void release_memory();
  void free();

  RefCount refs_;
  std::atomic<uint32_t> version_{0};
  Kind kind_;
  std::atomic<int32_t> deferred_{0};
  static constexpr uint32_t kAliased = 1u << 31;
  std::atomic<uint32_t> outside_users_{0};  // and kAliased
  uint32_t born_;
  char* data_ = nullptr;
  size_t nbytes_ = 0;
  void* context_ = nullptr;  // Foreign: for release_; Alias: the parent
  void (*release_)(void*) = nullptr;
  alignas(64) char inline_[kInlineBytes];
};

using BufferPool = FreeList<Buffer, sizeof(Buffer)>;
inline Buffer* Buffer::make(Kind kind) { return new (BufferPool::allocate()) Buffer(kind); }
inline void Buffer::free() {
  this->~Buffer();
  BufferPool::deallocate(this);
}

}  // namespace fastgrad
