#include "core/elementwise.h"

#include <utility>

#include "base/memory_format.h"
#include "core/deferred.h"
#include "core/inplace.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "core/variables.h"
#include "kernels/copy.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

constexpr OpTypes kTypes[] = {
#define FG_UNARY(Id, name, types, ...) OpTypes::types,
#define FG_BINARY(Id, name, types, ...) OpTypes::types,
#define FG_TERNARY(Id, name, types, ...) OpTypes::types,
#include "base/op_rows.def"
};

struct NumberBytes {
  alignas(16) char bytes[kMaxItemSize];
};

DType result_dtype(Op op, DType common) {
  switch (op_types(op)) {
    case OpTypes::P:
      return DType::Bool;
    case OpTypes::F:
      return to_float_dtype(common);
    case OpTypes::Q:
      return common == DType::Bool ? DType::Int64 : common;
    default:
      return common;
  }
}

// Operators that have no meaning on bool, in PyTorch's words.
void check_bool_operands(Op op, std::span<const Operand> operands) {
  size_t bools = 0;
  for (const Operand& o : operands)
    bools += o.is_tensor() ? o.array().dtype == DType::Bool : o.scalar().kind() == DTypeKind::Bool;
  if (bools == 0) return;
  if (op == Op::Neg || (op == Op::Sub && bools == 1))
    fail(ErrorKind::Runtime, op == Op::Neg ? "Negation" : "Subtraction", ", the `-` operator, ",
         op == Op::Neg ? "on" : "with",
         " a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
         "`logical_not()` operator instead.");
  FG_CHECK(op != Op::Sub,
           "Subtraction, the `-` operator, with two bool tensors is not supported. "
           "Use the `^` or `logical_xor()` operator instead.");
  FG_CHECK(op != Op::Relu, "Boolean inputs not supported for relu");
}

// Everything about a call that follows from its operands.
struct Plan {
  DType compute, kernel_result, result;
  BlockKernel kernel;
  Dims shape;
};

// The broadcast shape; the error names the op.
Dims broadcast_for(Op op, const Dims& a, const Dims& b) {
  if (auto shape = try_broadcast(a, b)) return *shape;
  try {
    return broadcast(a, b);
  } catch (const Error& e) {
    fail(e.kind(), e.what(), " (in ", info(op).name, ")");
  }
}

Plan plan(Op op, std::span<const Operand> operands) {
  ResultType common;
  Plan p;
  bool first = true;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand& o = operands[i];
    if (promotes(op, i)) o.is_tensor() ? common.add(o.array()) : common.add(o.scalar());
    if (!o.is_tensor()) continue;
    p.shape = first ? o.array().shape : broadcast_for(op, p.shape, o.array().shape);
    first = false;
  }
  DType type = common.get();
  p.result = result_dtype(op, type);
  p.compute = elementwise_compute_dtype(op, type);
  p.kernel_result = op_types(op) == OpTypes::P ? DType::Bool : p.compute;
  p.kernel = block_kernel(row(op), p.compute);
  if (!p.kernel || op == Op::Sub) check_bool_operands(op, operands);
  FG_CHECK_KIND(ErrorKind::NotImplemented, p.kernel, "\"", info(op).name,
                "\" not implemented for '", scalar_type_name(type), "'; ",
                is_complex(type) ? "work on its parts, .real and .imag"
                                 : "convert the input first, e.g. with .to(fastgrad.float32)");
  return p;
}

// Note [Few elements]
// The walk of kernels/elementwise.h is planned in more time than it takes to bring a few elements
// into rows of the compute type, whatever their types and steps. So results of few elements are
// made, as of points and small matrices with a row or a column.
constexpr int64_t kFew = kBlock, kFewRows = 40;
constexpr size_t kFewDims = 4;

void bring(const Array& a, const Dims& shape, DType compute, char* row) {
  const CastKernel cast = cast_kernel(a.dtype, compute);
  const size_t missing = shape.size() - a.shape.size(), last = shape.size() - 1;
  int64_t step[kFewDims], index[kFewDims] = {};
  for (size_t d = 0; d <= last; ++d)
    step[d] = d < missing || a.shape[d - missing] == 1 ? 0 : a.strides[d - missing];
  const auto size = static_cast<int64_t>(a.itemsize());
  const char* from = a.data;
  for (;;) {
    cast(from, step[last], row, 1, shape[last]);
    row += shape[last] * static_cast<int64_t>(itemsize(compute));
    size_t d = last;
    for (;;) {
      if (d == 0) return;
      --d;
      from += step[d] * size;
      if (++index[d] < shape[d]) break;
      from -= step[d] * shape[d] * size;
      index[d] = 0;
    }
  }
}

