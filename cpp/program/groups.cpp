#include <algorithm>
#include <unordered_map>

#include "program/direct.h"
#include "program/program.h"

namespace fastgrad {
namespace {

// How far an instruction may move to join a group.
constexpr size_t kMaxMove = 64;

size_t at(int32_t storage) { return static_cast<size_t>(storage); }

// The number of elements of an instruction that may run block by block; 0: it may not.
int64_t group_size(const Instruction& i) {
  unsigned scalars = 0;
  if (i.kind == Instruction::Kind::Elementwise)
    return i.out[0].numel >= kMinGroup && is_direct(i, scalars) ? i.out[0].numel : 0;
  return sums_all(i) && i.in[0].numel >= kMinGroup ? i.in[0].numel : 0;
}

// Whether b may run before a, which stands in front of it.
bool may_pass(const Instruction& a, const Instruction& b) {
  for (const Place& out : b.out) {
    for (const Place& p : a.in)
      if (p.storage == out.storage) return false;
    for (const Place& p : a.out)
      if (p.storage == out.storage) return false;
  }
  for (const Place& in : b.in)
    for (const Place& p : a.out)
      if (p.storage == in.storage) return false;
  return true;
}

}  // namespace

bool sums_all(const Instruction& i) {
  if (i.kind != Instruction::Kind::Op || (i.op != Op::Sum && i.op != Op::Mean)) return false;
  const Place &x = i.in[0], &y = i.out[0];
  return (x.dtype == DType::Float32 || x.dtype == DType::Float64) && y.dtype == x.dtype &&
         x.contiguous && y.numel == 1 && x.numel > 0 && x.storage != y.storage;
}

void gather_groups(Graph& g) {
  auto& list = g.instructions;
  for (size_t k = 1; k < list.size(); ++k) {
    int64_t size = group_size(list[k]);
    if (size == 0 || group_size(list[k - 1]) == size) continue;
    bool outside = std::any_of(list[k].out.begin(), list[k].out.end(), [&](const Place& p) {
      return g.storages[at(p.storage)].role == Storage::Role::External;
    });
    if (outside) continue;  // such writes wait for all guards
    size_t to = k;
    while (to > 0 && k - to < kMaxMove && group_size(list[to - 1]) != size &&
           may_pass(list[to - 1], list[k]))
      --to;
    if (to == k || to == 0 || group_size(list[to - 1]) != size) continue;
    std::rotate(list.begin() + static_cast<std::ptrdiff_t>(to),
                list.begin() + static_cast<std::ptrdiff_t>(k),
                list.begin() + static_cast<std::ptrdiff_t>(k) + 1);
  }
}

// Note [Groups]
// A group may run block by block when each of its instructions, on elements [a, b), reads of what
// the group writes only those elements. That holds when an array is written and read at one place
// (storage, offset, element size), and what serves as one element for all is not written inside.
// Storages that nothing outside the group reads or writes shrink to a block. Blocks end at
// multiples of kGroupBlock, so every element is computed by the same kernel from the same values.
// Sums and means over everything join as well: blocks are the leaves of a reduction's tree.
void Program::find_groups() {
  const Graph& g = task_.graph;
  is_block_.assign(g.storages.size(), 0);
  struct Use {
    int64_t offset;
    size_t size;
    bool written, scalar;
  };
  std::unordered_map<int32_t, Use> uses;
  auto fits = [&](const Place& p, bool write, bool scalar) {
    auto found = uses.find(p.storage);
    if (found == uses.end()) return true;
    const Use& u = found->second;
    if (!write && !u.written) return true;
    return !scalar && !u.scalar && u.offset == p.offset && u.size == itemsize(p.dtype);
  };
  auto use = [&](const Place& p, bool write, bool scalar) {
    auto [found, added] = uses.emplace(p.storage, Use{p.offset, itemsize(p.dtype), write, scalar});
    Use& u = found->second;
    if (added) return;
    // Readers at several places: nobody may write there.
    u.scalar = u.scalar || scalar || u.offset != p.offset || u.size != itemsize(p.dtype);
    u.written = u.written || write;
  };
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    unsigned scalars = 0;
    int64_t size = group_size(i);
    if (size == 0) continue;
    if (i.kind == Instruction::Kind::Elementwise) is_direct(i, scalars);
    bool total = i.kind == Instruction::Kind::Op;
    bool joins = !groups_.empty() && groups_.back().last == k && groups_.back().n == size;
    for (size_t n = 0; joins && n < i.in.size(); ++n)
      joins = !i.in[n].defined() || fits(i.in[n], false, scalars >> n & 1);
    joins = joins && fits(i.out[0], true, total);
    if (!joins) {
      uses.clear();
      groups_.push_back({k, k, size});
    }
    groups_.back().last = k + 1;
    for (size_t n = 0; n < i.in.size(); ++n)
      if (i.in[n].defined()) use(i.in[n], false, scalars >> n & 1);
    use(i.out[0], true, total);
  }
  std::erase_if(groups_, [](const Group& group) { return group.last - group.first < 2; });

  std::vector<int> first(g.storages.size(), -1), last(g.storages.size(), -1);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    auto touch = [&](const Place& p) {
      if (!p.defined()) return;
      if (first[at(p.storage)] < 0) first[at(p.storage)] = static_cast<int>(k);
      last[at(p.storage)] = static_cast<int>(k);
    };
    for (const Place& p : g.instructions[k].in) touch(p);
    for (const Place& p : g.instructions[k].out) touch(p);
  }
  std::vector<uint8_t> result(g.storages.size(), 0);
  for (const Place& p : task_.results)
    if (p.defined()) result[at(p.storage)] = 1;
  for (const Group& group : groups_)
    for (size_t k = group.first; k < group.last; ++k) {
      const Place& p = g.instructions[k].out[0];
      size_t s = at(p.storage);
      if (g.instructions[k].kind != Instruction::Kind::Elementwise) continue;
      bool inside =
          g.storages[s].role == Storage::Role::Internal && !g.storages[s].unset && !result[s] &&
          p.offset == 0 && static_cast<size_t>(p.nbytes()) == g.storages[s].nbytes &&
          first[s] >= static_cast<int>(group.first) && last[s] < static_cast<int>(group.last);
      is_block_[s] = inside ? static_cast<uint8_t>(itemsize(p.dtype)) : 0;
    }
}

}  // namespace fastgrad
