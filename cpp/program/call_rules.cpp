// What the kernels of ops and primitives rely on: see Note [Graphs from files].
#include "program/call_rules.h"

#include <algorithm>

#include "core/elementwise.h"
#include "core/memory.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "ops/basic_index.h"
#include "ops/index.h"
#include "ops/optim.h"
#include "ops/random.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

using Rule = bool (*)(const Call&);

// ---- products

int64_t rows_of(const Call& c, size_t k, bool transposed) {
  return c.size(k, c.rank(k) - (transposed ? 1 : 2));
}
int64_t cols_of(const Call& c, size_t k, bool transposed) {
  return c.size(k, c.rank(k) - (transposed ? 2 : 1));
}
bool can_multiply(const Call& c, size_t a, size_t b, bool ta, bool tb) {
  return c.rank(a) >= 2 && c.rank(b) >= 2 && c.same_type(a, b) && c.is_number(a) &&
         cols_of(c, a, ta) == rows_of(c, b, tb);
}
bool fits_mm(const Call& c) {
  return c.takes(2) && c.rank(0) == 2 && c.rank(1) == 2 &&
         can_multiply(c, 0, 1, c.attrs().flag(0), c.attrs().flag(1));
}
bool fits_bmm(const Call& c) {
  if (!c.takes(2) || !can_multiply(c, 0, 1, c.attrs().flag(0), c.attrs().flag(1))) return false;
  return try_broadcast(DimSpan(c.in(0).shape.begin(), c.rank(0) - 2),
                       DimSpan(c.in(1).shape.begin(), c.rank(1) - 2))
      .has_value();
}
bool fits_mv(const Call& c) {
  return c.takes(2) && c.rank(0) == 2 && c.rank(1) == 1 && c.same_type(0, 1) && c.is_number(0) &&
         cols_of(c, 0, c.attrs().flag(0)) == c.size(1, 0);
}
bool fits_dot(const Call& c) {
  return c.takes(2) && c.rank(0) == 1 && c.same_shape(0, 1) && c.same_type(0, 1) && c.is_number(0);
}
template <size_t kRank>
bool fits_add_product(const Call& c) {
  return c.takes(3) && c.rank(1) == kRank && c.rank(2) == kRank &&
         can_multiply(c, 1, 2, false, false) && (kRank == 2 || c.size(1, 0) == c.size(2, 0)) &&
         c.same_type(0, 1) && is_expandable_to(c.in(0).shape, c.i.out[0].shape);
}
bool fits_linear(const Call& c) {
  return c.takes(3) && c.rank(0) >= 1 && c.rank(1) == 2 && c.same_type(0, 1) && c.same_type(0, 2) &&
         c.is_number(0) && c.size(0, c.rank(0) - 1) == c.size(1, 1) &&
         is_expandable_to(c.in(2).shape, c.i.out[0].shape);
}

// ---- reductions, scans

bool fits_sum(const Call& c) {
  DType result;
  return c.takes(1) && c.dims_fit() && c.type_attribute(2, result) && !is_complex(c.in(0).dtype) &&
         !is_complex(result) && result != DType::Bool;
}
bool fits_truth(const Call& c) {
  DType result;
  DType expected = c.in(0).dtype == DType::UInt8 ? DType::UInt8 : DType::Bool;
  return c.takes(1) && c.dims_fit() && c.type_attribute(2, result) && result == expected &&
         !is_complex(c.in(0).dtype);
}
bool fits_count(const Call& c) {
  DType result;
  return c.takes(1) && c.dims_fit() && c.type_attribute(2, result) && result == DType::Int64 &&
         !is_complex(c.in(0).dtype);
}
bool fits_float_reduction(const Call& c) { return c.takes(1) && c.dims_fit() && c.is_float(0); }
bool fits_extreme(const Call& c) {
  return c.takes(1) && c.dims_fit() && !is_complex(c.in(0).dtype) && c.in(0).numel > 0;
}
bool fits_softmax(const Call& c) {
  DType result;
  return c.takes(1) && c.dim_in(c.integer(0), c.rank()) && c.type_attribute(1, result) &&
         is_floating(result) && !is_complex(c.in(0).dtype);
}
bool fits_softmax_grad(const Call& c) {
  return c.takes(2) && c.dim_in(c.integer(0), c.rank()) && c.same_shape(0, 1) && c.is_float(0) &&
         c.is_float(1);
}
bool fits_scan(const Call& c) {
  DType result;
  return c.takes(1) && c.dim_in(c.integer(0), c.rank()) && c.type_attribute(2, result) &&
         !is_complex(result) && result != DType::Bool && !is_complex(c.in(0).dtype);
}

