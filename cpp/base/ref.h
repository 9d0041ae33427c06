// Intrusive reference counting. See Note [Reference counts] in base/threads.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/threads.h"

namespace fastgrad {

class RefCount {
 public:
  void increment() {
    if (multithreaded()) [[unlikely]]
      n_.fetch_add(1, std::memory_order_relaxed);
    else
      n_.store(n_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  // True when this was the last reference.
  bool decrement() {
    if (multithreaded()) [[unlikely]]
      return n_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    uint32_t n = n_.load(std::memory_order_relaxed) - 1;
    n_.store(n, std::memory_order_relaxed);
    return n == 0;
  }
  uint32_t get() const { return n_.load(std::memory_order_acquire); }
  void reset(uint32_t n) { n_.store(n, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> n_{1};
};

// Owning pointer to a T that has retain() and release().
template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  static Ref adopt(T* p) {  // takes over one reference
    Ref r;
    r.p_ = p;
    return r;
  }
  static Ref share(T* p) {  // adds one
    if (p) p->retain();
    return adopt(p);
  }
  Ref(const Ref& o) : p_(o.p_) {
    if (p_) p_->retain();
  }
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Ref& operator=(const Ref& o) {
    if (o.p_) o.p_->retain();
    T* old = std::exchange(p_, o.p_);
    if (old) old->release();
    return *this;
  }
  Ref& operator=(Ref&& o) noexcept {
    T* old = std::exchange(p_, std::exchange(o.p_, nullptr));
    if (old) old->release();
    return *this;
  }
  ~Ref() {
    if (p_) p_->release();
  }

  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  bool operator==(const Ref& o) const { return p_ == o.p_; }
  T* detach() { return std::exchange(p_, nullptr); }

 private:
  T* p_ = nullptr;
};

}  // namespace fastgrad
