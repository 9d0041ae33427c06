#include "core/deferred.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>
#ifdef FASTGRAD_POSIX_THREADS
#include <pthread.h>
#endif

#include "core/deferred_rows.h"
#include "core/recorder.h"
#include "kernels/copy.h"
#include "kernels/row_group.h"

namespace fastgrad::deferred {
namespace {

// Smaller arrays stay in the near caches from one op to the next, in bytes.
constexpr int64_t kSmallest = int64_t{128} << 10;
// How many rows may be due: with more of them, blocks leave the first-level cache.
constexpr size_t kMostRows = 64;

// FASTGRAD_DEFER_FROM: another number of bytes; 0: never.
constexpr int64_t kNever = INT64_MAX;
int64_t threshold(int64_t n) { return n > 0 ? n : kNever; }
std::atomic<int64_t> g_smallest{[] {
  const char* text = std::getenv("FASTGRAD_DEFER_FROM");
  return text ? threshold(std::strtoll(text, nullptr, 10)) : kSmallest;
}()};
int64_t smallest() { return g_smallest.load(std::memory_order_relaxed); }
// The fewest elements that an array of so many bytes can have.
int64_t fewest() { return smallest() / 8 + (smallest() < 8); }

// What Buffer::deferred() is for results: of row k k + 1, of total k -(k + 1), of small rows this.
constexpr int32_t kSmall = INT32_MIN;

struct Due : Rows {
  std::mutex lock;
};

void forget(Buffer* gone);

// It outlives every tensor.
Due& due() {
  static Due* const the = [] {
    Buffer::forget_deferred = forget;
    auto* made = new Due;
#ifdef FASTGRAD_POSIX_THREADS
    // A child of fork() goes on with what is due: nobody else may be in the middle of it.
    static Due* held = made;
    pthread_atfork([] { held->lock.lock(); }, [] { held->lock.unlock(); },
                   [] { held->lock.unlock(); });
#endif
    return made;
  }();
  return *the;
}

// With the lock held.
void settle_locked(Due& d) {
  if (d.rows.empty()) return;
  run_rows(d);
  for (const Row& r : d.rows)
    if (r.buffer) r.buffer->set_deferred(0);
  for (const Total& t : d.totals)
    if (t.buffer) t.buffer->set_deferred(0);
  for (const Small& small : d.small) small.buffer->set_deferred(0);
  d.rows.clear();
  d.totals.clear();
  d.small.clear();
  d.read.clear();
  g_ask_from.store(fewest(), std::memory_order_release);
}

// A result dies before anybody asked for its values.
void forget(Buffer* gone) {
  Due& d = due();
  std::lock_guard hold(d.lock);
  const int32_t which = gone->deferred();
  if (which > 0) d.rows[static_cast<size_t>(which) - 1].buffer = nullptr;
  if (which < 0 && which != kSmall) d.totals[static_cast<size_t>(-which) - 1].buffer = nullptr;
}

bool is_one(const Source& s, DType type) {
  if (s.kind != Source::Kind::One || s.turn != 0) return false;
  return type == DType::Float32 ? *reinterpret_cast<const float*>(s.address()) == 1
                                : *reinterpret_cast<const double*>(s.address()) == 1;
}

// Gradients of sums are such products.
int unchanged_operand(const Row& r) {
  if (r.op != ElementwiseOp::Mul && r.op != ElementwiseOp::GradMul) return -1;
  return is_one(r.in[0], r.compute) ? 1 : is_one(r.in[1], r.compute) ? 0 : -1;
}

bool is_one_element(const Array& a, const Array& full) {
  if (a.numel == 1) return a.ndim() <= full.ndim();
  if (a.shape != full.shape) return false;
  for (size_t d = 0; d < a.shape.size(); ++d)
    if (a.shape[d] != 1 && a.strides[d] != 0) return false;
  return true;
}

// How many elements share a row of `a`, which is broadcast over the rows before, or share an
// element of it, which is broadcast over the elements of a row; 0: it is broadcast otherwise, or
// rows are too short for blocks.
int64_t shared_elements(const Array& a, const Array& full, bool& one) {
  const size_t ndim = full.shape.size();
  if (a.shape.size() > ndim) return 0;
  const size_t missing = ndim - a.shape.size();
  // The dimensions from the last one on: those that step through `a` in a row, and those that stay.
  int64_t inner = 1, step = 1;
  int changes = 0;
  bool first = true, stays = false;
  for (size_t d = ndim; d-- > 0;) {
    const int64_t size = d < missing ? 1 : a.shape[d - missing];
    if (size != 1 && size != full.shape[d]) return 0;
    if (full.shape[d] == 1) continue;
    const int64_t stride = size == 1 ? 0 : a.strides[d - missing];
    if (stride != 0 && stride != step) return 0;
    if (first) {
      one = stays = stride == 0;
      first = false;
    } else if (stays != (stride == 0)) {
      stays = !stays;
      if (++changes > 1) return 0;
    }
    if (stride != 0) step *= size;
    if (changes == 0) inner *= full.shape[d];
  }
  return changes == 1 && inner % RowGroup::kLeastBlock == 0 ? inner : 0;
}

// The condition of where(), which has a type of its own.
bool is_mask(Op op, const Operand& o, std::span<const Operand> operands) {
  return op == Op::Where && &o == operands.data() && o.is_tensor() &&
         o.array().dtype == DType::Bool;
}

bool may_put_off() { return !t_modes.at_once && !t_modes.anomaly && !recorder(); }
bool is_real(DType d) { return d == DType::Float32 || d == DType::Float64; }

// The operand that has the shape of the result, if rows of this kind can be put off.
const Array* full_operand(Op op, std::span<const Operand> operands) {
  const Array* full = nullptr;
  for (const Operand& o : operands)
    if (o.is_tensor() && o.array().contiguous && !is_mask(op, o, operands) &&
        (!full || o.array().numel > full->numel))
      full = &o.array();
  return full;
}

// Whether a row can read the operand later; a number of another kind, or one element of another
// type, would change the type of the result.
bool fits(const Operand& o, const Array& full, bool mask = false) {
  if (!o.is_tensor())
    return o.scalar().kind() != DTypeKind::Bool && o.scalar().kind() <= DTypeKind::Float;
  const Array& a = o.array();
  if (a.buffer->is_shared_outside()) return false;
  if (a.contiguous && a.shape == full.shape) return mask || a.dtype == full.dtype;
  bool one;
  return !mask && a.dtype == full.dtype &&
         (is_one_element(a, full) || shared_elements(a, full, one) != 0);
}

void keep(Due& d, const Ref<Buffer>& buffer) {
  if (d.read.empty() || d.read.back().get() != buffer.get()) d.read.push_back(buffer);
}

Source number(const Scalar& s, DType type) {
  Source from;
  s.store(type, from.bytes);
  return from;
}

// An operand that is a row, an array of the row's shape, or one element.
Source source(Due& d, const Array& a, const Array& full) {
  Source from;
  if (const int32_t which = a.buffer->deferred(); which > 0) {
    const Row& made_by = d.rows[static_cast<size_t>(which) - 1];
    if (made_by.same >= 0) return made_by.in[made_by.same];
    from.kind = Source::Kind::Row;
    from.row = static_cast<size_t>(which) - 1;
    return from;
  }
  from.data = a.data;
  if (a.contiguous && a.shape == full.shape) {
    from.kind = Source::Kind::Array;
  } else if (!is_one_element(a, full)) {
    bool one = false;
    from.turn = shared_elements(a, full, one);
    from.kind = one ? Source::Kind::One : Source::Kind::Array;
  }
  keep(d, a.buffer);
  return from;
}

// Whether rows that are due must run before one of d.numel elements can read this: it is a part of
// a result of theirs, or a sum.
bool must_be_there(const Due& d, const Operand& o) {
  if (!o.is_tensor()) return false;
  const int32_t which = o.array().buffer->deferred();
  if (which <= 0) return which < 0;
  return o.array().data != d.rows[static_cast<size_t>(which) - 1].out ||
         o.array().numel != d.numel || !o.array().contiguous;
}

template <DType kTo>
void from_bool(char* out, const char* const* in, unsigned, int64_t n) {
  static const CastKernel cast = cast_kernel(DType::Bool, kTo);
  cast(in[0], 1, out, 1, n);
}

// A mask as numbers, which where() takes.
Source as_numbers(Due& d, const Source& mask, DType type) {
  Row& r = d.rows.emplace_back();
  r.kernel = type == DType::Float32 ? from_bool<DType::Float32> : from_bool<DType::Float64>;
  r.compute = DType::Bool;
  r.result = type;
  r.in[0] = mask;
  Source from;
  from.kind = Source::Kind::Row;
  from.row = d.rows.size() - 1;
  return from;
}

// Puts off a row on single numbers when one of them is a sum that is due; else undefined.
Tensor small_row(Op op, std::span<const Operand> operands) {
  const Array* shape = nullptr;
  bool due_one = false;
  for (const Operand& o : operands) {
    if (!o.is_tensor()) continue;
    const Array& a = o.array();
    if (a.numel != 1 || !a.contiguous || a.buffer->deferred() > 0) return {};
    due_one = due_one || a.buffer->deferred() < 0;
    if (!shape) shape = &a;
    if (!(a.shape == shape->shape)) return {};
  }
  if (!due_one || !may_put_off() || !is_real(shape->dtype)) return {};
  for (const Operand& o : operands)
    if (!fits(o, *shape)) return {};
  Small small;
  Row& r = small.row;
  r.kernel = block_kernel(fastgrad::row(op), shape->dtype);
  if (!r.kernel) return {};
  r.compute = shape->dtype;
  r.result = op_types(op) == OpTypes::P ? DType::Bool : shape->dtype;
  r.arity = operands.size();
  Tensor out = Tensor::empty_like(*shape, r.result);
  Due& d = due();
  std::lock_guard hold(d.lock);
  if (d.rows.empty()) return {};  // another thread has just settled
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].is_tensor()) {
      r.in[i] = number(operands[i].scalar(), r.compute);
      continue;
    }
    r.in[i].kind = Source::Kind::Array;
    r.in[i].data = operands[i].array().data;
    keep(d, operands[i].array().buffer);
  }
  r.out = out.array().data;
  small.buffer = out->array.buffer;
  small.buffer->set_deferred(kSmall);
  d.small.push_back(std::move(small));
  return out;
}

}  // namespace