// ---- shapes

template <bool kNew>
bool fits_join(const Call& c) {
  if (c.i.in.empty() || !c.takes(c.i.in.size())) return false;
  int64_t dim = c.integer(0);
  if (dim < 0 || dim >= static_cast<int64_t>(c.rank()) + kNew) return false;
  if (!kNew && c.attrs().list(0).size() != c.i.in.size()) return false;
  for (size_t k = 0; k < c.i.in.size(); ++k) {
    if (c.rank(k) != c.rank() || is_complex(c.in(k).dtype)) return false;
    for (size_t d = 0; d < c.rank(); ++d) {
      bool along = !kNew && static_cast<int64_t>(d) == dim;
      if (c.size(k, d) != (along ? c.attrs().list(0)[k] : c.size(0, d))) return false;
    }
  }
  return true;
}
bool fits_block_diag(const Call& c) {
  DimSpan sizes = c.attrs().list(0);
  if (c.i.in.empty() || !c.takes(c.i.in.size()) || sizes.size() != 2 * c.i.in.size()) return false;
  for (size_t k = 0; k < c.i.in.size(); ++k)
    if (c.rank(k) != 2 || is_complex(c.in(k).dtype) || c.size(k, 0) != sizes[2 * k] ||
        c.size(k, 1) != sizes[2 * k + 1])
      return false;
  return true;
}
bool fits_flip(const Call& c) {
  DimSpan dims = c.attrs().list(0);
  for (size_t k = 0; k < dims.size(); ++k) {
    if (dims[k] < 0 || dims[k] >= static_cast<int64_t>(c.rank())) return false;
    for (size_t n = 0; n < k; ++n)
      if (dims[n] == dims[k]) return false;
  }
  return c.takes(1);
}
bool fits_triangle(const Call& c) {
  return c.takes(1) && c.rank() >= 2 && std::abs(c.integer(0)) < int64_t{1} << 40;
}
bool fits_masked_fill(const Call& c) {
  return c.takes(3) && c.in(1).dtype == DType::Bool && c.rank(2) == 0 &&
         !is_complex(c.in(2).dtype) && try_broadcast(c.in(0).shape, c.in(1).shape).has_value() &&
         !is_complex(c.in(0).dtype) &&
         block_kernel(ElementwiseOp::Where, compute_dtype(c.in(0).dtype));
}

bool format_fits(const Call& c, int k) {
  size_t ranks[] = {0, 0, 4, 5};  // those that formats want
  return c.integer(k) >= 0 && c.integer(k) < 4 &&
         (c.integer(k) < 2 || c.rank() == ranks[c.integer(k)]);
}
bool fits_conversion(const Call& c) {
  DType result;
  return c.takes(1) && c.type_attribute(0, result) && !is_complex(result) &&
         !is_complex(c.in(0).dtype) && format_fits(c, 1);
}
bool fits_clone(const Call& c) { return c.takes(1) && format_fits(c, 0); }
bool fits_reshape(const Call& c) {
  return c.takes(1) && is_result_shape(c, 0) && c.i.out[0].numel == c.in(0).numel &&
         c.i.out[0].dtype == c.in(0).dtype;
}
// List 0: what is taken of each dimension, three numbers per item, as ops/basic_index.h says.
bool fits_basic_index_adjoint(const Call& c) {
  DimSpan flat = c.attrs().list(0), shape = c.attrs().list(1);
  if (!c.takes(1) || !is_result_shape(c, 1) || flat.size() % 3) return false;
  Dims taken;
  size_t dim = 0;
  for (size_t k = 0; k < flat.size(); k += 3) {
    int64_t start = flat[k], step = flat[k + 1], length = flat[k + 2];
    if (length == ViewItem::kNew) {
      taken.push_back(1);
      continue;
    }
    if (dim >= shape.size()) return false;
    int64_t size = shape[dim++];
    if (length == ViewItem::kSelect) {
      if (start < 0 || start >= size) return false;
      continue;
    }
    if (length < 0 || length > size || start < 0 || start > size || step < 0 ||
        (length > 1 && (step == 0 || step > size)) ||
        (length > 0 && start + (length - 1) * step >= size))
      return false;
    taken.push_back(length);
  }
  for (; dim < shape.size(); ++dim) taken.push_back(shape[dim]);
  return c.in(0).shape == taken;
}

