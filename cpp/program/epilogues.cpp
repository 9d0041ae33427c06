// Elementwise instructions that run on the pieces of a product.
#include "program/epilogues.h"

#include <algorithm>

#include "kernels/gemm.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "program/direct.h"
#include "program/piece_uses.h"
#include "program/program.h"

namespace fastgrad {
namespace {

// A smaller result is still in the first-level cache when the whole product is done.
constexpr int64_t kLeastBytes = 32 << 10;

struct Product {
  Op op;
  size_t right;  // which operand is the right factor
  ProductKernel kernel;
};
constexpr Product kProducts[] = {
    {Op::Mm, 1, eval_mm},
    {Op::Bmm, 1, eval_bmm},
    {Op::Linear, 1, eval_linear},
    {Op::Addmm, 2, eval_addmm},
};

const Product* find_product(const Instruction& i) {
  if (i.kind != Instruction::Kind::Op) return nullptr;
  const auto* found = std::ranges::find(kProducts, i.op, &Product::op);
  return found == std::end(kProducts) ? nullptr : found;
}

// Whether i works on elements one by one, as many as a product has, and can do so for a part of
// each row.
bool fits_pieces(const Instruction& i, const Place& result) {
  unsigned scalars = 0;
  RowForm form;
  return i.kind == Instruction::Kind::Elementwise && i.out[0].numel == result.numel &&
         !computes_long(i) &&
         (is_direct(i, scalars) || (find_rows(i, form) && form.n == result.shape.back()));
}
// Whether it also reads something that is made piece by piece.
bool follows(const Instruction& i, const Place& result, const PieceUses& made) {
  return fits_pieces(i, result) &&
         std::ranges::any_of(i.in, [&](const Place& p) { return made.writes(p); });
}

// The uses of a product, whose operands are read as a whole until it is done.
PieceUses uses_of(const Instruction& product) {
  PieceUses uses;
  for (const Place& p : product.in)
    if (p.defined()) uses.add(p, false, true);
  uses.add(product.out[0], true, false);
  return uses;
}

// Adds instruction i, which follows the product, unless it uses something otherwise than piece by
// piece.
bool add_uses(const Instruction& i, int64_t numel, PieceUses& uses) {
  auto is_whole = [&](const Place& p) { return p.numel != numel || !p.contiguous; };
  for (const Place& p : i.in)
    if (p.defined() && !uses.fits(p, false, is_whole(p))) return false;
  if (!uses.fits(i.out[0], true, false)) return false;
  for (const Place& p : i.in)
    if (p.defined()) uses.add(p, false, is_whole(p));
  uses.add(i.out[0], true, false);
  return true;
}

// The end of the instructions behind product k that may run on its pieces. Among them are some that
// do not read what it makes, but are there for others that do.
size_t end_of_run(const std::vector<Instruction>& list, size_t k, PieceUses& uses) {
  const Place& result = list[k].out[0];
  size_t last = k + 1;
  for (size_t m = last; m < list.size() && fits_pieces(list[m], result); ++m) {
    bool reads = follows(list[m], result, uses);
    if (!add_uses(list[m], result.numel, uses)) break;
    if (reads) last = m + 1;
  }
  return last;
}

}  // namespace

ProductKernel product_kernel(const Instruction& i) {
  const Product* product = find_product(i);
  return product ? product->kernel : nullptr;
}

bool computes_long(const Instruction& i) {
  return i.kind == Instruction::Kind::Elementwise && i.op == Op::Gelu;
}

std::string why_no_epilogue(const Instruction& i) {
  const Product* product = find_product(i);
  if (!product) return "it is no product";
  const Place &c = i.out[0], &b = i.in[product->right];
  if (!c.contiguous || c.shape.size() < 2) return "whose result has gaps";
  if (c.nbytes() < kLeastBytes) return "whose result stays in the cache";
  int64_t n = c.shape.back(), m = b.shape.size() == 2 ? c.numel / n : c.shape[c.shape.size() - 2];
  int64_t k = b.shape.back() * b.shape[b.shape.size() - 2] / n;
  return finishes_pieces(c.dtype, m, n, k) ? "" : "which is made as a whole or on one thread";
}

// A product waits for the first to read its result: what other products read of its operands is
// read while it is near. Others that read the result move to the product.
void gather_epilogues(Graph& g) {
  auto& list = g.instructions;
  auto at = [&](size_t k) { return list.begin() + static_cast<std::ptrdiff_t>(k); };
  for (size_t k = 0; k < list.size(); ++k) {
    if (!find_product(list[k]) || !why_no_epilogue(list[k]).empty()) continue;
    const Place result = list[k].out[0];
    PieceUses uses = uses_of(list[k]);
    size_t first = k + 1;
    while (first < list.size() && first <= k + kMaxMove && may_pass(list[k], list[first])) ++first;
    bool waits = first < list.size() && follows(list[first], result, uses);
    // What is made for that reader is made with it.
    while (waits && first > k + 1 && fits_pieces(list[first - 1], result)) --first;
    if (waits && first > k + 1) {
      std::rotate(at(k), at(k + 1), at(first));
      --k;
      continue;
    }
    size_t last = end_of_run(list, k, uses);
    for (size_t m = last; m < list.size() && m <= k + kMaxMove; ++m) {
      if (!follows(list[m], result, uses) || (m > last && writes_outside(g, list[m])) ||
          !std::all_of(at(last), at(m),
                       [&](const Instruction& i) { return may_pass(i, list[m]); }) ||
          !add_uses(list[m], result.numel, uses))
        continue;
      std::rotate(at(last), at(m), at(m + 1));
      ++last;
    }
  }
}

// Note [Epilogues]
// Elementwise instructions right behind a product, which read its result, run on each piece of it
// as soon as that is finished, in the thread that has made it: the product's kernel tells of its
// pieces (kernels/piece_done.h). The product is computed as always, and an elementwise kernel gives
// an element the same bits wherever it begins, so nothing changes but what is in the cache. An
// intermediate result is overwritten where it lies, if nobody else reads it.
// Where a sum over everything comes next, a group is better: see Note [Groups].
void Program::find_epilogues() {
  const auto& list = task_.graph.instructions;
  in_epilogue_.assign(list.size(), 0);
  for (size_t k = 0; k < list.size(); ++k) {
    if (!find_product(list[k]) || !why_no_epilogue(list[k]).empty()) continue;
    const Place& result = list[k].out[0];
    PieceUses uses = uses_of(list[k]);
    size_t last = end_of_run(list, k, uses);
    if (last == k + 1 ||
        (last < list.size() && sums_all(list[last]) && list[last].in[0].numel == result.numel))
      continue;
    joined_[last - 1] = 0;
    epilogues_.push_back({k, last});
    std::fill(in_epilogue_.begin() + static_cast<std::ptrdiff_t>(k),
              in_epilogue_.begin() + static_cast<std::ptrdiff_t>(last), 1);
  }
}

}  // namespace fastgrad
