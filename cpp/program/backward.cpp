#include "program/backward.h"

#include "autograd/engine.h"
#include "core/memory.h"
#include "program/execute.h"

namespace fastgrad {

struct CompiledRule final : CustomRule {
  CompiledRule(std::shared_ptr<CompiledBackward> b, std::vector<CompiledBackward::Memory> m)
      : backward(std::move(b)), memory(std::move(m)) {}
  std::string name() const override { return "CompiledFunctionBackward"; }
  void run(const Node&, std::span<Tensor> cotangents, std::span<Tensor> gradients) override {
    if (!backward) fail_released();
    FG_CHECK(
        !grad_enabled(),
        "the gradient of a compiled function cannot be differentiated again; call the function "
        "that it was made of (its __wrapped__), or compile what takes both derivatives");
    backward->run(memory, cotangents, gradients);
  }
  void release_saved() override {
    backward = nullptr;
    memory.clear();
  }
  std::shared_ptr<CompiledBackward> backward;
  std::vector<CompiledBackward::Memory> memory;
};

namespace {

size_t at(int32_t storage) { return static_cast<size_t>(storage); }

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
  Graph& g = trace.graph();
  size_t forward_steps = g.instructions.size(), forward_storages = g.storages.size();
  int32_t forward_externals = g.num_externals;
  auto b = std::make_shared<CompiledBackward>();
  Tensors cotangents;
  for (const Tensor& y : outputs) {
    cotangents.push_back(Tensor(Array::zeros(y.shape(), y.dtype())));
    b->cotangents_.push_back(trace.external(cotangents.back().array()));
  }
  Tensors gradients;
  try {
    BackwardOptions options;
    options.retain_graph = true;
    options.allow_unused = true;
    trace.start();
    gradients = grad(outputs, inputs, cotangents, options);
    trace.stop();
  } catch (const Error& e) {
    trace.stop();
    why = str("its results have no recordable backward pass: ", e.what());
    return nullptr;
  }
  if (!trace.refusal().empty()) {
    why = trace.refusal() + ", in the backward pass of its results";
    return nullptr;
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
      return nullptr;
    }
    b->gradient_result_.push_back(p.defined() ? static_cast<int>(ends.size()) : -1);
    if (p.defined()) ends.push_back(std::move(p));
  }
  for (const Instruction& i : second.instructions) {
    for (const Place& p : i.in)
      if (p.defined()) used[at(p.storage)] = 1;
    for (const Place& p : i.out) {
      used[at(p.storage)] = 1;
      const Storage& s = g.storages[at(p.storage)];
      if (made_before[at(p.storage)] || s.role == Storage::Role::External) {
        why = "the backward pass of its results writes to memory of the forward pass";
        return nullptr;
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
      b->sources_.push_back({Source::Kind::Saved, results.size()});
      results.push_back(whole(g, id));
      storage.first = 0;
      storage.last = static_cast<int64_t>(storage.nbytes);
      storage.value = Array();
    } else if (external >= forward_externals) {
      b->sources_.push_back({Source::Kind::Cotangent, at(external - forward_externals)});
    } else {
      b->sources_.push_back({Source::Kind::Outside, at(external)});
    }
    storage.role = Storage::Role::External;
    storage.unset = false;
    storage.external = second.num_externals++;
  }
  // What only the second part has is nothing to the first.
  for (size_t s = forward_storages; s < g.storages.size(); ++s) {
    g.storages[s].role = Storage::Role::Internal;
    g.storages[s].external = -1;
    g.storages[s].value = Array();
  }
  b->program_ = std::make_unique<Program>(Task{std::move(second), std::move(ends)});
  return b;
}

void CompiledBackward::attach(const std::shared_ptr<CompiledBackward>& b,
                              std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                              std::vector<Memory> memory) {
  Ref<Node> node = make_node(Op::Custom, inputs, {});
  node->extra().custom = std::make_unique<CompiledRule>(b, std::move(memory));
  for (size_t k = 0; k < outputs.size(); ++k)
    set_output(node, static_cast<uint32_t>(k), outputs[k]);
}

void CompiledBackward::run(std::span<const Memory> memory, std::span<Tensor> cotangents,
                           std::span<Tensor> gradients) const {
  SmallVector<char*, 8> bases;
  SmallVector<Array, 2> arrays(cotangents_.size());
  for (size_t k = 0; k < cotangents_.size(); ++k) {
    const Place& p = cotangents_[k];
    if (k >= cotangents.size() || !cotangents[k].defined())
      arrays[k] = Array::zeros(p.shape, p.dtype);
    else
      arrays[k] = as_contiguous(cotangents[k].array(), p.dtype);
  }
  for (size_t s = 0; s < sources_.size(); ++s) {
    if (sources_[s].kind == Source::Kind::Cotangent) {
      bases.push_back(arrays[sources_[s].index].data);
      continue;
    }
    const Memory& m = memory[s];
    FG_CHECK(m.buffer->version() == m.version,
             "one of the variables needed for gradient computation has been modified by an inplace "
             "operation: what a compiled function saved is at version ",
             m.buffer->version(), "; expected version ", m.version,
             " instead. Hint: write to a clone().");
    bases.push_back(m.base);
  }
  SmallVector<Ref<Buffer>, 4> blocks;
  SmallVector<char*, 4> addresses;
  for (size_t size : program_->fresh()) {
    blocks.push_back(Buffer::allocate(size));
    addresses.push_back(blocks.back()->data());
  }
  FG_CHECK(
      program_->run(bases.data(), addresses.data()),
      "the backward pass of a compiled function met other values than when it was recorded, and "
      "they decide what is computed; compile the backward pass together with the function, or "
      "call its __wrapped__");
  for (size_t i = 0; i < gradient_result_.size(); ++i) {
    if (gradient_result_[i] < 0) continue;
    const Place& p = program_->results()[static_cast<size_t>(gradient_result_[i])];
    int32_t block = program_->fresh_index(p.storage);
    if (block >= 0) {
      const Ref<Buffer>& memory_of = blocks[at(block)];
      gradients[i] = Tensor(array_at(p, memory_of->data(), memory_of));
      continue;
    }
    // The cotangent itself, or something saved.
    size_t external = at(program_->graph().storages[at(p.storage)].external);
    const Source& s = sources_[external];
    bool cotangent = s.kind == Source::Kind::Cotangent;
    gradients[i] = Tensor(
        array_at(p, bases[external], cotangent ? arrays[s.index].buffer : memory[external].buffer));
  }
}

}  // namespace fastgrad
