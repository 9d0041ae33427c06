// The non-tensor arguments of an op, in one uniform form: comparable, printable, storable.
#pragma once

#include <string>
#include <vector>

#include "base/scalar.h"
#include "base/ref.h"
#include "base/shape.h"

namespace fastgrad {

struct Attrs {
  // Elementwise ops: s[k] stands for input k where bit k of `scalars` is set. Other ops: as they like.
  Scalar s[3];
  uint8_t scalars = 0;

  Attrs() = default;
  explicit Attrs(Scalar s0, Scalar s1 = {}, Scalar s2 = {}) : s{s0, s1, s2} {}

  bool flag(int k) const { return s[k].to_bool(); }
  int64_t integer(int k) const { return s[k].to_int(); }

  // Integer lists (axes, sizes, ...) and one string, for the ops that have them.
  DimSpan list(size_t k) const {
    return lists_ && k < lists_->values.size() ? DimSpan(lists_->values[k]) : DimSpan();
  }
  Attrs&& with(DimSpan values) && {
    mutable_lists().values.emplace_back(values.begin(), values.end());
    return std::move(*this);
  }
  const std::string& text() const { return lists_->text; }
  Attrs&& with_text(std::string t) && {
    mutable_lists().text = std::move(t);
    return std::move(*this);
  }

 private:
  struct Lists {
    RefCount refs;
    std::vector<std::vector<int64_t>> values;
    std::string text;
    void retain() { refs.increment(); }
    void release() {
      if (refs.decrement()) delete this;
    }
  };
  Lists& mutable_lists() {
    if (!lists_)
      lists_ = Ref<Lists>::adopt(new Lists);
    else if (lists_->refs.get() > 1)
      lists_ = Ref<Lists>::adopt(new Lists{{}, lists_->values, lists_->text});
    return *lists_;
  }
  Ref<Lists> lists_;  // shared by copies, copied on write
};

}  // namespace fastgrad
