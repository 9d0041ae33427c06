#include "bindings/function.h"

#include <structmember.h>

#include <cstddef>

#include "base/threads.h"
#include "bindings/op_rows.h"
#include "core/inplace.h"
#include "core/promotion.h"
#include "ops/convert.h"

namespace fastgrad::py {
namespace {

struct FunctionObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  const Definition* definition;
};
PyTypeObject* g_function_type = nullptr;

const Definition& definition_of(PyObject* o) {
  return *reinterpret_cast<FunctionObject*>(o)->definition;
}

// out=: the result is written into the given tensor, which is returned.
Object write_out(const Definition& d, const Overload& o, PyObject* result, PyObject* out) {
  if (PyTuple_Check(result)) {
    FG_CHECK_TYPE(PyTuple_Check(out) || PyList_Check(out), d.name,
                  "(): argument 'out' must be tuple of Tensors, not ", type_name(out));
    Py_ssize_t n = PyTuple_GET_SIZE(result);
    FG_CHECK_TYPE(PySequence_Fast_GET_SIZE(out) == n, d.name, "(): argument 'out' must have ", n,
                  " tensors, not ", PySequence_Fast_GET_SIZE(out));
    for (Py_ssize_t i = 0; i < n; ++i)
      write_out(d, o, PyTuple_GET_ITEM(result, i), PySequence_Fast_ITEMS(out)[i]);
    if (PyTuple_CheckExact(result)) return Object::borrow(out);
    return own(
        PyObject_CallOneArg(reinterpret_cast<PyObject*>(Py_TYPE(result)), out));  // a named tuple
  }
  FG_CHECK_TYPE(is_tensor(out), d.name, "(): argument 'out' must be Tensor, not ", type_name(out));
  Tensor from = tensor_of(result), to = tensor_of(out);
  FG_CHECK(
      !(grad_enabled() &&
        (from.requires_grad() || (to.requires_grad() && !(d.places & kNoGradient)))),
      d.name,
      "(): functions with out=... arguments don't support automatic differentiation, but one of "
      "the arguments requires grad.");
  if (d.places & kExactOut || o.exact_out) check_exact_out(d.name.c_str(), from, to);
  FG_CHECK(d.places & kCopiedOut || can_cast(from.dtype(), to.dtype()), "result type ",
           scalar_type_name(from.dtype()), " can't be cast to the desired output type ",
           scalar_type_name(to.dtype()));
  FG_CHECK(
      to.is_contiguous() || !may_overlap_itself(to.shape(), to.strides()),
      "unsupported operation: more than one element of the written-to tensor refers to a single "
      "memory location. Please clone() the tensor before performing the operation.");
  if (from.shape() != to.shape() && to.numel() != 0)
    warn(str("An output with one or more elements was resized since it had shape ", to.shape(),
             ", which does not match the required output shape ", from.shape(),
             ". Pass a tensor of that shape, or one of zero elements."));
  resize_output(to, from.shape());
  GradModeGuard no_grad(false);
  copy_(to, from);
  return Object::borrow(out);
}

[[gnu::hot]] PyObject* run(const Definition& d, const Overload& o, PyObject** slots) {
  PyObject* out = nullptr;
  if (o.out >= 0 && slots[o.out] && slots[o.out] != Py_None) out = slots[o.out];
  if (!d.inplace) {
    PyObject* made;
    if (o.row) {
      const RowCall call = o.row(Arguments(slots));
      if (out && is_tensor(out) && call.run_out(tensor_of(out))) return Py_NewRef(out);
      made = wrap(call.run());
    } else if (d.places & kLazy) {
      made = o.body(Arguments(slots));
    } else {
      deferred::settle();
      deferred::AtOnce here;
      made = o.body(Arguments(slots));
    }
    Object result = own(made);
    if (!out) return result.release();
    return write_out(d, o, result.get(), out).release();
  }
  PyObject* self = slots[0];
  // Bodies that look at the function's out= find none.
  if (const size_t n = o.signature.parameters().size(); n < kMaxParameters) slots[n] = Py_None;
  if (o.row) {
    o.row(Arguments(slots)).run_inplace(tensor_of(self));
    return Py_NewRef(self);
  }
  deferred::settle();
  deferred::AtOnce here;
  const std::string op = d.name.substr(0, d.name.size() - 1);  // without "_"
  assign_inplace(tensor_of(self), op.c_str(), [&](const Tensor& x) {
    Object input(wrap(x));
    slots[0] = input.get();
    Object result(o.body(Arguments(slots)));
    slots[0] = self;
    if (!result) throw_python_error();
    FG_CHECK_TYPE(is_tensor(result.get()), d.name, "() has no in-place form");
    return tensor_of(result.get());
  });
  return Py_NewRef(self);
}

std::string describe_arguments(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  std::string s = "(";
  for (Py_ssize_t i = 0; i < nargs; ++i) s += (i ? ", " : "") + type_name(args[i]);
  Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  for (Py_ssize_t i = 0; i < nkw; ++i)
    s += (nargs + i ? ", " : "") + text_of(PyTuple_GET_ITEM(kwnames, i)) + "=" +
         type_name(args[nargs + i]);
  return s + ")";
}

[[gnu::cold]] void fail_to_bind(const Definition& d, PyObject* const* args, Py_ssize_t nargs,
                                PyObject* kwnames) {
  PyObject* slots[kMaxParameters];
  Object scratch;
  std::string why;
  if (d.overloads.size() == 1) {
    d.overloads[0].signature.bind(args, nargs, kwnames, slots, scratch, &why, d.name.c_str());
    fail(ErrorKind::Type, why);
  }
  std::string text = d.name + "() received an invalid combination of arguments - got " +
                     describe_arguments(args, nargs, kwnames) + ", but expected one of:";
  for (const Overload& o : d.overloads) {
    o.signature.bind(args, nargs, kwnames, slots, scratch, &why, d.name.c_str());
    text += "\n * " + o.signature.text() + "\n      " + why;
  }
  fail(ErrorKind::Type, text);
}

[[gnu::hot]] PyObject* call_definition(const Definition& d, PyObject* const* args, Py_ssize_t nargs,
                                       PyObject* kwnames) {
  if (!kwnames && d.inplace && nargs == 2 && d.binary != Op::kCount && is_tensor(args[0]) &&
      is_tensor(args[1])) {
    Tensor self = tensor_of(args[0]);
    Operand operands[] = {self, tensor_of(args[1])};
    elementwise_inplace(d.binary, self, operands);
    return Py_NewRef(args[0]);
  }
  if (!kwnames && d.inplace && nargs == 1 && d.unary != Op::kCount && is_tensor(args[0])) {
    Tensor self = tensor_of(args[0]);
    Operand x(self);
    elementwise_inplace(d.unary, self, {&x, 1});
    return Py_NewRef(args[0]);
  }
  if (!kwnames && !d.inplace) {
    if (nargs == 1 && d.unary != Op::kCount && is_tensor(args[0]))
      return wrap(elementwise(d.unary, Operand(impl_of(args[0]))));
    if (nargs == 2 && d.binary != Op::kCount && is_tensor(args[0]) && is_tensor(args[1]))
      return wrap(elementwise(d.binary, Operand(impl_of(args[0])), Operand(impl_of(args[1]))));
  }
  PyObject* slots[kMaxParameters];
  if (nargs == 1 && !kwnames && d.overloads[0].takes_one && is_tensor(args[0])) {
    const Overload& o = d.overloads[0];
    const auto& parameters = o.signature.parameters();
    slots[0] = args[0];
    for (size_t i = 1; i < parameters.size(); ++i) slots[i] = parameters[i].default_value.get();
    return run(d, o, slots);
  }
  Object scratch;
  for (const Overload& o : d.overloads)
    if (o.signature.bind(args, nargs, kwnames, slots, scratch, nullptr, nullptr))
      return run(d, o, slots);
  fail_to_bind(d, args, nargs, kwnames);
  return nullptr;
}

PyObject* call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  enter_thread();
  return guarded_lazily([&] {
    return call_definition(definition_of(self), args, PyVectorcall_NARGS(nargsf), kwnames);
  });
}