std::atomic<int64_t> g_ask_from{fewest()};

int64_t defer_from(int64_t nbytes) {
  settle_all();
  const int64_t old = g_smallest.exchange(threshold(nbytes), std::memory_order_relaxed);
  g_ask_from.store(fewest(), std::memory_order_release);
  return old == kNever ? 0 : old;
}

int64_t count() {
  Due& d = due();
  std::lock_guard hold(d.lock);
  return static_cast<int64_t>(d.rows.size());
}

void settle_all() {
  Due& d = due();
  std::lock_guard hold(d.lock);
  settle_locked(d);
}

void settle_readers(const Array& a) {
  Due& d = due();
  std::lock_guard hold(d.lock);
  Buffer* const memory = a.buffer->root();
  bool met = memory->deferred() != 0;
  for (const Ref<Buffer>& b : d.read) met = met || b.get() == memory;
  if (met) settle_locked(d);
}

namespace {
// The row, which is not due yet; what it cannot be due with is computed.
Row next_row(Due& d, Op op, std::span<const Operand> operands, const Array& full) {
  bool fresh = d.numel != full.numel || d.rows.size() + 1 >= kMostRows;
  for (const Operand& o : operands) fresh = fresh || must_be_there(d, o);
  if (fresh) settle_locked(d);
  d.numel = full.numel;
  Row r;
  r.op = fastgrad::row(op);
  r.kernel = block_kernel(r.op, full.dtype);
  r.compute = full.dtype;
  r.arity = operands.size();
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand& o = operands[i];
    r.in[i] = o.is_tensor() ? source(d, o.array(), full) : number(o.scalar(), full.dtype);
    if (is_mask(op, o, operands)) r.in[i] = as_numbers(d, r.in[i], full.dtype);
  }
  return r;
}

