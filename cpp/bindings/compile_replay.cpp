// The replay of a variant: see Note [Variants].
#include <algorithm>

#include "autograd/accumulate.h"
#include "bindings/compile_variant.h"
#include "program/execute.h"

namespace fastgrad::py {
namespace {

// The history of a result whose saved values the recorded call has used up: going through it fails.
struct ReleasedRule final : CustomRule {
  explicit ReleasedRule(std::string n) : text(std::move(n)) {}
  std::string name() const override { return text; }
  void run(const Node&, std::span<Tensor>, std::span<Tensor>) override { fail_released(); }
  void release_saved() override {}
  std::string text;
};

void give_released_history(const Tensor& t, const std::string& name) {
  Ref<Node> node = Node::make(Op::Custom);
  node->released = true;
  node->sequence = ++t_modes.clock;
  node->extra().custom = std::make_unique<ReleasedRule>(name);
  set_output(node, 0, t);
}

inline bool same_place(const Array& a, const Place& p) {
  const size_t n = p.shape.size();
  if (a.dtype != p.dtype || a.shape.size() != n) return false;
  for (size_t d = 0; d < n; ++d)
    if (a.shape[d] != p.shape[d] || a.strides[d] != p.strides[d]) return false;
  return true;
}

}  // namespace

bool Variant::ModeGuard::holds() const {
  return t_modes.grad == grad && fastgrad::default_dtype() == default_dtype;
}

// The captured tensor that t is, or null: a function can tell whether it is one.
const TensorImpl* Variant::captured(const TensorImpl* t) const {
  auto at = std::lower_bound(captured_.begin(), captured_.end(), t);
  return at != captured_.end() && *at == t ? t : nullptr;
}

// Whether arguments and the world of Python are as they were; the tensors among the arguments.
bool Variant::match(const CallArguments& call, PyObject** arguments) const {
  if (call.positional != positional_) return false;
  PyObject* names = kwnames_.get();
  if (call.kwnames != names && !(names && call.kwnames && same_value(call.kwnames, names)))
    return false;
  for (size_t i = 0; i < arguments_.size(); ++i)
    if (!arguments_[i].match(call.args[i], arguments)) return false;
  return true;
}

bool Variant::is_of_world(const CallArguments& call) const {
  SmallVector<PyObject*, 16> arguments;
  arguments.reset(num_argument_tensors_);
  return match(call, arguments.data()) && !guards_->check();
}

bool Variant::fits(const CallArguments& call, PyObject** arguments) const {
  if (!match(call, arguments) || !modes_.holds()) return false;
  // Shapes differ more often than Python's world, and are compared sooner.
  for (size_t i = 0; i < num_argument_tensors_; ++i)
    if (!same_place(impl_of(arguments[i])->array, entries_[i].place)) return false;
  return !guards_->check();
}

// Whether a tensor from outside is as it was, but for where its memory lies.
[[gnu::always_inline]] inline bool Variant::unchanged(const Entry& e, const TensorImpl* t) {
  // One branch for all: they hold nearly always.
  const int differs = (t->grad.defined() ^ e.has_grad) |
                      (t->leaf_requires_grad ^ e.leaf_requires_grad) |
                      (static_cast<bool>(t->node) ^ e.has_node) | t->inference;
  if (differs) [[unlikely]]
    return false;
  if (t->view && fastgrad::requires_grad(t) != e.requires_grad) [[unlikely]]
    return false;
  if (t->extras && has_hooks(t)) [[unlikely]]
    return false;
  return same_place(t->array, e.place);
}

// Whether the tensors are as they were; fills `impls` and the addresses of memory outside.
bool Variant::bind(PyObject* const* arguments, TensorImpl** impls, char* numbers) {
  for (size_t i = 0; i < num_argument_tensors_; ++i) {
    size_t first = 0;
    while (arguments[first] != arguments[i]) ++first;
    if (static_cast<int>(first) != same_as_[i] ||
        captured(impl_of(arguments[i])) != argument_is_[i])
      return false;
  }
  std::fill(bases_.begin(), bases_.end(), nullptr);
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& e = entries_[i];
    TensorImpl* t = e.owner >= 0      ? impls[e.owner]->grad.impl()
                    : e.argument >= 0 ? impl_of(arguments[e.argument])
                                      : e.captured.impl();
    impls[i] = t;
    if (e.owner < 0 && !unchanged(e, t)) return false;
    if (!e.used) continue;
    if (e.owner >= 0 && (fastgrad::requires_grad(t) || !same_place(t->array, e.place)))
      return false;
    char*& base = bases_[static_cast<size_t>(e.external)];
    char* here = t->array.data - e.place.offset;
    if (base && base != here) return false;
    base = here;
    const Outside& o = outside_[static_cast<size_t>(e.external)];
    const Buffer& b = *t->array.buffer;
    if (o.exact && (b.data() != here || b.nbytes() < o.nbytes)) return false;
  }
  for (size_t i = 0; i < number_externals_.size(); ++i)
    bases_[static_cast<size_t>(number_externals_[i])] = numbers + i * sizeof(double);
  bool moved = false;
  for (size_t k = 0; k < bases_.size(); ++k) moved = moved || bases_[k] != outside_[k].base;
  if (!moved) return true;
  return moves_fit(bases_.data());
}

