#include "bindings/traced_number.h"

#include <algorithm>
#include <cmath>

#include "bindings/tensor_object.h"

namespace fastgrad::py {

int g_stand_ins = 0;

namespace {

struct StandIn {
  PyObject_HEAD std::shared_ptr<NumberInputs> recording;
  NumberFormula formula;
  double value;
};
PyTypeObject* g_type = nullptr;

std::vector<PyObject*> g_alive;  // borrowed

StandIn* self_of(PyObject* o) { return reinterpret_cast<StandIn*>(o); }

PyObject* make(std::shared_ptr<NumberInputs> recording, NumberFormula formula, double value) {
  PyObject* o = check(g_type->tp_alloc(g_type, 0));
  StandIn* s = self_of(o);
  new (&s->recording) std::shared_ptr<NumberInputs>(std::move(recording));
  new (&s->formula) NumberFormula(std::move(formula));
  s->value = value;
  ++g_stand_ins;
  g_alive.push_back(o);
  return o;
}

void dealloc(PyObject* o) {
  PyObject_GC_UnTrack(o);
  StandIn* s = self_of(o);
  --g_stand_ins;
  std::erase(g_alive, o);
  std::destroy_at(&s->recording);
  std::destroy_at(&s->formula);
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

// Nothing to visit, but dictionaries without anything to visit are not among gc.get_referrers().
int traverse(PyObject* o, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(o));
  return 0;
}

// The number that is needed: a new reference.
Object plain(PyObject* o) { return is_stand_in(o) ? own(number_behind(o)) : Object::borrow(o); }

using NumberStepKind = NumberStep::Kind;

// Longer formulas are not worth their evaluation.
constexpr size_t kMaxSteps = 64;

// The formula of an operand: a stand-in, or a number that Python turns into a float exactly.
bool formula_of(PyObject* o, NumberFormula& f, double& value) {
  if (is_stand_in(o)) {
    f.insert(f.end(), self_of(o)->formula.begin(), self_of(o)->formula.end());
    value = self_of(o)->value;
    return true;
  }
  if (PyFloat_CheckExact(o)) {
    value = PyFloat_AS_DOUBLE(o);
  } else if (PyLong_CheckExact(o)) {
    value = PyLong_AsDouble(o);
    if (value == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    if (std::abs(value) > 9007199254740992.0) return false;
  } else {
    return false;
  }
  f.push_back({NumberStepKind::Constant, -1, value});
  return true;
}

using BinaryFunction = PyObject* (*)(PyObject*, PyObject*);

// a <op> b where one is a stand-in. Beside a tensor, the tensor's slot makes the operand.
template <NumberStepKind kind, BinaryFunction python>
PyObject* arithmetic(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    if (is_tensor(a) || is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
    NumberFormula f;
    double x, y;
    if (formula_of(a, f, x) && formula_of(b, f, y) && f.size() < kMaxSteps) {
      f.push_back({kind});
      const auto& recording = self_of(is_stand_in(a) ? a : b)->recording;
      double pair[] = {x, y};
      const NumberFormula apart{
          {NumberStepKind::Argument, 0}, {NumberStepKind::Argument, 1}, {kind}};
      if (auto value = evaluate(apart, pair)) return make(recording, std::move(f), *value);
    }
    return check(python(plain(a).get(), plain(b).get()));
  });
}

PyObject* negative(PyObject* a) {
  return guarded([&]() -> PyObject* {
    NumberFormula f = self_of(a)->formula;
    if (f.size() >= kMaxSteps) return check(PyNumber_Negative(plain(a).get()));
    f.push_back({NumberStepKind::Neg});
    return make(self_of(a)->recording, std::move(f), -self_of(a)->value);
  });
}

template <BinaryFunction python>
PyObject* needing(PyObject* a, PyObject* b) {
  return guarded([&] { return check(python(plain(a).get(), plain(b).get())); });
}
template <PyObject* (*python)(PyObject*)>
PyObject* needing_one(PyObject* a) {
  return guarded([&] { return check(python(plain(a).get())); });
}
PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  return guarded(
      [&] { return check(PyNumber_Power(plain(a).get(), plain(b).get(), plain(modulus).get())); });
}
PyObject* compare(PyObject* a, PyObject* b, int op) {
  if (is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded([&] { return check(PyObject_RichCompare(plain(a).get(), plain(b).get(), op)); });
}
int truth(PyObject* a) {
  return guarded([&] { return PyObject_IsTrue(plain(a).get()); }, -1);
}
Py_hash_t hash(PyObject* a) {
  return guarded([&] { return PyObject_Hash(plain(a).get()); }, Py_hash_t{-1});
}

// isinstance() asks for the class here. What the type itself lacks, the number has.
PyObject* attribute(PyObject* a, PyObject* name) {
  return guarded([&]() -> PyObject* {
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "__class__") == 0)
      return Py_NewRef(reinterpret_cast<PyObject*>(&PyFloat_Type));
    if (PyObject* own_one = PyObject_GenericGetAttr(a, name)) return own_one;
    PyErr_Clear();
    return check(PyObject_GetAttr(plain(a).get(), name));
  });
}

