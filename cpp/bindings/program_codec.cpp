#include "bindings/program_codec.h"

#include "bindings/arguments.h"
#include "bindings/tensor_object.h"
#include "kernels/copy.h"
#include "program/check.h"
#include "program/names.h"

namespace fastgrad::py {
namespace {

constexpr const char* kRoles[] = {"inside", "outside", "constant"};

Object text(const char* s) { return own(PyUnicode_FromString(s)); }
Object number(int64_t n) { return own(PyLong_FromLongLong(n)); }

Object number(const Scalar& s) {
  switch (s.kind()) {
    case DTypeKind::Bool:
      return own(PyBool_FromLong(s.to_bool()));
    case DTypeKind::Int:
      return number(s.to_int());
    default:
      return own(PyFloat_FromDouble(s.to_double()));
  }
}

Object list_of(DimSpan values) {
  Object list = own(PyList_New(0));
  for (int64_t v : values) check_status(PyList_Append(list.get(), number(v).get()));
  return list;
}

void put(const Object& dict, const char* key, const Object& value) {
  check_status(PyDict_SetItemString(dict.get(), key, value.get()));
}

template <class Places>
Object encode_places(const Places& places) {
  Object list = own(PyList_New(0));
  for (const Place& p : places) check_status(PyList_Append(list.get(), encode_place(p).get()));
  return list;
}

Object encode_attributes(const Attrs& a) {
  Object d = own(PyDict_New()), numbers = own(PyList_New(0)), lists = own(PyList_New(0));
  for (const Scalar& s : a.s) check_status(PyList_Append(numbers.get(), number(s).get()));
  put(d, "numbers", numbers);
  if (a.scalars) put(d, "operands", number(a.scalars));
  for (DimSpan all = a.lists(); !all.empty();) {
    auto n = static_cast<size_t>(all[0]);
    check_status(PyList_Append(lists.get(), list_of(all.subspan(1, n)).get()));
    all = all.subspan(n + 1);
  }
  if (PyList_GET_SIZE(lists.get())) put(d, "lists", lists);
  return d;
}

bool has_attributes(const Instruction& i) {
  return !i.guards() || i.kind == Instruction::Kind::Condition;
}

void check_form(const Graph& g, const Instruction& i) {
  FG_CHECK(is_storable(i) && !i.attrs.has_text(), "save_program: files have no form for ",
           g.name_of(i), ", which the function uses");
}

Object encode_instruction(const Instruction& i) {
  Object d = own(PyDict_New());
  switch (i.kind) {
    case Instruction::Kind::Elementwise:
      put(d, "row", text(id_name(i.op)));
      put(d, "compute", text(name(i.compute)));
      put(d, "result", text(name(i.result)));
      break;
    case Instruction::Kind::Op:
      put(d, "op", text(id_name(i.op)));
      break;
    case Instruction::Kind::Primitive:
      put(d, "step", text(i.primitive->name));
      break;
    case Instruction::Kind::Watch:
      put(d, "expect", own(wrap(i.expected)));
      break;
    case Instruction::Kind::Truth:
      put(d, "truth", own(PyBool_FromLong(i.outcome)));
      break;
    case Instruction::Kind::Condition:
      put(d, "condition", text(i.condition->name));
      put(d, "truth", own(PyBool_FromLong(i.outcome)));
      break;
  }
  if (has_attributes(i)) put(d, "attributes", encode_attributes(i.attrs));
  put(d, "in", encode_places(i.in));
  put(d, "out", encode_places(i.out));
  return d;
}

DType dtype_of_form(PyObject* o, const char* what) {
  std::string s = text_of_form(o, what);
  for (int k = 0; k < kNumDTypes; ++k)
    if (s == name(static_cast<DType>(k))) return static_cast<DType>(k);
  fail(ErrorKind::Value, what, " is of the unknown type ", s);
}

Dims dims_of_form(PyObject* o, const char* what) {
  Dims dims;
  for (PyObject* item : items_of_list(o, what)) dims.push_back(integer_of(item, what));
  return dims;
}

Scalar number_of_form(PyObject* o) {
  if (PyBool_Check(o)) return Scalar(o == Py_True);
  if (PyFloat_CheckExact(o)) return Scalar(PyFloat_AS_DOUBLE(o));
  return Scalar(integer_of(o, "a number"));
}

std::vector<Place> places_of(PyObject* o) {
  std::vector<Place> places;
  for (PyObject* item : items_of_list(o, "a list of places")) places.push_back(decode_place(item));
  return places;
}

Attrs attributes_of(PyObject* form) {
  Attrs a;
  std::span<PyObject*> numbers = items_of_list(item_of(form, "numbers"), "numbers");
  FG_CHECK_VALUE(numbers.size() == 3, "an instruction has ", numbers.size(), " numbers");
  for (size_t k = 0; k < 3; ++k) a.s[k] = number_of_form(numbers[k]);
  if (PyObject* mask = PyDict_GetItemString(form, "operands")) {
    int64_t bits = integer_of(mask, "operands");
    FG_CHECK_VALUE(bits >= 0 && bits < 8, "operands is ", bits);
    a.scalars = static_cast<uint8_t>(bits);
  }
  if (PyObject* lists = PyDict_GetItemString(form, "lists"))
    for (PyObject* l : items_of_list(lists, "lists")) a.add(dims_of_form(l, "lists"));
  return a;
}

Tensor checked_tensor(PyObject* o, const char* what) {
  FG_CHECK_VALUE(is_tensor(o), what, " is no tensor");
  return tensor_of(o);
}

Instruction decode_instruction(PyObject* form) {
  Instruction i;
  auto has = [&](const char* key) { return PyDict_GetItemString(form, key); };
  FG_CHECK_VALUE(PyDict_Check(form), "an instruction is no dictionary");
  if (PyObject* row = has("row")) {
    i.kind = Instruction::Kind::Elementwise;
    i.op = find_op(text_of_form(row, "row"));
    FG_CHECK_VALUE(i.op != Op::kCount, "there is no op ", text_of_form(row, "row"));
    i.compute = dtype_of_form(item_of(form, "compute"), "compute");
    i.result = dtype_of_form(item_of(form, "result"), "result");
  } else if (PyObject* op = has("op")) {
    i.kind = Instruction::Kind::Op;
    i.op = find_op(text_of_form(op, "op"));
    FG_CHECK_VALUE(i.op != Op::kCount && !is_elementwise(i.op), "there is no op ",
                   text_of_form(op, "op"));
  } else if (PyObject* step = has("step")) {
    i.kind = Instruction::Kind::Primitive;
    i.primitive = find_primitive(text_of_form(step, "step"));
    FG_CHECK_VALUE(i.primitive, "there is no step ", text_of_form(step, "step"));
  } else if (PyObject* expect = has("expect")) {
    i.kind = Instruction::Kind::Watch;
    i.expected = checked_tensor(expect, "what is expected");
  } else {
    PyObject* condition = has("condition");
    i.kind = condition ? Instruction::Kind::Condition : Instruction::Kind::Truth;
    if (condition) i.condition = find_condition(text_of_form(condition, "condition"));
    FG_CHECK_VALUE(!condition || i.condition, "there is no such condition");
    PyObject* truth = item_of(form, "truth");
    FG_CHECK_VALUE(PyBool_Check(truth), "a truth is neither true nor false");
    i.outcome = truth == Py_True;
  }
  if (has_attributes(i)) i.attrs = attributes_of(item_of(form, "attributes"));
  i.in = places_of(item_of(form, "in"));
  i.out = places_of(item_of(form, "out"));
  return i;
}

}  // namespace

PyObject* item_of(PyObject* dict, const char* key) {
  FG_CHECK_VALUE(PyDict_Check(dict), "what should have ", key, " is no dictionary");
  PyObject* found = PyDict_GetItemString(dict, key);
  FG_CHECK_VALUE(found, key, " is missing");
  return found;
}
int64_t integer_of(PyObject* o, const char* what) {
  FG_CHECK_VALUE(PyLong_CheckExact(o), what, " is no integer");
  int overflow = 0;
  int64_t value = PyLong_AsLongLongAndOverflow(o, &overflow);
  FG_CHECK_VALUE(!overflow, what, " is too large");
  return value;
}
std::string text_of_form(PyObject* o, const char* what) {
  FG_CHECK_VALUE(PyUnicode_Check(o), what, " is no text");
  const char* s = PyUnicode_AsUTF8(o);
  if (!s) PyErr_Clear();
  FG_CHECK_VALUE(s, what, " is no text");
  return s;
}
std::span<PyObject*> items_of_list(PyObject* o, const char* what) {
  FG_CHECK_VALUE(PyList_CheckExact(o), what, " is no list");
  return {PySequence_Fast_ITEMS(o), static_cast<size_t>(PyList_GET_SIZE(o))};
}

// [storage, type, offset, shape, strides], or None.
Object encode_place(const Place& p) {
  if (!p.defined()) return Object::borrow(Py_None);
  Object list = own(PyList_New(0));
  for (const Object& part : {number(p.storage), text(name(p.dtype)), number(p.offset),
                             list_of(p.shape), list_of(p.strides)})
    check_status(PyList_Append(list.get(), part.get()));
  return list;
}
Place decode_place(PyObject* form) {
  Place p;
  if (form == Py_None) return p;
  std::span<PyObject*> parts = items_of_list(form, "a place");
  FG_CHECK_VALUE(parts.size() == 5, "a place has ", parts.size(), " parts");
  int64_t storage = integer_of(parts[0], "a storage");
  FG_CHECK_VALUE(storage >= 0 && storage < INT32_MAX, "there is no storage ", storage);
  p.storage = static_cast<int32_t>(storage);
  p.dtype = dtype_of_form(parts[1], "a place");
  p.offset = integer_of(parts[2], "an offset");
  p.shape = dims_of_form(parts[3], "a shape");
  p.strides = dims_of_form(parts[4], "strides");
  FG_CHECK_VALUE(p.shape.size() == p.strides.size(), "shape and strides have different lengths");
  p.numel = checked_numel(p.shape);
  p.contiguous = is_contiguous(p.shape, p.strides);
  return p;
}

Object encode_task(const Graph& g, std::span<const Place> results) {
  for (const Instruction& i : g.instructions) check_form(g, i);
  try {
    check_graph(g, results);
  } catch (const Error& wrong) {
    fail(
        ErrorKind::Runtime,
        str("save_program: files have no form for a call that the function makes: ", wrong.what()));
  }
  Object storages = own(PyList_New(0)), instructions = own(PyList_New(0));
  for (const Storage& s : g.storages) {
    Object d = own(PyDict_New());
    put(d, "role", text(kRoles[static_cast<int>(s.role)]));
    put(d, "bytes", number(static_cast<int64_t>(s.nbytes)));
    if (s.unset) put(d, "unset", own(PyBool_FromLong(1)));
    if (s.role == Storage::Role::External) {
      put(d, "first", number(s.first));
      put(d, "last", number(s.last));
    }
    if (s.role == Storage::Role::Constant && s.value.defined())
      put(d, "values", own(wrap(Tensor(s.value))));
    check_status(PyList_Append(storages.get(), d.get()));
  }
  for (const Instruction& i : g.instructions)
    check_status(PyList_Append(instructions.get(), encode_instruction(i).get()));
  Object task = own(PyDict_New());
  put(task, "storages", storages);
  put(task, "instructions", instructions);
  put(task, "results", encode_places(results));
  return task;
}

Task decode_task(PyObject* form) {
  Task t;
  for (PyObject* d : items_of_list(item_of(form, "storages"), "storages")) {
    Storage& s = t.graph.storages.emplace_back();
    std::string role = text_of_form(item_of(d, "role"), "a role");
    int k = 0;
    while (k < 3 && role != kRoles[k]) ++k;
    FG_CHECK_VALUE(k < 3, "a storage has the role ", role);
    s.role = static_cast<Storage::Role>(k);
    int64_t nbytes = integer_of(item_of(d, "bytes"), "the size of a storage");
    FG_CHECK_VALUE(nbytes >= 0, "a storage has ", nbytes, " bytes");
    s.nbytes = static_cast<size_t>(nbytes);
    s.unset = s.role == Storage::Role::Internal && PyDict_GetItemString(d, "unset") == Py_True;
    if (s.role == Storage::Role::External) {
      s.external = t.graph.num_externals++;
      s.first = integer_of(item_of(d, "first"), "the bounds of a storage");
      s.last = integer_of(item_of(d, "last"), "the bounds of a storage");
    }
    if (s.role == Storage::Role::Constant && nbytes > 0) {
      Tensor values = checked_tensor(item_of(d, "values"), "a constant");
      FG_CHECK_VALUE(values.dtype() == DType::UInt8 && values.ndim() == 1,
                     "a constant is no bytes");
      s.value = contiguous_copy(values.array());  // aligned
    }
  }
  for (PyObject* i : items_of_list(item_of(form, "instructions"), "instructions"))
    t.graph.instructions.push_back(decode_instruction(i));
  t.results = places_of(item_of(form, "results"));
  check_graph(t.graph, t.results);
  return t;
}

}  // namespace fastgrad::py