constexpr OpRule kOpRules[] = {
    {Op::Mm, fits_mm},
    {Op::Bmm, fits_bmm},
    {Op::SumBmm, fits_bmm},
    {Op::Mv, fits_mv},
    {Op::Dot, fits_dot},
    {Op::Addmm, fits_add_product<2>},
    {Op::Baddbmm, fits_add_product<3>},
    {Op::Linear, fits_linear},
    {Op::Sum, fits_sum},
    {Op::Nansum, fits_sum},
    {Op::Mean, fits_sum},
    {Op::Prod, fits_sum},
    {Op::Any, fits_truth},
    {Op::All, fits_truth},
    {Op::CountNonzero, fits_count},
    {Op::Var, fits_float_reduction},
    {Op::Std, fits_float_reduction},
    {Op::VarMean, fits_float_reduction},
    {Op::StdMean, fits_float_reduction},
    {Op::VectorNorm, fits_float_reduction},
    {Op::Logsumexp, fits_float_reduction},
    {Op::Amax, fits_extreme},
    {Op::Amin, fits_extreme},
    {Op::Aminmax, fits_extreme},
    {Op::MaxAll, fits_extreme},
    {Op::MinAll, fits_extreme},
    {Op::Argmax, fits_extreme},
    {Op::Argmin, fits_extreme},
    {Op::Softmax, fits_softmax},
    {Op::LogSoftmax, fits_softmax},
    {Op::SoftmaxGrad, fits_softmax_grad},
    {Op::LogSoftmaxGrad, fits_softmax_grad},
    {Op::Cumsum, fits_scan},
    {Op::Cumprod, fits_scan},
    {Op::Cat, fits_join<false>},
    {Op::Stack, fits_join<true>},
    {Op::BlockDiag, fits_block_diag},
    {Op::Flip, fits_flip},
    {Op::Tril, fits_triangle},
    {Op::Triu, fits_triangle},
    {Op::ToDType, fits_conversion},
    {Op::Clone, fits_clone},
    {Op::ReshapeCopy, fits_reshape},
    {Op::BasicIndexAdjoint, fits_basic_index_adjoint},
    {Op::MaskedFill, fits_masked_fill},
};

const OpRule* rule_of(Op op) {
  for (std::span<const OpRule> family :
       {std::span<const OpRule>(kOpRules), position_rules(), matrix_rules(), layer_rules()})
    for (const OpRule& r : family)
      if (r.op == op) return &r;
  return nullptr;
}

// ---- primitives

