#include "core/deferred.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>
#ifdef FASTGRAD_POSIX_THREADS
#include <pthread.h>
#endif

#include "core/recorder.h"
#include "kernels/pairs.h"
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

// Where a row reads an operand.
struct Source {
  enum class Kind : uint8_t { Row, Array, One };  // One: the same element for all
  Kind kind;
  size_t row;        // Row
  const char* data;  // else; null: the number in `bytes`
  alignas(8) char bytes[8];
};

struct Row {
  ElementwiseOp op;
  DType compute, result;
  size_t arity;
  Source in[kMaxElementwiseInputs];
  char* out;
  Buffer* buffer;  // of the result; null when nobody holds it any more
  int same;        // the operand that the result is equal to, that of a product with 1; or -1
};

struct Total {
  bool mean;
  size_t row;
  char* out;
  Buffer* buffer;
};

struct Due {
  std::mutex lock;
  int64_t numel = 0;
  std::vector<Row> rows;
  std::vector<Total> totals;
  std::vector<Ref<Buffer>> read;  // what rows read from memory
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

using Sources = SmallVector<const Source*, kMaxElementwiseInputs>;

// A kernel that has nothing to share with others takes longer strides than blocks.
void run_alone(BlockKernel kernel, const Sources& sources, const Row& r, int64_t numel) {
  const char* in[kMaxElementwiseInputs];
  unsigned scalars = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    in[i] = sources[i]->data ? sources[i]->data : sources[i]->bytes;
    if (sources[i]->kind == Source::Kind::One) scalars |= 1u << i;
  }
  run_contiguous(kernel, r.compute, r.result, r.out, in, static_cast<int>(sources.size()), scalars,
                 numel);
}

// How the rows of a group are run.
class Plan {
 public:
  explicit Plan(const Due& due) : due_(due), uses_(due.rows.size()) {}
  void run();

 private:
  // A kernel: a row, or two of them, the first of which hands its result over in a register.
  struct Step {
    size_t row;
    size_t inner;  // kNone
    BlockKernel kernel;
    Sources in;
  };
  struct Uses {
    int reads = 0;  // by rows that run
    bool runs = false, summed = false, joined = false;
    size_t last = 0;  // step that reads it
    int slot = -1;    // of the memory for one block, when it never leaves the cache
  };
  static constexpr size_t kNone = SIZE_MAX;

  const Row& row(size_t k) const { return due_.rows[k]; }
  bool in_cache(size_t k) const { return !row(k).buffer; }
  void find_uses();
  void make_steps();
  void place_blocks();
  void fill(RowGroup& group, char* own) const;

  const Due& due_;
  std::vector<Uses> uses_;
  std::vector<Step> steps_;
  size_t slots_ = 0, summed_slots_ = 0, slot_bytes_ = 0, summed_bytes_ = 0;
  int64_t block_ = kGroupBlock;
  size_t streams_ = 0;  // bytes per element that come from memory or go there
};

// What somebody holds, what is summed, and what they read.
void Plan::find_uses() {
  for (const Total& t : due_.totals)
    if (t.buffer) uses_[t.row].runs = uses_[t.row].summed = true;
  for (size_t k = due_.rows.size(); k-- > 0;) {
    if (row(k).buffer) uses_[k].runs = true;
    if (!uses_[k].runs) continue;
    for (size_t i = 0; i < row(k).arity; ++i) {
      if (row(k).in[i].kind != Source::Kind::Row) continue;
      Uses& from = uses_[row(k).in[i].row];
      from.runs = true;
      ++from.reads;
    }
  }
}

// Rows in the order in which they came. One whose only reader can take its result from a register
// goes along with that one: see kernels/pairs.h.
void Plan::make_steps() {
  std::vector<size_t> inner_of(due_.rows.size(), kNone);
  for (size_t k = 0; k < due_.rows.size(); ++k) {
    const Row& outer = row(k);
    if (!uses_[k].runs || outer.compute != outer.result) continue;
    for (size_t i = 0; i < outer.arity && inner_of[k] == kNone; ++i) {
      if (outer.in[i].kind != Source::Kind::Row) continue;
      const size_t from = outer.in[i].row;
      const Row& inner = row(from);
      if (uses_[from].reads != 1 || uses_[from].summed || inner.buffer || inner_of[from] != kNone ||
          inner.compute != inner.result || inner.compute != outer.compute ||
          !pair_kernel(inner.op, outer.op, i, outer.compute, kGroupBlock))
        continue;
      inner_of[k] = from;
      uses_[from].joined = true;
    }
  }
  for (size_t k = 0; k < due_.rows.size(); ++k) {
    if (!uses_[k].runs || uses_[k].joined) continue;
    Step& s = steps_.emplace_back(Step{k, inner_of[k], nullptr, {}});
    size_t operand = 0;
    if (s.inner != kNone)
      for (size_t i = 0; i < row(s.inner).arity; ++i) s.in.push_back(&row(s.inner).in[i]);
    for (size_t i = 0; i < row(k).arity; ++i) {
      const Source& from = row(k).in[i];
      if (s.inner != kNone && from.kind == Source::Kind::Row && from.row == s.inner)
        operand = i;
      else
        s.in.push_back(&from);
    }
    s.kernel = s.inner == kNone
                   ? block_kernel(row(k).op, row(k).compute)
                   : pair_kernel(row(s.inner).op, row(k).op, operand, row(k).compute, kGroupBlock);
    for (const Source* from : s.in)
      if (from->kind == Source::Kind::Row) uses_[from->row].last = steps_.size() - 1;
  }
}

