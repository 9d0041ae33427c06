#include "program/frame.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/memory.h"
#include "kernels/pairs.h"
#include "kernels/short.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

// Copies and zeros of so few bytes that a call of the C library takes longer; null for others.
template <class T>
void copy_one(char* out, const char* const* in, unsigned, int64_t) {
  std::memcpy(out, in[0], sizeof(T));
}
template <class T>
void zero_one(char* out, const char* const*, unsigned, int64_t) {
  std::memset(out, 0, sizeof(T));
}
void copy_words(char* out, const char* const* in, unsigned, int64_t n) {
  struct Words {
    uint64_t w[4];
  };
  const char* from = in[0];
  for (; n >= 32; n -= 32, from += 32, out += 32) {
    Words words;
    std::memcpy(&words, from, 32);
    std::memcpy(out, &words, 32);
  }
  for (; n > 0; n -= 8, from += 8, out += 8) copy_one<uint64_t>(out, &from, 0, 1);
}
BlockKernel copy_few(int64_t bytes) {
  if (bytes == 4) return copy_one<uint32_t>;
  if (bytes == 8) return copy_one<uint64_t>;
  return bytes % 8 == 0 && bytes <= 256 ? copy_words : nullptr;
}
BlockKernel zero_few(int64_t bytes) {
  return bytes == 4 ? zero_one<uint32_t> : bytes == 8 ? zero_one<uint64_t> : nullptr;
}

}  // namespace

Frame::Frame(const Program& p) : program_(p) {
  const Graph& g = p.graph();
  // With room behind it: see Note [Padding] in kernels/short.h.
  auto bytes = static_cast<int64_t>(p.arena_bytes_ + 2 * kArenaAlignment);
  arena_ = Array::empty(Dims{bytes}, DType::UInt8);
  // Tiny or infinite garbage there would be slow.
  std::memset(arena_.data, 0, static_cast<size_t>(std::min<int64_t>(bytes, 1 << 20)));
  char* base = arena_.data;
  base += (kArenaAlignment - reinterpret_cast<uintptr_t>(base) % kArenaAlignment) % kArenaAlignment;
  arena_base_ = base;
  buffers_.resize(g.storages.size());
  for (size_t s = 0; s < g.storages.size(); ++s) {
    if (g.storages[s].role == Storage::Role::Constant)
      buffers_[s] = g.storages[s].value.defined() ? g.storages[s].value.buffer
                                                  : Buffer::foreign(base, 0, nullptr, nullptr);
    else if (p.arena_offset_[s] >= 0)
      buffers_[s] =
          Buffer::foreign(base + p.arena_offset_[s], g.storages[s].nbytes, nullptr, nullptr);
  }
  patches_.resize(static_cast<size_t>(g.num_externals) + p.fresh_sizes_.size());
  bound_.assign(patches_.size(), nullptr);
  is_written_.assign(g.storages.size(), 0);
  for (const Instruction& i : g.instructions)
    for (const Place& out : i.out) is_written_[at(out.storage)] = 1;
  reach_.assign(g.storages.size(), 0);
  // With copies; addresses stay: patches point to them.
  steps_.reserve(2 * g.instructions.size() + 9);
  auto group = p.groups_.begin();
  auto epilogue = p.epilogues_.begin();
  for (size_t k = 0; k < g.instructions.size();) {
    size_t last = k + 1;
    bool groups = group != p.groups_.end() && group->first == k;
    bool follows = epilogue != p.epilogues_.end() && epilogue->product == k;
    if (groups) last = group->last;
    if (follows) last = epilogue->last;
    for (size_t m = k; m < last; ++m) note_writes(g.instructions[m]);
    if (groups)
      add_group(*group++);
    else if (follows)
      add_product(*epilogue++);
    else if (!p.joined_[k])
      add(k);
    k = last;
  }
  steps_.emplace_back().kind = Kind::End;
  for (size_t k = 0; k < steps_.size(); ++k)
    if (steps_[k].kind != Kind::Kernel) stops_.push_back(k);
}

