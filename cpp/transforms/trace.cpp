#include "transforms/trace.h"

#include <algorithm>
#include <cstring>

#include "kernels/copy.h"

namespace fastgrad {

namespace {
// Larger arrays are not compared at every replay.
constexpr int64_t kMaxWatched = 4096;
}  // namespace

int32_t Trace::add(const Array& a, Storage::Role role) {
  auto id = static_cast<int32_t>(graph_.storages.size());
  known_.emplace(a.buffer->data(), id);
  kept_.push_back(a.buffer);
  Storage& s = graph_.storages.emplace_back();
  s.role = role;
  s.nbytes = a.buffer->nbytes();
  return id;
}

Place Trace::place(const Array& a, int32_t storage) const {
  Place p;
  p.storage = storage;
  p.dtype = a.dtype;
  p.contiguous = a.contiguous;
  p.offset = a.data - a.buffer->data();
  p.numel = a.numel;
  p.shape = a.shape;
  p.strides = a.strides;
  return p;
}

Place Trace::external(const Array& a) {
  auto at = known_.find(a.buffer->data());
  int32_t id = at != known_.end() ? at->second : add(a, Storage::Role::External);
  Storage& s = graph_.storages[static_cast<size_t>(id)];
  if (s.external < 0) s.external = graph_.num_externals++;
  Place p = place(a, id);
  auto [first, last] = p.bytes();
  bool empty = s.first == s.last;
  s.first = empty ? first : std::min(s.first, first);
  s.last = empty ? last : std::max(s.last, last);
  return p;
}

Place Trace::find(const Array& a) const {
  auto at = known_.find(a.buffer->data());
  return at == known_.end() ? Place() : place(a, at->second);
}

void Trace::start_inside() {
  deferred::settle();
  open_ = true;
  age_ = Buffer::new_age();
  outer_ = static_cast<Trace*>(t_recorder);
  start();
}

void Trace::mark_differing(int32_t storage) {
  auto s = static_cast<size_t>(storage);
  if (differs_.size() <= s) differs_.resize(s + 1);
  differs_[s] = 1;
}

bool Trace::is_differing(const Place& p) const {
  auto s = static_cast<size_t>(p.storage);
  return p.defined() && s < differs_.size() && differs_[s];
}

bool Trace::differs(const Array& a) const {
  return is_differing(find(a)) || (outer_ && outer_->differs(a));
}

void Trace::follow_differences(const Instruction& i) {
  if (std::any_of(i.in.begin(), i.in.end(), [&](const Place& p) { return is_differing(p); }))
    for (const Place& p : i.out) mark_differing(p.storage);
}

void Trace::start_again() {
  deferred::settle();
  outer_ = static_cast<Trace*>(t_recorder);
  start();
}

void Trace::cut(size_t storages, size_t instructions) {
  forget(storages);
  kept_.resize(storages);
  graph_.storages.resize(storages);
  graph_.instructions.resize(instructions);
  if (differs_.size() > storages) differs_.resize(storages);
}

void Trace::forget(size_t storages) {
  std::erase_if(known_, [&](const auto& k) { return static_cast<size_t>(k.second) >= storages; });
}

Place Trace::read(const Array& a, const char* by) {
  auto at = known_.find(a.buffer->data());
  if (at != known_.end()) {
    if (graph_.storages[static_cast<size_t>(at->second)].unset) read_unset_.insert(at->second);
    return place(a, at->second);
  }
  if (a.numel == 0) return place(a, add(a, Storage::Role::Constant));
  if (open_ && !a.buffer->is_younger_than(age_)) return external(a);
  refuse_here(str(by,
                  " reads a tensor that no recorded operation made and that is neither an argument "
                  "nor reached through globals, closures or attributes"));
  return place(a, add(a, Storage::Role::Internal));
}

Place Trace::write(const Array& a, const char* by) {
  auto at = known_.find(a.buffer->data());
  if (at == known_.end()) {
    if (a.numel > 0)
      refuse_here(str(by,
                      " writes to a tensor that no recorded operation made and that is neither an "
                      "argument nor reached through globals, closures or attributes"));
    return place(a, add(a, Storage::Role::Internal));
  }
  Place p = place(a, at->second);
  Storage& s = graph_.storages[static_cast<size_t>(at->second)];
  bool whole = p.offset == 0 && static_cast<size_t>(p.nbytes()) == s.nbytes &&
               (p.contiguous || !may_overlap_itself(p.shape, p.strides));
  if (whole && !read_unset_.count(at->second)) s.unset = false;
  return p;
}

Instruction& Trace::append(Instruction::Kind kind) {
  Instruction& i = graph_.instructions.emplace_back();
  i.kind = kind;
  return i;
}

void Trace::elementwise(Op op, DType compute, DType result, std::span<const Operand> operands,
                        const Array& out) {
  if (outer_) outer_->elementwise(op, compute, result, operands, out);
  Instruction& i = append(Instruction::Kind::Elementwise);
  i.op = op;
  i.compute = compute;
  i.result = result;
  i.in.reserve(operands.size());
  i.out.reserve(1);
  for (size_t k = 0; k < operands.size(); ++k) {
    if (operands[k].is_tensor()) {
      i.in.push_back(read(operands[k].array(), info(op).name));
      continue;
    }
    i.in.push_back(Place());
    i.attrs.s[k] = operands[k].scalar();
    i.attrs.scalars |= static_cast<uint8_t>(1u << k);
  }
  i.out.push_back(write(out, info(op).name));
  if (open_) follow_differences(i);
}

void Trace::call(Instruction& i, const char* name, Inputs in, std::span<const Array> out) {
  i.in.reserve(in.size());
  i.out.reserve(out.size());
  for (const Array* a : in) i.in.push_back(a ? read(*a, name) : Place());
  for (const Array& a : out) i.out.push_back(write(a, name));
  if (open_) follow_differences(i);
}

void Trace::op(Op op, const Attrs& attrs, Inputs in, std::span<const Array> out) {
  if (outer_) outer_->op(op, attrs, in, out);
  Instruction& i = append(Instruction::Kind::Op);
  i.op = op;
  i.attrs = attrs;
  for (const Array& a : out) fresh(a);
  call(i, info(op).name, in, out);
}

void Trace::primitive(const Primitive& p, const Attrs& attrs, Inputs in,
                      std::span<const Array> out) {
  if (outer_) outer_->primitive(p, attrs, in, out);
  Instruction& i = append(Instruction::Kind::Primitive);
  i.primitive = &p;
  i.attrs = attrs;
  call(i, p.name, in, out);
}

void Trace::fresh(const Array& a) {
  if (outer_) outer_->fresh(a);
  if (known_.count(a.buffer->data())) return;
  add(a, Storage::Role::Internal);
  graph_.storages.back().unset = true;
}

void Trace::constant(const Array& a) {
  if (outer_) outer_->constant(a);
  const Buffer* root = a.buffer.get();
  auto at = known_.find(root->data());
  if (at != known_.end()) {
    // fresh() may have announced it; an instruction must not.
    bool used = false;
    for (const Instruction& i : graph_.instructions)
      for (const Place& p : i.out) used = used || p.storage == at->second;
    Storage& s = graph_.storages[static_cast<size_t>(at->second)];
    if (used || s.role == Storage::Role::External)
      return refuse_here("an array was filled in a way that cannot be replayed");
    s.role = Storage::Role::Constant;
    s.unset = false;
  }
  int32_t id = at != known_.end() ? at->second : add(a, Storage::Role::Constant);
  Array copy = Array::empty(Dims{static_cast<int64_t>(root->nbytes())}, DType::UInt8);
  std::memcpy(copy.data, root->data(), root->nbytes());
  graph_.storages[static_cast<size_t>(id)].value = std::move(copy);
}

// Whether it was made of numbers alone, which cannot change.
bool Trace::is_constant(const Place& p) const {
  if (graph_.storages[static_cast<size_t>(p.storage)].role != Storage::Role::Constant) return false;
  for (const Instruction& i : graph_.instructions)
    for (const Place& o : i.out)
      if (o.storage == p.storage) return false;
  return true;
}

void Trace::watch(const Array& a) {
  if (outer_) outer_->watch(a);
  Place p = read(a, "a decision");
  if (is_constant(p)) return;
  if (a.numel > kMaxWatched)
    return refuse_here(str("the values of ", a.numel, " elements decide what is computed"));
  Instruction& i = append(Instruction::Kind::Watch);
  i.in.push_back(std::move(p));
  i.expected = Tensor(contiguous_copy(a));
}

void Trace::watch(const Condition& c, const Attrs& attrs, const Array& a, bool outcome) {
  if (outer_) outer_->watch(c, attrs, a, outcome);
  Place p = read(a, "a decision");
  if (is_constant(p)) return;
  Instruction& i = append(Instruction::Kind::Condition);
  i.condition = &c;
  i.attrs = attrs;
  i.in.push_back(std::move(p));
  i.outcome = outcome;
}

void Trace::watch_truth(const Array& a, bool outcome) {
  if (outer_) outer_->watch_truth(a, outcome);
  Place p = read(a, "bool()");
  Instruction& i = append(Instruction::Kind::Truth);
  i.in.push_back(std::move(p));
  i.outcome = outcome;
}

void Trace::accumulate(const Tensor& leaf) {
  if (outer_) outer_->accumulate(leaf);
  if (open_ && !has_accumulated(leaf)) accumulated_.push_back(leaf);
}

bool Trace::has_accumulated(const Tensor& leaf) const {
  return std::any_of(accumulated_.begin(), accumulated_.end(),
                     [&](const Tensor& t) { return t.is(leaf); });
}

bool Trace::left_gradients() const {
  return std::any_of(accumulated_.begin(), accumulated_.end(), [&](const Tensor& leaf) {
    uint32_t holders = 0;
    for (const Trace* t = this; t; t = t->outer_) holders += t->has_accumulated(leaf);
    return leaf->refs.get() > holders;
  });
}

void Trace::refuse(const std::string& why, bool in_parts) {
  if (outer_) outer_->refuse(why, in_parts);
  refuse_here(why, in_parts);
}

void Trace::refuse_here(const std::string& why, bool in_parts) {
  if (!refusal_.empty()) return;
  refusal_ = why;
  in_parts_ = in_parts;
  if (describe_line)
    if (std::string line = describe_line(); !line.empty()) refusal_ += " (" + line + ")";
}

}  // namespace fastgrad
