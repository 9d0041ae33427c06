// The history of a replay's results: a compiled backward pass, and the function called again where
// that is not enough. See Note [Compiled backward].
#include <algorithm>
#include <optional>

#include "bindings/compile_variant.h"
#include "bindings/gil.h"
#include "ops/random.h"

namespace fastgrad::py {

Variant::RandomStates Variant::random_states() const {
  RandomStates states;
  if (!program_->impure()) return states;
  states.push_back({&default_generator(), default_generator().state()});
  for (const Object& o : generators_) {
    Generator& g = generator_of(o.get());
    states.push_back({&g, g.state()});
  }
  return states;
}

void Variant::restore(const RandomStates& states) {
  for (const RandomState& s : states) s.generator->set_state(s.state);
}

Variant::Moment Variant::moment(TensorImpl* const* impls, const RandomStates& random,
                                std::span<const double> numbers, std::vector<char> former) const {
  Moment m;
  m.numbers.assign(numbers.begin(), numbers.end());
  for (size_t i = 0; i < entries_.size(); ++i) {
    bool kept = entries_[i].owner < 0;  // a .grad that somebody else knows is not added to in place
    m.tensors.push_back(kept ? Tensor::share(impls[i]) : Tensor());
    m.buffers.push_back(kept ? impls[i]->array.buffer : Ref<Buffer>());
    m.versions.push_back(impls[i]->version());
  }
  m.random = random;
  m.former = std::move(former);
  return m;
}

// What is written of the memory of t, which is the first entry with this memory.
std::span<char> Variant::written_bytes(const Entry& e, const TensorImpl* t) const {
  const Outside& o = outside_[static_cast<size_t>(e.external)];
  return {t->array.data - e.place.offset + o.first, static_cast<size_t>(o.last - o.first)};
}

std::vector<char> Variant::former_values(TensorImpl* const* impls) const {
  std::vector<char> values;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].first_of_memory || !is_written(entries_[i])) continue;
    std::span<char> bytes = written_bytes(entries_[i], impls[i]);
    values.insert(values.end(), bytes.begin(), bytes.end());
  }
  return values;
}

// Puts memory outside back to a moment for as long as this lives; nobody sees it afterwards.
class Variant::Rewound {
 public:
  Rewound(const Variant& v, const Moment& m) : values_(m.former) {
    size_t at = 0;
    for (size_t i = 0; i < v.entries_.size(); ++i) {
      const Entry& e = v.entries_[i];
      if (!e.first_of_memory || !v.is_written(e)) continue;
      std::span<char> bytes = v.written_bytes(e, m.tensors[i].impl());
      std::swap_ranges(bytes.begin(), bytes.end(),
                       values_.begin() + static_cast<std::ptrdiff_t>(at));
      at += bytes.size();
      places_.push_back({bytes, m.buffers[i], m.buffers[i]->version()});
    }
  }
  ~Rewound() {
    const char* from = values_.data();
    for (const auto& [bytes, buffer, version] : places_) {
      std::copy_n(from, bytes.size(), bytes.data());
      from += bytes.size();
      buffer->set_version(version);
    }
  }
  Rewound(const Rewound&) = delete;
  Rewound& operator=(const Rewound&) = delete;

 private:
  struct Written {
    std::span<char> bytes;
    Ref<Buffer> buffer;
    uint32_t version;
  };
  std::vector<char> values_;
  std::vector<Written> places_;
};

