#include "program/batch_run.h"

#include <cstring>

#include "core/conditions.h"
#include "core/elementwise.h"
#include "ops/index.h"
#include "ops/random.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

// The rows of all entries, or of what they are transposed.
Array stacked_rows(Array a, bool transposed) {
  if (transposed) a = a.permuted(Dims{0, 2, 1});
  Dims shape{a.shape[0] * a.shape[1], a.shape[2]};
  if (auto strides = view_strides(a.shape, a.strides, shape)) return a.view(shape, *strides);
  return recorded::contiguous_copy(a).reshaped(shape);
}

bool is_copy(const Primitive* p) { return p == &recorded::kCopy || p == &recorded::kFill; }

// Conditions that hold for all entries of a batch if they hold for the whole.
bool asks_each_element(const Instruction& i) {
  return (i.outcome &&
          (i.condition == &kInRange || i.condition == &kWithin || i.condition == &kAllFinite)) ||
         (!i.outcome && i.condition == &kHasZero);
}

// One run of what was recorded and has not run yet.
class BatchRun {
 public:
  // `kept`: what shall be there at the end; `everything`: all of it shall. `summed`: results of
  // which only the sums over the examples count, which are made at once where that is possible.
  BatchRun(Trace& trace, BatchMemory& memory, std::span<const Place> kept, bool everything,
           std::span<const Place> summed = {})
      : trace_(trace),
        graph_(trace.graph()),
        kept_(kept),
        summed_(summed),
        count_(memory.count),
        first_(memory.instructions),
        before_(memory.blocks.size()),
        made_(memory),
        batched_(memory.batched),
        last_use_(graph_.storages.size(), 0),
        sizes_(graph_.storages.size(), 0),
        memory_(memory.blocks) {
    batched_.resize(graph_.storages.size());
    memory_.resize(graph_.storages.size());
    // The inputs of the first run are no storages from before.
    if (first_ == 0) before_ = 0;
    find_batched();
    find_live(everything);
    find_sizes();
    find_sums();
    place_constants();
  }

  // False: what was recorded does not hold for all examples.
  bool run() {
    const auto& all = graph_.instructions;
    if (rewrites_) return false;
    for (size_t k = first_; k < all.size(); ++k) {
      const Instruction& i = all[k];
      if (!live_[k - first_]) continue;
      for (const Place& p : i.in)
        if (!find_room(p)) return false;
      if (i.guards()) {
        if (!holds(i)) return false;
      } else if (!batched_[at(i.out[0].storage)]) {
        if (anew_) run_once(i);
      } else if (int sum = sum_of(i); sum >= 0) {
        const Place& p = summed_[static_cast<size_t>(sum)];
        sums_[static_cast<size_t>(sum)] = add_products_up(i).view(p.shape, p.strides);
      } else {
        run_batched(i, k);
      }
      for (const Place& p : i.in) forget(p, k);
      for (const Place& p : i.out) forget(p, k);
    }
    for (const Place& p : kept_)
      if (!find_room(p)) return false;
    made_.instructions = all.size();
    return true;
  }

  std::vector<Array>& sums() { return sums_; }

 private:
  using Memory = BatchMemory::Block;

  bool is_batched(const Place& p) const { return made_.is_batched(p); }
  bool takes_batch(const Instruction& i) const {
    return std::any_of(i.in.begin(), i.in.end(),
                       [&](const Place& p) { return p.defined() && is_batched(p); });
  }
  Array array(const Place& p) const { return made_.array(p); }
  // The first example's share.
  Array first_array(const Place& p) const {
    const Memory& m = memory_[at(p.storage)];
    return array_at(p, m.base, m.buffer);
  }

  // ---- what there is to do