bool fits_copy(const Call& c) {
  return c.takes(1) && c.i.out.size() == 1 && is_expandable_to(c.in(0).shape, c.i.out[0].shape) &&
         is_complex(c.in(0).dtype) == is_complex(c.i.out[0].dtype);
}
bool fits_fill(const Call& c) {
  return c.takes(1) && c.i.out.size() == 1 && c.in(0).numel == 1 && !is_complex(c.in(0).dtype) &&
         !is_complex(c.i.out[0].dtype);
}
bool fits_fill_number(const Call& c) { return c.i.in.empty() && c.i.out.size() == 1; }
bool fits_fold(const Call& c) {
  bool first = c.i.primitive == &index_first();
  if (!c.takes(first ? 1 : 2) || c.i.out.size() != 1) return false;
  const Place& out = c.i.out[0];
  if (!first && (c.in(1).storage != out.storage || c.in(1).offset != out.offset ||
                 c.in(1).shape != out.shape || c.in(1).dtype != out.dtype))
    return false;
  return out.dtype == DType::Int64 && c.in(0).dtype == DType::Int64 && out.contiguous &&
         c.in(0).shape == out.shape && c.in(0).storage != out.storage && c.integer(0) > 0;
}
bool fits_put_index(const Call& c) {
  int64_t count;
  if (!c.takes(3) || c.i.out.size() != 1 || c.in(0).storage != c.i.out[0].storage) return false;
  const Place &x = c.in(0), &out = c.i.out[0];
  for (size_t k : {1u, 2u})
    if (c.in(k).storage == out.storage) return false;
  return x.offset == out.offset && x.shape == out.shape && x.strides == out.strides &&
         x.dtype == out.dtype && index_fits(c, out.shape, count) && c.in(2).contiguous &&
         are_positions(c, 2, count) && c.same_type(0, 1) && !is_complex(x.dtype) &&
         c.in(1).shape == indexed_shape(c, out.shape, 2);
}
// How many are set is checked when it runs.
bool fits_mask_positions(const Call& c) {
  const Place& out = c.i.out[0];
  return c.takes(1) && c.i.out.size() == 1 && out.dtype == DType::Int64 && out.contiguous &&
         out.shape.size() == 1 && !is_complex(c.in(0).dtype);
}
bool fits_coordinates(const Call& c) {
  DimSpan shape = c.attrs().list(0);
  int64_t count = 1;
  for (int64_t n : shape)
    if (n < 0 || __builtin_mul_overflow(count, n, &count)) return false;
  const Place& out = c.i.out[0];
  return c.takes(1) && c.i.out.size() == 1 && out.dtype == DType::Int64 && out.contiguous &&
         out.shape.size() == 2 && c.rank() == 1 && c.in(0).contiguous &&
         out.shape[0] == c.size(0, 0) && out.shape[1] == static_cast<int64_t>(shape.size()) &&
         out.storage != c.in(0).storage && are_positions(c, 0, count);
}
bool fits_one_hot(const Call& c) {
  const Place& out = c.i.out[0];
  return c.takes(1) && c.i.out.size() == 1 && out.dtype == DType::Int64 && out.contiguous &&
         !out.shape.empty() && c.in(0).contiguous && out.storage != c.in(0).storage &&
         std::equal(out.shape.begin(), out.shape.end() - 1, c.in(0).shape.begin(),
                    c.in(0).shape.end()) &&
         are_positions(c, 0, out.shape.back());
}
// How many there are, and that none is negative, is checked when they run.
bool fits_numbers(const Call& c) {
  const Place& out = c.i.out[0];
  return c.takes(1) && c.i.out.size() == 1 && out.dtype == DType::Int64 && out.contiguous &&
         out.shape.size() == 1 && c.in(0).dtype == DType::Int64 && c.in(0).contiguous &&
         c.rank() == 1 && out.storage != c.in(0).storage;
}
// Pivots count from 1.
bool fits_pivots(const Call& c) {
  const Place& out = c.i.out[0];
  if (!c.takes(1) || c.i.out.size() != 1 || !out.contiguous || out.shape.size() < 2 ||
      c.rank() + 1 != out.shape.size() || out.storage == c.in(0).storage ||
      (out.dtype != DType::Float32 && out.dtype != DType::Float64))
    return false;
  int64_t m = out.shape.back(), pivots = c.size(0, c.rank() - 1);
  return out.shape[c.rank() - 1] == m && pivots <= m && c.in(0).dtype == DType::Int32 &&
         is_checked(c, 0, 1, m + 1) &&
         std::equal(c.in(0).shape.begin(), c.in(0).shape.end() - 1, out.shape.begin());
}
// The options come as raw words; parameter and state are written where they are read.
bool fits_step(const Call& c) {
  size_t num_state;
  bool momentum;  // or the largest second moments: whatever is last
  if (c.i.in.size() < 2 || !c.in(0).defined() || !c.in(1).defined()) return false;
  if (!step_form(*c.i.primitive, c.attrs().list(0), num_state, momentum)) return false;
  if (c.i.in.size() != num_state + 2) return false;
  DType type = c.in(0).dtype;
  if ((type != DType::Float32 && type != DType::Float64) || !c.same_shape(0, 1) ||
      !c.same_type(0, 1))
    return false;
  size_t written = 0;
  for (size_t k = 0; k < c.i.in.size(); ++k) {
    if (k == 1) continue;
    const Place& p = c.in(k);
    bool count = num_state > 1 && k == 2;  // the number of steps
    if (!p.defined()) {
      bool needed = k < 2 || (num_state == 1 ? momentum : k < 5 || momentum);
      if (needed) return false;
      continue;
    }
    if (written >= c.i.out.size()) return false;
    const Place& out = c.i.out[written++];
    if (out.storage != p.storage || out.offset != p.offset || out.shape != p.shape ||
        out.strides != p.strides || out.dtype != p.dtype)
      return false;
    bool fits = count ? p.numel == 1 && (p.dtype == DType::Float32 || p.dtype == DType::Float64)
                      : p.shape == c.in(0).shape && p.dtype == type;
    if (!fits || (k > 1 && p.storage == c.in(0).storage) || p.storage == c.in(1).storage)
      return false;
  }
  return written == c.i.out.size();
}
// Draws from the default generator.
bool fits_random(const Call& c) {
  std::string_view name = c.i.primitive->name;
  if (c.i.out.size() != 1 || !c.i.out[0].contiguous || is_complex(c.i.out[0].dtype)) return false;
  const Place& out = c.i.out[0];
  if (name == "bernoulli_")
    return c.takes(1) && is_floating(c.in(0).dtype) && c.in(0).storage != out.storage &&
           (c.in(0).numel == 1 || c.in(0).shape == out.shape);
  if (!c.i.in.empty()) return false;
  if (name == "random_stream")
    return out.dtype == DType::Int64 && out.shape == Dims{2} && c.integer(0) >= 0;
  return name == "random_" || name == "randperm" || is_floating(out.dtype);
}
constexpr std::string_view kRandom[] = {"uniform_",   "normal_",      "exponential_", "geometric_",
                                        "cauchy_",    "random_",      "log_normal_",  "randperm",
                                        "bernoulli_", "random_stream"};

