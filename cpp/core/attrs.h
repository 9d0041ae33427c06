// The non-tensor arguments of an op, in one uniform form: comparable, printable, storable.
#pragma once

#include <algorithm>
#include <string>

#include "base/ref.h"
#include "base/scalar.h"
#include "base/shape.h"

namespace fastgrad {

struct Attrs {
  // Elementwise ops: s[k] stands for input k where bit k of `scalars` is set. Other ops: as they
  // like.
  Scalar s[3];
  uint8_t scalars = 0;

  Attrs() = default;
  explicit Attrs(Scalar s0, Scalar s1 = {}, Scalar s2 = {}) : s{s0, s1, s2} {}

  bool flag(int k) const { return s[k].to_bool(); }
  int64_t integer(int k) const { return s[k].to_int(); }

  // Integer lists (axes, sizes, ...) and one string, for the ops that have them. Short lists cost
  // no allocation.
  DimSpan list(size_t k) const {
    const int64_t *p = lists_.begin(), *end = lists_.end();
    for (; p != end; p += *p + 1)
      if (k-- == 0) return {p + 1, static_cast<size_t>(*p)};
    return {};
  }
  void add(DimSpan values) {
    size_t at = lists_.size();
    lists_.resize_uninitialized(at + values.size() + 1);
    lists_[at] = static_cast<int64_t>(values.size());
    std::copy(values.begin(), values.end(), lists_.begin() + at + 1);
  }
  Attrs&& with(DimSpan values) && {
    add(values);
    return std::move(*this);
  }
  // Every list behind its length.
  DimSpan lists() const { return {lists_.begin(), lists_.size()}; }
  bool has_text() const { return static_cast<bool>(text_); }
  const std::string& text() const { return text_->value; }
  Attrs&& with_text(std::string t) && {
    text_ = Ref<Text>::adopt(new Text{{}, std::move(t)});
    return std::move(*this);
  }

 private:
  struct Text {
    RefCount refs;
    std::string value;
    void retain() { refs.increment(); }
    void release() {
      if (refs.decrement()) delete this;
    }
  };
  SmallVector<int64_t, 14> lists_;  // each list as its length and its values
  Ref<Text> text_;                  // shared by copies
};

}  // namespace fastgrad