// Whether what is written is still apart from all else, some memory having moved to `bases`.
bool Variant::moves_fit(char* const* bases) {
  if (writes_outside_ && !overlaps_fit(bases, false)) return false;
  for (size_t k = 0; k < outside_.size(); ++k) outside_[k].base = bases[k];
  return true;
}

// Whether memory that is written is apart from all other memory, as it was. Without `all`, pairs
// that have not moved are left out.
bool Variant::overlaps_fit(char* const* bases, bool all) const {
  for (size_t w = 0; w < outside_.size(); ++w) {
    const Outside& o = outside_[w];
    if (!o.written || !bases[w]) continue;
    for (size_t k = 0; k < outside_.size(); ++k) {
      if (k == w || !bases[k]) continue;
      if (!all && bases[w] == o.base && bases[k] == outside_[k].base) continue;
      if (bases[w] + o.first < bases[k] + outside_[k].last &&
          bases[k] + outside_[k].first < bases[w] + o.last)
        return false;
    }
  }
  return true;
}

Tensor Variant::make(const Made& m, TensorImpl* const* impls,
                     std::span<const Ref<Buffer>> blocks) const {
  const Place& p = program_->results()[m.result];
  Tensor t = Tensor::adopt(TensorImpl::make());
  if (m.block >= 0) {
    const Ref<Buffer>& b = blocks[static_cast<size_t>(m.block)];
    place_array(t.mutable_array(), p, b->data(), b);
  } else {
    const Entry& e = entries_[static_cast<size_t>(m.entry)];
    const Array& source = impls[m.entry]->array;
    place_array(t.mutable_array(), p, source.data - e.place.offset, source.buffer);
  }
  t->leaf_requires_grad = m.leaf_requires_grad;
  if (!m.released.empty()) give_released_history(t, m.released);
  return t;
}

// Compares t with an entry; `bases` and `moved` tell where its memory is.
[[gnu::always_inline]] inline bool Variant::bind_plain(const Entry& e, const TensorImpl* t,
                                                       char** bases, bool& moved) const {
  if (!unchanged(e, t)) return false;
  if (!e.used) return true;
  char* here = t->array.data - e.place.offset;
  char*& base = bases[e.external];
  if (e.first_of_memory) {
    base = here;
    const Outside& o = outside_[static_cast<size_t>(e.external)];
    moved |= here != o.base;
    if (!o.exact) return true;
    const Buffer& b = *t->array.buffer;
    return b.data() == here && b.nbytes() >= o.nbytes;
  }
  return base == here;
}

// Runs the program; false: something is not as it was. That is so, too, when a kernel fails and no
// more has been written to than `expendable`: the function is called, and may catch the exception.
bool Variant::run(char* const* externals, char* const* fresh,
                  std::optional<Program::Written> expendable) {
  Program::Written written = Program::Written::Outside;
  try {
    return program_->run(externals, fresh, &written);
  } catch (const Error&) {
    if (!expendable || written > *expendable) throw;
    return false;
  }
}