void put_off(Due& d, Row r, const Array& out) {
  r.result = out.dtype;
  r.out = out.data;
  r.buffer = out.buffer.get();
  d.rows.push_back(r);
  r.buffer->set_deferred(static_cast<int32_t>(d.rows.size()));
  g_ask_from.store(0, std::memory_order_release);
}

// What is due may hold the last reference to what it reads, and so the memory that lacks.
Tensor new_result(const Array& full, DType type) {
  try {
    return Tensor::empty_like(full, type);
  } catch (const Error&) {
    if (!any_due()) throw;
  }
  settle_all();
  return Tensor::empty_like(full, type);
}
}  // namespace

Tensor row(Op op, std::span<const Operand> operands) {
  if (Tensor out = small_row(op, operands); out.defined()) return out;
  const Array* full = full_operand(op, operands);
  bool puts_off = full && full->nbytes() >= smallest() && may_put_off() && is_real(full->dtype) &&
                  block_kernel(fastgrad::row(op), full->dtype);
  for (const Operand& o : operands) puts_off = puts_off && fits(o, *full, is_mask(op, o, operands));
  if (!puts_off) {
    for (const Operand& o : operands)
      if (o.is_tensor()) settle(o.array());
    return {};
  }
  const DType result = op_types(op) == OpTypes::P ? DType::Bool : full->dtype;
  Tensor out = new_result(*full, result);
  Due& d = due();
  std::lock_guard hold(d.lock);
  Row r = next_row(d, op, operands, *full);
  r.same = unchanged_operand(r);
  // Where tests let the smallest arrays be due, a value that is read too early is NaN.
  if (smallest() == 1)
    std::memset(out.array().data, 0xff, static_cast<size_t>(out.array().nbytes()));
  put_off(d, r, out.array());
  return out;
}

