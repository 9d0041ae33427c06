#include "program/batch.h"

#include "core/memory.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/index.h"
#include "ops/random.h"
#include "program/batch_run.h"

namespace fastgrad {

ExampleRecording::ExampleRecording(std::span<const Tensor> inputs, std::span<const int64_t> dims) {
  deferred::settle();
  for (size_t k = 0; k < inputs.size(); ++k) {
    // A copy has memory of its own, which nothing else that the function reads can share.
    Tensor example = clone(select(inputs[k], dims[k], 0), MemoryFormat::Contiguous);
    storages_.push_back(trace_.external(example.array()).storage);
    trace_.mark_differing(storages_.back());
    inputs_.push_back({std::move(example), inputs[k], dims[k]});
  }
}

Tensors ExampleRecording::examples() const {
  Tensors all;
  for (const Link& l : inputs_) all.push_back(l.example);
  return all;
}

void ExampleRecording::start() {
  clock_ = t_modes.clock;
  first_block_ = default_generator().position();
  g_differs = [](const Array& index) {
    const Recorder* r = recorder();
    return r && static_cast<const Trace*>(r)->differs(index);
  };
  trace_.start_inside();
}

void ExampleRecording::stop() {
  trace_.stop();
  last_block_ = default_generator().position();
}

// Entries that an index has taken, which is not the same for all examples, would be a view of
// their place for a single example.
bool ExampleRecording::wrote_to_copies() const {
  std::vector<int32_t> copies(storages_);
  for (const Instruction& i : trace_.graph().instructions) {
    for (const Place& p : i.out)
      if (std::count(copies.begin(), copies.end(), p.storage)) return true;
    if (i.kind == Instruction::Kind::Op && i.op == Op::Index && i.in[1].shape.empty())
      copies.push_back(i.out[0].storage);
  }
  return false;
}

bool ExampleRecording::may_run(size_t may_draw) const {
  if (!trace_.refusal().empty() || t_modes.slow_record || trace_.left_gradients() ||
      wrote_to_copies())
    return false;
  const auto& all = trace_.graph().instructions;
  for (size_t k = 0; k < all.size(); ++k) {
    const Instruction& i = all[k];
    if (i.kind == Instruction::Kind::Primitive && !i.primitive->pure && !(k < may_draw && draws(i)))
      return false;
    for (const Place& p : i.out)
      if (trace_.is_outside(p)) return false;
  }
  return true;
}

Place ExampleRecording::place_of(const Array& a) {
  Place p = trace_.find(a);
  return p.defined() ? p : trace_.from_before(a);
}

namespace {

// Puts the default generator where examples that were computed would have left it, or else where
// the first one has.
struct GeneratorPosition {
  const bool used;
  const uint64_t seed = used ? default_generator().state().seed : 0;
  uint64_t block;
  ~GeneratorPosition() {
    if (used) default_generator().set_state({seed, block});
  }
};

}  // namespace

bool ExampleRecording::run(std::span<const Tensor> results, int64_t from, int64_t until,
                           bool same_draws, const CallAgain& again, Tensors& out) {
  const bool random = first_block_ != last_block_;
  if (!may_run(random ? trace_.graph().instructions.size() : 0) || (random && recorder()))
    return false;
  std::vector<Place> places;
  Tensors differentiable;
  for (const Tensor& t : results) {
    if (t.requires_grad()) differentiable.push_back(t);
    places.push_back(place_of(t.array()));
    if (!places.back().defined()) return false;
  }
  std::optional<Route> route = route_of(differentiable, inputs_);
  if (!route) return false;
  std::vector<Place> kept(places);
  kept.insert(kept.end(), route->saved.begin(), route->saved.end());
  auto memory = std::make_shared<BatchMemory>();
  memory->count = until - from;
  GeneratorPosition position{.used = random, .block = last_block_};
  const uint64_t step = same_draws ? 0 : last_block_ - first_block_;
  memory->draws = {position.seed, first_block_ + static_cast<uint64_t>(from) * step, step};
  for (size_t k = 0; k < inputs_.size(); ++k)
    memory->place_input(storages_[k],
                        batch_of(inputs_[k].whole.array(), inputs_[k].dim, memory->count)
                            .narrowed(0, from, memory->count));
  std::vector<Array> no_sums;
  if (!run_batch(trace_, *memory, kept, route->opaque, {}, no_sums)) return false;
  if (!same_draws) position.block = first_block_ + static_cast<uint64_t>(until) * step;
  std::vector<int32_t> taken(storages_);
  for (const Place& p : route->saved) taken.push_back(p.storage);
  std::vector<Link> made;
  for (size_t k = 0; k < places.size(); ++k) {
    const Place& p = places[k];
    bool tracked = results[k].requires_grad();
    if (!memory->is_batched(p) && !tracked) {
      out.push_back(Tensor());
      continue;
    }
    Array a = memory->array(p);
    if (!memory->is_batched(p)) a = batch_of(a, -1, memory->count);
    bool own = memory->is_batched(p) && !std::count(taken.begin(), taken.end(), p.storage) &&
               !route->opaque;
    taken.push_back(p.storage);
    out.push_back(Tensor(own && a.contiguous ? std::move(a) : recorded::contiguous_copy(a)));
    if (tracked) made.push_back({results[k], out.back(), 0});
  }
  if (made.empty()) return true;
  std::vector<uint8_t> tracked;
  for (const Tensor& t : results) tracked.push_back(t.requires_grad());
  attach(std::move(made), inputs_, *route, std::move(memory),
         [again, tracked, random, draws = memory->draws] {
           GeneratorPosition position{.used = random, .block = default_generator().position()};
           if (random) default_generator().set_state({draws.seed, draws.first});
           Tensors all = again(), chosen;
           for (size_t k = 0; k < all.size(); ++k)
             if (tracked[k]) chosen.push_back(all[k]);
           return chosen;
         });
  return true;
}

}  // namespace fastgrad
