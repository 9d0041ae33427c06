#include "bindings/tensor_object.h"

#include <structmember.h>

#include <cstddef>

#include "bindings/constructor.h"
#include "bindings/node_object.h"
#include "bindings/tensor_slots.h"

namespace fastgrad::py {

PyTypeObject* g_tensor_type = nullptr;

namespace {

// Wrappers of exact type that wait for re-use. Under the GIL, so one list serves all threads.
constexpr int kMaxFree = 2048;
TensorObject* g_free = nullptr;
int g_free_count = 0;

// Impl::python: the wrapper; the low bit says that the Impl owns it.
TensorObject* wrapper_of(const TensorImpl* t) {
  return reinterpret_cast<TensorObject*>(reinterpret_cast<uintptr_t>(t->python) & ~uintptr_t{1});
}
bool owns_wrapper(const TensorImpl* t) { return reinterpret_cast<uintptr_t>(t->python) & 1; }

TensorObject* allocate() {
  if (TensorObject* o = g_free) [[likely]] {
    g_free = reinterpret_cast<TensorObject*>(o->impl);
    --g_free_count;
    _Py_NewReference(reinterpret_cast<PyObject*>(o));  // its type is still set, and counted
    return o;
  }
  auto* o = PyObject_GC_New(TensorObject, g_tensor_type);
  if (!o) throw PythonError{};
  return o;
}

// Whether the wrapper must outlive its last Python reference.
bool flip_ownership(TensorObject* o) {
  TensorImpl* t = o->impl;
  if (!t || t->refs.get() < 2) return false;
  bool carries =
      Py_TYPE(o) != g_tensor_type || (o->dict && PyDict_GET_SIZE(o->dict) > 0) || o->weakrefs;
  if (!carries) return false;
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(o), 1);
  t->python = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(o) | 1);
  t->release();  // the other owners keep it
  return true;
}

void drop_impl(TensorObject* o) {
  if (TensorImpl* t = std::exchange(o->impl, nullptr)) {
    t->python = nullptr;
    t->release();
  }
}

[[gnu::hot]] void dealloc(PyObject* self) {
  enter_thread();
  auto* o = reinterpret_cast<TensorObject*>(self);
  if (flip_ownership(o)) return;
  if (o->tracked) PyObject_GC_UnTrack(self);
  if (o->weakrefs) PyObject_ClearWeakRefs(self);
  Py_CLEAR(o->dict);
  drop_impl(o);
  if (g_free_count < kMaxFree) {
    o->impl = reinterpret_cast<TensorImpl*>(g_free);
    g_free = o;
    ++g_free_count;
    return;
  }
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

// Empties the __slots__ of a subclass.
void clear_slots(PyObject* self) {
  for (PyTypeObject* t = Py_TYPE(self); t != g_tensor_type; t = t->tp_base) {
    for (PyMemberDef* m = t->tp_members; m && m->name; ++m) {
      if (m->type != T_OBJECT_EX || (m->flags & READONLY)) continue;
      auto** at = reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + m->offset);
      Py_CLEAR(*at);
    }
  }
}

