#include "bindings/compile_variant.h"

#include <algorithm>
#include <utility>

namespace fastgrad::py {

// What a tensor was before the recording.
struct Before {
  Tensor tensor;
  Array array;
  Tensor grad;
  Node* node;
  uint32_t version;
};

namespace {

bool same_array_form(const Array& a, const Array& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides;
}

// Puts the exception that is set aside.
struct PendingException {
  PyObject *type, *value, *trace;
  PendingException() { PyErr_Fetch(&type, &value, &trace); }
  ~PendingException() { PyErr_Restore(type, value, trace); }
  PendingException(const PendingException&) = delete;
  PendingException& operator=(const PendingException&) = delete;
};

bool same_array(const Array& a, const Array& b) {
  return a.buffer == b.buffer && a.data == b.data && a.dtype == b.dtype && a.shape == b.shape &&
         a.strides == b.strides;
}

}  // namespace

void Variant::add_entry(Trace& trace, Entry e, const Array& a) {
  e.place = trace.external(a);
  entries_.push_back(std::move(e));
}

// Keeps the random generators that the program draws from; false: one is known to nobody.
bool Variant::knows_generators(const Graph& g, PyObject* list, std::string& why) {
  for (const Instruction& i : g.instructions) {
    Generator* own =
        i.kind == Instruction::Kind::Primitive ? own_generator(*i.primitive, i.attrs) : nullptr;
    if (!own) continue;
    PyObject* found = nullptr;
    for (Py_ssize_t k = 0; k < PyList_GET_SIZE(list) && !found; ++k)
      if (&generator_of(PyList_GET_ITEM(list, k)) == own) found = PyList_GET_ITEM(list, k);
    if (!found) {
      why = "it uses a random generator that it has made itself";
      return false;
    }
    bool kept = false;
    for (const Object& o : generators_) kept = kept || o.get() == found;
    if (!kept) generators_.push_back(Object::borrow(found));
  }
  return true;
}

World::World(Object examined)
    : found(std::move(examined)),
      guards(std::make_shared<PythonGuards>(PyTuple_GET_ITEM(found.get(), 0))) {}

Recorded Variant::record(PyObject* owner, PyObject* fn, const CallArguments& call,
                         std::span<const int> varying, const World& world,
                         std::string (*describe_line)()) {
  PyObject* captured = world.captured();
  Recorded r;
  std::unique_ptr<Variant> v(new Variant);
  v->owner_ = owner;
  v->function_ = fn;
  std::vector<PyObject*> tensors;
  for (Py_ssize_t i = 0; i < call.size(); ++i) v->arguments_.emplace_back(call.args[i], tensors);
  v->positional_ = call.positional;
  v->kwnames_ = Object::borrow(call.kwnames);
  v->num_argument_tensors_ = tensors.size();
  v->guards_ = world.guards;
  v->modes_ = {t_modes.grad, default_dtype()};

  Trace trace;
  trace.describe_line = describe_line;
  std::vector<Before> before;
  auto enter = [&](const Tensor& t, int argument) {
    Entry e;
    e.argument = argument;
    if (argument < 0) e.captured = t;
    e.requires_grad = t.requires_grad();
    e.leaf_requires_grad = t->leaf_requires_grad;
    e.has_node = static_cast<bool>(t->node);
    e.has_grad = t->grad.defined();
    if (has_hooks(t.impl())) trace.refuse("a tensor with hooks or retain_grad()");
    v->add_entry(trace, std::move(e), t.array());
    before.push_back({t, t.array(), t->grad, t->node.get(), t->version()});
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto first = std::find(tensors.begin(), tensors.end(), tensors[i]);
    v->same_as_.push_back(static_cast<int>(first - tensors.begin()));
    enter(tensor_of(tensors[i]), static_cast<int>(i));
  }
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(captured); ++i) {
    enter(tensor_of(PyList_GET_ITEM(captured, i)), -1);
    v->captured_.push_back(impl_of(PyList_GET_ITEM(captured, i)));
  }
  std::sort(v->captured_.begin(), v->captured_.end());
  for (PyObject* t : tensors) v->argument_is_.push_back(v->captured(impl_of(t)));
  for (size_t i = 0, n = v->entries_.size(); i < n; ++i) {
    if (!before[i].grad.defined()) continue;
    const Tensor grad = before[i].grad;
    Entry e;
    e.owner = static_cast<int>(i);
    e.requires_grad = grad.requires_grad();
    if (e.requires_grad) trace.refuse("a .grad that requires grad");
    v->add_entry(trace, std::move(e), grad.array());
    before.push_back({grad, grad.array(), Tensor(), nullptr, grad->version()});
  }