bool run_few(const Plan& p, std::span<const Operand> operands, const Array& out) {
  if (out.numel > kFew || out.numel == 0 || p.shape.empty() || p.shape.size() > kFewDims ||
      out.numel > kFewRows * p.shape.back() || !out.contiguous || out.dtype != p.kernel_result)
    return false;
  alignas(64) char rows[kMaxElementwiseInputs][kFew * sizeof(double)];
  const char* in[kMaxElementwiseInputs];
  unsigned scalars = 0;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand& o = operands[i];
    in[i] = rows[i];
    if (!o.is_tensor()) {
      o.scalar().store(p.compute, rows[i]);
      scalars |= 1u << i;
    } else if (const Array& a = o.array(); a.numel == 1) {
      cast_kernel(a.dtype, p.compute)(a.data, 0, rows[i], 1, 1);
      scalars |= 1u << i;
    } else if (a.dtype == p.compute && a.contiguous && a.shape == p.shape &&
               (a.data == out.data || a.buffer->root() != out.buffer->root())) {
      in[i] = a.data;
    } else {
      bring(a, p.shape, p.compute, rows[i]);
    }
  }
  p.kernel(out.data, in, scalars, out.numel);
  return true;
}

void walk(const Plan& p, std::span<const Operand> operands, const Array& out) {
  Array held[kMaxElementwiseInputs];
  const Array* in[kMaxElementwiseInputs];
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand& o = operands[i];
    if (!o.is_tensor()) {
      held[i] = Array::empty({}, p.compute);
      o.scalar().store(p.compute, held[i].data);
      held[i] = held[i].expanded(out.shape);
      in[i] = &held[i];
    } else if (o.array().shape == out.shape) {
      in[i] = &o.array();
    } else {
      held[i] = o.array().expanded(out.shape);
      in[i] = &held[i];
    }
  }
  run_elementwise(p.kernel, p.compute, p.kernel_result, in, static_cast<int>(operands.size()), out);
}

void run_plan(Op op, const Plan& p, std::span<const Operand> operands, const Array& out) {
  if (!run_few(p, operands, out)) walk(p, operands, out);
  if (Recorder* r = recorder()) [[unlikely]]
    r->elementwise(op, p.compute, p.kernel_result, operands, out);
}

bool any_requires_grad(std::span<const Operand> operands) {
  for (const Operand& o : operands)
    if (o.is_tensor() && requires_grad(o.impl())) return true;
  return false;
}

// Records an elementwise op of N operands. `saved_inputs`, where given, are what the rule will read
// instead of operands that were overwritten. The hottest code of the tape: N is a constant, and
// what a node holds is built in its place.
template <size_t N>
[[gnu::hot]] void record(Op op, const Operand* operands, const Tensor& out,
                         const Tensor* saved_inputs) {
  const OpInfo& op_info = info(op);
  Ref<Node> node = Node::make(op);
  uint64_t clock = t_modes.clock;
  uint32_t mask = 0;
#pragma GCC unroll 3
  for (size_t i = 0; i < N; ++i) {
    const Operand& o = operands[i];
    if (!o.is_tensor()) {
      node->edges.emplace_unchecked([] { return Edge(); });
      node->attrs.s[i] = o.scalar();
      node->attrs.scalars |= static_cast<uint8_t>(1u << i);
      continue;
    }
    const Edge& edge = node->edges.emplace_unchecked([&] { return gradient_edge(o.impl()); });
    if (!edge.node) continue;
    mask |= op_info.save[i];
    clock = std::max(clock, edge.node->sequence);
  }
  node->sequence = t_modes.clock = clock + 1;
  bool slow = t_modes.slow_record || saved_inputs;
  if (slow) [[unlikely]]
    note_circumstances(*node);
#pragma GCC unroll 3
  for (uint32_t i = 0; i < N; ++i) {
    TensorImpl* value = operands[i].impl();
    if (!(mask >> i & 1) || !value) continue;
    if (slow || value->inference || value->assignable) [[unlikely]] {
      save_value(*node, i, saved_inputs ? saved_inputs[i] : operands[i].tensor());
      continue;
    }
    node->saved.emplace_unchecked(
        [&] { return SavedTensor{Tensor::share(value), nullptr, value->version()}; });
    node->save_mask |= 1u << i;
  }
  if (mask & kSaveOut) save_value(*node, 16, out);
  node->outputs.emplace_unchecked([&] { return OutputMeta{out.shape(), out.dtype()}; });
  out->output_nr = 0;
  out->node = std::move(node);
}

void record_elementwise(Op op, std::span<const Operand> operands, const Tensor& out,
                        const Tensor* saved_inputs = nullptr) {
  switch (operands.size()) {
    case 1:
      return record<1>(op, operands.data(), out, saved_inputs);
    case 2:
      return record<2>(op, operands.data(), out, saved_inputs);
    default:
      return record<3>(op, operands.data(), out, saved_inputs);
  }
}