PyObject* get_bound(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

// Attributes

const char* short_name(const Definition& d) {
  size_t dot = d.name.rfind('.');
  return d.name.c_str() + (dot == std::string::npos ? 0 : dot + 1);
}
PyObject* get_name(PyObject* self, void*) {
  return PyUnicode_FromString(short_name(definition_of(self)));
}
PyObject* get_qualname(PyObject* self, void*) {
  const Definition& d = definition_of(self);
  return d.places & kFunction ? get_name(self, nullptr)
                              : PyUnicode_FromFormat("Tensor.%s", short_name(d));
}
PyObject* get_module(PyObject* self, void*) {
  const Definition& d = definition_of(self);
  size_t dot = d.name.rfind('.');
  if (d.name[0] == '_' && d.places & kFunction) return PyUnicode_FromString("fastgrad._core");
  return PyUnicode_FromString(
      dot == std::string::npos ? "fastgrad" : ("fastgrad." + d.name.substr(0, dot)).c_str());
}
std::string whole_text(const Overload& o) {
  return o.signature.text() + " -> " + o.signature.returns();
}
// Signatures and summary, completed from the reference pages, which are read at the first use.
PyObject* get_doc(PyObject* self, void*) {
  const Definition& d = definition_of(self);
  std::string signatures;
  for (const Overload& o : d.overloads) signatures += short_name(d) + whole_text(o) + "\n";
  Object docs(PyImport_ImportModule("fastgrad._docs"));
  if (!docs) return nullptr;
  std::string name = d.places & kFunction ? d.name : "Tensor." + d.name;
  return PyObject_CallMethod(docs.get(), "describe", "sss", name.c_str(), signatures.c_str(),
                             d.doc.c_str());
}
PyObject* repr(PyObject* self) {
  return PyUnicode_FromFormat("<fastgrad function %s>", definition_of(self).name.c_str());
}
// Pickled by name.
PyObject* reduce(PyObject* self, PyObject*) { return get_qualname(self, nullptr); }

PyGetSetDef getset[] = {
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_qualname, nullptr, nullptr, nullptr},
    {"__module__", get_module, nullptr, nullptr, nullptr},
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FunctionObject, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(get_bound)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_getset, getset},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad._core.OpFunction", sizeof(FunctionObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                    slots};

