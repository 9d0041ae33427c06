// A vector whose first N elements live in the object. Shapes, strides, edges: rarely more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace fastgrad {

template <class T, uint32_t N>
class SmallVector {
 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  SmallVector() : data_(inline_data()) {}
  explicit SmallVector(size_t n) : SmallVector() { resize(n); }
  SmallVector(size_t n, const T& value) : SmallVector() {
    reserve(n);
    std::uninitialized_fill_n(data_, n, value);
    size_ = static_cast<uint32_t>(n);
  }
  SmallVector(std::initializer_list<T> l) : SmallVector(l.begin(), l.end()) {}
  explicit SmallVector(std::span<const T> s) : SmallVector(s.begin(), s.end()) {}
  template <std::input_iterator It>
  SmallVector(It first, It last) : SmallVector() {
    reserve(static_cast<size_t>(std::distance(first, last)));
    for (; first != last; ++first) new (data_ + size_++) T(*first);
  }
  SmallVector(const SmallVector& o) : SmallVector() {
    reserve(o.size_);
    for (uint32_t i = 0; i < o.size_; ++i) new (data_ + i) T(o.data_[i]);
    size_ = o.size_;
  }
  SmallVector(SmallVector&& o) noexcept : SmallVector() { take(std::move(o)); }
  SmallVector& operator=(const SmallVector& o) {
    if (this != &o) assign(o.begin(), o.end());
    return *this;
  }
  SmallVector& operator=(SmallVector&& o) noexcept {
    if (this != &o) {
      clear();
      free_heap();
      take(std::move(o));
    }
    return *this;
  }
  ~SmallVector() {
    if constexpr (!std::is_trivially_destructible_v<T>)
      for (T *p = data_, *last = data_ + size_; p != last; ++p) p->~T();
    if (data_ != inline_data()) std::allocator<T>().deallocate(data_, capacity_);
  }

  template <std::input_iterator It>
  void assign(It first, It last) {
    clear();
    reserve(static_cast<size_t>(std::distance(first, last)));
    T* to = data_;
    for (; first != last; ++first) new (to++) T(*first);
    size_ = static_cast<uint32_t>(to - data_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& front() { return data_[0]; }
  const T& front() const { return data_[0]; }
  T& back() { return data_[size_ - 1]; }
  const T& back() const { return data_[size_ - 1]; }
  iterator begin() { return data_; }
  iterator end() { return data_ + size_; }
  const_iterator begin() const { return data_; }
  const_iterator end() const { return data_ + size_; }

  void push_back(T value) {
    if (size_ == capacity_) reserve(2 * static_cast<size_t>(capacity_));
    new (data_ + size_++) T(std::move(value));
  }
  T& emplace_back() {
    if (size_ == capacity_) reserve(2 * static_cast<size_t>(capacity_));
    return *new (data_ + size_++) T();
  }
  // n elements in place of those there are, values of any kind: for those who write them all.
  T* reset(size_t n)
    requires std::is_trivially_copyable_v<T>
  {
    size_ = 0;
    resize_uninitialized(n);
    return data_;
  }
  // n elements, new ones of any value: for those who write them.
  void resize_uninitialized(size_t n)
    requires std::is_trivially_copyable_v<T>
  {
    reserve(n);
    size_ = static_cast<uint32_t>(n);
  }
  // Adds what f() returns, built in place. For hot code that knows that there is room.
  template <class F>
  T& emplace_unchecked(F&& f) {
    T* added = new (data_ + size_) T(f());  // f may throw
    ++size_;
    return *added;
  }
  void pop_back() { data_[--size_].~T(); }
  void insert(size_t at, T value) {
    push_back(std::move(value));
    std::rotate(data_ + at, data_ + size_ - 1, data_ + size_);
  }
  void erase(size_t at) {
    std::move(data_ + at + 1, data_ + size_, data_ + at);
    pop_back();
  }
  void resize(size_t n) {
    while (size_ > n) pop_back();
    reserve(n);
    for (; size_ < n; ++size_) new (data_ + size_) T();
  }
  void clear() {
    if constexpr (!std::is_trivially_destructible_v<T>)
      for (uint32_t i = 0; i < size_; ++i) data_[i].~T();
    size_ = 0;
  }
  void reserve(size_t n) {
    if (n <= capacity_) return;
    T* p = std::allocator<T>().allocate(n);
    for (uint32_t i = 0; i < size_; ++i) {
      new (p + i) T(std::move(data_[i]));
      data_[i].~T();
    }
    free_heap();
    data_ = p;
    capacity_ = static_cast<uint32_t>(n);
  }

  bool operator==(const SmallVector& o) const {
    if (size_ != o.size_) return false;
    for (uint32_t i = 0; i < size_; ++i)  // few: sooner done than a call of memcmp
      if (!(data_[i] == o.data_[i])) return false;
    return true;
  }
  operator std::span<const T>() const { return {data_, size_}; }

 private:
  T* inline_data() { return std::launder(reinterpret_cast<T*>(inline_)); }
  void free_heap() {
    if (data_ != inline_data()) std::allocator<T>().deallocate(data_, capacity_);
    data_ = inline_data();
    capacity_ = N;
  }
  void take(SmallVector&& o) {  // *this is empty and inline
    if (o.data_ != o.inline_data()) {
      data_ = std::exchange(o.data_, o.inline_data());
      capacity_ = std::exchange(o.capacity_, N);
      size_ = std::exchange(o.size_, 0);
      return;
    }
    for (uint32_t i = 0; i < o.size_; ++i) new (data_ + i) T(std::move(o.data_[i]));
    size_ = o.size_;
    o.clear();
  }

  T* data_;
  uint32_t size_ = 0;
  uint32_t capacity_ = N;
  alignas(T) unsigned char inline_[N * sizeof(T)];
};

}  // namespace fastgrad
