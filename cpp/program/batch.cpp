#include "program/batch.h"

#include <cstring>

#include "core/conditions.h"
#include "core/memory.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

size_t at(int32_t storage) { return static_cast<size_t>(storage); }

Array with_batch_in_front(const Array& x, int64_t dim) {
  Dims order{dim};
  for (int64_t d = 0; d < x.ndim(); ++d)
    if (d != dim) order.push_back(d);
  return x.permuted(order);
}

// One entry of the batch, which is in front.
Array entry(const Array& x, int64_t i) {
  return x.view(DimSpan(x.shape).subspan(1), DimSpan(x.strides).subspan(1), i * x.strides[0]);
}

bool is_copy(const Primitive* p) { return p == &recorded::kCopy || p == &recorded::kFill; }

// Conditions that hold for all entries of a batch if they hold for the whole.
bool asks_each_element(const Instruction& i) {
  return (i.outcome &&
          (i.condition == &kInRange || i.condition == &kWithin || i.condition == &kAllFinite)) ||
         (!i.outcome && i.condition == &kHasZero);
}

}  // namespace

ExampleRecording::ExampleRecording(std::span<const Tensor> inputs, std::span<const int64_t> dims) {
  deferred::settle();
  for (size_t k = 0; k < inputs.size(); ++k) {
    columns_.push_back(with_batch_in_front(inputs[k].array(), dims[k]));
    // A copy has memory of its own, which nothing else that the function reads can share.
    Tensor example = clone(select(inputs[k], dims[k], 0), MemoryFormat::Contiguous);
    storages_.push_back(trace_.external(example.array()).storage);
    examples_.push_back(std::move(example));
  }
}

bool ExampleRecording::wrote_to_inputs() const {
  for (const Instruction& i : trace_.graph().instructions)
    for (const Place& p : i.out)
      if (std::count(storages_.begin(), storages_.end(), p.storage)) return true;
  return false;
}

// One run of a recording for a part of the batch.
class BatchRun {
 public:
  BatchRun(ExampleRecording& r, std::span<const Place> results, int64_t from, int64_t until)
      : trace_(r.trace_),
        graph_(r.trace_.graph()),
        results_(results),
        count_(until - from),
        batched_(graph_.storages.size(), 0),
        last_use_(graph_.storages.size(), 0),
        sizes_(graph_.storages.size(), 0),
        memory_(graph_.storages.size()) {
    find_batched(r.storages_);
    find_live();
    find_sizes();
    for (size_t k = 0; k < r.columns_.size(); ++k)
      place_input(r.storages_[k], r.columns_[k].narrowed(0, from, count_));
    place_constants();
  }

  // False: what was recorded does not hold for all examples.
  bool run() {
    const auto& all = graph_.instructions;
    for (size_t k = 0; k < all.size(); ++k) {
      const Instruction& i = all[k];
      if (!live_[k]) continue;
      for (const Place& p : i.in) make_room(p);
      if (i.guards()) {
        if (!holds(i)) return false;
      } else if (batched_[at(i.out[0].storage)]) {
        run_batched(i, k);
      } else if (anew_) {
        run_once(i);
      }
      for (const Place& p : i.in) forget(p, k);
      for (const Place& p : i.out) forget(p, k);
    }
    for (const Place& p : results_) make_room(p);
    return true;
  }

  bool is_batched(const Place& p) const { return batched_[at(p.storage)]; }
  Array array(const Place& p) const {
    const Memory& m = memory_[at(p.storage)];
    if (!batched_[at(p.storage)]) return array_at(p, m.base, m.buffer);
    return batched_array(p, m);
  }

 private:
  // Where a storage lies; `stride`: bytes from one example to the next.
  struct Memory {
    Ref<Buffer> buffer;
    char* base = nullptr;
    int64_t stride = 0;
    bool own = false;  // made here, for nothing else
  };

  Array batched_array(const Place& p, const Memory& m) const {
    Array a;
    a.buffer = m.buffer;
    a.data = m.base + p.offset;
    a.dtype = p.dtype;
    a.shape.push_back(count_);
    a.strides.push_back(m.stride / static_cast<int64_t>(itemsize(p.dtype)));
    for (size_t d = 0; d < p.shape.size(); ++d) {
      a.shape.push_back(p.shape[d]);
      a.strides.push_back(p.strides[d]);
    }
    a.numel = count_ * p.numel;
    a.contiguous = is_contiguous(a.shape, a.strides);
    return a;
  }
  // The first example's share.
  Array first_array(const Place& p) const {
    const Memory& m = memory_[at(p.storage)];
    return array_at(p, m.base, m.buffer);
  }

  // ---- what there is to do

  void find_batched(std::span<const int32_t> inputs) {
    for (int32_t s : inputs) batched_[at(s)] = 1;
    for (bool changed = true; changed;) {
      changed = false;
      for (const Instruction& i : graph_.instructions) {
        bool any = false;
        for (const Place& p : i.in) any = any || (p.defined() && is_batched(p));
        for (const Place& p : i.out) any = any || is_batched(p);
        if (!any) continue;
        for (const Place& p : i.out) {
          changed = changed || !is_batched(p);
          batched_[at(p.storage)] = 1;
        }
      }
    }
  }

