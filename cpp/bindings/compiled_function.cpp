#include "bindings/compiled_function.h"

#include <frameobject.h>  // PyFrame_GetBack, before Python 3.11
#include <structmember.h>

#include <algorithm>
#include <bit>
#include <cstddef>

#include "base/threads.h"
#include "bindings/compile_variant.h"

namespace fastgrad::py {
namespace {

// More recordings than this are a sign that something changes at every call. Where shapes are said
// to vary, there may be more, and other ones run as they are.
constexpr size_t kMaxVariants = 64, kMaxShapes = 1024;
// A function may set itself up at its first calls.
constexpr int kMaxChanges = 3;
// Nobody asked for a quiet function to be compiled: so many recordings must have been worth it.
constexpr int64_t kQuietRecordings = 8;

// Whether a function runs as it is whose closures may be compiled: see LBFGS.step().
thread_local bool t_in_parts = false;

struct State {
  std::vector<std::unique_ptr<Variant>> variants;  // never moves, never shrinks
  size_t last = 0;                                 // the variant that fitted last
  std::vector<std::shared_ptr<const World>> worlds;
  bool fullgraph = false;
  bool dynamic = false;
  bool quiet = false;  // gives up without a warning, and as soon as recordings do not pay
  int changes = 0;     // calls in a row that changed Python objects
  // Floats among the arguments at the last recording: those that vary may become inputs.
  std::vector<std::optional<double>> floats;
  bool stand_ins = true;  // unless the function did not get along with them
  std::string reason;     // why it is not compiled any more; empty: it is
  bool in_parts = false;  // but what it gives to others to call is
  int64_t recordings = 0, misses = 0, eager_calls = 0;
  explicit State(bool shapes_vary = false) : dynamic(shapes_vary) {
    variants.reserve(shapes_vary ? kMaxShapes : kMaxVariants);
  }
  bool is_full() const { return dynamic && variants.size() == kMaxShapes; }
  int64_t replays() const {
    int64_t sum = 0;
    for (const auto& v : variants) sum += v->replays;
    return sum;
  }
};

struct CompiledObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* function;
  PyObject* examine;
  PyObject* dict;
  PyObject* weakrefs;
  State* state;
};
PyTypeObject* g_type = nullptr;

CompiledObject* self_of(PyObject* o) { return reinterpret_cast<CompiledObject*>(o); }

// Whether a frame runs code of this package, whatever folder it lies in.
bool is_own_frame(PyFrameObject* f) {
  Object globals(PyObject_GetAttrString(reinterpret_cast<PyObject*>(f), "f_globals"));
  PyObject* module = globals ? PyDict_GetItemString(globals.get(), "__name__") : nullptr;
  if (!module || !PyUnicode_Check(module)) {
    PyErr_Clear();
    return false;
  }
  std::string name = text_of(module);
  return name == "fastgrad" || name.starts_with("fastgrad.");
}

// "file.py:12", where the user's code is.
std::string user_line() {
  PyFrameObject* f = PyEval_GetFrame();
  Py_XINCREF(f);
  std::string found;
  while (f && found.empty()) {
    PyCodeObject* code = PyFrame_GetCode(f);
    std::string file = text_of(code->co_filename);
    Py_DECREF(code);
    if (!is_own_frame(f)) found = str(file, ":", PyFrame_GetLineNumber(f));
    PyFrameObject* back = PyFrame_GetBack(f);
    Py_DECREF(f);
    f = back;
  }
  Py_XDECREF(f);
  return found;
}

std::string name_of(PyObject* function) {
  Object name(PyObject_GetAttrString(function, "__qualname__"));
  if (!name) PyErr_Clear();
  return name ? text_of(name.get()) : type_name(function);
}

// The function will run as it is from now on.
void give_up(CompiledObject* self, const std::string& why) {
  self->state->reason = why;
  std::string text =
      str("fastgrad.compile: ", name_of(self->function), " cannot be replayed: ", why);
  FG_CHECK(!self->state->fullgraph, text, ". Without fullgraph=True it would run uncompiled.");
  if (!self->state->quiet && !self->state->in_parts) warn(text + "; it runs uncompiled");
}

PyObject* call_plainly(CompiledObject* self, PyObject* const* args, size_t nargsf,
                       PyObject* kwnames) {
  struct Parts {
    bool before;
    explicit Parts(bool now) : before(std::exchange(t_in_parts, now)) {}
    ~Parts() { t_in_parts = before; }
  } parts(t_in_parts || self->state->in_parts);
  return PyObject_Vectorcall(self->function, args, nargsf, kwnames);
}

// Which arguments are floats that were others at the last recording that was kept.
std::vector<int> varying_floats(const State& s, const CallArguments& call) {
  std::vector<int> varying;
  for (size_t i = 0; i < std::min(s.floats.size(), static_cast<size_t>(call.size())); ++i) {
    if (!s.floats[i] || !PyFloat_CheckExact(call.args[i])) continue;
    double value = PyFloat_AS_DOUBLE(call.args[i]);
    if (std::bit_cast<uint64_t>(*s.floats[i]) != std::bit_cast<uint64_t>(value))
      varying.push_back(static_cast<int>(i));
  }
  return varying;
}

void note_floats(State& s, const CallArguments& call) {
  s.floats.resize(std::max(s.floats.size(), static_cast<size_t>(call.size())));
  for (Py_ssize_t i = 0; i < call.size(); ++i)
    if (PyFloat_CheckExact(call.args[i]))
      s.floats[static_cast<size_t>(i)] = PyFloat_AS_DOUBLE(call.args[i]);
}

// What the function can reach. The walk costs more than the rest of a recording.
std::shared_ptr<const World> examine(CompiledObject* self, const CallArguments& call) {
  Object list = own(PyList_New(0));
  for (Py_ssize_t i = 0; i < call.size(); ++i)
    check_status(PyList_Append(list.get(), call.args[i]));
  return std::make_shared<const World>(
      own(PyObject_CallFunctionObjArgs(self->examine, self->function, list.get(), nullptr)));
}

// The world that this call is in, where it has been examined; null: it has not.
std::shared_ptr<const World> world_of(const State& s, const CallArguments& call) {
  for (size_t k = s.variants.size(); k-- > 0;)  // the latest one is the likeliest
    if (s.variants[k]->is_of_world(call))
      for (const auto& w : s.worlds)
        if (w->guards == s.variants[k]->guards()) return w;
  return nullptr;
}

PyObject* record(CompiledObject* self, const CallArguments& call) {
  State& s = *self->state;
  // Other threads may add worlds while the function runs.
  std::shared_ptr<const World> shared = world_of(s, call);
  bool known = shared != nullptr;
  if (!known) shared = examine(self, call);
  const World& world = *shared;
  if (world.refusal() != Py_None) {
    give_up(self, text_of(world.refusal()));
    return nullptr;
  }
  ++s.recordings;
  auto record_with = [&](std::span<const int> varying) {
    return Variant::record(reinterpret_cast<PyObject*>(self), self->function, call, varying, world,
                           user_line);
  };
  std::vector<int> varying = varying_floats(s, call);
  if (!world.allows_stand_ins() || !s.stand_ins) varying.clear();
  Recorded r = record_with(varying);
  if (!r.result && r.repeatable) {
    PyErr_Clear();
    varying.clear();
    r = record_with({});
    s.stand_ins = !r.result;
  }
  if (!r.result) throw PythonError{};
  if (!r.refusal.empty() && !varying.empty()) {
    s.stand_ins = false;  // the next call will tell whether that was the reason
  } else if (!r.refusal.empty()) {
    s.in_parts = r.in_parts;
    give_up(self, r.refusal);
  } else if (!r.changed.empty()) {
    if (++s.changes >= kMaxChanges) give_up(self, "every call changes " + r.changed);
  } else {
    s.changes = 0;
    note_floats(s, call);
    // Threads that record at once may fill the list together; it never moves.
    if (s.variants.size() < s.variants.capacity()) {
      s.last = s.variants.size();
      s.variants.push_back(std::move(r.variant));
      if (!known) s.worlds.push_back(std::move(shared));
    }
    if (s.variants.size() == kMaxVariants && !s.dynamic)
      give_up(self, str("it was recorded ", kMaxVariants,
                        " times for different shapes, values or branches"));
    else if (s.quiet && s.recordings % kQuietRecordings == 0 && s.replays() < s.recordings)
      give_up(self, str("of ", s.recordings, " recordings few were replayed"));
  }
  return r.result.release();
}

PyObject* call(PyObject* object, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  enter_thread();
  CompiledObject* self = self_of(object);
  State& s = *self->state;
  if (!s.reason.empty() || t_recorder || t_modes.slow_record || t_modes.inference) [[unlikely]] {
    ++s.eager_calls;
    return call_plainly(self, args, nargsf, kwnames);
  }
  return guarded([&]() -> PyObject* {
    CallArguments c{args, PyVectorcall_NARGS(nargsf), kwnames};
    size_t n = s.variants.size(), last = s.last;
    for (size_t i = 0; i < n; ++i) {
      size_t k = i == 0 ? last : i <= last ? i - 1 : i;
      if (PyObject* result = s.variants[k]->replay(c)) {
        s.last = k;
        return result;
      }
      if (PyErr_Occurred()) return nullptr;
      ++s.misses;
    }
    PyObject* result = s.is_full() ? nullptr : record(self, c);
    if (result || PyErr_Occurred()) return result;
    ++s.eager_calls;
    return call_plainly(self, args, nargsf, kwnames);
  });
}

// ---- the Python type

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject *function, *examine;
  int fullgraph = 0, quiet = 0, dynamic = 0;
  static const char* names[] = {"function", "examine", "fullgraph", "quiet", "dynamic", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|ppp:CompiledFunction",
                                   const_cast<char**>(names), &function, &examine, &fullgraph,
                                   &quiet, &dynamic))
    return nullptr;
  auto* self = reinterpret_cast<CompiledObject*>(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  self->vectorcall = call;
  self->function = Py_NewRef(function);
  self->examine = Py_NewRef(examine);
  self->state = new State(dynamic != 0);
  self->state->fullgraph = fullgraph != 0;
  self->state->quiet = quiet != 0;
  return reinterpret_cast<PyObject*>(self);
}

