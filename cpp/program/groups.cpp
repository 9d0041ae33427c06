#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "program/direct.h"
#include "program/piece_uses.h"
#include "program/program.h"

namespace fastgrad {
namespace {

// The number of elements of an instruction that may run block by block; 0: it may not.
int64_t group_size(const Instruction& i) {
  unsigned scalars = 0;
  if (i.kind == Instruction::Kind::Elementwise)
    return i.out[0].numel >= kMinGroup && is_direct(i, scalars) ? i.out[0].numel : 0;
  return sums_all(i) && i.in[0].numel >= kMinGroup ? i.in[0].numel : 0;
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
    if (writes_outside(g, list[k])) continue;
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
// A group runs block by block, where PieceUses says that it may.
// Storages that nothing outside the group reads or writes shrink to a block. Blocks end at
// multiples of kGroupBlock, so every element is computed by the same kernel from the same values.
// Sums and means over everything join as well. The leaves of their trees have kGroupBlock elements;
// where that many of all arrays do not fit the cache, the other instructions take the elements in
// several shorter blocks, and the sums come when all of a leaf is there. So nothing may write, in
// the same group, to what has been summed.
void Program::find_groups() {
  const Graph& g = task_.graph;
  is_block_.assign(g.storages.size(), 0);
  PieceUses uses;
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    unsigned scalars = 0;
    int64_t size = in_epilogue_[k] ? 0 : group_size(i);
    if (size == 0) continue;
    if (i.kind == Instruction::Kind::Elementwise) is_direct(i, scalars);
    bool total = i.kind == Instruction::Kind::Op;
    bool joins = !groups_.empty() && groups_.back().last == k && groups_.back().n == size;
    for (size_t n = 0; joins && n < i.in.size(); ++n)
      joins = !i.in[n].defined() || uses.fits(i.in[n], false, scalars >> n & 1);
    joins = joins && uses.fits(i.out[0], true, total);
    if (!joins) {
      uses.clear();
      groups_.push_back({k, k, size});
      if (k > 0) joined_[k - 1] = 0;
    }
    groups_.back().last = k + 1;
    for (size_t n = 0; n < i.in.size(); ++n)
      if (i.in[n].defined()) uses.add(i.in[n], false, scalars >> n & 1, total);
    uses.add(i.out[0], true, total);
  }
  std::erase_if(groups_, [](const Group& group) { return group.last - group.first < 2; });

  in_register_.assign(g.storages.size(), 0);
  for (size_t k = 0; k < g.instructions.size(); ++k)
    if (joined_[k]) in_register_[at(g.instructions[k].out[0].storage)] = 1;
  find_blocks();
}

// How many elements pass through all instructions at a time, by the bytes per element of what is in
// the cache then: memory outside of the group, and the blocks that are in use at a time. `last` is
// where each storage is used last.
void Program::choose_block(Group& group, const std::vector<int>& last) const {
  const Graph& g = task_.graph;
  std::set<std::pair<int32_t, int64_t>> outside;  // storages and offsets
  std::unordered_set<int32_t> live;
  size_t streams = 0, blocks = 0, most = 0;
  for (size_t k = group.first; k < group.last; ++k) {
    const Instruction& i = g.instructions[k];
    if (i.kind != Instruction::Kind::Elementwise) continue;
    auto meet = [&](const Place& p) {
      size_t s = at(p.storage);
      if (in_register(p.storage) || p.numel != group.n) return;
      if (is_block_[s])
        blocks += live.insert(p.storage).second ? is_block_[s] : 0;
      else
        streams += outside.emplace(p.storage, p.offset).second ? itemsize(p.dtype) : 0;
    };
    for (const Place& p : i.in)
      if (p.defined()) meet(p);
    meet(i.out[0]);
    most = std::max(most, blocks);
    for (const Place& p : i.in)
      if (p.defined() && last[at(p.storage)] == static_cast<int>(k) && !is_summed_[at(p.storage)] &&
          live.erase(p.storage))
        blocks -= is_block_[at(p.storage)];
  }
  group.block = RowGroup::block_for(streams + most);
  group.far = RowGroup::is_far(streams * static_cast<size_t>(group.n));
}

// Which storages are blocks, and how many elements they have at a time.
void Program::find_blocks() {
  const Graph& g = task_.graph;
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
  is_summed_.assign(g.storages.size(), 0);
  for (Group& group : groups_) {
    for (size_t k = group.first; k < group.last; ++k) {
      const Instruction& i = g.instructions[k];
      if (i.kind != Instruction::Kind::Elementwise) {
        is_summed_[at(i.in[0].storage)] = 1;
        continue;
      }
      const Place& p = i.out[0];
      size_t s = at(p.storage);
      bool inside =
          g.storages[s].role == Storage::Role::Internal && !g.storages[s].unset && !result[s] &&
          p.offset == 0 && static_cast<size_t>(p.nbytes()) == g.storages[s].nbytes &&
          first[s] >= static_cast<int>(group.first) && last[s] < static_cast<int>(group.last);
      is_block_[s] = inside ? static_cast<uint8_t>(itemsize(p.dtype)) : 0;
    }
    choose_block(group, last);
  }
}

}  // namespace fastgrad