// The result's memory: row-major, or in the order of operands that lie otherwise.
Array empty_for(const Plan& p, std::span<const Operand> operands) {
  bool row_major = true;
  for (const Operand& o : operands)
    row_major = row_major && (!o.is_tensor() || o.array().contiguous);
  if (row_major) return Array::empty(p.shape, p.result);
  SmallVector<Dims, kMaxElementwiseInputs> strides;
  for (const Operand& o : operands)
    strides.push_back(o.is_tensor() ? o.array().expanded(p.shape).strides
                                    : Dims(p.shape.size(), 0));
  return Array::empty_strided(
      p.shape, dense_strides_like(p.shape, {strides.data(), strides.size()}), p.result);
}

[[gnu::cold, gnu::noinline]] void note_new(Op op, DType compute, DType result,
                                           std::span<const Operand> operands, const Array& out) {
  recorder()->fresh(out);
  recorder()->elementwise(op, compute, result, operands, out);
}

// Everything but the fast path.
Tensor elementwise_general(Op op, std::span<const Operand> operands) {
  Plan p = plan(op, operands);
  if (deferred::must_ask(numel_of(p.shape))) [[unlikely]]
    if (Tensor out = deferred::row(op, operands); out.defined()) return out;
  Tensor out(empty_for(p, operands));
  if (Recorder* r = recorder()) [[unlikely]]
    r->fresh(out.array());
  run_plan(op, p, operands, out.array());
  return out;
}

template <size_t N>
void finish(Op op, const Operand (&operands)[N], const Tensor& out) {
  if (!grad_enabled() || !info(op).vjp || !is_differentiable(out.dtype())) return;
  bool any = false;
#pragma GCC unroll 3
  for (const Operand& o : operands) any = any || (o.is_tensor() && requires_grad(o.impl()));
  if (any) record<N>(op, operands, out, nullptr);
}

// A bool is left to the general way, where subtraction refuses it.
bool number_fits(const Scalar& s, DType d) {
  return s.kind() <= kind(d) && s.kind() != DTypeKind::Bool && itemsize(d) <= 8;
}

}  // namespace

OpTypes op_types(Op op) { return kTypes[index(op)]; }

DType elementwise_compute_dtype(Op op, DType common) {
  OpTypes types = op_types(op);
  if (types == OpTypes::Q && common == DType::Bool) return DType::Int64;
  return compute_dtype(types == OpTypes::F ? to_float_dtype(common) : common);
}

SavedOperand saved_operand(const VjpContext& c, uint32_t i) {
  if (c.attrs().scalars >> i & 1) return c.attrs().s[i];
  return c.in(i);
}

Tensor elementwise(Op op, std::span<const Operand> operands) {
  switch (operands.size()) {
    case 1:
      return elementwise(op, operands[0]);
    case 2:
      return elementwise(op, operands[0], operands[1]);
    default:
      return elementwise(op, operands[0], operands[1], operands[2]);
  }
}

[[gnu::hot]] Tensor elementwise(Op op, const Operand& a) {
  const Operand operands[] = {a};
  const Array* x = a.is_tensor() ? &a.array() : nullptr;
  BlockKernel kernel = x && x->contiguous && compute_dtype(x->dtype) == x->dtype
                           ? block_kernel(row(op), x->dtype)
                           : nullptr;
  Tensor out;
  if (kernel && deferred::must_ask(x->numel)) [[unlikely]]
    out = deferred::row(op, operands);
  if (out.defined()) {
    // Its values are due.
  } else if (kernel) {
    DType d = op_types(op) == OpTypes::P ? DType::Bool : x->dtype;
    out = Tensor::empty_like(*x, d);
    const char* in[] = {x->data};
    run_contiguous(kernel, x->dtype, d, out.array().data, in, 1, 0, x->numel);
    if (recorder()) [[unlikely]]
      note_new(op, x->dtype, d, operands, out.array());
  } else {
    out = elementwise_general(op, operands);
  }
  finish(op, operands, out);
  return out;
}

