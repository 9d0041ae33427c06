#include "bindings/stored_program.h"

#include "base/threads.h"
#include "bindings/program_codec.h"
#include "bindings/tensor_object.h"
#include "kernels/copy.h"
#include "ops/random.h"
#include "program/check.h"
#include "program/execute.h"
#include "program/program.h"

namespace fastgrad::py {
namespace {

// A program with the memory outside that it keeps: what the function had captured.
class StoredProgram {
 public:
  explicit StoredProgram(PyObject* form) {
    Task task = decode_task(item_of(form, "task"));
    const Graph& g = task.graph;
    sources_.resize(at(g.num_externals));
    auto source = [&](int64_t storage) -> Source& {
      FG_CHECK_VALUE(storage >= 0 && storage < static_cast<int64_t>(g.storages.size()) &&
                         g.storages[static_cast<size_t>(storage)].role == Storage::Role::External,
                     "storage ", storage, " is none outside");
      const Storage& s = g.storages[static_cast<size_t>(storage)];
      Source& found = sources_[at(s.external)];
      FG_CHECK_VALUE(found.input < 0 && !found.state.defined(), "storage ", storage,
                     " has two owners");
      found.first = s.first;
      found.last = s.last;
      return found;
    };
    for (PyObject* item : items_of_list(item_of(form, "inputs"), "inputs")) {
      Place p = decode_place(item);
      check_place(g, p);
      Source& s = source(p.storage);
      auto [first, last] = p.bytes();
      FG_CHECK_VALUE(p.numel == 0 ? s.first == s.last : first == s.first && last == s.last,
                     "an input is not the memory that the program uses");
      s.input = static_cast<int>(inputs_.size());
      inputs_.push_back(std::move(p));
    }
    for (PyObject* item : items_of_list(item_of(form, "state"), "state")) {
      std::span<PyObject*> pair = items_of_list(item, "an entry of state");
      FG_CHECK_VALUE(pair.size() == 2 && is_tensor(pair[1]), "an entry of state is no tensor");
      Source& s = source(integer_of(pair[0], "a storage"));
      s.state = contiguous_copy(tensor_of(pair[1]).array());
      states_.push_back(static_cast<size_t>(&s - sources_.data()));
      FG_CHECK_VALUE(s.state.nbytes() == s.last - s.first,
                     "an entry of state has another size than its storage");
    }
    for (const Source& s : sources_)
      FG_CHECK_VALUE(s.input >= 0 || s.state.defined(), "a storage outside has no owner");
    for (const Instruction& i : g.instructions)
      for (const Place& p : i.out)
        if (const Storage& s = g.storages[at(p.storage)]; s.external >= 0)
          sources_[at(s.external)].written = true;
    PyObject* flag = item_of(form, "differentiable");
    FG_CHECK_VALUE(PyBool_Check(flag), "differentiable is neither true nor false");
    differentiable_ = flag == Py_True;
    program_ = std::make_unique<Program>(std::move(task));
  }

  PyObject* run(PyObject* list) {
    std::span<PyObject*> tensors = items_of_list(list, "what a program runs on");
    FG_CHECK_TYPE(tensors.size() == inputs_.size(), "the program takes ", inputs_.size(),
                  " tensors, got ", tensors.size());
    std::vector<Array> arrays(inputs_.size());
    for (size_t k = 0; k < inputs_.size(); ++k) arrays[k] = input(k, tensors[k]);
    std::vector<char*> bases;
    for (const Source& s : sources_)
      bases.push_back(s.input >= 0 ? arrays[at(s.input)].data - inputs_[at(s.input)].offset
                                   : s.state.data - s.first);
    check_apart(bases);
    std::vector<Ref<Buffer>> blocks;
    std::vector<char*> addresses;
    for (size_t size : program_->fresh()) {
      blocks.push_back(Buffer::allocate(size));
      addresses.push_back(blocks.back()->data());
    }
    Generator::State numbers = default_generator().state();
    if (!program_->run(bases.data(), addresses.data())) {
      if (program_->impure()) default_generator().set_state(numbers);
      fail(ErrorKind::Runtime,
           "the program was recorded for other values: here another branch or another size would "
           "be taken; save the function after a call like this one");
    }
    for (size_t k = 0; k < sources_.size(); ++k) {
      if (!sources_[k].written) continue;
      (sources_[k].input >= 0 ? arrays[at(sources_[k].input)].buffer : sources_[k].state.buffer)
          ->bump_version();
    }
    Object results = own(PyList_New(0));
    for (const Place& p : program_->results()) {
      int32_t block = program_->fresh_index(p.storage);
      Tensor t;
      if (block >= 0) {
        t = Tensor(array_at(p, blocks[at(block)]->data(), blocks[at(block)]));
      } else {
        size_t k = at(program_->graph().storages[at(p.storage)].external);
        const Source& s = sources_[k];
        t = Tensor(
            array_at(p, bases[k], s.input >= 0 ? arrays[at(s.input)].buffer : s.state.buffer));
      }
      check_status(PyList_Append(results.get(), own(wrap(std::move(t))).get()));
    }
    return results.release();
  }

