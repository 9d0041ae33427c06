#include "program/program.h"

#include <algorithm>
#include <unordered_map>

#include "core/elementwise.h"
#include "program/direct.h"
#include "program/frame.h"

namespace fastgrad {
namespace {

// Large blocks do not begin at the same place of a page: loads and stores whose addresses end alike
// wait for each other.
size_t rounded(size_t n) {
  return (n + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment +
         (n >= 2048 ? 3 * kArenaAlignment : 0);
}
size_t at(int32_t storage) { return static_cast<size_t>(storage); }

// Smaller arrays stay in the cache anyway.
constexpr int64_t kMinGroup = 4 * kGroupBlock;

// The inputs whose memory a direct kernel may write its output to, if they die here: those that it
// reads element by element, at the same place in all operands.
SmallVector<int32_t, kMaxElementwiseInputs> written_over(const Instruction& i) {
  SmallVector<int32_t, kMaxElementwiseInputs> storages;
  unsigned scalars = 0;
  if (i.kind != Instruction::Kind::Elementwise || !is_direct(i, scalars) ||
      itemsize(i.compute) != itemsize(i.result) || i.out[0].offset != 0)
    return storages;
  for (size_t k = 0; k < i.in.size(); ++k) {
    bool fits = i.in[k].defined();
    for (size_t n = 0; fits && n < i.in.size(); ++n)
      if (i.in[n].storage == i.in[k].storage) fits = i.in[n].offset == 0 && !(scalars >> n & 1);
    if (fits) storages.push_back(i.in[k].storage);
  }
  return storages;
}

}  // namespace

Program::Program(Task task) : task_(std::move(task)) {
  recorded_steps_ = task_.graph.instructions.size();
  optimise(task_);
  task_.graph.verify();
  for (const Instruction& i : task_.graph.instructions) {
    guarded_ = guarded_ || i.guards();
    impure_ = impure_ || (i.kind == Instruction::Kind::Primitive && !i.primitive->pure);
  }
  find_groups();
  plan();
  idle_ = new Frame(*this);
}
Program::~Program() { delete idle_.load(); }

// Note [Groups]
// A group may run block by block when each of its instructions, on elements [a, b), reads of what
// the group writes only those elements. That holds when an array is written and read at one place
// (storage, offset, element size), and what serves as one element for all is not written inside.
// Storages that nothing outside the group reads or writes shrink to a block. Blocks end at
// multiples of kGroupBlock, so every element is computed by the same kernel from the same values.
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
    if (i.kind != Instruction::Kind::Elementwise || !is_direct(i, scalars) ||
        i.out[0].numel < kMinGroup)
      continue;
    bool joins = !groups_.empty() && groups_.back().last == k && groups_.back().n == i.out[0].numel;
    for (size_t n = 0; joins && n < i.in.size(); ++n)
      joins = !i.in[n].defined() || fits(i.in[n], false, scalars >> n & 1);
    joins = joins && fits(i.out[0], true, false);
    if (!joins) {
      uses.clear();
      groups_.push_back({k, k, i.out[0].numel});
    }
    groups_.back().last = k + 1;
    for (size_t n = 0; n < i.in.size(); ++n)
      if (i.in[n].defined()) use(i.in[n], false, scalars >> n & 1);
    use(i.out[0], true, false);
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
      is_block_[s] =
          g.storages[s].role == Storage::Role::Internal && !g.storages[s].unset && !result[s] &&
          p.offset == 0 && static_cast<size_t>(p.nbytes()) == g.storages[s].nbytes &&
          first[s] >= static_cast<int>(group.first) && last[s] < static_cast<int>(group.last);
    }
}

