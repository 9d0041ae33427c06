// Kernels on short arrays: whole registers where that does no harm, numbers at hand.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/short.h"
#include "program/frame.h"

namespace fastgrad {
namespace {

// Up to here a number is spread over as many elements as the kernel works on, which then reads it
// like an array: that is quicker than to ask, and to spread it at every run.
constexpr int64_t kSpread = 128;
// Longer arrays gain nothing by full registers.
constexpr int64_t kMaxPadded = 256;

bool is_real(const Instruction& i) {
  return i.compute == i.result && (i.result == DType::Float32 || i.result == DType::Float64);
}

}  // namespace

// Whether what is written behind p is nobody's: its block of the arena goes on, and what the
// storage has there, if anything, has not been written yet.
bool Frame::has_padding(const Place& p) const {
  const Storage& s = program_.graph().storages[at(p.storage)];
  auto size = static_cast<int64_t>(itemsize(p.dtype));
  return program_.arena_offset_[at(p.storage)] >= 0 && !program_.is_block_[at(p.storage)] &&
         !s.unset && reach_[at(p.storage)] <= p.offset + p.nbytes() &&
         p.offset + padded_length(p.dtype, p.numel) * size <=
             static_cast<int64_t>(arena_block(s.nbytes));
}

// Whether the kernel of instruction k may work on padded_length() elements: see Note [Padding].
bool Frame::is_padded(size_t k) const {
  const auto& instructions = program_.graph().instructions;
  const Instruction& i = instructions[k];
  const Place& out = i.out[0];
  int64_t n = out.numel;
  if (!is_real(i) || n < 2 || n > kMaxPadded || !has_padding(out)) return false;
  for (const Program::Operand& o : program_.operands(k)) {
    if (o.scalar) continue;
    const Storage& s = program_.graph().storages[at(o.place().storage)];
    bool inside = program_.arena_offset_[at(o.place().storage)] >= 0;
    bool kept = s.role == Storage::Role::Constant && n <= kSpread && s.value.defined();
    bool fetched =
        s.role == Storage::Role::External && n <= kSpread && !is_written_[at(o.place().storage)] &&
        steps_.size() + kMaxElementwiseInputs + instructions.size() - k < steps_.capacity();
    if (!inside && !kept && !fetched) return false;
  }
  return true;
}

void Frame::add_short(size_t k) {
  const Instruction& i = program_.graph().instructions[k];
  const int64_t n = i.out[0].numel;
  const int64_t padded = is_padded(k) ? padded_length(i.result, n) : n;
  Program::Operands operands = program_.operands(k);
  if (padded != n)
    for (const Program::Operand& o : operands)
      if (!o.scalar &&
          program_.graph().storages[at(o.place().storage)].role == Storage::Role::External)
        fetch(o.place());
  Step& s = steps_.emplace_back();
  s.n = padded;
  point(&s.out, i.out[0]);
  for (size_t j = 0; j < operands.size(); ++j) {
    const Program::Operand& o = operands[j];
    // Powers by a number are quicker than others. To a kernel for one element nothing is a scalar.
    const bool spreads = i.op != Op::Pow && padded <= kSpread && is_real(i);
    const bool is_number = !o.place().defined();
    if (is_number) s.in[j] = number(o, spreads ? padded : 1);
    if (!is_number && padded != n && !o.scalar) s.in[j] = copy_of(o.place(), padded);
    if (!s.in[j]) point(const_cast<char**>(&s.in[j]), o.place());
    if (o.scalar && !(is_number && spreads) && (n != 1 || i.op == Op::Pow))
      s.scalars |= static_cast<uint8_t>(1u << j);
  }
  s.kernel = s.scalars ? nullptr : whole_kernel_of(k, padded);
  if (!s.kernel) s.kernel = kernel_of(k, n);
}

// A number, n times in a row.
const char* Frame::number(const Program::Operand& o, int64_t n) {
  const Instruction& i = *o.instruction;
  double value = i.attrs.s[o.index].to_double();
  const bool exact = is_floating(i.compute) && std::abs(value) < 0x1p53;
  if (exact)
    for (const Number& known : known_numbers_)
      if (known.dtype == i.compute && known.n == n &&
          std::bit_cast<uint64_t>(known.value) == std::bit_cast<uint64_t>(value))
        return known.data;
  Array all = Array::empty(Dims{n}, i.compute);
  const size_t size = itemsize(i.compute);
  for (int64_t j = 0; j < n; ++j)
    i.attrs.s[o.index].store(i.compute, all.data + static_cast<size_t>(j) * size);
  numbers_.push_back(all);
  if (exact) known_numbers_.push_back({i.compute, n, value, all.data});
  return all.data;
}

// Memory that holds p and goes on behind it, when that is not where p is; else null.
const char* Frame::copy_of(const Place& p, int64_t n) {
  for (const Fetched& f : fetched_)
    if (f.storage == p.storage && f.dtype == p.dtype && f.offset == p.offset && f.n == p.numel)
      return f.data;
  const Storage& s = program_.graph().storages[at(p.storage)];
  if (s.role != Storage::Role::Constant) return nullptr;
  Array all = Array::zeros(Dims{n}, p.dtype);
  std::memcpy(all.data, s.value.data + p.offset, static_cast<size_t>(p.nbytes()));
  numbers_.push_back(all);
  fetched_.push_back({p.storage, p.dtype, p.offset, p.numel, all.data});
  return all.data;
}

// Adds a step that copies p to where there is room behind it.
void Frame::fetch(const Place& p) {
  if (copy_of(p, 0)) return;
  Array all = Array::zeros(Dims{padded_length(p.dtype, p.numel)}, p.dtype);
  Step& s = steps_.emplace_back();
  s.kernel = padding_copy(p.dtype, p.numel);
  s.n = p.numel;
  s.out = all.data;
  point(const_cast<char**>(&s.in[0]), p);
  numbers_.push_back(all);
  fetched_.push_back({p.storage, p.dtype, p.offset, p.numel, all.data});
}

}  // namespace fastgrad