Object make_function(const Definition& d) {
  auto* f = PyObject_New(FunctionObject, g_function_type);
  if (!f) throw PythonError{};
  f->vectorcall = call;
  f->definition = &d;
  return Object(reinterpret_cast<PyObject*>(f));
}

// module.linalg for "linalg.det", made on demand.
Object submodule(PyObject* module, const std::string& path) {
  Object at = Object::borrow(module);
  std::string full = "fastgrad._core";
  size_t start = 0;
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', start)) {
    std::string part = path.substr(start, dot - start);
    full += "." + part;
    Object next(PyObject_GetAttrString(at.get(), part.c_str()));
    if (!next) {
      PyErr_Clear();
      next = Object::borrow(check(PyImport_AddModule(full.c_str())));  // importable by its name
      check_status(PyObject_SetAttrString(at.get(), part.c_str(), next.get()));
    }
    at = next;
    start = dot + 1;
  }
  return at;
}

}  // namespace

void check_exact_out(const char* function, const Tensor& result, const Tensor& out) {
  FG_CHECK(result.dtype() == out.dtype(), "Found dtype ", scalar_type_name(out.dtype()),
           " but expected ", scalar_type_name(result.dtype()), ": the out= of ", function,
           " is not converted");
}

Definition& Definition::on(const char* signature, Body body) {
  add_overload(signature).body = body;
  return *this;
}

Definition& Definition::on_row(const char* signature, RowBody row_body) {
  add_overload(signature).row = row_body;
  return *this;
}

Definition& Definition::with_exact_out() {
  overloads.back().exact_out = true;
  return *this;
}