Rule rule_of(const Primitive* p) {
  std::string_view name = p->name;
  if (p == &recorded::kCopy) return fits_copy;
  if (p == &recorded::kFill) return fits_fill;
  if (p == &recorded::kFillNumber) return fits_fill_number;
  if (p == &index_first() || p == &index_next()) return fits_fold;
  if (name == "index_put_") return fits_put_index;
  if (name == "positions") return fits_mask_positions;
  if (name == "coordinates") return fits_coordinates;
  if (name == "one_hot") return fits_one_hot;
  if (name == "repeated_numbers" || name == "distinct_numbers") return fits_numbers;
  if (name == "pivots_to_matrix") return fits_pivots;
  if (name == "sgd_step" || name == "adam_step") return fits_step;
  if (std::ranges::find(kRandom, name) != std::end(kRandom)) return fits_random;
  return nullptr;
}

// Compares the results with what the op makes of its operands.
std::string examine_results(const Call& c) {
  const OpInfo& op = info(c.i.op);
  if (op.num_outputs < 0 || static_cast<size_t>(op.num_outputs) != c.i.out.size())
    return "it has another number of results";
  SmallVector<Array, 4> arrays;
  SmallVector<const Array*, 4> in;
  Ref<Buffer> nowhere = Buffer::foreign(nullptr, 0, nullptr, nullptr);
  for (const Place& p : c.i.in)
    arrays.push_back(p.defined() ? array_at(p, nullptr, nowhere) : Array());
  for (size_t k = 0; k < arrays.size(); ++k) in.push_back(c.in(k).defined() ? &arrays[k] : nullptr);
  Metas metas(static_cast<size_t>(op.num_outputs));
  op.infer(c.attrs(), {in.data(), in.size()}, metas);
  for (size_t k = 0; k < metas.size(); ++k) {
    const Place& p = c.i.out[k];
    if (p.dtype != metas[k].dtype) return str("its result is of ", name(metas[k].dtype));
    if (p.shape != metas[k].shape) return str("its result has the shape ", metas[k].shape);
    Dims strides = metas[k].strides.empty() ? contiguous_strides(metas[k].shape) : metas[k].strides;
    if (!p.contiguous && p.strides != strides) return "its result has other strides";
  }
  return "";
}