// The results with a history that the function has on the tape: see Note [Compiled backward].
Tensors Variant::call_again(const Moment& m) const {
  constexpr const char* kCure =
      "; compile what takes the derivatives together with the function, or call its __wrapped__";
  bool repeatable = grad_effects_.empty() && data_effects_.empty();
  for (const Entry& e : entries_) repeatable = repeatable && (e.owner < 0 || !is_written(e));
  FG_CHECK(repeatable,
           "this gradient of a compiled function needs the function to be called again, which "
           "would repeat its effects",
           kCure);
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& e = entries_[i];
    if (!e.used || e.owner >= 0) continue;
    const TensorImpl* t = m.tensors[i].impl();
    FG_CHECK((t->version() == m.versions[i] || is_written(e)) && t->array.buffer == m.buffers[i],
             "one of the variables needed for gradient computation has been modified by an inplace "
             "operation: an input of a compiled function is at version ",
             t->version(), "; expected version ", m.versions[i],
             " instead. Hint: write to a clone().");
  }
  if (const char* changed = guards_->check())
    fail(ErrorKind::Runtime,
         str("this gradient of a compiled function needs the function to be ",
             "called again, but since it was called ", changed, " has changed", kCure));
  std::vector<Object> held, arguments;
  std::vector<PyObject*> tensors, borrowed;
  for (size_t i = 0; i < num_argument_tensors_; ++i) {
    held.push_back(own(wrap(Tensor(m.tensors[i]))));
    tensors.push_back(held.back().get());
  }
  PyObject* const* next = tensors.data();
  for (size_t i = 0; i < arguments_.size(); ++i) {
    bool is_free = std::find(free_numbers_.begin(), free_numbers_.end(), static_cast<int>(i)) !=
                   free_numbers_.end();
    arguments.push_back(
        own(is_free ? PyFloat_FromDouble(m.numbers[i]) : arguments_[i].build(next)));
    borrowed.push_back(arguments.back().get());
  }
  RandomStates now = random_states();
  restore(m.random);
  std::optional<Rewound> rewound(std::in_place, *this, m);
  Object result(PyObject_Vectorcall(function_, borrowed.data(), static_cast<size_t>(positional_),
                                    kwnames_.get()));
  rewound.reset();
  restore(now);
  if (!result) throw_python_error();
  std::vector<PyObject*> found(result_slots_.size(), nullptr);
  bool fits = result_.take_apart(result.get(), found);
  Tensors outputs;
  for (int made : backward_outputs_) {
    size_t slot = static_cast<size_t>(
        std::find(result_slots_.begin(), result_slots_.end(), -1 - made) - result_slots_.begin());
    fits = fits && slot < found.size() && found[slot] && tensor_of(found[slot]).requires_grad();
    FG_CHECK(fits, "a compiled function that was called again returned something else", kCure);
    outputs.push_back(tensor_of(found[slot]));
  }
  return outputs;
}

CallAgain Variant::again(Moment m) const {
  return with_gil(owner_, [this, m = std::move(m)](PyObject*) { return call_again(m); });
}

// Gives new results their history: see Note [Compiled backward].
void Variant::attach_backward(std::span<Tensor> made, TensorImpl* const* impls,
                              std::span<const Ref<Buffer>> blocks, const Ref<Buffer>& numbers,
                              Moment now) const {
  Tensors outputs, inputs;
  for (int m : backward_outputs_) outputs.push_back(made[static_cast<size_t>(m)]);
  for (int i : backward_inputs_) inputs.push_back(Tensor::share(impls[i]));
  std::vector<CompiledBackward::Memory> memory;
  for (const CompiledBackward::Source& s : backward_->sources()) {
    CompiledBackward::Memory& m = memory.emplace_back();
    if (s.saved) {
      const Place& p = program_->results()[s.index];
      m.buffer = blocks[static_cast<size_t>(program_->fresh_index(p.storage))];
      m.base = m.buffer->data();
    } else {
      for (size_t i = 0; i < entries_.size() && !m.buffer; ++i)
        if (entries_[i].external == static_cast<int32_t>(s.index)) {
          m.buffer = impls[i]->array.buffer;
          m.base = impls[i]->array.data - entries_[i].place.offset;
        }
      for (size_t i = 0; i < number_externals_.size() && !m.buffer; ++i)
        if (number_externals_[i] == static_cast<int32_t>(s.index)) {
          m.buffer = numbers;
          m.base = numbers->data() + i * sizeof(double);
        }
    }
    m.version = m.buffer->version();
  }
  CompiledBackward::attach(backward_, outputs, inputs, std::move(memory), again(std::move(now)));
}

}  // namespace fastgrad::py
