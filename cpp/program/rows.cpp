#include "program/rows.h"

#include <cstring>
#include <unordered_set>

#include "autograd/engine.h"
#include "kernels/copy.h"
#include "program/execute.h"
#include "program/program.h"
#include "transforms/trace.h"

namespace fastgrad {
namespace {

// A recording costs about as much as these many backward passes.
constexpr int64_t kFewestRows = 10;

bool has_hooks(const Node& n) {
  if (n.is_accumulator() && n.variable->extras && !n.variable->extras->hooks.empty()) return true;
  return n.extras && (n.extras->custom || !n.extras->output_hooks.empty() ||
                      !n.extras->pre_hooks.empty() || !n.extras->post_hooks.empty());
}

// The memory that a backward pass may read, where each piece begins.
class OutsideMemory {
 public:
  Place add(Trace& trace, const Array& a) {
    Place p = trace.external(a);
    size_t k = at(trace.graph().storages[at(p.storage)].external);
    if (bases_.size() <= k) bases_.resize(k + 1);
    bases_[k] = a.buffer->data();
    return p;
  }
  char* const* bases() const { return bases_.data(); }
  char* base(int32_t external) const { return bases_[at(external)]; }

 private:
  std::vector<char*> bases_;
};

// Makes known to the recorder what the tape has saved; false: it must be walked anew for every row.
bool announce_saved(Node* root, Trace& trace, OutsideMemory& memory) {
  std::unordered_set<Node*> met{root};
  std::vector<Node*> stack{root};
  while (!stack.empty()) {
    Node* n = stack.back();
    stack.pop_back();
    if (n->released || has_hooks(*n)) return false;
    for (const SavedTensor& s : n->saved) {
      if (s.packed) return false;
      if (s.tensor.defined()) memory.add(trace, s.tensor.array());
    }
    for (const Edge& e : n->edges)
      if (e.node && met.insert(e.node.get()).second) stack.push_back(e.node.get());
  }
  return true;
}

}  // namespace

Tensors jacobian_rows(const Tensor& y, std::span<const Tensor> inputs) {
  if (y.numel() < kFewestRows || recorder() || t_modes.anomaly) return {};
  Edge root = gradient_edge(y);
  if (!root.node) return {};
  Trace trace;
  OutsideMemory memory;
  if (!announce_saved(root.node.get(), trace, memory)) return {};
  Tensor cotangent(Array::zeros(y.shape(), y.dtype()));
  memory.add(trace, cotangent.array());
  BackwardOptions options;
  options.retain_graph = true;
  options.allow_unused = true;
  Tensors first;
  trace.start();
  first = grad({&y, 1}, inputs, {&cotangent, 1}, options);
  trace.stop();
  if (!trace.refusal().empty()) return {};

  std::vector<Place> ends;
  std::vector<int> end_of(inputs.size(), -1);
  Tensors rows(inputs.size());
  Dims shape{y.numel()};
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!first[k].defined()) continue;
    Place p = trace.find(first[k].array());
    if (!p.defined()) return {};
    end_of[k] = static_cast<int>(ends.size());
    ends.push_back(std::move(p));
    Dims whole = shape;
    for (int64_t size : inputs[k].shape()) whole.push_back(size);
    rows[k] = Tensor(Array::empty(whole, first[k].dtype()));
  }
  Program program(Task{std::move(trace.graph()), std::move(ends)});

  // A gradient that fills a block of its own is written to its row at once.
  std::vector<Ref<Buffer>> blocks(program.fresh().size());
  std::vector<char*> addresses(blocks.size());
  std::vector<int> users(blocks.size(), 0);
  std::vector<uint8_t> direct(inputs.size(), 0);
  for (const Place& p : program.results())
    if (int32_t b = program.fresh_index(p.storage); b >= 0) ++users[at(b)];
  for (size_t b = 0; b < blocks.size(); ++b) {
    blocks[b] = Buffer::allocate(program.fresh()[b]);
    addresses[b] = blocks[b]->data();
  }
  auto row_bytes = [&](size_t k) {
    return static_cast<size_t>(inputs[k].numel()) * itemsize(rows[k].dtype());
  };
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (end_of[k] < 0) continue;
    const Place& p = program.results()[at(end_of[k])];
    int32_t b = program.fresh_index(p.storage);
    direct[k] = b >= 0 && users[at(b)] == 1 && p.offset == 0 && p.contiguous &&
                program.fresh()[at(b)] == row_bytes(k);
  }
  char* seed = cotangent.array().data;
  Array one = Array::empty({}, y.dtype());
  Scalar(1.0).store(y.dtype(), one.data);
  size_t width = itemsize(y.dtype());
  for (int64_t i = 0; i < y.numel(); ++i) {
    std::memcpy(seed + static_cast<size_t>(i) * width, one.data, width);
    for (size_t k = 0; k < inputs.size(); ++k)
      if (direct[k])
        addresses[at(program.fresh_index(program.results()[at(end_of[k])].storage))] =
            rows[k].array().data + static_cast<size_t>(i) * row_bytes(k);
    if (!program.run(memory.bases(), addresses.data())) return {};
    for (size_t k = 0; k < inputs.size(); ++k) {
      if (end_of[k] < 0 || direct[k]) continue;
      const Place& p = program.results()[at(end_of[k])];
      int32_t b = program.fresh_index(p.storage);
      char* base =
          b >= 0 ? addresses[at(b)] : memory.base(program.graph().storages[at(p.storage)].external);
      Array row = contiguous_copy(array_at(p, base, cotangent.array().buffer));
      std::memcpy(rows[k].array().data + static_cast<size_t>(i) * row_bytes(k), row.data,
                  row_bytes(k));
    }
    std::memset(seed + static_cast<size_t>(i) * width, 0, width);
  }
  return rows;
}

}  // namespace fastgrad
