// Rules for positions in memory: indexing, sorting, scans. See Note [Graphs from files].
#include <bit>
#include <cmath>
#include <string_view>

#include "core/conditions.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "ops/index.h"
#include "ops/positions.h"
#include "program/call_rules.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

// Whether all elements of p are among those of `whole`.
bool lies_in(const Place& p, const Place& whole) {
  if (p.storage != whole.storage || p.dtype != whole.dtype) return false;
  if (p.offset == whole.offset && p.shape == whole.shape && p.strides == whole.strides) return true;
  auto [first, last] = p.bytes();
  auto [from, until] = whole.bytes();
  return whole.contiguous && first >= from && last <= until &&
         (p.offset - whole.offset) % static_cast<int64_t>(itemsize(p.dtype)) == 0;
}

// One more than the largest position that an instruction may write as its output k; 0: no
// positions.
int64_t reach_of(const Instruction& i, size_t k) {
  auto along = [&](int64_t dim) {
    const Dims& shape = i.in[0].shape;
    return shape.empty() ? 1 : shape[static_cast<size_t>(dim)];
  };
  if (i.kind == Instruction::Kind::Primitive) {
    std::string_view name = i.primitive->name;
    if (name == "positions" || name == "repeated_numbers") return i.in[0].numel;
    return 0;
  }
  if (i.kind != Instruction::Kind::Op) return 0;
  switch (i.op) {
    case Op::Sort:
    case Op::Topk:
    case Op::Cummax:
    case Op::Cummin:
      return k == 1 ? along(i.attrs.integer(0)) : 0;
    case Op::Max:
    case Op::Min:
    case Op::Kthvalue:
    case Op::MedianDim:
    case Op::NanmedianDim:
    case Op::Mode:
      return k == 1 ? along(i.in[0].shape.empty()
                                ? 0
                                : std::countr_zero(static_cast<uint64_t>(i.attrs.integer(0))))
                    : 0;
    case Op::MaxPool: {
      if (k != 1) return 0;
      DimSpan list = i.attrs.list(0);
      return numel_of(list.subspan(1, static_cast<size_t>(list[0])));
    }
    default:
      return 0;
  }
}

// Whether the instruction asks all of p, and goes on only with this answer.
bool asks(const Instruction& i, const Place& p, const Condition& condition, bool answer) {
  return i.kind == Instruction::Kind::Condition && i.condition == &condition &&
         i.outcome == answer && lies_in(p, i.in[0]);
}
// Whether it checks that all of p is in [low, end).
bool checks(const Instruction& i, const Place& p, int64_t low, int64_t end) {
  return asks(i, p, kInRange, true) && i.attrs.lists().empty() && i.attrs.integer(0) >= low &&
         i.attrs.integer(1) <= end;
}

// Whether `test` holds for an instruction behind which nobody writes to input k.
template <class Test>
bool is_known(const Call& c, size_t k, Test test) {
  bool known = false;
  for (size_t n = 0; n < c.number; ++n) {
    const Instruction& i = c.graph.instructions[n];
    known = known || test(i);
    for (const Place& o : i.out) known = known && o.storage != c.in(k).storage;
  }
  return known;
}

}  // namespace

// Values are known to be positions when they are those of a constant, when an instruction checks
// them, or when they come from one that makes nothing else. Whatever writes there undoes it.
bool are_positions(const Call& c, size_t k, int64_t count) {
  const Place& p = c.in(k);
  if (p.dtype != DType::Int64) return false;
  const Storage& s = c.graph.storages[at(p.storage)];
  if (p.numel == 0) return true;
  if (s.role == Storage::Role::Constant) {
    Array values = contiguous_copy(array_at(p, s.value.data, s.value.buffer));
    return indices_in_range(values, 0, count);
  }
  bool known = false;
  int64_t range = 0;  // of folded values so far; 0: not known
  for (size_t n = 0; n < c.number; ++n) {
    const Instruction& i = c.graph.instructions[n];
    if (i.guards()) known = known || checks(i, p, 0, count);
    for (size_t w = 0; w < i.out.size(); ++w) {
      const Place& o = i.out[w];
      if (o.storage != p.storage) continue;
      bool first = i.kind == Instruction::Kind::Primitive && i.primitive == &index_first();
      bool next = i.kind == Instruction::Kind::Primitive && i.primitive == &index_next();
      int64_t before = first ? 1 : next ? range : 0;
      bool folds = before > 0 && !__builtin_mul_overflow(before, i.attrs.integer(0), &range);
      if (!folds) range = reach_of(i, w);
      known = range > 0 && range <= count && lies_in(p, o);
      if (!lies_in(p, o)) range = 0;
    }
  }
  return known;
}