Overload& Definition::add_overload(const char* signature) {
  overloads.push_back({Signature(signature)});
  Overload& o = overloads.back();
  for (size_t i = 0; i < o.signature.parameters().size(); ++i)
    if (o.signature.parameters()[i].name == "out") o.out = static_cast<int>(i);
  const auto& p = o.signature.parameters();
  o.takes_one = !p.empty() && (p[0].kind == Kind::Tensor || p[0].kind == Kind::Operand);
  for (size_t i = 1; i < p.size(); ++i) o.takes_one = o.takes_one && p[i].has_default;
  return o;
}

Definition* Registry::find(std::string_view name) {
  for (auto& d : definitions_)
    if (d->name == name) return d.get();
  return nullptr;
}

Definition& Registry::alias(const char* name, const char* original, unsigned places) {
  const Definition* from = find(original);
  FG_CHECK(from, "alias ", name, " of the unknown function ", original);
  Definition& d = add(name, places, from->doc.c_str());
  d.overloads = from->overloads;
  d.row = from->row;
  d.unary = from->unary;
  d.binary = from->binary;
  return d;
}

Definition& Registry::alias(const char* name, const char* original) {
  const Definition* from = find(original);
  return alias(name, original, from ? from->places : 0);
}

Definition& Registry::add(const char* name, unsigned places, const char* doc) {
  definitions_.push_back(std::make_unique<Definition>());
  Definition& d = *definitions_.back();
  d.name = name;
  d.places = places;
  d.doc = doc;
  return d;
}

void Registry::install(PyObject* module) {
  // name_ of every function that has one.
  size_t n = definitions_.size();
  for (size_t i = 0; i < n; ++i) {
    const Definition& d = *definitions_[i];
    if (!(d.places & kInplace)) continue;
    Definition& in = add((d.name + "_").c_str(), d.places & kInplaceFunction ? kBoth : kMethod, "");
    in.doc = "In-place form of :func:`fastgrad." + d.name + "`.";
    // Where a number comes first there is no tensor to write into; out= would name another one.
    for (const Overload& o : d.overloads) {
      if (o.signature.parameters()[0].kind == Kind::Number) continue;
      in.overloads.push_back(o);
      if (o.out < 0) continue;
      FG_CHECK(static_cast<size_t>(o.out) + 1 == o.signature.parameters().size(), d.name,
               ": out= comes last");
      in.overloads.back().signature = o.signature.without_last();
      in.overloads.back().out = -1;
    }
    in.row = d.row;
    in.unary = d.unary;
    in.binary = d.binary;
    in.inplace = true;
  }
  for (auto& d : definitions_) {
    Object f = make_function(*d);
    const char* name = short_name(*d);
    if (d->places & kFunction)
      check_status(PyObject_SetAttrString(submodule(module, d->name).get(), name, f.get()));
    if (d->places & kMethod)
      check_status(
          PyObject_SetAttrString(reinterpret_cast<PyObject*>(g_tensor_type), name, f.get()));
  }
}

void add_function_type(PyObject* module) {
  g_function_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&spec)));
  check_status(
      PyModule_AddObjectRef(module, "OpFunction", reinterpret_cast<PyObject*>(g_function_type)));
}

PyObject* function_table(const Registry& registry) {
  Object list = own(PyList_New(0));
  for (auto& d : registry.definitions()) {
    Object signatures = own(PyList_New(0));
    for (const Overload& o : d->overloads) {
      Object s = own(PyUnicode_FromString(whole_text(o).c_str()));
      check_status(PyList_Append(signatures.get(), s.get()));
    }
    Object elementwise = Object::borrow(Py_None);
    if (d->row != Op::kCount) {
      const RowFacts& facts = row_facts(d->row);
      elementwise = own(Py_BuildValue("{s:s,s:i,s:s,s:s}", "row", facts.name, "arity", facts.arity,
                                      "types", facts.types, "domain", facts.domain));
    }
    Object row =
        own(Py_BuildValue("{s:s,s:O,s:O,s:O,s:s,s:O}", "name", d->name.c_str(), "function",
                          d->places & kFunction ? Py_True : Py_False, "method",
                          d->places & kMethod ? Py_True : Py_False, "signatures", signatures.get(),
                          "doc", d->doc.c_str(), "elementwise", elementwise.get()));
    check_status(PyList_Append(list.get(), row.get()));
  }
  return list.release();
}

}  // namespace fastgrad::py