[[gnu::hot]] Tensor elementwise(Op op, const Operand (&operands)[2]) {
  const Operand &a = operands[0], &b = operands[1];
  const Array* shape_of = nullptr;
  const char* in[2];
  NumberBytes number;
  unsigned scalars = 0;
  if (a.is_tensor() && b.is_tensor()) {
    const Array &x = a.array(), &y = b.array();
    if (x.dtype == y.dtype && x.contiguous && y.contiguous) {
      in[0] = x.data;
      in[1] = y.data;
      if (x.shape == y.shape) {
        shape_of = &x;
      } else if (y.shape.empty()) {
        shape_of = &x;
        scalars = 2;
      } else if (x.shape.empty()) {
        shape_of = &y;
        scalars = 1;
      }
    }
  } else if (a.is_tensor() || b.is_tensor()) {
    int k = a.is_tensor() ? 1 : 0;  // the number
    const Array& x = (k ? a : b).array();
    const Scalar& s = (k ? b : a).scalar();
    if (x.contiguous && number_fits(s, x.dtype)) {
      shape_of = &x;
      s.store(x.dtype, number.bytes);
      in[k] = number.bytes;
      in[1 - k] = x.data;
      scalars = 1u << k;
    }
  }
  BlockKernel kernel = shape_of ? block_kernel(row(op), shape_of->dtype) : nullptr;
  Tensor out;
  if (kernel && deferred::must_ask(shape_of->numel)) [[unlikely]]
    out = deferred::row(op, operands);
  if (out.defined()) {
    // Its values are due.
  } else if (kernel) {
    DType d = op_types(op) == OpTypes::P ? DType::Bool : shape_of->dtype;
    out = Tensor::empty_like(*shape_of, d);
    run_contiguous(kernel, shape_of->dtype, d, out.array().data, in, 2, scalars, shape_of->numel);
    if (recorder()) [[unlikely]]
      note_new(op, shape_of->dtype, d, operands, out.array());
  } else {
    out = elementwise_general(op, operands);
  }
  finish(op, operands, out);
  return out;
}

Tensor elementwise(Op op, const Operand& a, const Operand& b, const Operand& c) {
  const Operand operands[] = {a, b, c};
  Tensor out = elementwise_general(op, operands);
  finish(op, operands, out);
  return out;
}

namespace {
// Counts a write, also when a user's pack hook fails while it is recorded.
struct VersionBump {
  Buffer* buffer;
  void now() { std::exchange(buffer, nullptr)->bump_version(); }
  ~VersionBump() {
    if (buffer) buffer->bump_version();
  }
};
}  // namespace

void elementwise_inplace(Op op, const Tensor& self, std::span<const Operand> operands) {
  bool recorded = check_inplace(self, any_requires_grad(operands), info(op).name);
  Plan p = plan(op, operands);
  FG_CHECK(p.shape == self.shape(), "output with shape ", self.shape(),
           " doesn't match the broadcast shape ", p.shape);
  FG_CHECK(can_cast(p.result, self.dtype()), "result type ", scalar_type_name(p.result),
           " can't be cast to the desired output type ", scalar_type_name(self.dtype()));
  if (recorded || !deferred::must_ask(self.numel())) {
    deferred::settle();
  } else if (deferred::row_inplace(op, self.array(), operands)) {
    self->array.buffer->bump_version();
    return;
  }
  if (!recorded) {
    run_plan(op, p, operands, self.array());
    self->array.buffer->bump_version();
    return;
  }
  // What the rule reads of self must be its old value: save a copy, with the old history.
  uint32_t mask = 0;
  for (size_t i = 0; i < operands.size(); ++i)
    if (operands[i].is_tensor() && operands[i].tensor().requires_grad()) mask |= info(op).save[i];
  Tensors saved(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].is_tensor()) continue;
    Tensor t = operands[i].tensor();
    if (t->array.buffer == self->array.buffer && (mask >> i & 1)) {
      saved[i] = Tensor(recorded::contiguous_copy(t.array()));
      Edge e = gradient_edge(t);
      if (e.node && !e.node->is_accumulator()) {
        saved[i]->node = e.node;
        saved[i]->output_nr = e.nr;
      }
    } else {
      saved[i] = t;
    }
  }
  // Recorded between the write and the new version: a view of the same base that is an operand is
  // not outdated yet, its edge is that of its old value; a saved result is the new value.
  Tensor result(self.array());
  run_plan(op, p, operands, self.array());
  VersionBump bump{self->array.buffer.get()};
  if (info(op).vjp) record_elementwise(op, operands, result, saved.data());
  if (Node* node = result->node.get(); node && node->save_mask >> 16)
    node->saved.back().version = self->version() + 1;
  bump.now();
  rebase_history(self, result);
}

bool elementwise_out(Op op, const Tensor& out, std::span<const Operand> operands) {
  deferred::settle();
  if (grad_enabled() && (out.requires_grad() || any_requires_grad(operands))) return false;
  const Plan p = plan(op, operands);
  if (p.result != out.dtype() || p.shape != out.shape()) return false;
  check_inplace(out, false, info(op).name);
  run_plan(op, p, operands, out.array());
  out->array.buffer->bump_version();
  return true;
}

}  // namespace fastgrad