  auto numbers = std::make_shared<NumberInputs>(trace);
  struct Closer {
    NumberInputs& numbers;
    ~Closer() { numbers.close(); }
  } closer{*numbers};
  std::vector<PyObject*> given(call.args, call.args + call.size());
  std::vector<Object> stand_ins;
  for (int i : varying) {
    PyObject*& argument = given[static_cast<size_t>(i)];
    stand_ins.push_back(numbers->stand_in(i, PyFloat_AS_DOUBLE(argument)));
    argument = stand_ins.back().get();
  }
  trace.start();
  r.result = Object(
      PyObject_Vectorcall(fn, given.data(), static_cast<size_t>(call.positional), call.kwnames));
  trace.stop();
  if (!r.result) {
    const bool expected = !varying.empty() && PyErr_ExceptionMatches(PyExc_Exception);
    PendingException kept;  // guards ask dictionaries, and forget what those raise
    r.repeatable = expected && !v->had_effects(trace, before);
    return r;
  }
  if (!varying.empty()) {
    r.result = without_stand_ins(r.result.get());
    given.assign(call.args, call.args + call.size());
    stand_ins.clear();
    settle_stand_ins();
  }

  r.refusal = trace.refusal();
  r.in_parts = trace.refused_in_parts();
  if (r.refusal.empty() && !v->modes_.holds())
    r.refusal = "it changes the grad mode or the default dtype";
  if (!r.refusal.empty()) return r;
  if (const char* changed = v->guards_->check()) {
    r.changed = changed;
    return r;
  }
  if (!v->arguments_unchanged(call, tensors)) {
    r.changed = "its arguments";
    return r;
  }
  if (!v->knows_generators(trace.graph(), world.generators(), r.refusal)) return r;
  std::vector<Place> results;
  if (!v->find_effects(trace, results, before, r.refusal)) return r;
  auto number = [&](PyObject* o) -> int {
    for (size_t i = 0; i < before.size(); ++i)
      if (before[i].tensor.impl() == impl_of(o)) return v->slot_of(static_cast<int>(i));
    if (Py_TYPE(o) != g_tensor_type) {
      r.refusal = "it returns a new tensor of type " + type_name(o);
      return -1;
    }
    int made = v->made_number(impl_of(o), trace, results, r.refusal);
    return made < 0 ? -1 : v->slot_of(-1 - made);
  };
  if (v->gives_back(r.result.get(), call)) {
    r.refusal = "it returns a list or a dictionary that existed before";
    return r;
  }
  if (!v->result_.describe(r.result.get(), number, r.refusal)) {
    if (r.refusal.empty()) r.refusal = "its result cannot be made again";
    return r;
  }
  if (!v->record_backward(trace, results, before, r.refusal)) return r;
  for (int i : varying) {
    if (numbers->needed(i)) continue;
    v->arguments_[static_cast<size_t>(i)].free_number();
    v->free_numbers_.push_back(i);
  }
  v->number_inputs_ = numbers->inputs();
  for (const NumberInputs::Input& i : v->number_inputs_)
    v->number_externals_.push_back(
        trace.graph().storages[static_cast<size_t>(i.place.storage)].external);
  v->examine_outside(trace.graph(), results);
  v->program_ = std::make_unique<Program>(Task{std::move(trace.graph()), std::move(results)});
  v->program_->run_under_gil();
  v->place_results();
  r.variant = std::move(v);
  return r;
}

// Whether a call that ended in an exception has left traces outside.
bool Variant::had_effects(const Trace& trace, const std::vector<Before>& before) const {
  for (const Instruction& i : trace.graph().instructions) {
    if (i.kind == Instruction::Kind::Primitive && !i.primitive->pure) return true;
    for (const Place& p : i.out)
      if (trace.is_outside(p)) return true;
  }
  for (const Before& b : before)
    if (!same_array(b.tensor.array(), b.array) || !b.tensor->grad.is(b.grad) ||
        b.tensor->node.get() != b.node || b.tensor->version() != b.version)
      return true;
  return !modes_.holds() || guards_->check();
}

// Whether a result is, or contains, a list or dictionary that is somebody else's as well.
bool Variant::gives_back(PyObject* result, const CallArguments& call) const {
  std::vector<PyObject*> queue(call.args, call.args + call.size()), given;
  auto open = [&](PyObject* o) {
    if (PyDict_Check(o)) {
      Py_ssize_t at = 0;
      PyObject *key, *value;
      while (PyDict_Next(o, &at, &key, &value)) queue.push_back(value);
    } else if (PyList_Check(o) || PyTuple_Check(o)) {
      PyObject** items = PySequence_Fast_ITEMS(o);
      queue.insert(queue.end(), items, items + PySequence_Fast_GET_SIZE(o));
    }
  };
  auto once = [&given](PyObject* o) {
    bool known = std::find(given.begin(), given.end(), o) != given.end();
    if (!known) given.push_back(o);
    return !known;
  };
  while (!queue.empty()) {
    PyObject* o = queue.back();
    queue.pop_back();
    if ((PyDict_Check(o) || PyList_Check(o) || PyTuple_Check(o)) && once(o)) open(o);
  }
  size_t before = given.size();
  queue.push_back(result);
  while (!queue.empty()) {
    PyObject* o = queue.back();
    queue.pop_back();
    bool changes = PyDict_Check(o) || PyList_Check(o);
    if (!changes && !PyTuple_Check(o)) continue;
    if (changes) {
      if (guards_->watches(o)) return true;
      if (std::find(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(before), o) !=
          given.begin() + static_cast<std::ptrdiff_t>(before))
        return true;
    }
    if (once(o)) open(o);
  }
  return false;
}

