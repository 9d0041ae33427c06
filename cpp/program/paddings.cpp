// Gradients of slices without the zeros around them: see split_paddings() in program/passes.h.
#include <algorithm>

#include "core/memory.h"
#include "ops/basic_index.h"
#include "program/direct.h"
#include "program/passes.h"

namespace fastgrad {
namespace {

// Memory that is zero but for elements [first, last), which are those of `values`.
struct Padding {
  Place values;
  int64_t first = 0, last = 0;
};

// Elements [first, last) of a place without gaps.
Place part(const Place& p, int64_t first, int64_t last) {
  Place q = p;
  q.offset += first * static_cast<int64_t>(itemsize(p.dtype));
  q.numel = last - first;
  q.shape = Dims{q.numel};
  q.strides = Dims{1};
  q.contiguous = true;
  return q;
}

// What an instruction pads, if that is one run of elements.
bool find_padding(const Instruction& i, Padding& padding) {
  if (i.kind != Instruction::Kind::Op || i.op != Op::BasicIndexAdjoint) return false;
  const Place &x = i.in[0], &y = i.out[0];
  if (!is_floating(y.dtype) || itemsize(y.dtype) < 4 || !x.contiguous || !y.contiguous ||
      x.dtype != y.dtype || x.numel == 0)
    return false;
  DimSpan flat = i.attrs.list(0);
  Dims shape, strides;
  int64_t first = place_items({reinterpret_cast<const ViewItem*>(flat.data()), flat.size() / 3},
                              y.shape, y.strides, shape, strides);
  if (numel_of(shape) != x.numel || !is_contiguous(shape, strides)) return false;
  padding = {x, first, first + x.numel};
  return true;
}

Instruction fill(const Place& p, double value) {
  Instruction i;
  i.kind = Instruction::Kind::Primitive;
  i.primitive = &recorded::kFillNumber;
  i.attrs = Attrs(Scalar(value));
  i.out.push_back(p);
  return i;
}

// What the kernel makes of zeros.
double value_at_zeros(const Instruction& i) {
  Array zero = Array::zeros({}, i.compute), out = Array::zeros({}, i.result);
  const char* in[kMaxElementwiseInputs] = {zero.data, zero.data, zero.data};
  block_kernel(row(i.op), i.compute)(out.data, in, 0, 1);
  return i.result == DType::Float64 ? *out.ptr<double>() : static_cast<double>(*out.ptr<float>());
}

class Splitter {
 public:
  explicit Splitter(Task& t) : graph_(t.graph) {
    size_t n = graph_.storages.size();
    reads_.assign(n, 0);
    writes_.resize(n);
    paddings_.resize(n);
    is_padding_.assign(n, 0);
    for (const Place& p : t.results)
      if (p.defined()) reads_[at(p.storage)] = 2;  // somebody else reads it, too
    for (size_t k = 0; k < graph_.instructions.size(); ++k) {
      for (const Place& p : graph_.instructions[k].in)
        if (p.defined()) ++reads_[at(p.storage)];
      for (const Place& p : graph_.instructions[k].out) writes_[at(p.storage)].push_back(k);
    }
  }

  void run() {
    find();
    if (!any_) return;
    for (size_t k = 0; k < graph_.instructions.size(); ++k) {
      Instruction& i = graph_.instructions[k];
      Padding alone;
      if (i.out.size() == 1 && is_padding_[at(i.out[0].storage)]) continue;
      if (find_padding(i, alone))
        expand(i, alone);
      else if (std::any_of(i.in.begin(), i.in.end(), [&](const Place& p) {
                 return p.defined() && is_padding_[at(p.storage)];
               }))
        split(i);
      else
        left_.push_back(std::move(i));
    }
    graph_.instructions = std::move(left_);
  }