// The replay of a function of tensors that makes tensors and writes to some, on the stack.
PyObject* Variant::replay_plain(const CallArguments& call) {
  if (call.positional != positional_ || call.kwnames || !modes_.holds()) return nullptr;
  char* bases[kPlain] = {};
  TensorImpl* impls[kPlain];
  bool moved = false;
  const size_t n = num_argument_tensors_, all = entries_.size();
  for (size_t i = 0; i < n; ++i) {
    PyObject* o = call.args[i];
    if (!arguments_[i].match_tensor(o)) return nullptr;
    size_t first = 0;
    while (call.args[first] != o) ++first;
    TensorImpl* t = impls[i] = impl_of(o);
    if (static_cast<int>(first) != same_as_[i] ||
        (!captured_.empty() && captured(t) != argument_is_[i]) ||
        !bind_plain(entries_[i], t, bases, moved))
      return nullptr;
  }
  for (size_t i = n; i < all; ++i) {
    impls[i] = entries_[i].captured.impl();
    if (!bind_plain(entries_[i], impls[i], bases, moved)) return nullptr;
  }
  if (guards_->check() || (moved && !moves_fit(bases))) return nullptr;

  SmallVector<Ref<Buffer>, kPlain> blocks;
  char* addresses[kPlain];
  for (size_t size : program_->fresh()) {
    Ref<Buffer>& block = blocks.emplace_unchecked([size] { return Buffer::allocate(size); });
    addresses[blocks.size() - 1] = block->data();
  }
  using enum Program::Written;
  if (!run(bases, addresses, program_->impure() ? std::nullopt : std::optional(Results)))
    return nullptr;
  ++replays;
  for (const Writes& w : writes_) {
    Buffer& b = *impls[w.entry]->array.buffer;
    b.set_version(b.version() + w.steps);
  }
  if (plain_result_) return Py_NewRef(plain_result_);
  auto made = [&](int slot) {
    if (slot >= 0) {
      const Entry& e = entries_[static_cast<size_t>(slot)];
      return e.argument >= 0 ? Py_NewRef(call.args[e.argument])
                             : wrap(Tensor::share(impls[static_cast<size_t>(slot)]));
    }
    const Made& m = made_[static_cast<size_t>(-1 - slot)];
    Tensor t = Tensor::adopt(TensorImpl::make());
    Ref<Buffer>& b = blocks[static_cast<size_t>(m.block)];
    char* base = b->data();
    // A block that becomes one tensor is the tensor's from here on.
    bool only = block_users_[static_cast<size_t>(m.block)] == 1;
    place_array(t.mutable_array(), program_->results()[m.result], base, only ? std::move(b) : b);
    t->leaf_requires_grad = m.leaf_requires_grad;
    return wrap(std::move(t));
  };
  if (result_.single() >= 0) return made(result_slots_[0]);
  if (is_row_) {
    Object tuple = own(PyTuple_New(static_cast<Py_ssize_t>(result_slots_.size())));
    Py_ssize_t k = 0;
    for (int slot : result_slots_) PyTuple_SET_ITEM(tuple.get(), k++, made(slot));
    return tuple.release();
  }
  SmallVector<Object, kPlain> objects;
  PyObject* borrowed[kPlain];
  for (size_t k = 0; k < result_slots_.size(); ++k) {
    objects.push_back(own(made(result_slots_[k])));
    borrowed[k] = objects[k].get();
  }
  return result_.build(borrowed);
}

// Computes the operands that are made of numbers; false: Python would raise an exception.
bool Variant::fill_numbers(std::span<const double> arguments, char* memory) const {
  for (size_t i = 0; i < number_inputs_.size(); ++i) {
    std::optional<double> value = evaluate(number_inputs_[i].formula, arguments);
    if (!value) return false;
    Scalar(*value).store(number_inputs_[i].dtype, memory + i * sizeof(double));
  }
  return true;
}

