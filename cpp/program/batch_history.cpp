// The history of a batch's results: see Note [Gradients of batches] in program/batch.h.
#include <mutex>
#include <unordered_set>

#include "autograd/engine.h"
#include "core/memory.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "program/batch.h"
#include "program/batch_run.h"

namespace fastgrad {

std::optional<ExampleRecording::Route> ExampleRecording::route_of(std::span<const Tensor> results,
                                                                  std::span<const Link> inputs) {
  Route route;
  bool complete = true;
  std::unordered_set<const Node*> met;
  std::vector<Node*> stack;
  auto end_at = [&](const Edge& e) {
    const bool leaf = e.node->is_accumulator();
    auto leads_here = [&](const Tensor& t) {
      return leaf ? t.impl() == e.node->variable
                  : t->node.get() == e.node.get() && t->output_nr == e.nr;
    };
    for (const Link& known : route.ends)
      if (leads_here(known.example)) return;
    for (const Link& input : inputs)
      if (leads_here(input.example)) return route.ends.push_back(input);
    Tensor t;
    if (leaf) {
      t = Tensor::share(e.node->variable);
    } else {
      t = Tensor(Array::empty({}, edge_dtype(e)).expanded(edge_shape(e)));
      t->node = e.node;
      t->output_nr = e.nr;
    }
    route.ends.push_back({t, t, -1});
  };
  auto visit = [&](const Edge& e) {
    if (!e.node) return;
    if (e.node->is_accumulator()) {
      if (requires_grad(e.node->variable)) end_at(e);
    } else if (e.node->sequence <= clock_) {
      end_at(e);
    } else if (met.insert(e.node.get()).second) {
      stack.push_back(e.node.get());
    }
  };
  for (const Tensor& y : results) visit(gradient_edge(y));
  while (!stack.empty()) {
    Node* n = stack.back();
    stack.pop_back();
    if (n->released) return std::nullopt;
    route.opaque = route.opaque || (n->extras && n->extras->custom);
    for (const SavedTensor& s : n->saved) {
      route.opaque = route.opaque || s.packed;
      if (!s.tensor.defined()) continue;
      Place p = place_of(s.tensor.array());
      complete = complete && p.defined();
      route.saved.push_back(std::move(p));
    }
    for (const Edge& e : n->edges) visit(e);
  }
  if (!complete) return std::nullopt;
  return route;
}

struct HistoryOfBatch final : CustomRule {
  using Link = ExampleRecording::Link;

  std::string name() const override { return "VmapBackward"; }
  void run(const Node&, std::span<Tensor> cotangents, std::span<Tensor> gradients) override {
    if (!recording) fail_released();
    std::lock_guard lock(recording->running_);
    Trace& trace = recording->trace_;
    size_t storages = trace.graph().storages.size();
    size_t instructions = trace.graph().instructions.size();
    bool kept = false, done = false;
    try {
      done = run_at_once(cotangents, gradients, kept);
    } catch (...) {
      trace.stop();
      trace.cut(storages, instructions);
      throw;
    }
    if (!kept) trace.cut(storages, instructions);
    if (!done) call_again(cotangents, gradients);
  }
  void release_saved() override {
    recording = nullptr;
    memory = nullptr;
    results.clear();
    ends.clear();
    inputs.clear();
    again = nullptr;
  }

  std::shared_ptr<ExampleRecording> recording;
  std::shared_ptr<BatchMemory> memory;
  std::vector<Link> results, ends, inputs;
  CallAgain again;