// Gives each result that stays in the cache a slot, which another one takes when it is read no
// more. Sums read kGroupBlock elements when all of them are there: such slots are their own.
void Plan::place_blocks() {
  std::vector<int> free;
  size_t size = 0;
  std::vector<const char*> outside;
  auto stream = [&](const char* memory, DType type) {
    for (const char* known : outside)
      if (known == memory) return;
    outside.push_back(memory);
    streams_ += itemsize(type);
  };
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Row& r = row(steps_[s].row);
    for (const Source* from : steps_[s].in)
      if (from->kind == Source::Kind::Array) stream(from->data, r.compute);
    if (in_cache(steps_[s].row)) {
      Uses& u = uses_[steps_[s].row];
      size = std::max(size, itemsize(r.result));
      if (u.summed) {
        u.slot = static_cast<int>(summed_slots_++);
      } else if (free.empty()) {
        u.slot = static_cast<int>(slots_++);
      } else {
        u.slot = free.back();
        free.pop_back();
      }
    } else {
      stream(r.out, r.result);
    }
    for (const Source* from : steps_[s].in) {
      if (from->kind != Source::Kind::Row || !in_cache(from->row)) continue;
      Uses& u = uses_[from->row];
      if (u.last != s || u.summed) continue;
      if (std::find(free.begin(), free.end(), u.slot) == free.end()) free.push_back(u.slot);
    }
  }
  block_ = RowGroup::block_for(streams_ + (slots_ + summed_slots_) * size);
  slot_bytes_ = arena_block(static_cast<size_t>(block_) * size);
  summed_bytes_ = arena_block(static_cast<size_t>(kGroupBlock) * size);
}

void Plan::fill(RowGroup& group, char* own) const {
  group.n = due_.numel;
  group.block = block_;
  group.far = RowGroup::is_far(streams_ * static_cast<size_t>(due_.numel));
  group.own = own;
  group.own_bytes = slots_ * slot_bytes_ + summed_slots_ * summed_bytes_;
  auto place = [&](size_t k, RowGroup::Steps& steps) {
    const auto bytes = static_cast<int64_t>(itemsize(row(k).result));
    const Uses& u = uses_[k];
    if (!in_cache(k)) {
      steps = {bytes, 0, 0};
      return row(k).out;
    }
    steps = {0, u.summed ? bytes : 0, 1};
    const auto slot = static_cast<size_t>(u.slot);
    return own + (u.summed ? slots_ * slot_bytes_ + slot * summed_bytes_ : slot * slot_bytes_);
  };
  for (const Step& s : steps_) {
    RowGroup::Row& r = group.rows.emplace_back();
    r.call.kernel = s.kernel;
    r.call.out = place(s.row, r.out);
    for (size_t i = 0; i < s.in.size(); ++i) {
      const Source& from = *s.in[i];
      if (from.kind == Source::Kind::Row) {
        r.call.in[i] = place(from.row, r.in[i]);
        continue;
      }
      r.call.in[i] = from.data ? from.data : from.bytes;
      if (from.kind == Source::Kind::One)
        r.call.scalars |= static_cast<uint8_t>(1u << i);
      else
        r.in[i].everywhere = static_cast<int64_t>(itemsize(row(s.row).compute));
    }
  }
  for (const Total& t : due_.totals) {
    if (!t.buffer) continue;
    group.add_total(row(t.row).result, t.mean);
    RowGroup::Total& total = group.totals.back();
    total.in = place(t.row, total.steps);
    total.out = t.out;
  }
}

void Plan::run() {
  find_uses();
  make_steps();
  if (steps_.empty()) return;
  if (steps_.size() == 1 && due_.totals.empty())
    return run_alone(steps_[0].kernel, steps_[0].in, row(steps_[0].row), due_.numel);
  place_blocks();
  const size_t bytes = slots_ * slot_bytes_ + summed_slots_ * summed_bytes_;
  std::vector<char> memory(bytes + kArenaAlignment);
  char* own = memory.data();
  own += (kArenaAlignment - reinterpret_cast<uintptr_t>(own) % kArenaAlignment) % kArenaAlignment;
  RowGroup group;
  fill(group, own);
  group.run();
}

// With the lock held.
void settle_locked(Due& d) {
  if (d.rows.empty()) return;
  if (d.rows.size() == 1 && d.totals.empty()) {
    const Row& r = d.rows[0];
    Sources all;
    for (size_t i = 0; i < r.arity; ++i) all.push_back(&r.in[i]);
    if (r.buffer) run_alone(block_kernel(r.op, r.compute), all, r, d.numel);
  } else {
    Plan(d).run();
  }
  for (const Row& r : d.rows)
    if (r.buffer) r.buffer->set_deferred(0);
  for (const Total& t : d.totals)
    if (t.buffer) t.buffer->set_deferred(0);
  d.rows.clear();
  d.totals.clear();
  d.read.clear();
  g_ask_from.store(fewest(), std::memory_order_relaxed);
}