bool is_checked(const Call& c, size_t k, int64_t low, int64_t end) {
  return is_known(c, k, [&](const Instruction& i) { return checks(i, c.in(k), low, end); });
}
bool is_never_zero(const Call& c, size_t k) {
  const Place& p = c.in(k);
  if (const Storage& s = c.graph.storages[at(p.storage)]; s.role == Storage::Role::Constant)
    return p.numel == 0 || !kHasZero.holds({}, array_at(p, s.value.data, s.value.buffer));
  return is_known(c, k, [&](const Instruction& i) { return asks(i, p, kHasZero, false); });
}

bool is_made_by(const Call& c, size_t k, Op op, size_t number) {
  const Place& p = c.in(k);
  bool made = false;
  for (size_t n = 0; n < c.number; ++n) {
    const Instruction& i = c.graph.instructions[n];
    for (size_t w = 0; w < i.out.size(); ++w) {
      const Place& o = i.out[w];
      if (o.storage != p.storage) continue;
      made = i.kind == Instruction::Kind::Op && i.op == op && w == number && o.offset == p.offset &&
             o.shape == p.shape && o.strides == p.strides && o.dtype == p.dtype;
    }
  }
  return made;
}

bool index_fits(const Call& c, DimSpan shape, int64_t& count) {
  DimSpan dims = c.attrs().list(0);
  count = 1;
  for (size_t k = 0; k < dims.size(); ++k) {
    if (dims[k] < 0 || dims[k] >= static_cast<int64_t>(shape.size())) return false;
    if (k && dims[k] <= dims[k - 1]) return false;
    count *= shape[static_cast<size_t>(dims[k])];
  }
  return c.integer(0) >= 0 && c.integer(0) <= static_cast<int64_t>(shape.size() - dims.size());
}
Dims indexed_shape(const Call& c, DimSpan shape, size_t positions) {
  return index_shape(shape, c.attrs().list(0), c.integer(0), c.in(positions).shape);
}