int traverse(PyObject* o, visitproc visit, void* arg) {
  CompiledObject* self = self_of(o);
  Py_VISIT(Py_TYPE(o));
  Py_VISIT(self->function);
  Py_VISIT(self->examine);
  Py_VISIT(self->dict);
  if (!self->state) return 0;
  for (const auto& v : self->state->variants)
    if (int status = v->traverse(visit, arg)) return status;
  for (const auto& w : self->state->worlds) {
    Py_VISIT(w->found.get());
    if (int status = w->guards->traverse(visit, arg)) return status;
  }
  return 0;
}
int clear(PyObject* o) {
  CompiledObject* self = self_of(o);
  delete std::exchange(self->state, new State);
  Py_CLEAR(self->dict);
  Py_CLEAR(self->examine);
  return 0;
}
void dealloc(PyObject* o) {
  enter_thread();
  CompiledObject* self = self_of(o);
  PyObject_GC_UnTrack(o);
  if (self->weakrefs) PyObject_ClearWeakRefs(o);
  delete std::exchange(self->state, nullptr);
  Py_CLEAR(self->dict);
  Py_CLEAR(self->examine);
  Py_CLEAR(self->function);
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* get_bound(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

// What the object does not have, the function has: __name__, __doc__, ...
PyObject* get_attribute(PyObject* o, PyObject* name) {
  PyObject* found = PyObject_GenericGetAttr(o, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_GetAttr(self_of(o)->function, name);
}
PyObject* get_doc(PyObject* o, void*) {
  return PyObject_GetAttrString(self_of(o)->function, "__doc__");
}
PyObject* get_active(PyObject* o, void*) {
  return PyBool_FromLong(self_of(o)->state->reason.empty());
}
PyObject* repr(PyObject* o) { return PyUnicode_FromFormat("<compiled %R>", self_of(o)->function); }

PyObject* stats(PyObject* o, PyObject*) {
  const State& s = *self_of(o)->state;
  return Py_BuildValue("{s:n,s:L,s:L,s:L,s:L,s:z}", "variants",
                       static_cast<Py_ssize_t>(s.variants.size()), "recordings", s.recordings,
                       "replays", s.replays(), "misses", s.misses, "eager_calls", s.eager_calls,
                       "reason", s.reason.empty() ? nullptr : s.reason.c_str());
}

const Graph* last_graph(PyObject* o) {
  const State& s = *self_of(o)->state;
  return s.variants.empty() ? nullptr : &s.variants[s.last]->program().graph();
}
PyObject* graph(PyObject* o, PyObject*) {
  return guarded([&]() -> PyObject* {
    const Graph* g = last_graph(o);
    return PyUnicode_FromString(g ? g->text().c_str() : "");
  });
}
PyObject* explain(PyObject* o, PyObject*) {
  return guarded([&]() -> PyObject* {
    const State& s = *self_of(o)->state;
    std::string text = s.reason.empty() ? "" : "Runs uncompiled: " + s.reason + "\n";
    if (!s.variants.empty()) text += s.variants[s.last]->program().explain();
    return PyUnicode_FromString(text.c_str());
  });
}
PyObject* dot(PyObject* o, PyObject*) {
  return guarded([&]() -> PyObject* {
    const Graph* g = last_graph(o);
    return PyUnicode_FromString(g ? g->dot().c_str() : "digraph program {\n}\n");
  });
}

PyObject* store(PyObject* o, PyObject*) {
  return guarded([&]() -> PyObject* {
    const State& s = *self_of(o)->state;
    FG_CHECK(!s.variants.empty(), "save_program: ", name_of(self_of(o)->function),
             s.reason.empty() ? str(" has not been called yet; call it once, to record it")
                              : str(" is not compiled: ", s.reason));
    return s.variants[s.last]->store().release();
  });
}

PyMethodDef methods[] = {
    {"_store", store, METH_NOARGS, "What fastgrad.save_program writes."},
    {"stats", stats, METH_NOARGS,
     "How often the function was recorded, replayed and run as it is.\n\n"
     "Returns:\n    A dict: variants (recordings that are kept), recordings, replays, misses\n"
     "    (variants that did not fit a call), eager_calls, and reason: why the function is not\n"
     "    compiled, or None."},
    {"graph", graph, METH_NOARGS,
     "The instructions of the variant that ran last, one per line.\n\n"
     "`@` is memory outside, `#` a constant, `%` memory of the program; the number behind the dot\n"
     "counts the writes."},
    {"explain", explain, METH_NOARGS,
     "What became of the variant that ran last: what runs block by block, what does not and why."},
    {"dot", dot, METH_NOARGS, "The same instructions as a graph, in Graphviz' language."},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef getset[] = {
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {"active", get_active, nullptr,
     "Whether calls are recorded and replayed; False once it runs uncompiled.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CompiledObject, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(CompiledObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CompiledObject, weakrefs), READONLY, nullptr},
    {"__wrapped__", T_OBJECT, offsetof(CompiledObject, function), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(make)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(get_bound)},
    {Py_tp_getattro, reinterpret_cast<void*>(get_attribute)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad._core.CompiledFunction", sizeof(CompiledObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

// Called by Python code of ours that decides in Python what to call next.
PyObject* run_in_parts(PyObject*, PyObject* why) {
  return guarded([&]() -> PyObject* {
    if (Recorder* r = recorder()) r->refuse(text_of(why), true);
    return PyBool_FromLong(t_in_parts && !recorder());
  });
}

PyMethodDef functions[] = {
    {"_run_in_parts", run_in_parts, METH_O,
     "Refuses a recording, for the reason given; returns whether functions that are called here "
     "should be compiled instead."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_compiled_function_type(PyObject* module) {
  check_status(PyModule_AddFunctions(module, functions));
  add_stand_in_type();
  g_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&spec)));
  check_status(
      PyModule_AddObjectRef(module, "CompiledFunction", reinterpret_cast<PyObject*>(g_type)));
}

}  // namespace fastgrad::py
