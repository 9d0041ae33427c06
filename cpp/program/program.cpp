#include "program/program.h"

#include <algorithm>
#include <unordered_map>

#include "base/threads.h"
#include "core/elementwise.h"
#include "program/direct.h"
#include "program/epilogues.h"
#include "program/frame.h"

namespace fastgrad {
namespace {}  // namespace

Program::Program(Task task) : task_(std::move(task)) {
  recorded_steps_ = task_.graph.instructions.size();
  optimise(task_);
  task_.graph.verify();
  for (const Instruction& i : task_.graph.instructions) {
    guarded_ = guarded_ || i.guards();
    impure_ = impure_ || (i.kind == Instruction::Kind::Primitive && !i.primitive->pure);
  }
  gather_epilogues(task_.graph);
  gather_groups(task_.graph);
  join_pairs();
  find_epilogues();
  find_groups();
  plan();
  examine_guards();
  idle_ = new Frame(*this);
}

// What is written before the last guard is no memory that others see: see delay_outside_writes().
void Program::examine_guards() {
  const Graph& g = task_.graph;
  written_late_.assign(fresh_sizes_.size(), 1);
  bool passed = true;
  for (size_t k = g.instructions.size(); k-- > 0;) {
    passed = passed && !g.instructions[k].guards();
    if (passed) continue;
    for (const Place& p : g.instructions[k].out) {
      FG_CHECK(g.storages[at(p.storage)].role != Storage::Role::External,
               "graph: memory outside is written before a guard");
      if (fresh_of_[at(p.storage)] >= 0) written_late_[at(fresh_of_[at(p.storage)])] = 0;
    }
  }
}
Program::~Program() { delete idle_.load(); }

// Those that the kernel reads element by element, at the same place in all operands.
SmallVector<int32_t, kMaxElementwiseInputs> Program::written_over(size_t k) const {
  SmallVector<int32_t, kMaxElementwiseInputs> storages;
  const Instruction& i = task_.graph.instructions[k];
  unsigned scalars = 0;
  RowForm form;
  if (i.kind != Instruction::Kind::Elementwise ||
      !(is_direct(i, scalars) || (in_epilogue_[k] && find_rows(i, form))) ||
      itemsize(i.compute) != itemsize(i.result) || i.out[0].offset != 0)
    return storages;
  Operands all = operands(k);
  for (const Operand& o : all) {
    bool fits = o.place().defined();
    for (const Operand& other : all)
      if (fits && other.place().storage == o.place().storage)
        fits = other.place().offset == 0 && !other.scalar && other.place().contiguous &&
               other.place().numel == i.out[0].numel;
    if (fits) storages.push_back(o.place().storage);
  }
  return storages;
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
      if (p.defined()) last[at(p.storage)] = static_cast<int>(k + joined_[k]);
    for (const Place& p : g.instructions[k].out) last[at(p.storage)] = static_cast<int>(k);
  }
  // Blocks that are free again, by size.
  std::unordered_map<size_t, std::vector<int64_t>> free;
  // The free list that a storage's memory comes from: blocks have some of their own, by the size of
  // an element, and lie together at the front.
  auto class_of = [&](int32_t s) -> size_t {
    if (is_block_[at(s)]) return is_block_[at(s)];
    return arena_block(std::max<size_t>(g.storages[at(s)].nbytes, 1));
  };
  auto planned = [&](int32_t s) {
    return g.storages[at(s)].role == Storage::Role::Internal && fresh_of_[at(s)] < 0 &&
           !in_register_[at(s)];
  };
  auto allocate = [&](int32_t s) {
    if (!planned(s) || arena_offset_[at(s)] >= 0) return;
    size_t size = class_of(s);
    auto& blocks = free[size];
    // What is summed keeps elements while the group passes through its instructions again.
    if (blocks.empty() || (is_block_[at(s)] && is_summed_[at(s)])) {
      size_t& bytes = is_block_[at(s)] ? block_bytes_ : arena_bytes_;
      arena_offset_[at(s)] = static_cast<int64_t>(bytes);
      bytes += is_block_[at(s)] ? arena_block(static_cast<size_t>(kGroupBlock) * size) : size;
    } else {
      arena_offset_[at(s)] = blocks.back();
      blocks.pop_back();
    }
  };
  // The end of the group or epilogue that instruction k is in; 0: none. What dies inside keeps its
  // memory until then, because each block of the group passes there again; likewise what is summed,
  // because that comes last.
  std::vector<size_t> end_of_group(g.instructions.size(), 0);
  for (const Group& group : groups_)
    for (size_t k = group.first; k < group.last; ++k) end_of_group[k] = group.last;
  for (const Epilogue& e : epilogues_)
    for (size_t k = e.product; k < e.last; ++k) end_of_group[k] = e.last;
  std::vector<int32_t> dying;
  auto release = [&](int32_t s, size_t k, bool written_over = false) {
    if (!planned(s) || last[at(s)] != static_cast<int>(k)) return;
    last[at(s)] = -2;  // once
    // Of arrays of an epilogue each piece is over when it is written over.
    if (end_of_group[k] && (!is_block_[at(s)] || is_summed_[at(s)]) &&
        !(written_over && in_epilogue_[k]))
      dying.push_back(s);
    else
      free[class_of(s)].push_back(arena_offset_[at(s)]);
  };
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    for (const Place& p : i.in)
      if (p.defined()) allocate(p.storage);  // unset memory
    if (joined_[k]) continue;
    for (int32_t s : written_over(k)) release(s, k, true);
    for (const Place& p : i.out) allocate(p.storage);
    if (k > 0 && joined_[k - 1])
      for (const Place& p : g.instructions[k - 1].in)
        if (p.defined()) release(p.storage, k);
    for (const Place& p : i.in)
      if (p.defined()) release(p.storage, k);
    for (const Place& p : i.out) release(p.storage, k);
    if (end_of_group[k] != k + 1) continue;
    for (int32_t s : dying) free[class_of(s)].push_back(arena_offset_[at(s)]);
    dying.clear();
  }
  for (size_t s = 0; s < arena_offset_.size(); ++s)
    if (!is_block_[s] && arena_offset_[s] >= 0)
      arena_offset_[s] += static_cast<int64_t>(block_bytes_);
  arena_bytes_ += block_bytes_;
}