bool row_inplace(Op op, const Array& self, std::span<const Operand> operands) {
  // Other operands in the same memory would be read after parts of it were written.
  bool reads_itself = false, apart = true;
  for (const Operand& o : operands) {
    if (!o.is_tensor() || o.array().buffer->root() != self.buffer->root()) continue;
    const bool is_self = o.array().data == self.data && o.array().shape == self.shape;
    (is_self ? reads_itself : apart) = is_self;
  }
  bool puts_off = reads_itself && apart && self.contiguous && self.nbytes() >= smallest() &&
                  may_put_off() && is_real(self.dtype) && op_types(op) != OpTypes::P &&
                  !self.buffer->was_aliased() && block_kernel(fastgrad::row(op), self.dtype);
  for (const Operand& o : operands) puts_off = puts_off && fits(o, self);
  if (!puts_off) {
    settle();
    return false;
  }
  Due& d = due();
  std::lock_guard hold(d.lock);
  auto reads_old = [&] {
    for (const Ref<Buffer>& b : d.read)
      if (b.get() == self.buffer.get()) return true;
    return false;
  };
  if (!is_due(self) && reads_old()) settle_locked(d);
  const Row r = next_row(d, op, operands, self);
  // What made the old values need not write them.
  if (const int32_t made_by = self.buffer->deferred(); made_by > 0)
    d.rows[static_cast<size_t>(made_by) - 1].buffer = nullptr;
  put_off(d, r, self);
  return true;
}

bool total(Op op, const Array& x, const Array& out) {
  if (!is_due(x) || t_modes.at_once || recorder()) return false;
  Due& d = due();
  std::lock_guard hold(d.lock);
  const int32_t which = x.buffer->deferred();
  if (which <= 0) return false;
  const Row& r = d.rows[static_cast<size_t>(which) - 1];
  if (x.data != r.out || x.numel != d.numel || !x.contiguous || x.dtype != r.result ||
      !is_floating(x.dtype) || out.numel != 1 || out.dtype != x.dtype)
    return false;
  d.totals.push_back({op == Op::Mean, static_cast<size_t>(which) - 1, out.data, out.buffer.get()});
  out.buffer->set_deferred(-static_cast<int32_t>(d.totals.size()));
  return true;
}

}  // namespace fastgrad::deferred