// Notes what the next step, which is part or all of i, writes to.
void Frame::note_writes(const Instruction& i) {
  for (const Place& p : i.out) {
    auto& reach = reach_[at(p.storage)];
    reach = std::max(reach, p.bytes().last);
    if (program_.graph().storages[at(p.storage)].role == Storage::Role::External)
      first_outside_ = std::min(first_outside_, steps_.size());
    else if (program_.fresh_of_[at(p.storage)] >= 0)
      first_result_ = std::min(first_result_, steps_.size());
  }
}

void Frame::add_group(const Program::Group& g) {
  Step& s = steps_.emplace_back();
  s.kind = Kind::Group;
  s.call = static_cast<uint32_t>(groups_.size());
  RowGroup& group = groups_.emplace_back();
  group.n = g.n;
  group.block = g.block;
  group.far = g.far;
  group.rows.reserve(g.last - g.first);  // addresses stay: patches point to them
  for (size_t k = g.first; k < g.last; ++k) {
    const Instruction& i = program_.graph().instructions[k];
    if (program_.joined_[k]) continue;
    if (i.kind != Instruction::Kind::Elementwise) {
      add_sum(group, i);
      continue;
    }
    RowGroup::Row& b = group.rows.emplace_back();
    Program::Operands operands = program_.operands(k);
    unsigned scalars = 0;
    for (size_t n = 0; n < operands.size(); ++n) {
      if (operands[n].scalar)
        scalars |= 1u << n;
      else
        b.in[n] = steps_of(operands[n].place());
    }
    b.out = steps_of(i.out[0]);
    add_kernel(b.call, k, scalars, g.block);
  }
  group.own_bytes = program_.block_bytes_;
  group.own = arena_base_;
}

// How a group walks through p.
RowGroup::Steps Frame::steps_of(const Place& p) const {
  auto size = static_cast<int64_t>(itemsize(p.dtype));
  if (!program_.is_block_[at(p.storage)]) return {size, 0, 0};
  return {0, program_.is_summed_[at(p.storage)] ? size : 0, 1};
}

void Frame::add_sum(RowGroup& group, const Instruction& i) {
  group.add_total(i.in[0].dtype, i.op == Op::Mean);
  RowGroup::Total& total = group.totals.back();
  total.steps = steps_of(i.in[0]);
  point(const_cast<char**>(&total.in), i.in[0]);
  point(&total.out, i.out[0]);
}

// Lets *pointer be the address of p, now or before each run.
void Frame::point(char** pointer, const Place& p) {
  const Graph& g = program_.graph();
  const Storage& s = g.storages[at(p.storage)];
  int32_t fresh = program_.fresh_of_[at(p.storage)];
  if (s.role == Storage::Role::External)
    patches_[at(s.external)].push_back({pointer, p.offset});
  else if (fresh >= 0)
    patches_[at(g.num_externals + fresh)].push_back({pointer, p.offset});
  else
    *pointer = buffers_[at(p.storage)]->data() + p.offset;
}

Array Frame::array(const Place& p) {
  const Ref<Buffer>& b = buffers_[at(p.storage)];
  Array a = array_at(p, nullptr, b ? b : outside_);
  return a;
}

void Frame::add(size_t k) {
  const Instruction& i = program_.graph().instructions[k];
  unsigned scalars = 0;
  // Large arrays are left to run_elementwise, which lets the thread pool help.
  bool small = !i.out.empty() && i.out[0].numel < kParallelGrain;
  if (i.kind == Instruction::Kind::Elementwise && small && is_direct(i, scalars))
    return add_short(k);
  Step& s = steps_.emplace_back();
  if (i.guards()) {
    s.kind = Kind::Guard;
    return add_call(s, i);
  }
  RowForm form;
  if (i.kind == Instruction::Kind::Elementwise && small && find_rows(i, form)) {
    add_kernel(s, k, form.scalars, form.n);
    s.n = form.n;
    s.kind = Kind::Rows;
    s.call = static_cast<uint32_t>(rows_.size());
    rows_.push_back(form);
    return;
  }
  if (small && add_bytes(s, i)) return;
  if (sums_all(i) && i.in[0].numel <= SumStream::kChunk) {
    s.kernel = total_kernel(i.in[0].dtype, i.op == Op::Mean);
    s.n = i.in[0].numel;
    point(&s.out, i.out[0]);
    point(const_cast<char**>(&s.in[0]), i.in[0]);
    return;
  }
  s.kind = Kind::Call;
  add_call(s, i);
}

