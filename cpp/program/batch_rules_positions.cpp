// How ops take a batch that move entries by position: see Note [Batches] in program/batch.h.
#include "core/conditions.h"
#include "core/elementwise.h"
#include "core/memory.h"
#include "ops/index.h"
#include "ops/reduction.h"
#include "program/batch_rules.h"

namespace fastgrad {
namespace {

using namespace batch_forms;

// ---- indices

// The positions in all examples' entries, one example's behind the other's: of arrays which have
// `entries` each.
Array in_batch(const BatchedCall& c, const Array& linear, int64_t entries) {
  Array out = recorded::contiguous_copy(linear);
  Array first = Array::empty(Dims{c.count}, DType::Int64);
  for (int64_t e = 0; e < c.count; ++e) first.ptr<int64_t>()[e] = e * entries;
  constant_values(first);
  Dims shape{c.count};
  for (int64_t d = 1; d < linear.ndim(); ++d) shape.push_back(1);
  Tensor a((Array(out))), b(first.reshaped(shape));
  GradModeGuard off(false);
  deferred::AtOnce now;
  return elementwise(Op::Add, a, b).array();
}
int64_t entries_of(DimSpan shape, DimSpan dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= shape[static_cast<size_t>(d)];
  return n;
}

// x at a linear index over the dimensions of list 0, which takes their place at attribute 0.
bool index_get(BatchedCall& c) {
  const Dims dims(c.attrs.list(0));
  int64_t position = c.attrs.integer(0);
  if (!c.batched[1]) {
    c.attrs = with_lists(c.attrs, {shifted(dims)});
    c.attrs.s[0] = Scalar(position + 1);
    return true;
  }
  c.in[1] = recorded::as_contiguous(c.in[1]);
  if (c.batched[0]) {
    Dims own(DimSpan(c.in[0].shape).subspan(1));
    c.in[1] = in_batch(c, c.in[1], entries_of(own, dims));
    c.attrs = with_lists(c.attrs, {with_front(0, shifted(dims))});
  }
  c.batch_dim = position;
  return true;
}
// Its adjoint: adds to zeros of the shape of list 1.
bool index_adjoint(BatchedCall& c) {
  const Dims dims(c.attrs.list(0)), shape(c.attrs.list(1));
  int64_t position = c.attrs.integer(0);
  const Dims whole = with_front(c.count, shape);
  if (!c.batched[1]) {
    c.attrs = with_lists(c.attrs, {shifted(dims), whole});
    c.attrs.s[0] = Scalar(position + 1);
    return true;
  }
  c.spread(0);
  Dims order;  // the batch where the index's dimensions begin
  for (int64_t d = 1; d < c.in[0].ndim(); ++d) order.push_back(d);
  order.insert(static_cast<size_t>(position), 0);
  c.in[0] = c.in[0].permuted(order);
  c.in[1] = in_batch(c, c.in[1], entries_of(shape, dims));
  c.attrs = with_lists(c.attrs, {with_front(0, shifted(dims)), whole});
  return true;
}
bool put_along(BatchedCall& c) {
  if (!along(c)) return false;
  c.attrs = with_lists(c.attrs, {with_front(c.count, c.attrs.list(0))});
  return true;
}

// x with values, which are broadcast, at a linear index.
bool index_put(BatchedCall& c) {
  const Dims dims(c.attrs.list(0));
  int64_t position = c.attrs.integer(0);
  int64_t rank = c.rank(0) - static_cast<int64_t>(dims.size()) + c.rank(2);
  c.spread(0);
  if (c.batched[1] || c.batched[2]) c.spread(1), c.align(1, rank);
  if (!c.batched[2]) {
    c.attrs = with_lists(c.attrs, {shifted(dims)});
    c.attrs.s[0] = Scalar(position + 1);
    return true;
  }
  Dims order;  // the batch where the index's dimensions begin
  for (int64_t d = 1; d < c.in[1].ndim(); ++d) order.push_back(d);
  order.insert(static_cast<size_t>(position), 0);
  c.in[1] = c.in[1].permuted(order);
  Dims own(DimSpan(c.in[0].shape).subspan(1));
  c.in[2] = in_batch(c, c.in[2], entries_of(own, dims));
  c.attrs = with_lists(c.attrs, {with_front(0, shifted(dims))});
  return true;
}
// Inputs: x, what goes there, which may be a number, and places along attribute 0.
bool scatter(BatchedCall& c) {
  if (c.batched[1]) c.align(1, c.rank(2));
  if (c.rank(0) == 0 || c.rank(2) == 0) return false;
  for (size_t k : {0u, 2u}) c.spread(k);
  c.attrs.s[0] = Scalar(c.attrs.integer(0) + 1);
  return true;
}

// ---- rows of a table

// Of tables, the rows of all, one table's behind the other's.
bool rows_in_batch(BatchedCall& c, int64_t rows) {
  const Array& numbers = c.in[1];
  const Attrs range(Scalar(0), Scalar(rows));
  // Let the kernel say what is wrong with a number.
  if (!kInRange.holds(range, numbers)) return false;
  watch_condition(kInRange, range, numbers, true);
  c.spread(1);
  c.in[1] = in_batch(c, c.in[1], rows);
  return true;
}
bool embedding(BatchedCall& c) {
  constexpr int64_t kOfAdjoint = 1;
  if (!c.batched[0]) return true;
  const int64_t rows = c.in[0].shape[1];
  if (c.attrs.integer(2) & kOfAdjoint || !rows_in_batch(c, rows)) return false;
  c.fold(0);
  return true;
}
bool embedding_adjoint(BatchedCall& c) {
  constexpr int64_t kSkips = 1;
  const int64_t rows = c.attrs.list(0)[0], width = c.attrs.list(0)[1], skipped = c.attrs.integer(1);
  if (!rows_in_batch(c, rows)) return false;
  c.spread(0);
  c.attrs = with_lists(c.attrs, {Dims{c.count * rows, width}});
  if (!(c.attrs.integer(2) & kSkips) || skipped < 0) return true;
  c.attrs.s[1] = Scalar(-1);
  OnArrays here;
  Array tables = apply(c.op, {as_tensor(c.in[0]), as_tensor(c.in[1])}, c.attrs)
                     .array()
                     .reshaped(Dims{c.count, rows, width});
  recorded::fill_array(tables.narrowed(1, skipped, 1), Scalar(0));
  c.made.push_back(tables);
  return true;
}
// Inputs: table, numbers, where bags end in a line of them, factors.
bool embedding_bag(BatchedCall& c) {
  const bool lines = c.batched[1] || (c.in[3].defined() && c.batched[3]);
  if (!lines && !c.batched[2]) {  // more columns
    c.in[0] = exchanged(c.in[0], 0, 1);
    c.batch_dim = c.in[2].defined() ? 1 : c.rank(1) - 1;
    return true;
  }
  if (c.in[2].defined()) return false;
  if (c.batched[0]) {
    if (!rows_in_batch(c, c.in[0].shape[1])) return false;
    c.fold(0);
  }
  c.spread(1);
  if (c.in[3].defined()) c.spread(3);
  return true;
}

// ---- parts of memory

// Lists: sizes and strides of a part, and of its base.
bool strided(BatchedCall& c) {
  const Attrs& a = c.attrs;
  const int64_t size = numel_of(a.list(2)) ? extent(a.list(2), a.list(3)).hi + 1 : 1;
  c.attrs = with_lists(a, {with_front(c.count, a.list(0)), with_front(size, a.list(1)),
                           with_front(c.count, a.list(2)), with_front(size, a.list(3))});
  return all_alike(c);
}

// ---- rearrangements

// Lists: shifts, dimensions.
bool roll(BatchedCall& c) {
  c.attrs = with_lists(c.attrs, {Dims(c.attrs.list(0)), shifted(c.attrs.list(1))});
  return true;
}
bool repeat(BatchedCall& c) {
  const Dims repeats(c.attrs.list(0));
  c.align(0, static_cast<int64_t>(repeats.size()));
  c.attrs = with_lists(c.attrs, {with_front(1, repeats)});
  return true;
}
// Attributes 1 and 2 are dimensions of the result, whose shape is list 0.
bool diag_embed(BatchedCall& c) {
  c.attrs = with_lists(c.attrs, {with_front(c.count, c.attrs.list(0))});
  for (int k : {1, 2}) c.attrs.s[k] = Scalar(c.attrs.integer(k) + 1);
  return true;
}
// Lists: the narrow shape, widths in front and behind.
bool pad(BatchedCall& c) {
  const Attrs& a = c.attrs;
  c.attrs = with_lists(
      a, {with_front(c.count, a.list(0)), with_front(0, a.list(1)), with_front(0, a.list(2))});
  return true;
}

// ---- order

// The first of what the op that picks along a dimension gives.
template <Op along_one>
bool pick_of_all(BatchedCall& c) {
  if (c.in[0].numel == 0) return false;
  OnArrays here;
  const Array line =
      recorded::as_contiguous(c.in[0]).reshaped(Dims{c.count, c.in[0].numel / c.count});
  c.made.push_back(
      apply_multi(along_one, {Tensor(line)}, reduce_attrs(0b10, false, Scalar(0)))[0].array());
  return true;
}
// Boundaries, values, an order of the boundaries.
bool searchsorted(BatchedCall& c) {
  const bool line = c.rank(0) == 1;
  if (line && !c.batched[0] && !(c.in.size() > 2 && c.batched[2])) return true;
  c.spread_all();
  if (line)
    c.in[1] = recorded::as_contiguous(c.in[1]).reshaped(Dims{c.count, c.in[1].numel / c.count});
  return true;
}

constexpr BatchRule kRules[] = {
    {Op::Index, index_get},
    {Op::IndexSelect, index_get},
    {Op::Take, index_get},
    {Op::IndexAdjoint, index_adjoint},
    {Op::IndexPut, index_put},
    {Op::IndexAdd, index_put},
    {Op::IndexCopy, index_put},
    {Op::IndexFill, index_put},
    {Op::Put, index_put},
    {Op::MaskedScatter, index_put},
    {Op::PutAlong, put_along},
    {Op::Scatter, scatter},
    {Op::ScatterAdd, scatter},
    {Op::ScatterReduce, scatter},
    {Op::Embedding, embedding},
    {Op::EmbeddingAdjoint, embedding_adjoint},
    {Op::EmbeddingBag, embedding_bag},
    {Op::AsStridedScatter, strided},
    {Op::AsStridedGather, strided},
    {Op::AsStridedAdjoint, strided},
    {Op::CopySlices, strided},
    {Op::SelectScatter, strided},
    {Op::SliceScatter, strided},
    {Op::DiagonalScatter, strided},
    {Op::Roll, roll},
    {Op::Repeat, repeat},
    {Op::DiagEmbed, diag_embed},
    {Op::Pad, pad},
    {Op::PadAdjoint, pad},
    {Op::Kthvalue, reduction},
    {Op::MedianDim, reduction},
    {Op::NanmedianDim, reduction},
    {Op::Mode, reduction},
    {Op::Median, pick_of_all<Op::MedianDim>},
    {Op::Nanmedian, pick_of_all<Op::NanmedianDim>},
    {Op::Searchsorted, searchsorted},
};

}  // namespace

std::span<const BatchRule> position_batch_rules() { return kRules; }

}  // namespace fastgrad