namespace {

// The kernels read a linear index row by row.
bool are_linear(const Call& c, size_t k, int64_t count) {
  return c.in(k).contiguous && are_positions(c, k, count);
}
bool fits_index(const Call& c) {
  int64_t count;
  return c.takes(2) && index_fits(c, c.in(0).shape, count) && are_linear(c, 1, count);
}
bool fits_index_put(const Call& c) {
  int64_t count;
  return c.takes(3) && index_fits(c, c.in(0).shape, count) && are_linear(c, 2, count) &&
         c.same_type(0, 1) && !is_complex(c.in(0).dtype) &&
         is_expandable_to(c.in(1).shape, indexed_shape(c, c.in(0).shape, 2));
}
bool fits_index_adjoint(const Call& c) {
  DimSpan shape = c.attrs().list(1);
  int64_t count;
  if (!c.takes(2) || !is_result_shape(c, 1)) return false;
  return index_fits(c, shape, count) && are_linear(c, 1, count) && !is_complex(c.in(0).dtype) &&
         c.in(0).shape == indexed_shape(c, shape, 1);
}

// ---- along one dimension

Dims at_least_vector(DimSpan shape) { return shape.empty() ? Dims{1} : Dims(shape); }

// Input k as an index into an array of this shape, whose other dimensions it does not exceed.
bool index_along_fits(const Call& c, size_t k, DimSpan shape, int64_t dim) {
  Dims x = at_least_vector(shape), i = at_least_vector(c.in(k).shape);
  if (i.size() != x.size() || dim < 0 || dim >= static_cast<int64_t>(x.size())) return false;
  for (size_t d = 0; d < x.size(); ++d)
    if (static_cast<int64_t>(d) != dim && i[d] > x[d]) return false;
  return are_positions(c, k, x[static_cast<size_t>(dim)]);
}
bool fits_scatter(const Call& c) {
  return c.takes(3) && c.same_type(0, 1) && !is_complex(c.in(0).dtype) &&
         is_expandable_to(at_least_vector(c.in(1).shape), at_least_vector(c.in(2).shape)) &&
         index_along_fits(c, 2, c.in(0).shape, c.integer(0));
}
bool fits_scatter_reduce(const Call& c) {
  return fits_scatter(c) && c.integer(1) >= 0 && c.integer(1) <= 4;
}
bool fits_take_along(const Call& c) {
  return c.takes(2) && !is_complex(c.in(0).dtype) && c.rank(0) == c.rank(1) &&
         index_along_fits(c, 1, c.in(0).shape, c.integer(0));
}
bool fits_put_along(const Call& c) {
  return c.takes(2) && !is_complex(c.in(0).dtype) && c.same_shape(0, 1) && is_result_shape(c, 0) &&
         c.rank(0) == c.attrs().list(0).size() &&
         index_along_fits(c, 1, c.attrs().list(0), c.integer(0));
}

// ---- order, scans, searches

bool fits_sort(const Call& c) {
  return c.takes(1) && !is_complex(c.in(0).dtype) && c.dim_in(c.integer(0), c.rank());
}
bool fits_topk(const Call& c) {
  if (!fits_sort(c)) return false;
  int64_t size = c.rank() ? c.size(0, static_cast<size_t>(c.integer(0))) : 1;
  return c.integer(2) >= 0 && c.integer(2) <= size;
}
// A reduction over one dimension, or of a single element.
template <bool kNumbered>
bool fits_pick(const Call& c) {
  if (!c.takes(1) || !c.dims_fit() || is_complex(c.in(0).dtype) || c.in(0).numel == 0) return false;
  auto dims = static_cast<uint64_t>(c.integer(0));
  if (c.rank() ? std::popcount(dims) != 1 : dims != 0) return false;
  int64_t size = c.rank() ? c.size(0, static_cast<size_t>(std::countr_zero(dims))) : 1;
  return !kNumbered || (c.integer(2) >= 0 && c.integer(2) < size);
}
bool fits_pick_all(const Call& c) {
  return c.takes(1) && c.dims_fit() && !is_complex(c.in(0).dtype) && c.i.out.size() == 1 &&
         c.i.out[0].numel == 1;
}
bool fits_cumextreme(const Call& c) { return fits_sort(c) && c.i.out.size() == 2; }
bool fits_linear_scan(const Call& c) {
  DType type;
  return c.takes(2) && c.is_float(0) && c.same_type(0, 1) && c.same_shape(0, 1) &&
         c.dim_in(c.integer(0), c.rank()) && c.integer(1) >= 0 && c.integer(1) < 4 &&
         c.type_attribute(2, type) && type == c.in(0).dtype;
}
bool fits_logcumsumexp(const Call& c) {
  DType type;
  return c.takes(1) && c.is_float(0) && c.dim_in(c.integer(0), c.rank()) &&
         c.type_attribute(2, type) && type == c.in(0).dtype;
}
bool fits_searchsorted(const Call& c) {
  DType type;
  if (!c.takes(3, 0b100) || !c.type_attribute(1, type) || !c.same_type(0, 1) || c.rank(0) == 0 ||
      (type != DType::Int64 && type != DType::Int32) || is_complex(c.in(0).dtype))
    return false;
  const Dims &edges = c.in(0).shape, &values = c.in(1).shape;
  if (edges.size() > 1 && (values.size() != edges.size() ||
                           !std::equal(edges.begin(), edges.end() - 1, values.begin())))
    return false;
  return !c.in(2).defined() || (c.same_shape(0, 2) && are_positions(c, 2, edges.back()));
}
bool fits_histc(const Call& c) {
  double low = c.attrs().s[1].to_double(), high = c.attrs().s[2].to_double();
  return c.takes(1) && c.is_float(0) && c.integer(0) > 0 && std::isfinite(low) &&
         std::isfinite(high) && low < high;
}

constexpr OpRule kRules[] = {
    {Op::Index, fits_index},
    {Op::IndexSelect, fits_index},
    {Op::Take, fits_index},
    {Op::MaskedSelect, fits_index},
    {Op::IndexPut, fits_index_put},
    {Op::IndexAdd, fits_index_put},
    {Op::IndexCopy, fits_index_put},
    {Op::IndexFill, fits_index_put},
    {Op::Put, fits_index_put},
    {Op::MaskedScatter, fits_index_put},
    {Op::IndexAdjoint, fits_index_adjoint},
    {Op::Scatter, fits_scatter},
    {Op::ScatterAdd, fits_scatter},
    {Op::ScatterReduce, fits_scatter_reduce},
    {Op::TakeAlong, fits_take_along},
    {Op::PutAlong, fits_put_along},
    {Op::Sort, fits_sort},
    {Op::Topk, fits_topk},
    {Op::Max, fits_pick<false>},
    {Op::Min, fits_pick<false>},
    {Op::Kthvalue, fits_pick<true>},
    {Op::MedianDim, fits_pick<false>},
    {Op::NanmedianDim, fits_pick<false>},
    {Op::Mode, fits_pick<false>},
    {Op::Median, fits_pick_all},
    {Op::Nanmedian, fits_pick_all},
    {Op::Cummax, fits_cumextreme},
    {Op::Cummin, fits_cumextreme},
    {Op::Logcumsumexp, fits_logcumsumexp},
    {Op::LinearScan, fits_linear_scan},
    {Op::Searchsorted, fits_searchsorted},
    {Op::Histc, fits_histc},
};

}  // namespace

std::span<const OpRule> position_rules() { return kRules; }

}  // namespace fastgrad