// Copies and fills with zero that are one run of bytes.
bool Frame::add_bytes(Step& s, const Instruction& i) {
  if (i.kind != Instruction::Kind::Primitive || !i.out[0].contiguous) return false;
  const Place& out = i.out[0];
  if (i.primitive == &recorded::kFillNumber) {
    bool zero = i.attrs.s[0].is_float()
                    ? i.attrs.s[0].to_double() == 0.0 && !std::signbit(i.attrs.s[0].to_double())
                    : i.attrs.s[0].to_int() == 0;
    if (!zero) return false;
    s.kind = Kind::Zero;
  } else if (i.primitive == &recorded::kCopy) {
    const Place& in = i.in[0];
    if (!in.contiguous || in.dtype != out.dtype || in.numel != out.numel ||
        in.storage == out.storage)
      return false;
    s.kind = Kind::Copy;
    point(const_cast<char**>(&s.in[0]), in);
  } else {
    return false;
  }
  s.n = out.nbytes();
  point(&s.out, out);
  if (BlockKernel few = s.kind == Kind::Zero ? zero_few(s.n) : copy_few(s.n)) {
    s.kind = Kind::Kernel;
    s.kernel = few;
  }
  return true;
}

void Frame::add_call(Step& s, const Instruction& i) {
  s.call = static_cast<uint32_t>(calls_.size());
  Call& c = calls_.emplace_back();
  c.instruction = &i;
  c.arrays.resize(i.in.size());
  c.out.resize(i.out.size());
  c.in.resize(i.in.size());
  for (size_t k = 0; k < i.out.size(); ++k) {
    c.out[k] = array(i.out[k]);
    point(&c.out[k].data, i.out[k]);
  }
  bool walked = i.kind == Instruction::Kind::Elementwise;
  if (walked) c.kernel = block_kernel(row(i.op), i.compute);
  for (size_t k = 0; k < i.in.size(); ++k) {
    if (i.in[k].defined()) {
      c.arrays[k] = array(i.in[k]);
      if (walked) c.arrays[k] = c.arrays[k].expanded(i.out[0].shape);
      point(&c.arrays[k].data, i.in[k]);
      c.in[k] = &c.arrays[k];
    } else if (walked) {
      c.arrays[k] = number_array_of(i, k).expanded(i.out[0].shape);
      c.in[k] = &c.arrays[k];
    } else {
      c.in[k] = nullptr;
    }
  }
}

// Calls of the kernel of instruction k, and of the one that is joined to it, on n elements.
void Frame::add_kernel(KernelCall& s, size_t k, unsigned scalars, int64_t n) {
  const Instruction& i = program_.graph().instructions[k];
  s.kernel = kernel_of(k, n);
  s.scalars = static_cast<uint8_t>(scalars);
  point(&s.out, i.out[0]);
  const char** in = s.in;
  for (const Program::Operand& o : program_.operands(k)) {
    if (o.place().defined()) {
      point(const_cast<char**>(in), o.place());
    } else {
      numbers_.push_back(number_array_of(*o.instruction, o.index));
      *in = numbers_.back().data;
    }
    ++in;
  }
}

BlockKernel Frame::kernel_of(size_t k, int64_t n) const {
  const Instruction& i = program_.graph().instructions[k];
  if (k == 0 || !program_.joined_[k - 1]) return kernel_for(row(i.op), i.compute, n);
  const Instruction& inner = *(&i - 1);
  size_t operand = i.in[0].storage == inner.out[0].storage ? 0 : 1;
  return pair_kernel(row(inner.op), row(i.op), operand, i.compute, n);
}