void Program::plan() {
  const Graph& g = task_.graph;
  arena_offset_.assign(g.storages.size(), -1);
  fresh_of_.assign(g.storages.size(), -1);
  for (const Place& p : task_.results) {
    if (!p.defined() || g.storages[at(p.storage)].role != Storage::Role::Internal ||
        fresh_of_[at(p.storage)] >= 0)
      continue;
    fresh_of_[at(p.storage)] = static_cast<int32_t>(fresh_sizes_.size());
    fresh_sizes_.push_back(g.storages[at(p.storage)].nbytes);
  }
  std::vector<int> last(g.storages.size(), -1);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    for (const Place& p : g.instructions[k].in)
      if (p.defined()) last[at(p.storage)] = static_cast<int>(k);
    for (const Place& p : g.instructions[k].out) last[at(p.storage)] = static_cast<int>(k);
  }
  // Blocks that are free again, by size.
  std::unordered_map<size_t, std::vector<int64_t>> free;
  // The free list that a storage's memory comes from: blocks have one of their own.
  auto class_of = [&](int32_t s) -> size_t {
    if (is_block_[at(s)]) return 1;
    return rounded(std::max<size_t>(g.storages[at(s)].nbytes, 1));
  };
  auto planned = [&](int32_t s) {
    return g.storages[at(s)].role == Storage::Role::Internal && fresh_of_[at(s)] < 0;
  };
  auto allocate = [&](int32_t s) {
    if (!planned(s) || arena_offset_[at(s)] >= 0) return;
    size_t size = class_of(s);
    auto& blocks = free[size];
    if (blocks.empty()) {
      arena_offset_[at(s)] = static_cast<int64_t>(arena_bytes_);
      arena_bytes_ += size == 1 ? static_cast<size_t>(kGroupBlock) * kMaxItemSize : size;
    } else {
      arena_offset_[at(s)] = blocks.back();
      blocks.pop_back();
    }
  };
  // The end of the group that instruction k is in; 0: none. What dies inside keeps its memory until
  // then, because each block of the group passes there again.
  std::vector<size_t> end_of_group(g.instructions.size(), 0);
  for (const Group& group : groups_)
    for (size_t k = group.first; k < group.last; ++k) end_of_group[k] = group.last;
  std::vector<int32_t> dying;
  auto release = [&](int32_t s, size_t k) {
    if (!planned(s) || last[at(s)] != static_cast<int>(k)) return;
    last[at(s)] = -2;  // once
    if (end_of_group[k] && !is_block_[at(s)])
      dying.push_back(s);
    else
      free[class_of(s)].push_back(arena_offset_[at(s)]);
  };
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    for (const Place& p : i.in)
      if (p.defined()) allocate(p.storage);  // unset memory
    for (int32_t s : written_over(i)) release(s, k);
    for (const Place& p : i.out) allocate(p.storage);
    for (const Place& p : i.in)
      if (p.defined()) release(p.storage, k);
    for (const Place& p : i.out) release(p.storage, k);
    if (end_of_group[k] != k + 1) continue;
    for (int32_t s : dying) free[class_of(s)].push_back(arena_offset_[at(s)]);
    dying.clear();
  }
}

std::string Program::explain() const {
  const Graph& g = task_.graph;
  size_t direct = 0, small = 0, walked = 0, watched = 0, others = 0, grouped = 0;
  for (const Instruction& i : g.instructions) {
    unsigned scalars = 0;
    if (i.guards())
      ++watched;
    else if (i.kind != Instruction::Kind::Elementwise)
      ++others;
    else if (!is_direct(i, scalars))
      ++walked;
    else if (++direct; i.out[0].numel < kMinGroup)
      ++small;
  }
  std::string text = str(recorded_steps_, " recorded operations became ", g.instructions.size(),
                         " instructions; ", arena_bytes_, " bytes of memory inside.\n");
  for (const Group& group : groups_) {
    grouped += group.last - group.first;
    text += str("group of ", group.last - group.first, " on blocks of ", group.n, " elements:");
    for (size_t k = group.first; k < group.last; ++k)
      text += str(" ", g.name_of(g.instructions[k]));
    text += "\n";
  }
  text += str(direct - grouped, " elementwise kernels run alone: ", small, " on arrays below ",
              kMinGroup, " elements, ", direct - grouped - small,
              " without a neighbour of their size.\n", walked,
              " elementwise instructions broadcast, convert or have strides, and are walked.\n",
              others, " are other kernels.\n", watched, " compare values with the recorded ones",
              guarded_ ? "; memory outside is written at the end." : ".", "\n");
  return text;
}

bool Program::run(char* const* externals, char* const* fresh) {
  struct Lease {
    Program& program;
    Frame* frame;
    ~Lease() { delete program.idle_.exchange(frame, std::memory_order_acq_rel); }
  } lease{*this, idle_.exchange(nullptr, std::memory_order_acq_rel)};
  if (!lease.frame) lease.frame = new Frame(*this);  // another thread runs the usual one
  return lease.frame->run(externals, fresh);
}

}  // namespace fastgrad
