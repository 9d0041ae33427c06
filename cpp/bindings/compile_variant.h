// One recording of a compiled function, with what must hold for it to be replayed.
//
// Note [Variants]
// A recording is right for arguments of the same structure, types, shapes and strides, with the
// same other values; for captured tensors that still have the same form; for the same modes; for an
// unchanged world of Python (Note [Python guards]); and for the same outcomes of every look at a
// value. All but the last are checked before a replay begins, the last by the program itself, which
// writes to outside memory only when all have passed. So a replay either does what the function
// would have done, or nothing.
#pragma once

#include <memory>

#include "bindings/compile_guards.h"
#include "bindings/compile_trees.h"
#include "bindings/generator_object.h"
#include "bindings/traced_number.h"
#include "program/backward.h"
#include "transforms/trace.h"

namespace fastgrad::py {

// Whether something else would happen when gradients arrive at t.
inline bool has_hooks(const TensorImpl* t) {
  return t->extras &&
         (!t->extras->hooks.empty() || !t->extras->post_hooks.empty() || t->extras->retains_grad);
}

// A call in CPython's vectorcall form.
struct CallArguments {
  PyObject* const* args;
  Py_ssize_t positional;
  PyObject* kwnames;  // a tuple, or null
  Py_ssize_t size() const { return positional + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0); }
};

// What fastgrad._examine has found, for all variants that were recorded in the same world.
struct World {
  Object found;  // a tuple: see examine()
  std::shared_ptr<PythonGuards> guards;

  explicit World(Object examined);
  PyObject* captured() const { return PyTuple_GET_ITEM(found.get(), 1); }
  PyObject* refusal() const { return PyTuple_GET_ITEM(found.get(), 2); }
  PyObject* generators() const { return PyTuple_GET_ITEM(found.get(), 3); }
  bool allows_stand_ins() const { return PyTuple_GET_ITEM(found.get(), 4) == Py_True; }
};

// What came of a recording: a variant, or why there is none.
struct Recorded {
  Object result;  // of the function itself, which has run
  std::unique_ptr<class Variant> variant;
  std::string refusal;      // the function cannot be replayed
  bool in_parts = false;    // but functions that it is given to call can
  std::string changed;      // the call changed this Python object; another call may not
  bool repeatable = false;  // it raised an exception, but had no effects by then
};

class Variant {
 public:
  // Runs fn under a recorder. `owner` keeps fn and the variant. The floats at `varying` may become
  // inputs.
  static Recorded record(PyObject* owner, PyObject* fn, const CallArguments& call,
                         std::span<const int> varying, const World& world,
                         std::string (*describe_line)());
  // Whether everything is as it was when this was recorded, but for the shapes of tensors and what
  // they hold: fastgrad._examine would find the same world.
  bool is_of_world(const CallArguments& call) const;
  const std::shared_ptr<PythonGuards>& guards() const { return guards_; }
  // A new reference to the result; null without an exception: this variant does not fit.
  PyObject* replay(const CallArguments& call);

  Program& program() { return *program_; }
  // What fg.save_program writes. Fails when a file has no form for it.
  Object store() const;
  int traverse(visitproc visit, void* arg) const;
  int64_t replays = 0;