 private:
  // `kept`: what was recorded is the history of the gradients.
  bool run_at_once(std::span<Tensor> cotangents, std::span<Tensor> gradients, bool& kept) {
    ExampleRecording& r = *recording;
    bool differentiate = grad_enabled();
    BatchMemory scratch = *memory;
    scratch.instructions = r.trace_.graph().instructions.size();
    scratch.batched.resize(r.trace_.graph().storages.size());
    scratch.blocks.resize(r.trace_.graph().storages.size());
    Tensors outputs, seeds, wanted;
    std::vector<Link> known(inputs);
    for (size_t k = 0; k < cotangents.size(); ++k) {
      if (!cotangents[k].defined()) continue;
      Array column = batch_of(cotangents[k].array(), results[k].dim, scratch.count);
      Tensor seed(recorded::contiguous_copy(entry(column, 0)));
      seed->leaf_requires_grad = differentiate && cotangents[k].requires_grad();
      const int32_t storage = r.trace_.external(seed.array()).storage;
      r.trace_.mark_differing(storage);
      scratch.place_input(storage, column);
      known.push_back({seed, cotangents[k], results[k].dim});
      outputs.push_back(results[k].example);
      seeds.push_back(std::move(seed));
    }
    for (const Link& e : ends) wanted.push_back(e.example);
    BackwardOptions options;
    options.retain_graph = options.allow_unused = options.stop_at_inputs = true;
    options.create_graph = differentiate;
    r.trace_.start_again();
    Tensors found = grad(outputs, wanted, seeds, options);
    r.trace_.stop();
    if (!r.may_run(memory->instructions)) return false;

    std::vector<Place> places(found.size()), whole, summed;
    std::vector<size_t> sum_of(found.size());
    std::vector<Link> tracked;
    Tensors differentiable;
    for (size_t k = 0; k < found.size(); ++k) {
      if (!found[k].defined()) continue;
      places[k] = r.place_of(found[k].array());
      if (!places[k].defined()) return false;
      sum_of[k] = summed.size();
      (ends[k].dim < 0 ? summed : whole).push_back(places[k]);
      if (differentiate && found[k].requires_grad()) differentiable.push_back(found[k]);
    }
    auto route = r.route_of(differentiable, known);
    if (!route) return false;
    whole.insert(whole.end(), route->saved.begin(), route->saved.end());
    std::vector<Array> sums;
    if (!run_batch(r.trace_, scratch, whole, route->opaque, summed, sums)) return false;
    for (size_t k = 0; k < found.size(); ++k) {
      if (!found[k].defined()) continue;
      {
        GradModeGuard off(false);
        gradients[k] = ends[k].dim < 0 ? sum_over_batch(scratch, places[k], sums[sum_of[k]])
                                       : whole_gradient(scratch, places[k], ends[k].dim);
      }
      if (differentiate && found[k].requires_grad())
        tracked.push_back({found[k], gradients[k], ends[k].dim});
    }
    if (tracked.empty()) return true;
    kept = true;
    r.attach(std::move(tracked), std::move(known), *route,
             std::make_shared<BatchMemory>(std::move(scratch)), again_for(cotangents, found));
    return true;
  }

  static Tensor sum_over_batch(const BatchMemory& batch, const Place& p, const Array& sum) {
    if (sum.defined()) return Tensor(sum);
    Tensor t(batch.array(p));
    return batch.is_batched(p) ? fastgrad::sum(t, Dims{0}, false, t.dtype()) : mul(t, batch.count);
  }
  // The batch goes where the examples are counted.
  static Tensor whole_gradient(const BatchMemory& batch, const Place& p, int64_t dim) {
    Array a = batch.array(p);
    if (!batch.is_batched(p)) a = batch_of(a, -1, batch.count);
    Dims order;
    for (int64_t d = 1; d < a.ndim(); ++d) order.push_back(d);
    order.insert(static_cast<size_t>(dim), 0);
    return Tensor(recorded::contiguous_copy(a.permuted(order)));
  }

  // On the tape, one example after the other.
  void call_again(std::span<Tensor> cotangents, std::span<Tensor> gradients) const {
    Tensors found = gradients_of(again, cotangents, ends);
    std::move(found.begin(), found.end(), gradients.begin());
  }
  static Tensors gradients_of(const CallAgain& again, std::span<const Tensor> cotangents,
                              std::span<const Link> ends) {
    Tensors wanted;
    for (const Link& e : ends) wanted.push_back(e.whole);
    return gradients_of_call(again, cotangents, wanted);
  }
  // The gradients that are differentiable, computed so.
  CallAgain again_for(std::span<const Tensor> cotangents, const Tensors& found) const {
    std::vector<uint8_t> tracked;
    for (const Tensor& g : found) tracked.push_back(g.defined() && g.requires_grad());
    return [again = again, seeds = Tensors(cotangents.begin(), cotangents.end()), ends = ends,
            tracked] {
      Tensors all = gradients_of(again, seeds, ends), chosen;
      for (size_t k = 0; k < all.size(); ++k)
        if (tracked[k]) chosen.push_back(all[k]);
      return chosen;
    };
  }
};

void ExampleRecording::attach(std::vector<Link> results, std::vector<Link> inputs,
                              const Route& route, std::shared_ptr<BatchMemory> memory,
                              CallAgain again) {
  Tensors sources;
  for (const Link& e : route.ends) sources.push_back(e.whole);
  Ref<Node> node = make_node(Op::Custom, sources, {});
  for (size_t k = 0; k < results.size(); ++k) {
    set_output(node, static_cast<uint32_t>(k), results[k].whole);
    results[k].whole = Tensor();  // or it would own itself
  }
  auto rule = std::make_unique<HistoryOfBatch>();
  rule->recording = shared_from_this();
  rule->memory = std::move(memory);
  rule->results = std::move(results);
  rule->ends = route.ends;
  rule->inputs = std::move(inputs);
  rule->again = std::move(again);
  node->extra().custom = std::move(rule);
}

}  // namespace fastgrad