  void find_batched() {
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t k = first_; k < graph_.instructions.size(); ++k) {
        const Instruction& i = graph_.instructions[k];
        bool any = draws(i) || takes_batch(i);
        for (const Place& p : i.out) any = any || is_batched(p);
        for (const Place& p : i.out) {
          rewrites_ = rewrites_ || at(p.storage) < before_;
          if (!any || is_batched(p)) continue;
          batched_[at(p.storage)] = 1;
          changed = true;
        }
      }
    }
  }

  void find_live(bool everything) {
    const auto& all = graph_.instructions;
    std::vector<uint8_t> needed(graph_.storages.size(), everything);
    if (everything) std::fill(last_use_.begin(), last_use_.end(), all.size());
    live_.assign(all.size() - first_, 0);
    auto need = [&](const Place& p, size_t when) {
      if (!p.defined()) return;
      needed[at(p.storage)] = 1;
      last_use_[at(p.storage)] = std::max(last_use_[at(p.storage)], when);
    };
    for (const Place& p : kept_) need(p, all.size());
    for (const Place& p : summed_) need(p, all.size());
    for (size_t k = all.size(); k-- > first_;) {
      const Instruction& i = all[k];
      uint8_t& live = live_[k - first_];
      live = draws(i) || (i.guards() && is_batched(i.in[0]));
      for (const Place& p : i.out) live |= needed[at(p.storage)];
      if (!live) continue;
      for (const Place& p : i.in) need(p, k);
      for (const Place& p : i.out) need(p, k);
    }
  }

  // A block holds what its places reach, and nothing else: batches of whole blocks have no gaps.
  void find_sizes() {
    std::vector<int64_t> widths(sizes_.size(), 1);
    auto reach = [&](const Place& p) {
      if (!p.defined()) return;
      size_t s = at(p.storage);
      sizes_[s] = std::max(sizes_[s], p.bytes().last);
      widths[s] = std::max(widths[s], static_cast<int64_t>(itemsize(p.dtype)));
    };
    for (const Instruction& i : graph_.instructions) {
      for (const Place& p : i.in) reach(p);
      for (const Place& p : i.out) reach(p);
    }
    for (const Place& p : kept_) reach(p);
    for (const Place& p : summed_) reach(p);
    for (size_t s = 0; s < sizes_.size(); ++s)
      sizes_[s] = (sizes_[s] + widths[s] - 1) / widths[s] * widths[s];
  }

  // What does not depend on the example has been computed, unless it was written over since.
  void place_constants() {
    std::vector<uint8_t> writes(graph_.storages.size(), 0);
    for (size_t k = first_; k < graph_.instructions.size(); ++k)
      for (const Place& p : graph_.instructions[k].out) {
        uint8_t& n = writes[at(p.storage)];
        if (!is_batched(p)) anew_ = anew_ || n || graph_.storages[at(p.storage)].value.defined();
        n = 1;
      }
    for (size_t s = before_; s < memory_.size(); ++s) {
      if (batched_[s]) continue;
      const Ref<Buffer>& b = trace_.memory(static_cast<int32_t>(s));
      memory_[s] = {b, b->data(), 0, false};
      if (!anew_ || !writes[s]) continue;
      Array fresh = Array::empty(Dims{static_cast<int64_t>(b->nbytes())}, DType::UInt8);
      if (Recorder* r = recorder()) r->fresh(fresh);
      if (const Array& value = graph_.storages[s].value; value.defined())
        recorded::copy_array(value, fresh);
      memory_[s] = {fresh.buffer, fresh.data, 0, true};
    }
  }

  // Memory for all examples, when it is used the first time.
  void make_room(const Place& p) {
    if (!p.defined()) return;
    Memory& m = memory_[at(p.storage)];
    if (m.base) return;
    int64_t size = sizes_[at(p.storage)];
    Array a = Array::empty(Dims{count_, size}, DType::UInt8);
    if (Recorder* r = recorder()) r->fresh(a);
    m = {a.buffer, a.data, size, true};
    const Array& value = graph_.storages[at(p.storage)].value;
    if (value.defined() && size) recorded::copy_array(value.narrowed(0, 0, size), a);
  }

  // The same where it can be: nothing is there any more of what was not kept from before.
  bool find_room(const Place& p) {
    if (!p.defined()) return true;
    Memory& m = memory_[at(p.storage)];
    if (at(p.storage) < before_ && !m.base) {
      if (is_batched(p)) return false;
      const Ref<Buffer>& b = trace_.memory(p.storage);
      m = {b, b->data(), 0, false};
    }
    make_room(p);
    return true;
  }

  void forget(const Place& p, size_t now) {
    if (p.defined() && at(p.storage) >= before_ && last_use_[at(p.storage)] == now)
      memory_[at(p.storage)] = {};
  }

  // ---- decisions

  bool holds(const Instruction& i) const {
    const Array a = array(i.in[0]);
    Recorder* r = recorder();
    if (i.kind == Instruction::Kind::Condition && asks_each_element(i)) {
      if (i.condition->holds(i.attrs, a) != i.outcome) return false;
      if (r) r->watch(*i.condition, i.attrs, a, i.outcome);
      return true;
    }
    for (int64_t e = 0; e < count_; ++e) {
      const Array x = entry(a, e);
      if (i.kind == Instruction::Kind::Condition) {
        if (i.condition->holds(i.attrs, x) != i.outcome) return false;
        if (r) r->watch(*i.condition, i.attrs, x, i.outcome);
      } else if (i.kind == Instruction::Kind::Truth) {
        bool truth = false;
        cast_kernel(x.dtype, DType::Bool)(x.data, 1, reinterpret_cast<char*>(&truth), 1, 1);
        if (truth != i.outcome) return false;
        if (r) r->watch_truth(x, truth);
      } else {
        const Array values = contiguous_copy(x), &expected = i.expected.array();
        if (std::memcmp(values.data, expected.data, static_cast<size_t>(values.nbytes())) != 0)
          return false;
        if (r) r->watch(x);
      }
    }
    return true;
  }

  // ---- instructions

  // As it was recorded, on these arrays.
  static void perform(const Instruction& i, Inputs in, std::span<Array> out) {
    Recorder* r = recorder();
    {
      PauseRecording inside;
      execute(i, in, out);
    }
    if (!r) return;
    if (i.kind == Instruction::Kind::Op) return r->op(i.op, i.attrs, in, out);
    if (i.kind == Instruction::Kind::Primitive) return r->primitive(*i.primitive, i.attrs, in, out);
    SmallVector<Tensor, kMaxElementwiseInputs> held;
    SmallVector<Operand, kMaxElementwiseInputs> operands;
    for (size_t k = 0; k < in.size(); ++k) held.push_back(in[k] ? Tensor(Array(*in[k])) : Tensor());
    for (size_t k = 0; k < in.size(); ++k)
      operands.push_back(in[k] ? Operand(held[k]) : Operand(i.attrs.s[k]));
    r->elementwise(i.op, i.compute, i.result, {operands.data(), operands.size()}, out[0]);
  }

  void run_once(const Instruction& i) const {
    SmallVector<Array, 4> in(i.in.size()), out;
    SmallVector<const Array*, 4> inputs;
    for (size_t k = 0; k < i.in.size(); ++k) {
      if (i.in[k].defined()) in[k] = array(i.in[k]);
      inputs.push_back(i.in[k].defined() ? &in[k] : nullptr);
    }
    for (const Place& p : i.out) out.push_back(array(p));
    perform(i, {inputs.data(), inputs.size()}, {out.data(), out.size()});
  }

  void run_batched(const Instruction& i, size_t number) {
    if (i.kind == Instruction::Kind::Elementwise) return run_elements(i, number);
    if (i.kind == Instruction::Kind::Op) {
      if (!run_rule(i)) run_each(i);
      return;
    }
    if (is_copy(i.primitive) || i.primitive == &recorded::kFillNumber) return run_copy(i);
    if (!run_index(i)) run_each(i);
  }

  // Puts ones behind the batch, so that what follows is broadcast as for one example.
  Array aligned(const Place& p, size_t rank) const {
    Array a = array(p);
    if (!is_batched(p) || p.shape.size() == rank) return a;
    Dims shape{a.shape[0]}, strides{a.strides[0]};
    for (size_t d = p.shape.size(); d < rank; ++d) {
      shape.push_back(1);
      strides.push_back(0);
    }
    for (size_t d = 0; d < p.shape.size(); ++d) {
      shape.push_back(p.shape[d]);
      strides.push_back(p.strides[d]);
    }
    return a.view(shape, strides);
  }

  void run_elements(const Instruction& i, size_t number) {
    const Place& to = i.out[0];
    for (const Place& p : i.in)
      if (p.defined()) write_over(i, p, to, number);
    make_room(to);
    SmallVector<Array, kMaxElementwiseInputs> in(i.in.size());
    SmallVector<const Array*, kMaxElementwiseInputs> inputs;
    for (size_t k = 0; k < i.in.size(); ++k) {
      if (i.in[k].defined()) in[k] = aligned(i.in[k], to.shape.size());
      inputs.push_back(i.in[k].defined() ? &in[k] : nullptr);
    }
    Array out = array(to);
    perform(i, {inputs.data(), inputs.size()}, {&out, 1});
  }

  // Lets the result take the memory of an operand that nobody needs any more, if that fits.
  void write_over(const Instruction& i, const Place& p, const Place& to, size_t number) {
    Memory &from = memory_[at(p.storage)], &m = memory_[at(to.storage)];
    if (m.base || recorder() || !from.own || at(p.storage) < before_ ||
        last_use_[at(p.storage)] != number || !is_batched(p) ||
        sizes_[at(p.storage)] != sizes_[at(to.storage)] || !covers(p) || !covers(to) ||
        p.dtype != to.dtype || graph_.storages[at(to.storage)].value.defined())
      return;
    for (const Place& other : i.in)
      if (other.storage == p.storage && !covers(other)) return;
    m = from;
  }
  // Whether a place is all of its storage, row by row.
  bool covers(const Place& p) const {
    return p.contiguous && p.offset == 0 && p.nbytes() == sizes_[at(p.storage)];
  }

  void run_copy(const Instruction& i) {
    make_room(i.out[0]);
    Array out = array(i.out[0]);
    if (i.in.empty()) return recorded::fill_array(out, i.attrs.s[0]);
    recorded::copy_array(aligned(i.in[0], i.out[0].shape.size()), out);
  }

  BatchedCall call_of(const Instruction& i) const {
    BatchedCall c{i.op, i.attrs, count_, {}, {}, 0, {}};
    for (const Place& p : i.in) {
      c.in.push_back(p.defined() ? array(p) : Array());
      c.batched.push_back(p.defined() && is_batched(p));
    }
    return c;
  }

  // All examples at once.
  bool run_rule(const Instruction& i) {
    BatchedCall c = call_of(i);
    if (!apply_batch_rule(c)) return false;
    if (!c.made.empty()) return keep_all(i, c.made, 0);
    SmallVector<const Array*, 4> in;
    for (const Array& a : c.in) in.push_back(a.defined() ? &a : nullptr);
    const OpInfo& op = info(c.op);
    Metas metas(i.out.size());
    op.infer(c.attrs, {in.data(), in.size()}, metas);
    SmallVector<Array, 4> out;
    for (size_t k = 0; k < i.out.size(); ++k) {
      const Meta& m = metas[k];
      if (m.dtype != i.out[k].dtype || numel_of(m.shape) != count_ * i.out[k].numel) return false;
      out.push_back(m.strides.empty() ? Array::empty(m.shape, m.dtype)
                                      : Array::empty_strided(m.shape, m.strides, m.dtype));
    }
    Recorder* r = recorder();
    {
      PauseRecording inside;
      op.eval(c.attrs, {in.data(), in.size()}, {out.data(), out.size()});
    }
    if (r) r->op(c.op, c.attrs, {in.data(), in.size()}, {out.data(), out.size()});
    return keep_all(i, out, c.batch_dim);
  }
  bool keep_all(const Instruction& i, SmallVector<Array, 4>& made, int64_t batch_dim) {
    for (size_t k = 0; k < i.out.size(); ++k)
      if (made[k].dtype != i.out[k].dtype || made[k].numel != count_ * i.out[k].numel) return false;
    for (size_t k = 0; k < i.out.size(); ++k) keep(i.out[k], std::move(made[k]), batch_dim);
    return true;
  }

  // Positions are made element by element; an index that is put to is one for all entries.
  bool run_index(const Instruction& i) {
    const bool first = i.primitive == &index_first();
    const bool puts = i.primitive == &index_put_in_place();
    if (!first && !puts && i.primitive != &index_next()) return false;
    for (const Place& p : i.out) make_room(p);
    Instruction whole = i;
    Array to = array(i.out[0]);
    if (!puts) {
      if (!to.contiguous) return false;
      const Array index = aligned(i.in[0], i.out[0].shape.size()).expanded(to.shape);
      const Array* in[] = {&index, &to};
      perform(whole, {in, first ? 1u : 2u}, {&to, 1});
      return true;
    }
    BatchedCall c = call_of(i);
    c.op = Op::IndexPut;
    if (!apply_batch_rule(c)) return false;
    c.spread(1);
    whole.attrs = c.attrs;
    const Array* in[] = {&c.in[0], &c.in[1], &c.in[2]};
    perform(whole, in, {&to, 1});
    return true;
  }

  // Lets what an op has made be the memory of its result, or copies it there.
  void keep(const Place& p, Array made, int64_t batch_dim) {
    if (!p.numel) return make_room(p);
    auto d = static_cast<size_t>(std::min(batch_dim, made.ndim() - 1));
    if (made.ndim() == static_cast<int64_t>(p.shape.size()) &&
        made.shape[d] == count_ * p.shape[d]) {
      Dims shape = made.shape, strides = made.strides;
      shape[d] = p.shape[d];
      shape.insert(d, count_);
      strides.insert(d, p.shape[d] * strides[d]);
      made = made.view(shape, strides);
    }
    if (d) made = batch_of(made, static_cast<int64_t>(d), count_);
    Memory& m = memory_[at(p.storage)];
    if ((made.contiguous && covers(p)) || lies_like(made, p)) {
      m = {made.buffer, made.data, sizes_[at(p.storage)], true};
      return;
    }
    make_room(p);
    Array to = array(p);
    if (made.contiguous) made = made.reshaped(to.shape);
    recorded::copy_array(made, to);
  }

  // Whether all of a storage is a place, of which this is the batch.
  bool lies_like(const Array& made, const Place& p) const {
    const int64_t size = sizes_[at(p.storage)], width = static_cast<int64_t>(itemsize(p.dtype));
    return p.offset == 0 && p.nbytes() == size && made.strides[0] * width == size &&
           std::equal(made.strides.begin() + 1, made.strides.end(), p.strides.begin(),
                      p.strides.end());
  }

  // ---- sums of products

  // Which results are products that nobody else reads.
  void find_sums() {
    sums_.resize(summed_.size());
    for (size_t r = 0; r < summed_.size(); ++r) {
      const Place& p = summed_[r];
      const Instruction* maker = nullptr;
      size_t uses = 0;
      for (size_t k = first_; k < graph_.instructions.size(); ++k) {
        const Instruction& i = graph_.instructions[k];
        for (const Place& q : i.in) uses += q.storage == p.storage;
        for (const Place& q : i.out) {
          uses += q.storage == p.storage;
          if (q.storage == p.storage) maker = &i;
        }
      }
      for (const Place& q : kept_) uses += q.storage == p.storage;
      for (const Place& q : summed_) uses += q.storage == p.storage;
      bool alone = uses == 2 && maker && maker->out[0].contiguous &&
                   p.numel == maker->out[0].numel && p.offset == maker->out[0].offset;
      products_.push_back(alone && is_product(*maker) ? maker : nullptr);
    }
  }
  bool is_product(const Instruction& i) const {
    if (i.in.size() != 2) return false;
    for (const Place& p : i.in)
      if (!p.defined() || !is_batched(p)) return false;
    if (i.kind == Instruction::Kind::Op) return i.op == Op::Mm;
    // A column by a row.
    const Dims &a = i.in[0].shape, &b = i.in[1].shape;
    return i.kind == Instruction::Kind::Elementwise && i.op == Op::Mul && a.size() == 2 &&
           a[1] == 1 && !b.empty() && b.size() <= 2 && (b.size() == 1 || b[0] == 1) &&
           i.in[0].dtype == i.in[1].dtype && i.in[0].dtype == i.out[0].dtype &&
           is_floating(i.out[0].dtype);
  }
  int sum_of(const Instruction& i) const {
    auto found = std::find(products_.begin(), products_.end(), &i);
    return found == products_.end() ? -1 : static_cast<int>(found - products_.begin());
  }
  // All examples' rows below one another: one product.
  Array add_products_up(const Instruction& i) const {
    Array a = array(i.in[0]), b = array(i.in[1]);
    if (i.kind == Instruction::Kind::Elementwise) {
      a = recorded::as_contiguous(a).reshaped(Dims{count_, i.in[0].shape[0]});
      b = recorded::as_contiguous(b).reshaped(Dims{count_, i.in[1].shape.back()});
    } else {
      a = stacked_rows(a, !i.attrs.flag(0));
      b = stacked_rows(b, i.attrs.flag(1));
    }
    GradModeGuard off(false);
    return apply(Op::Mm, {Tensor(a), Tensor(b)}, Attrs(Scalar(true), Scalar(false))).array();
  }

  // One example after the other, or one for all.
  void run_each(const Instruction& i) {
    for (const Place& p : i.out) make_room(p);
    SmallVector<Array, 4> in(i.in.size()), out;
    SmallVector<const Array*, 4> inputs;
    for (size_t k = 0; k < i.in.size(); ++k) {
      if (i.in[k].defined()) in[k] = first_array(i.in[k]);
      inputs.push_back(i.in[k].defined() ? &in[k] : nullptr);
    }
    for (const Place& p : i.out) out.push_back(first_array(p));
    const bool drawing = draws(i), alike = !drawing && !takes_batch(i);
    for (int64_t e = 0; e < (alike ? 1 : count_); ++e) {
      const uint64_t block =
          made_.draws.first + static_cast<uint64_t>(e) * made_.draws.step + drawn_;
      if (drawing) default_generator().set_state({made_.draws.seed, block});
      perform(i, {inputs.data(), inputs.size()}, {out.data(), out.size()});
      for (size_t k = 0; k < in.size(); ++k)
        if (i.in[k].defined()) in[k].data += memory_[at(i.in[k].storage)].stride;
      for (size_t k = 0; k < out.size(); ++k) out[k].data += memory_[at(i.out[k].storage)].stride;
      if (drawing && e + 1 == count_) drawn_ += default_generator().position() - block;
    }
    if (!alike) return;
    for (const Place& p : i.out)
      recorded::copy_array(first_array(p), array(p).narrowed(0, 1, count_ - 1));
  }

  Trace& trace_;
  const Graph& graph_;
  std::span<const Place> kept_, summed_;
  int64_t count_;
  size_t first_;   // instruction
  size_t before_;  // storages up to this one were there, and stay
  BatchMemory& made_;
  std::vector<uint8_t>& batched_;
  std::vector<uint8_t> live_;
  std::vector<size_t> last_use_;
  std::vector<int64_t> sizes_;
  std::vector<Memory>& memory_;
  std::vector<const Instruction*> products_;  // that make the summed results
  std::vector<Array> sums_;
  uint64_t drawn_ = 0;     // blocks of random numbers, for each example
  bool anew_ = false;      // whether what is the same for all examples has to be computed again
  bool rewrites_ = false;  // whether something from before is written to
};

}  // namespace

bool run_batch(Trace& trace, BatchMemory& memory, std::span<const Place> kept, bool everything,
               std::span<const Place> summed, std::vector<Array>& sums) {
  BatchRun batch(trace, memory, kept, everything, summed);
  if (!batch.run()) return false;
  sums = std::move(batch.sums());
  return true;
}

}  // namespace fastgrad