// Whether the call has left lists and dictionaries among its arguments as they were.
bool Variant::arguments_unchanged(const CallArguments& call,
                                  std::span<PyObject* const> tensors) const {
  std::vector<PyObject*> now(tensors.size());
  PyObject** next = now.data();
  for (size_t i = 0; i < arguments_.size(); ++i)
    if (!arguments_[i].match(call.args[i], next)) return false;
  return std::equal(now.begin(), now.end(), tensors.begin());
}

int Variant::slot_of(int number) {
  auto known = std::find(result_slots_.begin(), result_slots_.end(), number);
  if (known == result_slots_.end()) {
    result_slots_.push_back(number);
    return static_cast<int>(result_slots_.size()) - 1;
  }
  return static_cast<int>(known - result_slots_.begin());
}

// The number of a new tensor among those that a replay makes; -1: it cannot.
int Variant::made_number(TensorImpl* t, Trace& trace, std::vector<Place>& results,
                         std::string& why) {
  auto known = std::find(made_impls_.begin(), made_impls_.end(), t);
  if (known != made_impls_.end()) return static_cast<int>(known - made_impls_.begin());
  Place p = trace.find(t->array);
  if (!p.defined()) {
    why = "it returns a tensor that no recorded operation made";
    return -1;
  }
  Made m;
  m.result = results.size();
  m.leaf_requires_grad = t->leaf_requires_grad;
  if (has_hooks(t) || t->grad.defined()) {
    why = "it returns a new tensor with hooks or a .grad";
    return -1;
  }
  if (t->node || (t->view && t->view->base.requires_grad())) {
    if (!t->node || trace.is_outside(p)) {
      why = "it returns a view of a tensor from outside that requires grad";
      return -1;
    }
    if (t->node->released)
      m.released = t->node->name();
    else
      m.has_history = true;
  }
  made_.push_back(m);
  made_impls_.push_back(t);
  results.push_back(std::move(p));
  return static_cast<int>(made_.size()) - 1;
}

bool Variant::find_effects(Trace& trace, std::vector<Place>& results,
                           const std::vector<Before>& before, std::string& why) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& e = entries_[i];
    const Tensor& t = before[i].tensor;
    if (!same_array(t.array(), before[i].array)) {
      Place p = trace.find(t.array());
      if (!same_array_form(t.array(), before[i].array) || !p.defined() || trace.is_outside(p) ||
          e.owner >= 0) {
        why = "it gives a tensor from outside another form, or memory of another one";
        return false;
      }
      bool counted = false;  // the tensor is an argument and captured as well
      for (size_t k = 0; k < i; ++k) counted = counted || before[k].tensor.is(t);
      if (!counted) {
        data_effects_.push_back({static_cast<int>(i), static_cast<int>(made_.size())});
        made_.emplace_back().result = results.size();
        made_impls_.push_back(nullptr);
        results.push_back(std::move(p));
      }
    }
    if (t->node.get() != before[i].node || t->leaf_requires_grad != e.leaf_requires_grad) {
      if (e.owner < 0) {
        why = "it changes the history of a tensor from outside";
        return false;
      }
    }
    bool counted = false;
    for (size_t k = 0; k < i; ++k)
      counted = counted || before[k].array.buffer == before[i].array.buffer;
    if (!counted) e.version_steps = t->version() - before[i].version;
    if (e.owner >= 0 || t->grad.is(before[i].grad)) continue;
    GradEffect effect{static_cast<int>(i), -1};
    if (t->grad.defined()) {
      for (const Before& b : before)
        if (b.tensor.is(t->grad)) {
          why = "it makes a tensor from outside the .grad of another one";
          return false;
        }
      if (t->grad.requires_grad()) {
        why = "it leaves a .grad that requires grad";
        return false;
      }
      effect.made = made_number(t->grad.impl(), trace, results, why);
      if (effect.made < 0) return false;
    }
    grad_effects_.push_back(effect);
  }
  return true;
}

