#include "bindings/generator_object.h"

#include <structmember.h>

#include <cstddef>
#include <cstring>

#include "bindings/tensor_object.h"
#include "bindings/types.h"
#include "kernels/copy.h"

namespace fastgrad::py {
namespace {

struct GeneratorObject {
  PyObject_HEAD Generator* generator;
  bool owned;  // the default generator lives for ever
  PyObject* weakrefs;
};
PyTypeObject* g_generator_type = nullptr;
PyObject* g_default = nullptr;

PyObject* wrap_generator(PyTypeObject* type, Generator* g, bool owned) {
  auto* self = reinterpret_cast<GeneratorObject*>(check(type->tp_alloc(type, 0)));
  self->generator = g;
  self->owned = owned;
  return reinterpret_cast<PyObject*>(self);
}

// PyTorch's CPU generators start from this seed.
constexpr uint64_t kFirstSeed = 67280421310721;

PyObject* generator_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* device = nullptr;
  static const char* names[] = {"device", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Generator", const_cast<char**>(names),
                                   &device))
    return nullptr;
  return guarded([&] {
    if (device) check_device(device);
    return wrap_generator(type, new Generator(kFirstSeed), true);
  });
}

void generator_dealloc(PyObject* self) {
  auto* o = reinterpret_cast<GeneratorObject*>(self);
  if (o->weakrefs) PyObject_ClearWeakRefs(self);
  if (o->owned) delete o->generator;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* manual_seed(PyObject* self, PyObject* seed) {
  return guarded([&] {
    FG_CHECK(PyLong_Check(seed) || PyIndex_Check(seed), "manual_seed expected a long, but got ",
             type_name(seed));
    generator_of(self).manual_seed(to_seed(seed));
    return Py_NewRef(self);
  });
}
PyObject* initial_seed(PyObject* self, PyObject*) {
  return PyLong_FromUnsignedLongLong(generator_of(self).initial_seed());
}
PyObject* seed(PyObject* self, PyObject*) {
  return guarded([&] {
    generator_of(self).manual_seed(system_seed());
    return initial_seed(self, nullptr);
  });
}
PyObject* get_state(PyObject* self, PyObject*) {
  return guarded([&] { return generator_state(generator_of(self)); });
}
PyObject* set_state(PyObject* self, PyObject* state) {
  return guarded([&] {
    set_generator_state(generator_of(self), state);
    return Py_NewRef(self);
  });
}
PyObject* clone_state(PyObject* self, PyObject*) {
  return guarded([&] {
    auto* g = new Generator(0);
    g->set_state(generator_of(self).state());
    return wrap_generator(g_generator_type, g, true);
  });
}
PyObject* get_device(PyObject*, void*) { return cpu_device(); }

// Pickled and copied by state.
PyObject* reduce(PyObject* self, PyObject*) {
  return guarded([&] {
    Object restore =
        own(PyObject_GetAttrString(reinterpret_cast<PyObject*>(g_generator_type), "_from_state"));
    Object state = own(generator_state(generator_of(self)));
    return Py_BuildValue("(O(O))", restore.get(), state.get());
  });
}
PyObject* from_state(PyObject* type, PyObject* state) {
  return guarded([&] {
    Object self =
        own(wrap_generator(reinterpret_cast<PyTypeObject*>(type), new Generator(0), true));
    set_generator_state(generator_of(self.get()), state);
    return self.release();
  });
}

PyMethodDef methods[] = {
    {"manual_seed", manual_seed, METH_O,
     "Sets the seed and starts from the beginning; the generator itself."},
    {"initial_seed", initial_seed, METH_NOARGS, "The seed."},
    {"seed", seed, METH_NOARGS, "Sets a seed that the system draws, and returns it."},
    {"get_state", get_state, METH_NOARGS, "The state as a tensor of bytes."},
    {"set_state", set_state, METH_O, "Goes back to a state that get_state gave."},
    {"clone_state", clone_state, METH_NOARGS, "A new generator in the same state."},
    {"_from_state", from_state, METH_O | METH_CLASS, nullptr},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef getset[] = {
    {"device", get_device, nullptr, "Where it makes numbers: the CPU.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(GeneratorObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(generator_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(generator_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_doc, const_cast<char*>("Generator(device='cpu')\n\nA source of random numbers: a seed "
                                  "and a position. The numbers depend on these "
                                  "two alone, not on the number of threads.\n\nExample:\n    >>> g "
                                  "= fg.Generator().manual_seed(0)\n"
                                  "    >>> g.initial_seed()\n    0\n")},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad.Generator", sizeof(GeneratorObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

void add_generator_type(PyObject* module) {
  g_generator_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&spec)));
  check_status(
      PyModule_AddObjectRef(module, "Generator", reinterpret_cast<PyObject*>(g_generator_type)));
  g_default = wrap_generator(g_generator_type, &default_generator(), false);
  check_status(PyModule_AddObjectRef(module, "default_generator", g_default));
}

bool is_generator(PyObject* o) {
  return Py_TYPE(o) == g_generator_type || PyType_IsSubtype(Py_TYPE(o), g_generator_type);
}
Generator& generator_of(PyObject* o) { return *reinterpret_cast<GeneratorObject*>(o)->generator; }
PyObject* default_generator_object() { return Py_NewRef(g_default); }

uint64_t to_seed(PyObject* o) {
  Object number = own(PyNumber_Long(o));
  uint64_t seed = PyLong_AsUnsignedLongLong(number.get());
  if (!PyErr_Occurred()) return seed;
  PyErr_Clear();
  int overflow = 0;
  int64_t negative = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
  FG_CHECK_VALUE(!overflow,
                 "Overflow when unpacking long long: a seed lies between -2^63 and 2^64 - 1, got ",
                 text_of(o));
  return static_cast<uint64_t>(negative);
}

PyObject* generator_state(Generator& g) {
  Generator::State s = g.state();
  Array bytes = Array::empty(Dims{static_cast<int64_t>(sizeof s)}, DType::UInt8);
  std::memcpy(bytes.data, &s, sizeof s);
  return wrap(Tensor(std::move(bytes)));
}

void set_generator_state(Generator& g, PyObject* state) {
  FG_CHECK_TYPE(is_tensor(state) && impl_of(state)->array.dtype == DType::UInt8,
                "RNG state must be a fastgrad.ByteTensor");
  Array bytes = as_contiguous(impl_of(state)->array);
  Generator::State s;
  FG_CHECK(bytes.numel == static_cast<int64_t>(sizeof s), "Expected a generator state of size ",
           sizeof s, " but found the input RNG state size to be ", bytes.numel);
  std::memcpy(&s, bytes.data, sizeof s);
  g.set_state(s);
}

}  // namespace fastgrad::py
