#include "program/check.h"

#include <unistd.h>

#include "core/elementwise.h"
#include "kernels/elementwise.h"
#include "program/names.h"

namespace fastgrad {
namespace {

constexpr size_t kMaxDims = 64;

// More than this no machine that could load the file has.
int64_t memory_limit() {
  static const int64_t limit =
      std::max<int64_t>(int64_t{1} << 30, sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  return limit;
}

// a * b, or the largest number.
int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

// The element offsets that a place reaches, without overflow.
bool measure(const Place& p, int64_t& low, int64_t& high) {
  low = high = 0;
  for (size_t d = 0; d < p.shape.size(); ++d) {
    int64_t reach;
    if (p.shape[d] <= 1) continue;
    if (__builtin_mul_overflow(p.shape[d] - 1, p.strides[d], &reach) ||
        __builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high))
      return false;
  }
  return true;
}

std::string examine_place(const Graph& g, const Place& p, bool written) {
  if (p.storage < 0 || at(p.storage) >= g.storages.size())
    return str("there is no storage ", p.storage);
  if (p.shape.size() > kMaxDims) return str("it has ", p.shape.size(), " dimensions");
  if (p.shape.size() != p.strides.size()) return "shape and strides have different lengths";
  auto size = static_cast<int64_t>(itemsize(p.dtype));
  int64_t numel = 1;
  for (int64_t n : p.shape) {
    if (n < 0) return str("its shape is ", p.shape);
    numel = times(numel, n);
  }
  bool empty = false;
  for (int64_t n : p.shape) empty = empty || n == 0;
  if (empty) numel = 0;
  if (times(numel, size) > memory_limit()) return str("it has ", p.shape, " elements");
  if (numel != p.numel) return "its number of elements is not that of its shape";
  if (p.contiguous != is_contiguous(p.shape, p.strides)) return "its strides are not as it says";
  if (p.offset < 0 || p.offset % size) return str("it begins at byte ", p.offset);
  if (written && !p.contiguous && may_overlap_itself(p.shape, p.strides))
    return "it is written, and reaches an element twice";
  if (numel == 0) return "";
  int64_t low, high, first, last;
  const Storage& s = g.storages[at(p.storage)];
  bool outside = s.role == Storage::Role::External;
  int64_t begin = outside ? s.first : 0, end = outside ? s.last : static_cast<int64_t>(s.nbytes);
  if (!measure(p, low, high) || __builtin_mul_overflow(low, size, &first) ||
      __builtin_mul_overflow(high + 1, size, &last) ||
      __builtin_add_overflow(first, p.offset, &first) ||
      __builtin_add_overflow(last, p.offset, &last) || first < begin || last > end)
    return str("it reaches beyond storage ", p.storage);
  return "";
}

void check_storages(const Graph& g) {
  int64_t total = 0;
  for (const Storage& s : g.storages) {
    FG_CHECK_VALUE(s.nbytes <= static_cast<size_t>(memory_limit()), "a storage has ", s.nbytes,
                   " bytes");
    if (s.role == Storage::Role::Internal) total += static_cast<int64_t>(s.nbytes);
    FG_CHECK_VALUE(total <= memory_limit(), "its storages have more bytes than this machine");
    FG_CHECK_VALUE(s.role != Storage::Role::External || (s.first >= 0 && s.first <= s.last &&
                                                         s.last <= static_cast<int64_t>(s.nbytes)),
                   "the bounds of a storage outside are wrong");
    FG_CHECK_VALUE(s.role != Storage::Role::Constant || s.nbytes == 0 ||
                       (s.value.defined() && static_cast<size_t>(s.value.nbytes()) == s.nbytes),
                   "a constant has another size than its storage");
  }
}

// Where the outputs of a kernel lie: apart from its inputs, and from each other.
bool lies_apart(const Instruction& i) {
  for (size_t k = 0; k < i.out.size(); ++k) {
    for (const Place& p : i.in)
      if (p.defined() && p.storage == i.out[k].storage) return false;
    for (size_t n = 0; n < k; ++n)
      if (i.out[n].storage == i.out[k].storage) return false;
  }
  return true;
}

std::string examine_elementwise(const Instruction& i) {
  if (!is_elementwise(i.op)) return "it is no elementwise op";
  if (i.in.empty() || i.in.size() > kMaxElementwiseInputs || i.out.size() != 1)
    return "it has another number of operands";
  if (static_cast<int>(i.in.size()) != elementwise_arity(i.op))
    return "it has another number of operands";
  if (!block_kernel(row(i.op), i.compute)) return str("it has no kernel for ", name(i.compute));
  DType result = op_types(i.op) == OpTypes::P ? DType::Bool : i.compute;
  if (i.result != result) return str("its result is not ", name(i.result));
  for (size_t k = 0; k < i.in.size(); ++k) {
    const Place& p = i.in[k];
    bool is_number = (i.attrs.scalars & 1u << k) != 0;
    if (is_number == p.defined()) return "an operand is a number and a tensor, or neither";
    if (is_number) continue;
    if (!is_expandable_to(p.shape, i.out[0].shape))
      return str("an operand of shape ", p.shape, " does not broadcast to ", i.out[0].shape);
    if (is_complex(p.dtype)) return "it has a complex operand";
  }
  if (is_complex(i.out[0].dtype)) return "its result is complex";
  return "";
}

}  // namespace

void check_place(const Graph& g, const Place& p) {
  std::string wrong = examine_place(g, p, false);
  FG_CHECK_VALUE(wrong.empty(), "an input or a result: ", wrong);
}

void check_graph(const Graph& g, std::span<const Place> results) {
  check_storages(g);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    std::string wrong;
    for (const Place& p : i.in)
      if (p.defined() && wrong.empty()) wrong = examine_place(g, p, false);
    for (const Place& p : i.out) {
      if (!wrong.empty()) break;
      wrong = p.defined() ? examine_place(g, p, true) : "a result has no place";
      if (wrong.empty() && g.storages[at(p.storage)].role == Storage::Role::Constant)
        wrong = "it writes to a constant";
    }
    if (wrong.empty() && i.kind == Instruction::Kind::Elementwise) wrong = examine_elementwise(i);
    if (wrong.empty() && i.kind == Instruction::Kind::Op && !lies_apart(i))
      wrong = "it writes to what it reads";
    if (wrong.empty()) wrong = examine_call(g, k);
    FG_CHECK_VALUE(wrong.empty(), "instruction ", k, ", ", g.name_of(i), ": ", wrong);
  }
  for (const Place& p : results) check_place(g, p);
  g.verify();
}

}  // namespace fastgrad