// A number among the operands, in the type that the kernel computes in.
int64_t number_of(const Instruction& i, size_t operand) {
  Array number = number_array_of(i, operand);
  return *contiguous_copy(number, DType::Int64).ptr<int64_t>();
}

// Integer divisions fail at zero: the divisor must be another number, or be checked.
bool divides_integers(const Instruction& i) {
  return is_integral(i.compute, true) && (i.op == Op::FloorDivide || i.op == Op::DivTrunc ||
                                          i.op == Op::Remainder || i.op == Op::Fmod);
}

}  // namespace

bool is_result_shape(const Call& c, size_t k) {
  DimSpan shape = c.attrs().list(k);
  if (c.i.out.size() != 1) return false;
  const Place& p = c.i.out[0];
  return p.shape.size() == shape.size() && std::equal(shape.begin(), shape.end(), p.shape.begin());
}

bool is_storable(const Instruction& i) {
  switch (i.kind) {
    case Instruction::Kind::Elementwise:
      return true;
    case Instruction::Kind::Op:
      return rule_of(i.op) != nullptr;
    case Instruction::Kind::Primitive:
      return rule_of(i.primitive) != nullptr && !own_generator(*i.primitive, i.attrs);
    default:
      return true;
  }
}

std::string examine_call(const Graph& g, size_t instruction) {
  Call c{g, instruction};
  const Instruction& i = c.i;
  if (!is_storable(i)) return "files have no form for it";
  switch (i.kind) {
    case Instruction::Kind::Elementwise:
      if (!divides_integers(i)) return "";
      // What is no zero as it is stored may be one in a narrower type.
      if (i.in[1].defined())
        return is_integral(i.in[1].dtype, true) && itemsize(i.in[1].dtype) <= itemsize(i.compute) &&
                       is_never_zero(c, 1)
                   ? ""
                   : "it may divide by zero";
      return number_of(i, 1) != 0 ? "" : "it divides by zero";
    case Instruction::Kind::Op:
      for (const Place& p : i.in)
        if (p.defined() && p.dtype == DType::Bool && i.op == Op::Prod)
          return "it has bool operands";
      if (i.in.empty() || !i.in[0].defined() || i.out.empty() || !rule_of(i.op)->fits(c))
        return "its operands and attributes do not fit";
      return examine_results(c);
    case Instruction::Kind::Primitive:
      return i.out.empty() || !rule_of(i.primitive)(c) ? "its operands and attributes do not fit"
                                                       : "";
    case Instruction::Kind::Watch:
      if (!c.takes(1) || !i.out.empty() || !i.expected.defined()) return "it has other operands";
      return i.expected.dtype() == i.in[0].dtype && i.expected.shape() == i.in[0].shape &&
                     i.expected.is_contiguous()
                 ? ""
                 : "the values to compare with have another form";
    case Instruction::Kind::Truth:
      return c.takes(1) && i.out.empty() && i.in[0].numel == 1 ? "" : "it has other operands";
    case Instruction::Kind::Condition:
      return c.takes(1) && i.out.empty() && !is_complex(i.in[0].dtype) ? ""
                                                                       : "it has other operands";
  }
  return "";
}

}  // namespace fastgrad