// The same for whole registers without numbers; null where there is none.
BlockKernel Frame::whole_kernel_of(size_t k, int64_t n) const {
  const Instruction& i = program_.graph().instructions[k];
  if (k == 0 || !program_.joined_[k - 1]) return whole_kernel(row(i.op), i.compute, n);
  const Instruction& inner = *(&i - 1);
  size_t operand = i.in[0].storage == inner.out[0].storage ? 0 : 1;
  return whole_kernel(row(inner.op), row(i.op), operand, i.compute, n);
}

bool Frame::check(const Call& c) {
  const Array& a = c.arrays[0];
  if (c.instruction->kind == Instruction::Kind::Truth) {
    bool truth = false;
    cast_kernel(a.dtype, DType::Bool)(a.data, 1, reinterpret_cast<char*>(&truth), 1, 1);
    return truth == c.instruction->outcome;
  }
  if (c.instruction->kind == Instruction::Kind::Condition)
    return c.instruction->condition->holds(c.instruction->attrs, a) == c.instruction->outcome;
  const Array& expected = c.instruction->expected.array();
  if (a.contiguous)
    return !a.numel || !std::memcmp(a.data, expected.data, static_cast<size_t>(a.nbytes()));
  Array rows = contiguous_copy(a);
  return !a.numel || !std::memcmp(rows.data, expected.data, static_cast<size_t>(a.nbytes()));
}

void Frame::run_rows(const Step& s) const {
  const RowForm& form = rows_[s.call];
  char* out = s.out;
  const char* in[kMaxElementwiseInputs] = {s.in[0], s.in[1], s.in[2]};
  for (int64_t row = 0; row < form.rows; ++row) {
    s.kernel(out, in, s.scalars, form.n);
    out += form.out_step;
    for (size_t k = 0; k < kMaxElementwiseInputs; ++k) in[k] += form.in_step[k];
  }
}

bool Frame::run_call(const Step& s) {
  Call& c = calls_[s.call];
  if (s.kind != Kind::Call) return check(c);
  const Instruction& i = *c.instruction;
  if (c.kernel)
    run_elementwise(c.kernel, i.compute, i.result, c.in.data(), static_cast<int>(c.in.size()),
                    c.out[0]);
  else if (i.kind == Instruction::Kind::Op)
    info(i.op).eval(i.attrs, {c.in.data(), c.in.size()}, {c.out.data(), c.out.size()});
  else
    i.primitive->run(i.attrs, {c.in.data(), c.in.size()}, {c.out.data(), c.out.size()});
  return true;
}

bool Frame::run(char* const* externals, char* const* fresh, Program::Written* written) {
  auto num_externals = static_cast<size_t>(program_.graph().num_externals);
  for (size_t d = 0; d < bound_.size(); ++d) {
    char* to = d < num_externals ? externals[d] : fresh[d - num_externals];
    if (bound_[d] == to) continue;
    bound_[d] = to;
    for (const Patch& p : patches_[d]) *p.pointer = to + p.offset;
  }
  const Step* step = steps_.data();
  try {
    return run_steps(step);
  } catch (...) {
    using enum Program::Written;
    auto k = static_cast<size_t>(step - steps_.data());  // it counts as having written
    if (written) *written = k >= first_outside_ ? Outside : k >= first_result_ ? Results : Nothing;
    throw;
  }
}

// Runs from `step` on, which is the current one whenever something may throw.
inline bool Frame::run_steps(const Step*& step) {
  const Step* s = step;
  const Step* const first = s;
  for (const size_t* stop = stops_.data();; ++stop, ++s) {
    for (const Step* end = first + *stop; s != end; ++s) s->kernel(s->out, s->in, s->scalars, s->n);
    switch (s->kind) {
      case Kind::End:
        return true;
      case Kind::Rows:
        run_rows(*s);
        break;
      case Kind::Copy:
        std::memcpy(s->out, s->in[0], static_cast<size_t>(s->n));
        break;
      case Kind::Zero:
        std::memset(s->out, 0, static_cast<size_t>(s->n));
        break;
      case Kind::Group:
        step = s;
        groups_[s->call].run();
        break;
      case Kind::Product:
        step = s;
        run_product(*s);
        break;
      default:
        step = s;
        if (!run_call(*s)) return false;
    }
  }
}

}  // namespace fastgrad