// Methods that Python looks for in the type and calls by these names.
template <const char* name>
PyObject* forwarded(PyObject* a, PyObject* args) {
  return guarded([&]() -> PyObject* {
    Object method = own(PyObject_GetAttrString(plain(a).get(), name));
    return check(PyObject_CallObject(method.get(), args));
  });
}
PyObject* itself(PyObject* a, PyObject*) {
  return guarded([&] { return number_behind(a); });
}
PyObject* reduce(PyObject* a, PyObject*) {
  return guarded([&] {
    return check(Py_BuildValue("O(d)", reinterpret_cast<PyObject*>(&PyFloat_Type),
                               PyFloat_AS_DOUBLE(plain(a).get())));
  });
}
PyObject* array_of(PyObject* a, PyObject* args) {
  return guarded([&]() -> PyObject* {
    PyObject* dtype = PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : Py_None;
    Object numpy = own(PyImport_ImportModule("numpy"));
    return check(PyObject_CallMethod(numpy.get(), "array", "OO", plain(a).get(), dtype));
  });
}

constexpr char kFormat[] = "__format__", kRound[] = "__round__", kTrunc[] = "__trunc__",
               kFloor[] = "__floor__", kCeil[] = "__ceil__";
PyMethodDef methods[] = {
    {kFormat, forwarded<kFormat>, METH_VARARGS, nullptr},
    {kRound, forwarded<kRound>, METH_VARARGS, nullptr},
    {kTrunc, forwarded<kTrunc>, METH_VARARGS, nullptr},
    {kFloor, forwarded<kFloor>, METH_VARARGS, nullptr},
    {kCeil, forwarded<kCeil>, METH_VARARGS, nullptr},
    {"__copy__", itself, METH_NOARGS, nullptr},
    {"__deepcopy__", itself, METH_O, nullptr},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {"__reduce_ex__", reduce, METH_O, nullptr},
    {"__array__", array_of, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

template <class Slot>
void* slot(Slot f) {
  return reinterpret_cast<void*>(f);
}
PyType_Slot slots[] = {
    {Py_tp_dealloc, slot(dealloc)},
    {Py_tp_traverse, slot(traverse)},
    {Py_tp_methods, methods},
    {Py_tp_getattro, slot(attribute)},
    {Py_tp_richcompare, slot(compare)},
    {Py_tp_hash, slot(hash)},
    {Py_tp_repr, slot(needing_one<PyObject_Repr>)},
    {Py_tp_str, slot(needing_one<PyObject_Str>)},
    {Py_nb_add, slot(arithmetic<NumberStepKind::Add, PyNumber_Add>)},
    {Py_nb_subtract, slot(arithmetic<NumberStepKind::Sub, PyNumber_Subtract>)},
    {Py_nb_multiply, slot(arithmetic<NumberStepKind::Mul, PyNumber_Multiply>)},
    {Py_nb_true_divide, slot(arithmetic<NumberStepKind::Div, PyNumber_TrueDivide>)},
    {Py_nb_floor_divide, slot(needing<PyNumber_FloorDivide>)},
    {Py_nb_remainder, slot(needing<PyNumber_Remainder>)},
    {Py_nb_divmod, slot(needing<PyNumber_Divmod>)},
    {Py_nb_matrix_multiply, slot(needing<PyNumber_MatrixMultiply>)},
    {Py_nb_power, slot(power)},
    {Py_nb_negative, slot(negative)},
    {Py_nb_positive, slot(needing_one<PyNumber_Positive>)},
    {Py_nb_absolute, slot(needing_one<PyNumber_Absolute>)},
    {Py_nb_bool, slot(truth)},
    {Py_nb_float, slot(needing_one<PyNumber_Float>)},
    {Py_nb_int, slot(needing_one<PyNumber_Long>)},
    {0, nullptr},
};
PyType_Spec spec = {"fastgrad._core.NumberInput", sizeof(StandIn), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                    slots};

}  // namespace

std::optional<double> evaluate(const NumberFormula& f, std::span<const double> arguments) {
  double stack[80];
  size_t n = 0;
  for (const NumberStep& s : f) {
    switch (s.kind) {
      case NumberStepKind::Argument:
        stack[n++] = arguments[static_cast<size_t>(s.argument)];
        continue;
      case NumberStepKind::Constant:
        stack[n++] = s.constant;
        continue;
      case NumberStepKind::Neg:
        stack[n - 1] = -stack[n - 1];
        continue;
      default:
        break;
    }
    double y = stack[--n], &x = stack[n - 1];
    if (s.kind == NumberStepKind::Add) x = x + y;
    if (s.kind == NumberStepKind::Sub) x = x - y;
    if (s.kind == NumberStepKind::Mul) x = x * y;
    if (s.kind == NumberStepKind::Div) {
      if (y == 0) return std::nullopt;
      x = x / y;
    }
  }
  return stack[0];
}

Object NumberInputs::stand_in(int i, double value) {
  return Object(make(shared_from_this(), {{NumberStepKind::Argument, i}}, value));
}

bool NumberInputs::needed(int argument) const {
  return std::find(needed_.begin(), needed_.end(), argument) != needed_.end();
}

void NumberInputs::need(const NumberFormula& f) {
  for (const NumberStep& s : f)
    if (s.kind == NumberStepKind::Argument && !needed(s.argument)) needed_.push_back(s.argument);
}

std::optional<Tensor> NumberInputs::operand(const NumberFormula& f, double value, DType dtype) {
  if (!trace_ || recorder() != trace_) return std::nullopt;  // what is not recorded needs it
  for (const Input& i : inputs_)
    if (i.dtype == dtype && i.formula == f) return i.tensor;
  Array a = Array::empty({}, dtype);
  Scalar(value).store(dtype, a.data);
  Input& made = inputs_.emplace_back();
  made.formula = f;
  made.dtype = dtype;
  made.place = trace_->external(a);
  made.tensor = Tensor(a);
  return made.tensor;
}

bool is_stand_in(PyObject* o) { return Py_TYPE(o) == g_type; }

PyObject* number_behind(PyObject* o) {
  self_of(o)->recording->need(self_of(o)->formula);
  return check(PyFloat_FromDouble(self_of(o)->value));
}

double value_behind(PyObject* o) {
  self_of(o)->recording->need(self_of(o)->formula);
  return self_of(o)->value;
}

std::optional<Tensor> operand_behind(PyObject* o, DType beside) {
  if (beside != DType::Float32 && beside != DType::Float64) return std::nullopt;
  StandIn* s = self_of(o);
  return s->recording->operand(s->formula, s->value, beside);
}

Object without_stand_ins(PyObject* o, int depth) {
  if (is_stand_in(o)) return own(number_behind(o));
  if (++depth > 64) return Object::borrow(o);  // a result nested so deep is refused anyway
  if (PyTuple_Check(o)) {
    Object tuple = own(PyTuple_New(PyTuple_GET_SIZE(o)));
    bool same = true;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i) {
      Object item = without_stand_ins(PyTuple_GET_ITEM(o, i), depth);
      same = same && item.get() == PyTuple_GET_ITEM(o, i);
      PyTuple_SET_ITEM(tuple.get(), i, item.release());
    }
    if (same) return Object::borrow(o);
    if (PyTuple_CheckExact(o)) return tuple;
    return own(PyObject_CallMethod(o, "_make", "(O)", tuple.get()));  // a named tuple
  }
  if (PyList_CheckExact(o))
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(o); ++i)
      check_status(PyList_SetItem(o, i, without_stand_ins(PyList_GET_ITEM(o, i), depth).release()));
  if (PyDict_CheckExact(o)) {
    Object keys = own(PyDict_Keys(o));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys.get()); ++i) {
      PyObject* key = PyList_GET_ITEM(keys.get(), i);
      check_status(PyDict_SetItem(o, key, without_stand_ins(PyDict_GetItem(o, key), depth).get()));
    }
  }
  return Object::borrow(o);
}

void settle_stand_ins() {
  if (g_alive.empty()) return;
  Object list = own(PyList_New(0));
  for (PyObject* o : g_alive) check_status(PyList_Append(list.get(), o));
  Object module = own(PyImport_ImportModule("fastgrad._examine"));
  own(PyObject_CallMethod(module.get(), "put_numbers", "O", list.get()));
}

void add_stand_in_type() {
  g_type = reinterpret_cast<PyTypeObject*>(check(PyType_FromSpec(&spec)));
}

}  // namespace fastgrad::py