 private:
  // Paddings that one elementwise kernel reads, while their values are still there.
  void find() {
    const auto& instructions = graph_.instructions;
    for (size_t k = 0; k < instructions.size(); ++k) {
      Padding p;
      if (!find_padding(instructions[k], p)) continue;
      const Place& y = instructions[k].out[0];
      size_t s = at(y.storage);
      any_ = true;
      if (graph_.storages[s].role != Storage::Role::Internal || reads_[s] != 1 ||
          graph_.storages[s].unset || writes_[s].size() != 1 || y.offset != 0)
        continue;
      size_t reader = k + 1;
      while (reader < instructions.size() && !reads(instructions[reader], y.storage)) ++reader;
      if (reader == instructions.size() || !can_split(instructions[reader], y, p)) continue;
      const auto& w = writes_[at(p.values.storage)];
      auto next = std::upper_bound(w.begin(), w.end(), k);
      if (next != w.end() && *next <= reader) continue;
      paddings_[s] = p;
      is_padding_[s] = 1;
    }
  }
  static bool reads(const Instruction& i, int32_t storage) {
    return std::any_of(i.in.begin(), i.in.end(),
                       [&](const Place& p) { return p.storage == storage; });
  }
  // Whether a kernel reads a padded array element by element, with everything else in that order.
  static bool can_split(const Instruction& i, const Place& y, const Padding& p) {
    unsigned scalars = 0;
    if (i.kind != Instruction::Kind::Elementwise || !is_direct(i, scalars) ||
        i.out[0].storage == p.values.storage || i.out[0].storage == y.storage ||
        (i.result != DType::Float32 && i.result != DType::Float64))
      return false;
    for (size_t k = 0; k < i.in.size(); ++k)
      if (i.in[k].storage == y.storage && (scalars >> k & 1 || i.in[k].offset != 0)) return false;
    return y.numel == i.out[0].numel && y.numel > 1;
  }

  void split(const Instruction& i) {
    unsigned scalars = 0;
    is_direct(i, scalars);
    int64_t n = i.out[0].numel;
    SmallVector<int64_t, 8> ends{0, n};
    for (const Place& p : i.in) {
      if (!p.defined() || !is_padding_[at(p.storage)]) continue;
      ends.push_back(paddings_[at(p.storage)].first);
      ends.push_back(paddings_[at(p.storage)].last);
    }
    std::sort(ends.begin(), ends.end());
    for (size_t e = 0; e + 1 < ends.size(); ++e) {
      int64_t first = ends[e], last = ends[e + 1];
      if (first == last) continue;
      Instruction& piece = left_.emplace_back(i);
      piece.out[0] = part(i.out[0], first, last);
      bool zeros = true;
      for (size_t k = 0; k < i.in.size(); ++k) {
        const Place& p = i.in[k];
        if (!p.defined() || scalars >> k & 1) {
          zeros = false;
          continue;
        }
        if (!is_padding_[at(p.storage)]) {
          piece.in[k] = part(p, first, last);
          zeros = false;
          continue;
        }
        const Padding& pad = paddings_[at(p.storage)];
        if (pad.first <= first && last <= pad.last) {
          piece.in[k] = part(pad.values, first - pad.first, last - pad.first);
          zeros = false;
          continue;
        }
        piece.in[k] = Place();
        piece.attrs.s[k] = Scalar(0.0);
        piece.attrs.scalars |= static_cast<uint8_t>(1u << k);
      }
      if (zeros) piece = fill(piece.out[0], value_at_zeros(i));
    }
  }

  // The zeros in front, the values, the zeros behind.
  void expand(const Instruction& i, const Padding& p) {
    const Place& y = i.out[0];
    if (p.first > 0) left_.push_back(fill(part(y, 0, p.first), 0.0));
    Instruction& copy = left_.emplace_back();
    copy.kind = Instruction::Kind::Primitive;
    copy.primitive = &recorded::kCopy;
    copy.in.push_back(part(p.values, 0, p.values.numel));
    copy.out.push_back(part(y, p.first, p.last));
    if (p.last < y.numel) left_.push_back(fill(part(y, p.last, y.numel), 0.0));
  }

  Graph& graph_;
  std::vector<int> reads_;
  std::vector<std::vector<size_t>> writes_;
  std::vector<Padding> paddings_;  // by storage
  std::vector<uint8_t> is_padding_;
  std::vector<Instruction> left_;
  bool any_ = false;
};

}  // namespace

void split_paddings(Task& t) { Splitter(t).run(); }

}  // namespace fastgrad
