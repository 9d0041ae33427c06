// Rows of tables, and the sums of bags of them.
#include "ops/embedding.h"

#include "core/conditions.h"
#include "core/promotion.h"
#include "core/recorder.h"
#include "kernels/copy.h"
#include "kernels/embedding.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/count.h"
#include "ops/creation.h"
#include "ops/index.h"
#include "ops/infer.h"
#include "ops/item.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Attributes of Embedding: s[0] rows of the table, s[1] the padding row or -1, s[2] two flags:
// bit 0 padding rows are zero, bit 1 by count.
constexpr int64_t kZeroPadding = 1, kByCount = 2;

int64_t skipped(const Attrs& a) { return a.integer(2) & kZeroPadding ? a.integer(1) : -1; }
bool by_count(const Attrs& a, int64_t on) { return (a.integer(2) & kByCount) == on; }

}  // namespace

// The rows themselves; or, as the adjoint of EmbeddingAdjoint, with zeros at the padding and
// divided by how often each occurs.
FG_DEFINE_OP(Embedding) = {
    .name = "embedding",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[1]->shape;
          for (size_t d = 1; d < in[0]->shape.size(); ++d) out[0].shape.push_back(in[0]->shape[d]);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          bool adjoint = a.integer(2) & kZeroPadding;
          embedding(*in[0], *in[1], skipped(a), adjoint && by_count(a, kByCount), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          const Attrs& a = c.attrs();
          c.set(
              0,
              apply(
                  Op::EmbeddingAdjoint, {c.g(), c.in(1)},
                  Attrs(a.s[0], a.s[1], Scalar(a.integer(2) | kZeroPadding)).with(c.in_shape(0))));
        },
    .save = {save_in(1), 0},
};

FG_DEFINE_OP(EmbeddingAdjoint) = {
    .name = "embedding_adjoint",
    .backward_name = "EmbeddingDenseBackwardBackward0",
    .infer = infer_listed_shape<>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          embedding_adjoint(*in[0], *in[1], skipped(a), by_count(a, kByCount), out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::Embedding, {c.g(), c.in(1)}, c.attrs())); },
    .save = {save_in(1), 0},
};

namespace {

// Scales the rows that are used down to the norm, in place.
void renormalize(const Tensor& table, const Tensor& numbers, double max_norm, double norm_type) {
  GradModeGuard off(false);
  watch_values(numbers.array());
  Array rows = as_contiguous(numbers.array(), DType::Int64);
  for (int64_t k = 0; k < rows.numel; ++k) {
    int64_t r = rows.ptr<int64_t>()[k];
    FG_CHECK_INDEX(r >= 0 && r < table.shape()[0], "index out of range in self: ", r,
                   " in a table of ", table.shape()[0], " rows (in embedding)");
    const IndexItem items[] = {IndexItem::select(r)};
    Tensor row = index(table, items);
    double norm = item(pow(sum(pow(abs(row), norm_type)), 1 / norm_type)).to_double();
    if (norm > max_norm) copy_(row, mul(row, max_norm / (norm + 1e-7)));
  }
}

void check_rows(const Tensor& numbers, const Tensor& table, const char* op) {
  FG_CHECK(numbers.dtype() == DType::Int64 || numbers.dtype() == DType::Int32,
           "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
           "Long, Int; but got ",
           scalar_type_name(numbers.dtype()), " instead (while checking arguments for ", op, ")");
  FG_CHECK(table.ndim() == 2, "'weight' must be 2-D, got ", table.shape(), " (in ", op, ")");
}

}  // namespace

Tensor embedding(const Tensor& numbers, const Tensor& table, const EmbeddingOptions& o) {
  check_rows(numbers, table, "embedding");
  int64_t rows = table.shape()[0], padding = -1;
  if (o.padding_index) {
    padding = *o.padding_index;
    FG_CHECK_VALUE(padding < rows && padding >= -rows,
                   "Padding_idx must be within num_embeddings, got ", padding, " for ", rows,
                   " rows");
    if (padding < 0) padding += rows;
  }
  watch_range(numbers.array(), 0, rows);
  if (o.max_norm) renormalize(table, numbers, *o.max_norm, o.norm_type);
  return apply(
      Op::Embedding, {table, numbers},
      Attrs(Scalar(rows), Scalar(padding), Scalar(o.scale_grad_by_freq ? kByCount : int64_t{0})));
}

namespace {

enum BagInput : size_t { kTable, kNumbers, kEnds, kFactors };

Tensor saved_or_none(const VjpContext& c, size_t k) {
  return c.node().save_mask & save_in(k) ? c.in(k) : Tensor();
}
Tensor rows_of(const Tensor& table, const Tensor& numbers) {
  return apply(Op::Embedding, {table, numbers},
               Attrs(Scalar(table.shape()[0]), Scalar(-1), Scalar(0)));
}
// The cotangents of bags, for each of their rows.
Tensor spread_over_rows(const Tensor& g, const Tensor& numbers, const Tensor& ends) {
  if (ends.defined()) {
    const Tensor starts = narrow(ends, 0, 0, g.shape()[0]);
    const Tensor places = arange(Scalar(0), Scalar(numbers.numel()), Scalar(1), DType::Int64);
    return rows_of(g, sub(bucketize(places, starts, false, true), Scalar(1)));
  }
  const size_t bag = numbers.shape().size() - 1;
  Dims shape(g.shape());
  shape.insert(bag, numbers.shape()[bag]);
  return expand(unsqueeze(g, static_cast<int64_t>(bag)), shape);
}

}  // namespace

FG_DEFINE_OP(EmbeddingBag) = {
    .name = "embedding_bag",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[kTable]->dtype;
          out[0].shape = in[kNumbers]->shape;
          out[0].shape.pop_back();
          if (in[kEnds]) out[0].shape = Dims{in[kEnds]->shape[0] - 1};
          for (int64_t n : DimSpan(in[kTable]->shape).subspan(1)) out[0].shape.push_back(n);
        },
    .eval =
        [](const Attrs&, Inputs in, std::span<Array> out) {
          embedding_bag(*in[kTable], *in[kNumbers], in[kEnds], in[kFactors], out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor numbers = c.in(kNumbers), factors = saved_or_none(c, kFactors);
          Tensor g = spread_over_rows(c.g(), numbers, saved_or_none(c, kEnds));
          if (c.needs(kFactors)) {
            Dims columns;
            for (int64_t d = numbers.ndim(); d < g.ndim(); ++d) columns.push_back(d);
            c.set(kFactors, sum(mul(rows_of(c.in(kTable), numbers), g), columns));
          }
          if (!c.needs(kTable)) return;
          if (factors.defined()) {
            Dims shape(factors.shape());
            while (shape.size() < g.shape().size()) shape.push_back(1);
            g = mul(g, reshape(factors, shape));
          }
          const DimSpan table = c.in_shape(kTable);
          c.set(kTable, apply(Op::EmbeddingAdjoint, {g, numbers},
                              Attrs(Scalar(table[0]), Scalar(-1), Scalar(0)).with(table)));
        },
    .save = {save_in(kNumbers) | save_in(kEnds) | save_in(kFactors), 0, 0,
             save_in(kTable) | save_in(kNumbers) | save_in(kEnds)},
};

Tensor embedding_bag(const Tensor& numbers, const Tensor& table, const Tensor& ends,
                     const Tensor& factors) {
  check_rows(numbers, table, "embedding_bag");
  watch_range(numbers.array(), 0, table.shape()[0]);
  return apply(Op::EmbeddingBag, {table, numbers, ends, factors});
}

}  // namespace fastgrad