// A result dies before anybody asked for its values.
void forget(Buffer* gone) {
  Due& d = due();
  std::lock_guard hold(d.lock);
  const int32_t which = gone->deferred();
  if (which > 0) d.rows[static_cast<size_t>(which) - 1].buffer = nullptr;
  if (which < 0) d.totals[static_cast<size_t>(-which) - 1].buffer = nullptr;
}

bool is_one(const Source& s, DType type) {
  if (s.kind != Source::Kind::One) return false;
  const char* at = s.data ? s.data : s.bytes;
  return type == DType::Float32 ? *reinterpret_cast<const float*>(at) == 1
                                : *reinterpret_cast<const double*>(at) == 1;
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

// The operand that has the shape of the result, if rows of this kind can be put off.
const Array* full_operand(std::span<const Operand> operands) {
  const Array* full = nullptr;
  for (const Operand& o : operands)
    if (o.is_tensor() && o.array().contiguous && (!full || o.array().numel > full->numel))
      full = &o.array();
  return full;
}

// Whether a row can read the operand later; a number of another kind, or one element of another
// type, would change the type of the result.
bool fits(const Operand& o, const Array& full) {
  if (!o.is_tensor())
    return o.scalar().kind() != DTypeKind::Bool && o.scalar().kind() <= DTypeKind::Float;
  const Array& a = o.array();
  if (a.dtype != full.dtype || a.buffer->is_shared_outside()) return false;
  return (a.contiguous && a.shape == full.shape) || is_one_element(a, full);
}

}  // namespace

std::atomic<int64_t> g_ask_from{fewest()};

int64_t defer_from(int64_t nbytes) {
  settle_all();
  const int64_t old = g_smallest.exchange(threshold(nbytes), std::memory_order_relaxed);
  g_ask_from.store(fewest(), std::memory_order_relaxed);
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

Tensor row(Op op, std::span<const Operand> operands) {
  const Array* full = full_operand(operands);
  bool puts_off = full && full->nbytes() >= smallest() && !t_modes.at_once && !t_modes.anomaly &&
                  !recorder() && (full->dtype == DType::Float32 || full->dtype == DType::Float64) &&
                  block_kernel(fastgrad::row(op), full->dtype);
  for (const Operand& o : operands) puts_off = puts_off && fits(o, *full);
  if (!puts_off) {
    for (const Operand& o : operands)
      if (o.is_tensor()) settle(o.array());
    return {};
  }
  Due& d = due();
  const DType result = op_types(op) == OpTypes::P ? DType::Bool : full->dtype;
  Tensor out = Tensor::empty_like(*full, result);
  std::lock_guard hold(d.lock);
  // Rows of another size, and parts of results that are due, or their sums, cannot be read along.
  bool fresh = d.numel != full->numel || d.rows.size() >= kMostRows;
  for (const Operand& o : operands) {
    if (!o.is_tensor() || fresh) continue;
    const int32_t which = o.array().buffer->deferred();
    fresh =
        which < 0 || (which > 0 && (o.array().data != d.rows[static_cast<size_t>(which) - 1].out ||
                                    o.array().numel != full->numel));
  }
  if (fresh) settle_locked(d);
  d.numel = full->numel;
  Row& r = d.rows.emplace_back();
  r.op = fastgrad::row(op);
  r.compute = full->dtype;
  r.result = result;
  r.arity = operands.size();
  for (size_t i = 0; i < operands.size(); ++i) {
    Source& from = r.in[i];
    from = {Source::Kind::One, 0, nullptr, {}};
    if (!operands[i].is_tensor()) {
      operands[i].scalar().store(full->dtype, from.bytes);
      continue;
    }
    const Array& a = operands[i].array();
    if (const int32_t which = a.buffer->deferred(); which > 0) {
      const Row& made_by = d.rows[static_cast<size_t>(which) - 1];
      if (made_by.same >= 0) {
        from = made_by.in[made_by.same];
      } else {
        from.kind = Source::Kind::Row;
        from.row = static_cast<size_t>(which) - 1;
      }
      continue;
    }
    if (!is_one_element(a, *full)) from.kind = Source::Kind::Array;
    from.data = a.data;
    if (d.read.empty() || d.read.back().get() != a.buffer.get()) d.read.push_back(a.buffer);
  }
  r.same = unchanged_operand(r);
  r.out = out.array().data;
  // Where tests let the smallest arrays be due, a value that is read too early is NaN.
  if (smallest() == 1) std::memset(r.out, 0xff, static_cast<size_t>(out.array().nbytes()));
  r.buffer = out->array.buffer.get();
  r.buffer->set_deferred(static_cast<int32_t>(d.rows.size()));
  g_ask_from.store(0, std::memory_order_relaxed);
  return out;
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
