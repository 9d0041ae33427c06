#include "program/backward.h"

#include <algorithm>

#include "autograd/engine.h"
#include "core/memory.h"
#include "ops/random.h"
#include "program/execute.h"

namespace fastgrad {

struct CompiledRule final : CustomRule {
  CompiledRule(std::shared_ptr<CompiledBackward> b, std::vector<CompiledBackward::Memory> m,
               std::span<const Tensor> i, CallAgain a)
      : backward(std::move(b)), memory(std::move(m)), inputs(i.begin(), i.end()), again(a) {}
  std::string name() const override { return "CompiledFunctionBackward"; }
  void run(const Node&, std::span<Tensor> cotangents, std::span<Tensor> gradients) override {
    if (!backward) fail_released();
    uint64_t mask = 0;
    for (size_t k = 0; k < cotangents.size(); ++k)
      if (cotangents[k].defined()) mask |= uint64_t{1} << k;
    if (!grad_enabled())
      for (const auto& pass : backward->passes_)
        if (pass.mask == mask && backward->run(pass, memory, cotangents, gradients)) return;
    // On the tape, for what no pass was recorded for.
    Tensors found = gradients_of_call(again, cotangents, inputs);
    std::move(found.begin(), found.end(), gradients.begin());
  }
  void release_saved() override {
    backward = nullptr;
    memory.clear();
    inputs.clear();
    again = nullptr;
  }
  std::shared_ptr<CompiledBackward> backward;
  std::vector<CompiledBackward::Memory> memory;
  Tensors inputs;
  CallAgain again;
};

namespace {

// Of so many results at most, each has a backward pass of its own.
constexpr size_t kMaxSingled = 4;

// All of a storage that was made inside.
Place whole(const Graph& g, int32_t storage) {
  Place p;
  p.storage = storage;
  p.dtype = DType::UInt8;
  p.numel = static_cast<int64_t>(g.storages[at(storage)].nbytes);
  p.shape = Dims{p.numel};
  p.strides = Dims{1};
  return p;
}

}  // namespace

std::shared_ptr<CompiledBackward> CompiledBackward::record(Trace& trace,
                                                           std::span<const Tensor> outputs,
                                                           std::span<const Tensor> inputs,
                                                           std::vector<Place>& results,
                                                           std::string& why) {
  auto b = std::make_shared<CompiledBackward>();
  b->first_saved_ = static_cast<std::ptrdiff_t>(results.size());
  if (outputs.size() >= 64) {
    why = "it returns 64 tensors or more that require grad";
    return nullptr;
  }
  uint64_t all = (uint64_t{1} << outputs.size()) - 1;
  std::vector<uint64_t> masks{all};
  if (outputs.size() > 1 && outputs.size() <= kMaxSingled)
    for (size_t k = 0; k < outputs.size(); ++k) masks.push_back(uint64_t{1} << k);
  for (uint64_t mask : masks)
    if (!b->record_pass(trace, outputs, inputs, mask, results, why)) return nullptr;
  return b;
}

int CompiledBackward::source(Source s) {
  for (size_t i = 0; i < sources_.size(); ++i)
    if (sources_[i].saved == s.saved && sources_[i].index == s.index) return static_cast<int>(i);
  sources_.push_back(s);
  return static_cast<int>(sources_.size()) - 1;
}

bool CompiledBackward::record_pass(Trace& trace, std::span<const Tensor> all_outputs,
                                   std::span<const Tensor> inputs, uint64_t mask,
                                   std::vector<Place>& results, std::string& why) {
  Graph& g = trace.graph();
  size_t forward_steps = g.instructions.size(), forward_storages = g.storages.size();
  int32_t forward_externals = g.num_externals;
  Pass pass{mask, nullptr, {}, {}};
  Tensors outputs, cotangents;
  std::vector<int> numbers;
  for (size_t k = 0; k < all_outputs.size(); ++k) {
    const Tensor& y = all_outputs[k];
    if (!(mask >> k & 1)) continue;
    outputs.push_back(y);
    numbers.push_back(static_cast<int>(k));
    cotangents.push_back(Tensor(Array::zeros(y.shape(), y.dtype())));
    Place p = trace.external(cotangents.back().array());
    if (cotangents_.size() <= k) cotangents_.resize(k + 1);
    cotangents_[k] = std::move(p);
  }
  Tensors gradients;
  try {
    BackwardOptions options;
    options.retain_graph = options.allow_unused = options.stop_at_inputs = true;
    trace.start();
    gradients = grad(outputs, inputs, cotangents, options);
    trace.stop();
  } catch (const Error& e) {
    trace.stop();
    why = str("its results have no recordable backward pass: ", e.what());
    return false;
  }
  if (!trace.refusal().empty()) {
    why = trace.refusal() + ", in the backward pass of its results";
    return false;
  }

  if (g.num_externals - forward_externals > static_cast<int32_t>(numbers.size())) {
    why = "the backward pass of its results uses a number that varies";
    return false;
  }
  // The second part becomes a graph of its own, on the same numbers of storages.
  Graph second;
  second.storages = g.storages;
  second.instructions.assign(
      std::make_move_iterator(g.instructions.begin() + static_cast<std::ptrdiff_t>(forward_steps)),
      std::make_move_iterator(g.instructions.end()));
  g.instructions.resize(forward_steps);
  g.num_externals = forward_externals;
  std::vector<uint8_t> made_before(g.storages.size(), 0), used(g.storages.size(), 0);
  for (const Instruction& i : g.instructions)
    for (const Place& p : i.out) made_before[at(p.storage)] = 1;
  for (size_t s = 0; s < forward_storages; ++s) made_before[s] |= g.storages[s].unset;
  std::vector<Place> ends;
  for (const Tensor& x : gradients) {
    Place p = x.defined() ? trace.find(x.array()) : Place();
    if (x.defined() && !p.defined()) {
      why = "a gradient of its results was made by no recorded operation";
      return false;
    }
    pass.gradient_result.push_back(p.defined() ? static_cast<int>(ends.size()) : -1);
    if (p.defined()) ends.push_back(std::move(p));
  }
  for (const Instruction& i : second.instructions) {
    if (i.kind == Instruction::Kind::Primitive && own_generator(*i.primitive, i.attrs)) {
      why = "the backward pass of its results uses a random generator of its own";
      return false;
    }
    for (const Place& p : i.in)
      if (p.defined()) used[at(p.storage)] = 1;
    for (const Place& p : i.out) {
      used[at(p.storage)] = 1;
      const Storage& s = g.storages[at(p.storage)];
      if (made_before[at(p.storage)] || s.role == Storage::Role::External) {
        why = "the backward pass of its results writes to memory of the forward pass";
        return false;
      }
    }
  }
  for (const Place& p : ends) used[at(p.storage)] = 1;
  for (size_t s = 0; s < second.storages.size(); ++s) {
    Storage& storage = second.storages[s];
    int32_t external = storage.external;
    storage.external = -1;
    bool outside = storage.role == Storage::Role::External;
    if (!used[s] || (!outside && !made_before[s])) {
      if (outside) storage.role = Storage::Role::Internal;
      continue;
    }
    auto id = static_cast<int32_t>(s);
    if (!outside) {
      auto saved =
          static_cast<size_t>(std::find_if(results.begin() + first_saved_, results.end(),
                                           [&](const Place& p) { return p.storage == id; }) -
                              results.begin());
      if (saved == results.size()) results.push_back(whole(g, id));
      pass.externals.push_back(source({true, saved}));
      storage.first = 0;
      storage.last = static_cast<int64_t>(storage.nbytes);
      storage.value = Array();
    } else if (external >= forward_externals) {
      pass.externals.push_back(-1 - numbers[at(external - forward_externals)]);
    } else {
      pass.externals.push_back(source({false, at(external)}));
    }
    storage.role = Storage::Role::External;
    storage.unset = false;
    storage.external = second.num_externals++;
  }
  // What only the second part has is nothing to the first.
  for (size_t s = forward_storages; s < g.storages.size(); ++s) {
    g.storages[s].role = Storage::Role::Internal;
    g.storages[s].unset = false;
    g.storages[s].external = -1;
    g.storages[s].value = Array();
  }
  trace.forget(forward_storages);
  pass.program = std::make_unique<Program>(Task{std::move(second), std::move(ends)});
  passes_.push_back(std::move(pass));
  return true;
}

void CompiledBackward::attach(const std::shared_ptr<CompiledBackward>& b,
                              std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                              std::vector<Memory> memory, CallAgain again) {
  Ref<Node> node = make_node(Op::Custom, inputs, {});
  node->extra().custom =
      std::make_unique<CompiledRule>(b, std::move(memory), inputs, std::move(again));
  for (size_t k = 0; k < outputs.size(); ++k)
    set_output(node, static_cast<uint32_t>(k), outputs[k]);
}

bool CompiledBackward::run(const Pass& pass, std::span<const Memory> memory,
                           std::span<Tensor> cotangents, std::span<Tensor> gradients) const {
  SmallVector<char*, 8> bases;
  SmallVector<Array, 2> arrays(cotangents_.size());
  for (size_t k = 0; k < cotangents_.size(); ++k)
    if (pass.mask >> k & 1) arrays[k] = as_contiguous(cotangents[k].array(), cotangents_[k].dtype);
  for (int from : pass.externals) {
    if (from < 0) {
      bases.push_back(arrays[at(-1 - from)].data);
      continue;
    }
    const Memory& m = memory[at(from)];
    FG_CHECK(m.buffer->version() == m.version,
             "one of the variables needed for gradient computation has been modified by an inplace "
             "operation: what a compiled function saved is at version ",
             m.buffer->version(), "; expected version ", m.version,
             " instead. Hint: write to a clone().");
    bases.push_back(m.base);
  }
  Program& program = *pass.program;
  SmallVector<Ref<Buffer>, 4> blocks;
  SmallVector<char*, 4> addresses;
  for (size_t size : program.fresh()) {
    blocks.push_back(Buffer::allocate(size));
    addresses.push_back(blocks.back()->data());
  }
  if (!program.run(bases.data(), addresses.data())) return false;
  for (size_t i = 0; i < pass.gradient_result.size(); ++i) {
    if (pass.gradient_result[i] < 0) continue;
    const Place& p = program.results()[at(pass.gradient_result[i])];
    int32_t block = program.fresh_index(p.storage);
    if (block >= 0) {
      const Ref<Buffer>& memory_of = blocks[at(block)];
      gradients[i] = Tensor(array_at(p, memory_of->data(), memory_of));
      continue;
    }
    // The cotangent itself, or something saved.
    size_t external = at(program.graph().storages[at(p.storage)].external);
    int from = pass.externals[external];
    gradients[i] = Tensor(array_at(
        p, bases[external], from < 0 ? arrays[at(-1 - from)].buffer : memory[at(from)].buffer));
  }
  return true;
}

}  // namespace fastgrad