// Replaces CPython's own tp_dealloc for subclasses, which has no place to keep the object alive.
void subclass_dealloc(PyObject* self) {
  enter_thread();
  auto* o = reinterpret_cast<TensorObject*>(self);
  if (flip_ownership(o)) return;
  PyTypeObject* type = Py_TYPE(self);
  if (type->tp_finalize && PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyObject_GC_UnTrack(self);
  if (o->weakrefs) PyObject_ClearWeakRefs(self);
  clear_slots(self);
  Py_CLEAR(o->dict);
  drop_impl(o);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* init_subclass(PyObject* cls, PyObject*) {
  reinterpret_cast<PyTypeObject*>(cls)->tp_dealloc = subclass_dealloc;
  Py_RETURN_NONE;
}

// Note [Garbage collection]
// A tensor can be part of a cycle of Python objects through its __dict__, through hooks and through
// the context of the custom function that made it (a graph's own cycles are Note [Cycles through
// .grad]). Tensors are tracked by the collector from the moment they get one of these; instances of
// subclasses always are. Hooks and context count as references of the wrapper only while it alone
// owns the tensor and, for a result, the node. A context clears itself.
using GradHooks = std::vector<std::shared_ptr<GradHook>>;

template <class F>
void for_each_own_hook(TensorImpl* t, F&& f) {
  if (!t || t->refs.get() != 1) return;
  if (t->extras) {
    f(t->extras->hooks);
    f(t->extras->post_hooks);
  }
  if (t->node && !t->node->is_accumulator() && t->node->refs.get() == 1 && t->node->extras) {
    GradHooks hooks;
    for (auto& h : t->node->extras->output_hooks) hooks.push_back(h.hook);
    f(hooks);
  }
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  auto* o = reinterpret_cast<TensorObject*>(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(o->dict);
  int status = 0;
  for_each_own_hook(o->impl, [&](const GradHooks& hooks) {
    for (auto& h : hooks)
      if (auto* callable = static_cast<PyObject*>(h->python_callable()); callable && !status)
        status = visit(callable, arg);
  });
  if (status) return status;
  if (o->impl && o->impl->refs.get() == 1 && o->impl->node && o->impl->node->refs.get() == 1)
    Py_VISIT(custom_context(*o->impl->node));
  return 0;
}
int clear(PyObject* self) {
  auto* o = reinterpret_cast<TensorObject*>(self);
  Py_CLEAR(o->dict);
  // The hooks die when this function returns; one of them may hold the last reference to self.
  GradHooks dying;
  TensorImpl* t = o->impl;
  if (!t || t->refs.get() != 1) return 0;
  if (t->extras) {
    dying.swap(t->extras->hooks);
    for (auto& h : t->extras->post_hooks) dying.push_back(h);
    t->extras->post_hooks.clear();
  }
  if (t->node && !t->node->is_accumulator() && t->node->refs.get() == 1 && t->node->extras) {
    for (auto& h : t->node->extras->output_hooks) dying.push_back(h.hook);
    t->node->extras->output_hooks.clear();
  }
  return 0;
}
int set_attribute(PyObject* self, PyObject* name, PyObject* value) {
  if (PyObject_GenericSetAttr(self, name, value) < 0) return -1;
  if (reinterpret_cast<TensorObject*>(self)->dict) track(self);
  return 0;
}

void release_wrapper(void* tagged) {
  // A TensorImpl that owns its wrapper dies, possibly without the GIL.
  if (interpreter_is_gone()) return;
  AcquireGil gil;
  auto* o = reinterpret_cast<TensorObject*>(reinterpret_cast<uintptr_t>(tagged) & ~uintptr_t{1});
  if (!(reinterpret_cast<uintptr_t>(tagged) & 1)) return;
  o->impl = nullptr;
  Py_DECREF(reinterpret_cast<PyObject*>(o));
}

PyMethodDef life_methods[] = {
    {"__init_subclass__", init_subclass, METH_CLASS | METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(TensorObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

}  // namespace

void track(PyObject* tensor) {
  if (Py_TYPE(tensor) != g_tensor_type) return;  // is tracked from the start
  auto* o = reinterpret_cast<TensorObject*>(tensor);
  if (o->tracked) return;
  o->tracked = true;
  PyObject_GC_Track(tensor);
}

[[gnu::hot]] PyObject* wrap(Tensor t) {
  if (!t.defined()) return none();
  TensorImpl* p = t.impl();
  if (p->python) {
    TensorObject* o = wrapper_of(p);
    PyObject* self = reinterpret_cast<PyObject*>(o);
    if (!owns_wrapper(p)) return Py_NewRef(self);
    p->python = o;  // flip back: the reference the Impl held goes to the caller
    o->impl = t.detach_handle();
    return self;
  }
  TensorObject* o = allocate();
  o->dict = nullptr;
  o->weakrefs = nullptr;
  o->tracked = false;
  o->impl = t.detach_handle();
  p->python = o;
  return reinterpret_cast<PyObject*>(o);
}

PyObject* wrap_as(PyTypeObject* type, Tensor t) {
  if (type == g_tensor_type) return wrap(std::move(t));
  auto* o = reinterpret_cast<TensorObject*>(check(type->tp_alloc(type, 0)));
  o->impl = t.detach_handle();
  o->impl->python = o;
  return reinterpret_cast<PyObject*>(o);
}

PyObject* wrap(const Tensors& ts) {
  Object list = own(PyList_New(static_cast<Py_ssize_t>(ts.size())));
  for (size_t i = 0; i < ts.size(); ++i)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), wrap(ts[i]));
  return list.release();
}

PyObject* wrap_tuple(const Tensors& ts) {
  Object tuple = own(PyTuple_New(static_cast<Py_ssize_t>(ts.size())));
  for (size_t i = 0; i < ts.size(); ++i)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), wrap(ts[i]));
  return tuple.release();
}

void add_tensor_type(PyObject* module) {
  g_release_python = release_wrapper;
  std::vector<PyType_Slot> slots = tensor_slots();
  slots.push_back({Py_tp_new, reinterpret_cast<void*>(tensor_new)});
  slots.push_back({Py_tp_dealloc, reinterpret_cast<void*>(dealloc)});
  slots.push_back({Py_tp_traverse, reinterpret_cast<void*>(traverse)});
  slots.push_back({Py_tp_clear, reinterpret_cast<void*>(clear)});
  slots.push_back({Py_tp_setattro, reinterpret_cast<void*>(set_attribute)});
  slots.push_back({Py_tp_free, reinterpret_cast<void*>(PyObject_GC_Del)});
  slots.push_back({Py_tp_members, members});
  slots.push_back({Py_tp_methods, life_methods});
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"fastgrad.Tensor", sizeof(TensorObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  g_tensor_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&spec)));
  check_status(PyModule_AddObjectRef(module, "Tensor", reinterpret_cast<PyObject*>(g_tensor_type)));
}

}  // namespace fastgrad::py
