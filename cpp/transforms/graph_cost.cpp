// What instructions cost, for people who read a graph.
#include <algorithm>

#include "transforms/graph.h"

namespace fastgrad {
namespace {

// The length of the sums in a product of matrices; 0 for other ops.
int64_t summed(const Instruction& i) {
  auto last = [&](size_t k, bool transposed) {
    const Dims& shape = i.in[k].shape;
    size_t back = transposed ? 2 : 1;
    return shape.size() < back ? 1 : shape[shape.size() - back];
  };
  switch (i.op) {
    case Op::Mm:
    case Op::Bmm:
    case Op::Mv:
      return last(0, i.attrs.flag(0));
    case Op::SumBmm: {
      const Place &a = i.in[0], &out = i.out[0];
      int64_t rows = out.shape[0];
      return rows ? std::max(a.numel / rows, last(0, i.attrs.flag(0))) : 0;
    }
    case Op::Dot:
    case Op::Linear:
      return last(0, false);
    case Op::Addmm:
    case Op::Baddbmm:
      return last(1, false);
    case Op::ConvForward:
    case Op::ConvBias: {
      const Place& weight = i.in[1];
      return weight.shape.empty() || weight.shape[0] == 0 ? 0 : weight.numel / weight.shape[0];
    }
    default:
      return 0;
  }
}

}  // namespace

int64_t Graph::flops(const Instruction& i) {
  if (i.guards() || i.out.empty()) return 0;
  if (i.kind == Instruction::Kind::Elementwise) return i.out[0].numel;
  if (i.kind == Instruction::Kind::Primitive) {
    std::string name = i.primitive->name;
    bool step = name.size() > 5 && name.compare(name.size() - 5, 5, "_step") == 0;
    return step ? 2 * i.out[0].numel : 0;
  }
  if (int64_t k = summed(i)) return 2 * k * i.out[0].numel;
  int64_t most = 0;
  for (const Place& p : i.in) most = std::max(most, p.defined() ? p.numel : 0);
  for (const Place& p : i.out) most = std::max(most, p.numel);
  return most;
}

int64_t Graph::bytes(const Instruction& i) {
  int64_t total = 0;
  for (const Place& p : i.in)
    if (p.defined()) total += p.nbytes();
  for (const Place& p : i.out) total += p.nbytes();
  return total;
}

}  // namespace fastgrad
