// Two elementwise instructions in one step.
#include "kernels/pairs.h"

#include <algorithm>

#include "program/direct.h"
#include "program/program.h"

namespace fastgrad {
namespace {

bool may_pair(const Instruction& i) {
  unsigned scalars = 0;
  return i.kind == Instruction::Kind::Elementwise && i.compute == i.result &&
         (i.result == DType::Float32 || i.result == DType::Float64) && i.out[0].numel > 0 &&
         is_direct(i, scalars);
}

// Whether `inner`, whose result is operand `operand` of `outer`, can be computed along with it.
bool fits(const Instruction& inner, const Instruction& outer, size_t operand) {
  const Place &x = inner.out[0], &y = outer.out[0], &read = outer.in[operand];
  if (!may_pair(inner) || inner.compute != outer.compute || x.numel != y.numel ||
      x.offset != read.offset || x.numel != read.numel || !read.contiguous)
    return false;
  // Element by element, what is read must still be there when the result is written.
  for (const Place& p : inner.in)
    if (p.defined() && p.storage == y.storage &&
        !(p.contiguous && p.numel == y.numel && p.offset == y.offset))
      return false;
  return pair_kernel(row(inner.op), row(outer.op), operand, inner.compute, x.numel) != nullptr;
}

}  // namespace

// Note [Pairs]
// Where a short operation's result is read by one other short operation only, the two are one
// kernel: the value stays in a register, with the rounding that it has in memory. The graph keeps
// both instructions, side by side; the first one is marked, and its storage gets no memory.
void Program::join_pairs() {
  Graph& g = task_.graph;
  auto& list = g.instructions;
  struct Uses {
    size_t writer = 0;
    int writes = 0, reads = 0;
  };
  std::vector<Uses> uses(g.storages.size());
  for (size_t k = 0; k < list.size(); ++k) {
    for (const Place& p : list[k].in)
      if (p.defined()) ++uses[at(p.storage)].reads;
    for (const Place& p : list[k].out) {
      ++uses[at(p.storage)].writes;
      uses[at(p.storage)].writer = k;
    }
  }
  for (const Place& p : task_.results)
    if (p.defined()) uses[at(p.storage)].reads += 2;

  constexpr size_t kNone = SIZE_MAX;
  std::vector<size_t> inner_of(list.size(), kNone);
  std::vector<uint8_t> is_inner(list.size(), 0);
  auto may_move = [&](size_t from, size_t to) {
    if (to - from > kMaxMove) return false;
    for (size_t m = from + 1; m < to; ++m)
      for (const Place& out : list[m].out)
        for (const Place& p : list[from].in)
          if (p.storage == out.storage) return false;
    return true;
  };
  bool any = false;
  for (size_t k = 0; k < list.size(); ++k) {
    if (!may_pair(list[k])) continue;
    for (size_t n = 0; n < list[k].in.size() && inner_of[k] == kNone; ++n) {
      const Place& p = list[k].in[n];
      if (!p.defined()) continue;
      const Uses& u = uses[at(p.storage)];
      const Storage& s = g.storages[at(p.storage)];
      if (u.writes != 1 || u.reads != 1 || s.role != Storage::Role::Internal || s.unset ||
          u.writer >= k || is_inner[u.writer] || inner_of[u.writer] != kNone ||
          !fits(list[u.writer], list[k], n) || !may_move(u.writer, k))
        continue;
      inner_of[k] = u.writer;
      is_inner[u.writer] = 1;
      any = true;
    }
  }
  joined_.assign(list.size(), 0);
  if (!any) return;
  std::vector<Instruction> ordered;
  ordered.reserve(list.size());
  for (size_t k = 0; k < list.size(); ++k) {
    if (is_inner[k]) continue;
    if (inner_of[k] != kNone) {
      joined_[ordered.size()] = 1;
      ordered.push_back(std::move(list[inner_of[k]]));
    }
    ordered.push_back(std::move(list[k]));
  }
  list = std::move(ordered);
}

Program::Operands Program::operands(size_t k) const {
  const auto& list = task_.graph.instructions;
  Operands all;
  int32_t inside = -1;
  auto add = [&](const Instruction& i) {
    unsigned scalars = 0;
    is_direct(i, scalars);
    for (size_t n = 0; n < i.in.size(); ++n)
      if (!i.in[n].defined() || i.in[n].storage != inside)
        all.push_back({&i, n, (scalars >> n & 1) != 0});
  };
  if (k > 0 && joined_[k - 1]) {
    add(list[k - 1]);
    inside = list[k - 1].out[0].storage;
  }
  add(list[k]);
  return all;
}

}  // namespace fastgrad