  void find_live() {
    const auto& all = graph_.instructions;
    std::vector<uint8_t> needed(graph_.storages.size(), 0);
    live_.assign(all.size(), 0);
    auto need = [&](const Place& p, size_t when) {
      if (!p.defined()) return;
      needed[at(p.storage)] = 1;
      last_use_[at(p.storage)] = std::max(last_use_[at(p.storage)], when);
    };
    for (const Place& p : results_) need(p, all.size());
    for (size_t k = all.size(); k-- > 0;) {
      const Instruction& i = all[k];
      live_[k] = i.guards() && is_batched(i.in[0]);
      for (const Place& p : i.out) live_[k] |= needed[at(p.storage)];
      if (!live_[k]) continue;
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
    for (const Place& p : results_) reach(p);
    for (size_t s = 0; s < sizes_.size(); ++s)
      sizes_[s] = (sizes_[s] + widths[s] - 1) / widths[s] * widths[s];
  }

  void place_input(int32_t storage, Array column) {
    Array example = entry(column, 0);
    if (!example.contiguous || count_ == 1) column = recorded::contiguous_copy(column);
    memory_[at(storage)] = {column.buffer, column.data,
                            column.strides[0] * static_cast<int64_t>(column.itemsize()), false};
  }

  // What does not depend on the example has been computed, unless it was written over since.
  void place_constants() {
    std::vector<uint8_t> writes(graph_.storages.size(), 0);
    for (const Instruction& i : graph_.instructions)
      for (const Place& p : i.out) {
        uint8_t& n = writes[at(p.storage)];
        if (!is_batched(p)) anew_ = anew_ || n || graph_.storages[at(p.storage)].value.defined();
        n = 1;
      }
    for (size_t s = 0; s < memory_.size(); ++s) {
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

  void forget(const Place& p, size_t now) {
    if (p.defined() && last_use_[at(p.storage)] == now) memory_[at(p.storage)] = {};
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
    run_each(i);
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
    if (m.base || recorder() || !from.own || last_use_[at(p.storage)] != number || !is_batched(p) ||
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

  // All examples at once.
  bool run_rule(const Instruction& i) {
    BatchedCall c{i.op, i.attrs, count_, {}, {}};
    for (const Place& p : i.in) {
      c.in.push_back(p.defined() ? array(p) : Array());
      c.batched.push_back(p.defined() && is_batched(p));
    }
    if (!apply_batch_rule(c)) return false;
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
    for (size_t k = 0; k < i.out.size(); ++k) keep(i.out[k], std::move(out[k]), c.batch_dim);
    return true;
  }

  // Lets what an op has made be the memory of its result, or copies it there.
  void keep(const Place& p, Array made, int64_t batch_dim) {
    if (batch_dim) made = with_batch_in_front(made, batch_dim);
    Memory& m = memory_[at(p.storage)];
    if (made.contiguous && covers(p)) {
      m = {made.buffer, made.data, sizes_[at(p.storage)], true};
      return;
    }
    make_room(p);
    Array to = array(p);
    if (made.contiguous) made = made.reshaped(to.shape);
    recorded::copy_array(made, to);
  }

  // One example after the other.
  void run_each(const Instruction& i) {
    for (const Place& p : i.out) make_room(p);
    SmallVector<Array, 4> in(i.in.size()), out;
    SmallVector<const Array*, 4> inputs;
    for (size_t k = 0; k < i.in.size(); ++k) {
      if (i.in[k].defined()) in[k] = first_array(i.in[k]);
      inputs.push_back(i.in[k].defined() ? &in[k] : nullptr);
    }
    for (const Place& p : i.out) out.push_back(first_array(p));
    for (int64_t e = 0; e < count_; ++e) {
      perform(i, {inputs.data(), inputs.size()}, {out.data(), out.size()});
      for (size_t k = 0; k < in.size(); ++k)
        if (i.in[k].defined()) in[k].data += memory_[at(i.in[k].storage)].stride;
      for (size_t k = 0; k < out.size(); ++k) out[k].data += memory_[at(i.out[k].storage)].stride;
    }
  }

  Trace& trace_;
  const Graph& graph_;
  std::span<const Place> results_;
  int64_t count_;
  std::vector<uint8_t> batched_, live_;
  std::vector<size_t> last_use_;
  std::vector<int64_t> sizes_;
  std::vector<Memory> memory_;
  bool anew_ = false;  // whether what is the same for all examples has to be computed again
};

bool ExampleRecording::run(std::span<const Tensor> results, int64_t from, int64_t until,
                           Tensors& out) {
  if (!trace_.refusal().empty() || t_modes.slow_record || trace_.left_gradients()) return false;
  for (const Instruction& i : trace_.graph().instructions) {
    if (i.kind == Instruction::Kind::Primitive && !i.primitive->pure) return false;
    for (const Place& p : i.out)
      if (trace_.is_outside(p)) return false;
  }
  std::vector<Place> places;
  for (const Tensor& t : results) {
    if (t.requires_grad()) return false;
    Place p = trace_.find(t.array());
    if (!p.defined()) p = trace_.from_before(t.array());
    if (!p.defined()) return false;
    places.push_back(std::move(p));
  }
  BatchRun batch(*this, places, from, until);
  if (!batch.run()) return false;
  std::vector<int32_t> taken(storages_);
  for (const Place& p : places) {
    if (!batch.is_batched(p)) {
      out.push_back(Tensor());
      continue;
    }
    Array a = batch.array(p);
    bool own = !std::count(taken.begin(), taken.end(), p.storage);
    taken.push_back(p.storage);
    out.push_back(Tensor(own && a.contiguous ? std::move(a) : recorded::contiguous_copy(a)));
  }
  return true;
}

}  // namespace fastgrad
