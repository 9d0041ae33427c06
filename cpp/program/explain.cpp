// What became of a recording, in words.
#include <algorithm>
#include <map>

#include "program/direct.h"
#include "program/epilogues.h"
#include "program/program.h"

namespace fastgrad {
namespace {

// Why a large elementwise instruction is not one call of its kernel.
std::string why_walked(const Instruction& i) {
  const Place& out = i.out[0];
  RowForm form;
  if (out.dtype != i.result) return str("its result is converted to ", name(out.dtype));
  for (const Place& p : i.in)
    if (p.defined() && p.dtype != i.compute)
      return str("an operand is converted from ", name(p.dtype));
  if (find_rows(i, form)) return str("something is broadcast along rows of ", form.n);
  if (!out.contiguous) return "it writes to memory with gaps";
  for (const Place& p : i.in)
    if (p.defined() && p.numel == out.numel && !p.contiguous)
      return "an operand has gaps or another order in memory";
  return "an operand is broadcast, or overlaps the result";
}

// Why instruction k, on large contiguous arrays, joins no other.
std::string why_alone(const Graph& g, size_t k) {
  const Instruction& i = g.instructions[k];
  for (size_t m = k; m-- > 0;)
    for (const Place& p : i.in)
      if (p.defined() && p.numel == i.out[0].numel && product_kernel(g.instructions[m]) &&
          g.instructions[m].out[0].storage == p.storage) {
        std::string why = why_no_epilogue(g.instructions[m]);
        if (why.empty())
          why = computes_long(i) ? "for it computes longer than memory takes"
                                 : "which stands too far away";
        return str("not on pieces of ", g.name_of(g.instructions[m]), ", ", why);
      }
  return "no neighbour of its size";
}

}  // namespace

std::string Program::explain() const {
  const Graph& g = task_.graph;
  int64_t flops = 0, bytes = 0;
  for (const Instruction& i : g.instructions) {
    flops += Graph::flops(i);
    bytes += Graph::bytes(i);
  }
  std::string text = str(recorded_steps_, " recorded operations became ", g.instructions.size(),
                         " instructions: ", flops, " flops, ", bytes, " bytes read and written; ",
                         arena_bytes_, " bytes of memory inside.\n");
  std::vector<uint8_t> grouped(g.instructions.size(), 0);
  for (const Group& group : groups_) {
    std::fill(grouped.begin() + static_cast<std::ptrdiff_t>(group.first),
              grouped.begin() + static_cast<std::ptrdiff_t>(group.last), 1);
    int64_t kept = 0;
    text += str("group of ", group.last - group.first, " on blocks of ", group.n, " elements:");
    for (size_t k = group.first; k < group.last; ++k) {
      text += str(k > group.first && joined_[k - 1] ? "+" : " ", g.name_of(g.instructions[k]));
      const Place& p = g.instructions[k].out[0];
      if (is_block_[at(p.storage)]) ++kept;
    }
    text += str("; ", kept, " results never leave the cache\n");
  }
  for (const Epilogue& e : epilogues_) {
    std::fill(grouped.begin() + static_cast<std::ptrdiff_t>(e.product),
              grouped.begin() + static_cast<std::ptrdiff_t>(e.last), 1);
    text += str("on pieces of ", g.name_of(g.instructions[e.product]), " of ",
                g.instructions[e.product].out[0].numel, " elements:");
    for (size_t k = e.product + 1; k < e.last; ++k)
      text += str(joined_[k - 1] ? "+" : " ", g.name_of(g.instructions[k]));
    text += "\n";
  }
  size_t small = 0, rows = 0, others = 0, watched = 0;
  std::string alone, pairs;
  std::map<std::string, size_t> names;
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    unsigned scalars = 0;
    RowForm form;
    if (grouped[k]) continue;
    if (joined_[k]) {
      pairs += str(" ", g.name_of(i), "+", g.name_of(g.instructions[k + 1]));
    } else if (i.guards()) {
      ++watched;
    } else if (i.kind != Instruction::Kind::Elementwise) {
      ++others;
      ++names[g.name_of(i)];
    } else if (i.out[0].numel < kMinGroup) {
      ++(is_direct(i, scalars) ? small : rows);
    } else {
      bool direct = is_direct(i, scalars);
      alone += str("  ", g.name_of(i), " on ", i.out[0].numel,
                   " elements: ", direct ? why_alone(g, k) : why_walked(i), "\n");
    }
  }
  text += str(small, " elementwise kernels are one call each, on arrays below ", kMinGroup,
              " elements; ", rows, " are called for each row, or walked.\n");
  if (!pairs.empty()) text += "of these, two operations at once:" + pairs + "\n";
  if (!alone.empty()) text += "not in a group:\n" + alone;
  text += str(others, " are other kernels");
  const char* separator = ": ";
  for (const auto& [kernel, count] : names) {
    text += str(separator, kernel, count > 1 ? str(" (", count, ")") : "");
    separator = ", ";
  }
  text += str(".\n", watched, " compare values with the recorded ones",
              guarded_ ? "; memory outside is written at the end." : ".", "\n");
  return text;
}

}  // namespace fastgrad