// Note [Frames in use]
// A frame runs once at a time: while it does, the program has none that is idle. As long as one
// thread only has entered the library (Note [Reference counts] in base/threads.h), that needs no
// atomic exchange, which costs as much as some kernels; a second thread may come in the middle of a
// run, and then finds no idle frame, as it should. The same holds where Python's lock is held at
// both ends of a run.
bool Program::run(char* const* externals, char* const* fresh, Written* written) {
  struct Lease {
    Program& program;
    Frame* frame;
    bool atomic() const { return multithreaded() && !program.under_gil_; }
    explicit Lease(Program& p) : program(p) {
      if (atomic()) {
        frame = p.idle_.exchange(nullptr, std::memory_order_acq_rel);
      } else {
        frame = p.idle_.load(std::memory_order_relaxed);
        p.idle_.store(nullptr, std::memory_order_relaxed);
      }
    }
    ~Lease() {
      Frame* other;  // of another thread, which is done as well
      if (atomic()) {
        other = program.idle_.exchange(frame, std::memory_order_acq_rel);
      } else {
        other = program.idle_.load(std::memory_order_relaxed);
        program.idle_.store(frame, std::memory_order_relaxed);
      }
      if (other) [[unlikely]]
        delete other;
    }
  } lease(*this);
  if (!lease.frame) [[unlikely]]
    lease.frame = new Frame(*this);
  return lease.frame->run(externals, fresh, written);
}

}  // namespace fastgrad