// The backward pass of results that have one.
bool Variant::record_backward(Trace& trace, std::vector<Place>& results,
                              const std::vector<Before>& before, std::string& why) {
  Tensors outputs, inputs;
  for (size_t m = 0; m < made_.size(); ++m) {
    if (!made_[m].has_history) continue;
    backward_outputs_.push_back(static_cast<int>(m));
    outputs.push_back(Tensor::share(made_impls_[m]));
  }
  if (outputs.empty()) return true;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].requires_grad || entries_[i].owner >= 0) continue;
    const Tensor& t = before[i].tensor;
    bool known = false;
    for (const Tensor& x : inputs) known = known || x.is(t);
    if (known) continue;
    backward_inputs_.push_back(static_cast<int>(i));
    inputs.push_back(t);
  }
  backward_ = CompiledBackward::record(trace, outputs, inputs, results, why);
  return backward_ != nullptr;
}

// What the program does with the memory outside.
void Variant::examine_outside(const Graph& g, const std::vector<Place>& results) {
  outside_.resize(static_cast<size_t>(g.num_externals));
  for (const Storage& s : g.storages) {
    if (s.external < 0) continue;
    Outside& o = outside_[static_cast<size_t>(s.external)];
    o.first = s.first;
    o.last = s.last;
    o.nbytes = s.nbytes;
  }
  std::vector<uint8_t> used(outside_.size(), 0);
  auto use = [&](const Place& p, bool write) {
    if (!p.defined()) return;
    int32_t external = g.storages[static_cast<size_t>(p.storage)].external;
    if (external < 0) return;
    Outside& o = outside_[static_cast<size_t>(external)];
    used[static_cast<size_t>(external)] = 1;
    o.written = o.written || write;
    auto [first, last] = p.bytes();
    o.exact = o.exact || first < o.first || last > o.last;
    writes_outside_ = writes_outside_ || write;
  };
  for (const Instruction& i : g.instructions) {
    for (const Place& p : i.in) use(p, false);
    for (const Place& p : i.out) use(p, true);
  }
  for (const Place& p : results) use(p, false);
  std::vector<uint8_t> met(outside_.size(), 0);
  for (Entry& e : entries_) {
    e.external = g.storages[static_cast<size_t>(e.place.storage)].external;
    e.used = used[static_cast<size_t>(e.external)];
    e.first_of_memory = e.used && !std::exchange(met[static_cast<size_t>(e.external)], 1);
    if (e.owner >= 0) entries_[static_cast<size_t>(e.owner)].grad_used = e.used;
  }
  bases_.assign(outside_.size(), nullptr);
}

// Which memory each result gets.
void Variant::place_results() {
  const std::vector<Place>& results = program_->results();
  size_t blocks = program_->fresh().size();
  std::vector<int>& users = block_users_;
  users.assign(blocks, 0);
  for (Made& m : made_) {
    const Place& p = results[m.result];
    m.block = program_->fresh_index(p.storage);
    if (m.block >= 0) ++users[static_cast<size_t>(m.block)];
    int32_t external = program_->graph().storages[static_cast<size_t>(p.storage)].external;
    for (size_t i = entries_.size(); external >= 0 && i-- > 0;)
      if (entries_[i].external == external) m.entry = static_cast<int>(i);
  }
  grad_block_owner_.assign(blocks, -1);
  for (const GradEffect& g : grad_effects_) {
    if (g.made < 0) continue;
    const Made& m = made_[static_cast<size_t>(g.made)];
    const Place& p = results[m.result];
    bool returned =
        std::find(result_slots_.begin(), result_slots_.end(), -1 - g.made) != result_slots_.end();
    if (m.block >= 0 && users[static_cast<size_t>(m.block)] == 1 && !returned && p.contiguous &&
        p.offset == 0)
      grad_block_owner_[static_cast<size_t>(m.block)] = g.entry;
  }
  made_impls_.clear();
  find_plain();
}

void Variant::find_plain() {
  for (size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].version_steps) writes_.push_back({i, entries_[i].version_steps});
  is_row_ = result_.is_row();
  plain_result_ = result_.value();
  auto tensor = [](const ArgumentTree& a) { return a.takes_tensor(); };
  auto owned = [](const Entry& e) { return e.owner >= 0; };
  auto fresh = [](const Made& m) { return m.block >= 0 && m.released.empty(); };
  plain_ = entries_.size() <= kPlain && outside_.size() <= kPlain && made_.size() <= kPlain &&
           block_users_.size() <= kPlain && result_slots_.size() <= kPlain && !kwnames_ &&
           !backward_ && grad_effects_.empty() && data_effects_.empty() &&
           !(program_->guarded() && program_->impure()) &&
           std::all_of(arguments_.begin(), arguments_.end(), tensor) &&
           std::none_of(entries_.begin(), entries_.end(), owned) &&
           std::all_of(made_.begin(), made_.end(), fresh);
}

}  // namespace fastgrad::py