 private:
  // A tensor that exists outside: an argument, a captured one, or the .grad of one of these.
  struct Entry {
    int argument = -1;
    int owner = -1;  // of which entry it is the .grad
    Tensor captured;
    Place place;
    bool used = false;  // its memory
    bool requires_grad = false, leaf_requires_grad = false, has_node = false, has_grad = false;
    bool grad_used = false;        // the memory of its .grad is
    int32_t external = -1;         // its storage among those outside
    bool first_of_memory = false;  // the first one that uses its storage
    uint32_t version_steps = 0;    // how often it is written
  };
  // A tensor that a replay makes.
  struct Made {
    size_t result;   // of the program
    int entry = -1;  // whose memory it shares
    int block = -1;  // or which fresh block is its memory
    bool leaf_requires_grad = false;
    bool has_history = false;  // of the compiled backward pass
    std::string released;      // the name of its node, whose saved values are gone
  };
  struct GradEffect {
    int entry;
    int made;  // -1: None
  };
  // .data that is assigned.
  struct DataEffect {
    int entry;
    int made;
  };
  struct ModeGuard {
    bool grad;
    DType default_dtype;
    bool holds() const;
  };
  // Random numbers as they were before a run.
  struct RandomState {
    Generator* generator;
    Generator::State state;
  };
  using RandomStates = SmallVector<RandomState, 2>;
  RandomStates random_states() const;
  static void restore(const RandomStates& states);
  // What a call must find again when the function is called anew for its history.
  struct Moment {
    Tensors tensors;  // of the entries
    std::vector<uint32_t> versions;
    std::vector<Ref<Buffer>> buffers;
    RandomStates random;
    std::vector<double> numbers;
    std::vector<char> former;  // what stood in the memory outside that is written
  };
  Moment moment(TensorImpl* const* impls, const RandomStates& random,
                std::span<const double> numbers, std::vector<char> former) const;
  class Rewound;
  bool is_written(const Entry& e) const {
    return e.used && outside_[static_cast<size_t>(e.external)].written;
  }
  std::span<char> written_bytes(const Entry& e, const TensorImpl* t) const;
  std::vector<char> former_values(TensorImpl* const* impls) const;
  Tensors call_again(const Moment& m) const;
  CallAgain again(Moment m) const;
  Variant() = default;
  bool knows_generators(const Graph& g, PyObject* list, std::string& why);
  void add_entry(Trace& trace, Entry e, const Array& a);
  bool find_effects(Trace& trace, std::vector<Place>& results,
                    const std::vector<struct Before>& before, std::string& why);
  int made_number(TensorImpl* t, Trace& trace, std::vector<Place>& results, std::string& why);
  int slot_of(int number);
  bool arguments_unchanged(const CallArguments& call, std::span<PyObject* const> tensors) const;
  void examine_outside(const Graph& g, const std::vector<Place>& results);
  bool record_backward(Trace& trace, std::vector<Place>& results,
                       const std::vector<struct Before>& before, std::string& why);
  void attach_backward(std::span<Tensor> made, TensorImpl* const* impls,
                       std::span<const Ref<Buffer>> blocks, const Ref<Buffer>& numbers,
                       Moment now) const;
  void place_results();
  void find_plain();
  static bool unchanged(const Entry& e, const TensorImpl* t);
  bool bind_plain(const Entry& e, const TensorImpl* t, char** bases, bool& moved) const;
  PyObject* replay_plain(const CallArguments& call);
  const TensorImpl* captured(const TensorImpl* t) const;
  bool match(const CallArguments& call, PyObject** arguments) const;
  bool fits(const CallArguments& call, PyObject** arguments) const;
  bool bind(PyObject* const* arguments, TensorImpl** impls, char* numbers);
  bool run(char* const* externals, char* const* fresh, std::optional<Program::Written> expendable);
  bool fill_numbers(std::span<const double> arguments, char* memory) const;
  bool gives_back(PyObject* result, const CallArguments& call) const;
  bool had_effects(const Trace& trace, const std::vector<struct Before>& before) const;
  bool moves_fit(char* const* bases);
  bool overlaps_fit(char* const* bases, bool all) const;
  Tensor make(const Made& m, TensorImpl* const* impls, std::span<const Ref<Buffer>> blocks) const;

  PyObject* owner_ = nullptr;       // borrowed: it owns this
  PyObject* function_ = nullptr;    // borrowed from the owner
  std::vector<Object> generators_;  // random ones but the default
  // Arguments that are floats of any value; operands made of them, and their externals.
  std::vector<int> free_numbers_;
  std::vector<NumberInputs::Input> number_inputs_;
  std::vector<int32_t> number_externals_;
  std::vector<ArgumentTree> arguments_;
  Object kwnames_;
  Py_ssize_t positional_ = 0;
  size_t num_argument_tensors_ = 0;
  std::vector<Entry> entries_;
  std::vector<int> same_as_;  // argument tensor i is the object of argument tensor same_as_[i]
  // The captured tensors, sorted, and those of them that argument tensors are; null: none.
  std::vector<const TensorImpl*> captured_, argument_is_;
  std::shared_ptr<PythonGuards> guards_;  // of a World, whose owner visits them
  ModeGuard modes_{};
  std::unique_ptr<Program> program_;
  // Memory outside, by the program's numbers.
  struct Outside {
    bool written = false;
    bool exact = false;  // bytes beyond its tensors are used
    int64_t first = 0, last = 0;
    size_t nbytes = 0;
    char* base = nullptr;  // at the last replay
  };
  std::vector<Outside> outside_;
  std::vector<char*> bases_;
  bool writes_outside_ = false;
  std::vector<Made> made_;
  std::vector<TensorImpl*> made_impls_;  // while it is recorded
  std::vector<GradEffect> grad_effects_;
  std::vector<DataEffect> data_effects_;
  std::vector<int> block_users_;       // of each fresh block: how many tensors it becomes
  std::vector<int> grad_block_owner_;  // of each fresh block: the entry whose .grad it becomes
  // For results with a history: their numbers among what is made, the entries they depend on.
  std::shared_ptr<CompiledBackward> backward_;
  std::vector<int> backward_outputs_, backward_inputs_;
  // What is written, and how many versions that makes.
  struct Writes {
    size_t entry;
    uint32_t steps;
  };
  std::vector<Writes> writes_;
  // Tensors come in, some are written to, tensors go out, and that is all: see replay_plain().
  bool plain_ = false, is_row_ = false;
  PyObject* plain_result_ = nullptr;   // of the tree, when there is no tensor in it
  static constexpr size_t kPlain = 8;  // at most as many of everything
  ResultTree result_;
  std::vector<int> result_slots_;  // of each of its tensors: an entry, or -1 - what is made
};

}  // namespace fastgrad::py