  // What was captured, in the order of the file. The tensors share the program's memory, but
  // whoever gives them other memory leaves the program what it has.
  PyObject* state() const {
    Tensors found;
    for (size_t k : states_) found.push_back(Tensor(sources_[k].state));
    return wrap(found);
  }
  const Program& program() const { return *program_; }

 private:
  struct Source {
    int input = -1;
    Array state;
    bool written = false;
    int64_t first = 0, last = 0;
  };

  // The memory of input k, laid out as the program expects it.
  Array input(size_t k, PyObject* o) const {
    FG_CHECK_TYPE(is_tensor(o), "argument ", k, " of a program must be a Tensor");
    Tensor t = tensor_of(o);
    const Place& p = inputs_[k];
    FG_CHECK_VALUE(t.dtype() == p.dtype && t.shape() == p.shape, "tensor ", k,
                   " of the program is ", name(p.dtype), p.shape, ", got ", name(t.dtype()),
                   t.shape());
    FG_CHECK(
        !differentiable_ || !grad_enabled() || !t.requires_grad(),
        "a program from a file has no gradient: call it on detached tensors or under no_grad(), "
        "or save a function that computes the gradient itself");
    if (t.array().strides == p.strides) return t.array();
    for (const Source& s : sources_)
      FG_CHECK_VALUE(s.input != static_cast<int>(k) || !s.written, "the program writes to tensor ",
                     k, ", which must have the strides ", p.strides);
    Array a = Array::empty_strided(p.shape, p.strides, p.dtype);
    copy_array(t.array(), a);
    return a;
  }

  // Memory that is written must be apart from all other memory.
  void check_apart(std::span<char* const> bases) const {
    for (size_t w = 0; w < sources_.size(); ++w)
      for (size_t k = 0; sources_[w].written && k < sources_.size(); ++k)
        FG_CHECK_VALUE(k == w || bases[w] + sources_[w].last <= bases[k] + sources_[k].first ||
                           bases[k] + sources_[k].last <= bases[w] + sources_[w].first,
                       "the program writes to a tensor that shares memory with another one");
  }

  std::unique_ptr<Program> program_;
  std::vector<Place> inputs_;
  std::vector<Source> sources_;  // of the program's externals
  std::vector<size_t> states_;   // those that are state
  bool differentiable_ = false;
};

struct ProgramObject {
  PyObject_HEAD StoredProgram* program;
};
StoredProgram& self_of(PyObject* o) { return *reinterpret_cast<ProgramObject*>(o)->program; }

PyObject* make(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* form;
  if (!PyArg_ParseTuple(args, "O:StoredProgram", &form)) return nullptr;
  return guarded([&]() -> PyObject* {
    enter_thread();
    auto program = std::make_unique<StoredProgram>(form);
    auto* self = reinterpret_cast<ProgramObject*>(check(type->tp_alloc(type, 0)));
    self->program = program.release();
    return reinterpret_cast<PyObject*>(self);
  });
}
void dealloc(PyObject* o) {
  enter_thread();
  delete reinterpret_cast<ProgramObject*>(o)->program;
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* run(PyObject* self, PyObject* list) {
  return guarded([&] {
    enter_thread();
    return self_of(self).run(list);
  });
}
PyObject* state(PyObject* self, PyObject*) {
  return guarded([&] { return self_of(self).state(); });
}
template <class Text>
PyObject* text_of(Text make_text) {
  return guarded([&] { return PyUnicode_FromString(make_text().c_str()); });
}
PyObject* graph(PyObject* self, PyObject*) {
  return text_of([&] { return self_of(self).program().graph().text(); });
}
PyObject* dot(PyObject* self, PyObject*) {
  return text_of([&] { return self_of(self).program().graph().dot(); });
}
PyObject* explain(PyObject* self, PyObject*) {
  return text_of([&] { return self_of(self).program().explain(); });
}

PyMethodDef methods[] = {
    {"run", run, METH_O, "Runs on a list of tensors; a list of results."},
    {"state", state, METH_NOARGS, "The tensors that the program keeps, a list."},
    {"graph", graph, METH_NOARGS, "The instructions, one per line."},
    {"dot", dot, METH_NOARGS, "The instructions in Graphviz' language."},
    {"explain", explain, METH_NOARGS, "What runs together, and what does not."},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(make)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_methods, methods},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad._core._StoredProgram", sizeof(ProgramObject), 0, Py_TPFLAGS_DEFAULT,
                    slots};

}  // namespace

void add_stored_program_type(PyObject* module) {
  Object type = own(PyType_FromSpec(&spec));
  check_status(PyModule_AddObjectRef(module, "_StoredProgram", type.get()));
}

}  // namespace fastgrad::py
