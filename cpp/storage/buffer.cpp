#include "storage/buffer.h"

#include "storage/allocator.h"

namespace fastgrad {

Ref<Buffer> Buffer::allocate_large(size_t nbytes) {
  void* p = memory::allocate(nbytes);
  Buffer* b = make(Kind::Owned);
  b->data_ = static_cast<char*>(p);
  b->nbytes_ = nbytes;
  return Ref<Buffer>::adopt(b);
}

Ref<Buffer> Buffer::foreign(void* data, size_t nbytes, void* context, void (*release)(void*)) {
  Buffer* b = make(Kind::Foreign);
  b->data_ = static_cast<char*>(data);
  b->nbytes_ = nbytes;
  b->context_ = context;
  b->release_ = release;
  return Ref<Buffer>::adopt(b);
}

Ref<Buffer> Buffer::alias(const Ref<Buffer>& parent) {
  Buffer* root = parent->root();
  Buffer* b = make(Kind::Alias);
  b->data_ = parent->data_;
  b->nbytes_ = parent->nbytes_;
  root->retain();
  root->outside_users_.fetch_or(kAliased, std::memory_order_relaxed);
  b->context_ = root;
  return Ref<Buffer>::adopt(b);
}

void Buffer::release_memory() {
  if (deferred() != 0) forget_deferred(this);
  switch (kind_) {
    case Kind::Inline:
      break;
    case Kind::Owned:
      memory::deallocate(data_, nbytes_);
      break;
    case Kind::Foreign:
      if (release_) release_(context_);
      break;
    case Kind::Alias:
      static_cast<Buffer*>(context_)->release();
      break;
  }
}

}  // namespace fastgrad
