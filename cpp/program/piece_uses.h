// What instructions read and write that run on pieces of arrays, one piece after the other.
#pragma once

#include <unordered_map>

#include "transforms/graph.h"

namespace fastgrad {

// Each instruction, on elements [a, b), may read of what the others write only those elements. That
// holds when an array is written and read at one place (storage, offset, element size), and what is
// read otherwise (`whole`: one element for all, the operand of a product) is not written.
class PieceUses {
 public:
  void clear() { uses_.clear(); }
  bool fits(const Place& p, bool write, bool whole) const {
    auto found = uses_.find(p.storage);
    if (found == uses_.end()) return true;
    const Use& u = found->second;
    if (write && u.summed) return false;
    if (!write && !u.written) return true;
    return !whole && !u.whole && u.offset == p.offset && u.size == itemsize(p.dtype);
  }
  // `summed`: a sum reads it, later than others.
  void add(const Place& p, bool write, bool whole, bool summed = false) {
    auto [found, added] =
        uses_.emplace(p.storage, Use{p.offset, itemsize(p.dtype), write, whole, summed});
    Use& u = found->second;
    if (added) return;
    u.summed = u.summed || summed;
    // Readers at several places: nobody may write there.
    u.whole = u.whole || whole || u.offset != p.offset || u.size != itemsize(p.dtype);
    u.written = u.written || write;
  }
  bool writes(const Place& p) const {
    auto found = uses_.find(p.storage);
    return found != uses_.end() && found->second.written;
  }

 private:
  struct Use {
    int64_t offset;
    size_t size;
    bool written, whole, summed;
  };
  std::unordered_map<int32_t, Use> uses_;
};

// Whether b may run before a, which stands in front of it.
inline bool may_pass(const Instruction& a, const Instruction& b) {
  auto meets = [](const std::vector<Place>& places, const std::vector<Place>& written) {
    for (const Place& w : written)
      for (const Place& p : places)
        if (p.storage == w.storage) return true;
    return false;
  };
  return !meets(a.in, b.out) && !meets(a.out, b.out) && !meets(b.in, a.out);
}
// Whether an instruction writes to memory outside: such writes wait for all guards.
inline bool writes_outside(const Graph& g, const Instruction& i) {
  for (const Place& p : i.out)
    if (g.storages[static_cast<size_t>(p.storage)].role == Storage::Role::External) return true;
  return false;
}

}  // namespace fastgrad