PyObject* Variant::replay(const CallArguments& call) {
  if (plain_) return replay_plain(call);
  SmallVector<PyObject*, 16> arguments;
  arguments.reset(num_argument_tensors_);
  if (!fits(call, arguments.data())) return nullptr;
  // Numbers have their memory in the call, which another thread may make at the same time.
  SmallVector<double, 8> numbers, number_memory;
  Ref<Buffer> number_buffer;
  char* number_base = nullptr;
  if (!free_numbers_.empty() || !number_inputs_.empty())
    for (Py_ssize_t i = 0; i < call.size(); ++i)
      numbers.push_back(PyFloat_CheckExact(call.args[i]) ? PyFloat_AS_DOUBLE(call.args[i]) : 0.0);
  if (!number_inputs_.empty()) {
    if (backward_) {
      number_buffer = Buffer::allocate(number_inputs_.size() * sizeof(double));
      number_base = number_buffer->data();
    } else {
      number_memory.resize(number_inputs_.size());
      number_base = reinterpret_cast<char*>(number_memory.data());
    }
    if (!fill_numbers({numbers.data(), numbers.size()}, number_base)) return nullptr;
  }
  SmallVector<TensorImpl*, 32> impls;
  impls.reset(entries_.size());
  if (!bind(arguments.data(), impls.data(), number_base)) return nullptr;

  // Kernels may let go of the GIL, and somebody may drop a .grad then.
  SmallVector<Tensor, 2> kept;
  for (size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].owner >= 0 && entries_[i].used) kept.push_back(Tensor::share(impls[i]));

  // Memory for results. That of an old .grad which nobody else knows is used again.
  const std::vector<size_t>& sizes = program_->fresh();
  SmallVector<Ref<Buffer>, 4> blocks;
  SmallVector<char*, 8> addresses;
  blocks.reserve(sizes.size());
  for (size_t b = 0; b < sizes.size(); ++b) {
    int owner = grad_block_owner_[b];
    if (owner >= 0 && program_->written_late(b)) {
      const Tensor& old = impls[owner]->grad;
      if (old.defined() && is_exclusive(old) && !old->python && !old->extras &&
          !entries_[static_cast<size_t>(owner)].grad_used &&
          same_place(old.array(), entries_[static_cast<size_t>(owner)].place) &&
          old->array.buffer->nbytes() == sizes[b]) {
        blocks.push_back(nullptr);
        addresses.push_back(old->array.data);
        continue;
      }
    }
    blocks.push_back(Buffer::allocate(sizes[b]));
    addresses.push_back(blocks.back()->data());
  }
  RandomStates random;  // as before if the replay is given up
  if (program_->impure()) random = random_states();
  std::vector<char> former;
  if (backward_ && writes_outside_) former = former_values(impls.data());
  using enum Program::Written;
  bool own_results = std::none_of(blocks.begin(), blocks.end(), [](const auto& b) { return !b; });
  if (!run(bases_.data(), addresses.data(), own_results ? Results : Nothing)) {
    restore(random);
    return nullptr;
  }
  ++replays;

  std::span<const Ref<Buffer>> memory(blocks.data(), blocks.size());
  for (const DataEffect& d : data_effects_) {
    const Made& m = made_[static_cast<size_t>(d.made)];
    Array& a = impls[d.entry]->array;
    uint32_t version = a.buffer->version();
    Array fresh =
        array_at(program_->results()[m.result], memory[static_cast<size_t>(m.block)]->data(),
                 memory[static_cast<size_t>(m.block)]);
    if (block_users_[static_cast<size_t>(m.block)] > 1) fresh.buffer = Buffer::alias(fresh.buffer);
    fresh.buffer->set_version(version);
    a.buffer = std::move(fresh.buffer);
    a.data = fresh.data;
  }
  for (const Writes& w : writes_) {
    Buffer& b = *impls[w.entry]->array.buffer;
    b.set_version(b.version() + w.steps);
  }
  SmallVector<Tensor, 4> made(made_.size());
  auto made_tensor = [&](int number) -> Tensor& {
    Tensor& t = made[static_cast<size_t>(number)];
    if (!t.defined()) t = make(made_[static_cast<size_t>(number)], impls.data(), memory);
    return t;
  };
  if (backward_) {
    for (int m : backward_outputs_) made_tensor(m);
    attach_backward(
        {made.data(), made.size()}, impls.data(), memory, number_buffer,
        moment(impls.data(), random, {numbers.data(), numbers.size()}, std::move(former)));
  }
  for (const GradEffect& g : grad_effects_) {
    Tensor grad;  // the old one is released last
    if (g.made >= 0) {
      int block = made_[static_cast<size_t>(g.made)].block;
      if (block >= 0 && !blocks[static_cast<size_t>(block)]) continue;  // written in place
      grad = made_tensor(g.made);
    }
    std::swap(impls[g.entry]->grad, grad);
  }
  auto object_of = [&](int slot) -> PyObject* {
    if (slot < 0) return wrap(made_tensor(-1 - slot));
    const Entry& e = entries_[static_cast<size_t>(slot)];
    return e.argument >= 0 ? Py_NewRef(arguments[static_cast<size_t>(e.argument)])
                           : wrap(Tensor::share(impls[static_cast<size_t>(slot)]));
  };
  if (result_.single() >= 0) return object_of(result_slots_[0]);
  SmallVector<Object, 4> objects;
  SmallVector<PyObject*, 4> borrowed;
  for (int slot : result_slots_) {
    objects.push_back(own(object_of(slot)));
    borrowed.push_back(objects.back().get());
  }
  return result_.build(borrowed.data());
}

int Variant::traverse(visitproc visit, void* arg) const {
  Py_VISIT(kwnames_.get());
  for (const ArgumentTree& a : arguments_)
    if (int status = a.traverse(visit, arg)) return status;
  for (const Object& o : generators_) Py_VISIT(o.get());
  return result_.traverse(visit, arg);
}

}  // namespace fastgrad::py
