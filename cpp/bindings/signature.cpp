#include "bindings/signature.h"

#include <cstring>

#include "bindings/generator_object.h"
#include "bindings/tensor_object.h"
#include "bindings/traced_number.h"
#include "bindings/types.h"

namespace fastgrad::py {
namespace {

bool is_numpy(PyObject* o) { return std::strncmp(Py_TYPE(o)->tp_name, "numpy.", 6) == 0; }
bool is_numpy_kind(PyObject* o, const char* kinds) {
  if (!is_numpy(o) || PyObject_CheckBuffer(o) == 0) return false;
  Object dtype(PyObject_GetAttrString(o, "dtype"));
  Object ndim(PyObject_GetAttrString(o, "ndim"));
  Object kind(dtype ? PyObject_GetAttrString(dtype.get(), "kind") : nullptr);
  if (!kind || !ndim) {
    PyErr_Clear();
    return false;
  }
  return PyLong_AsLong(ndim.get()) == 0 && std::strchr(kinds, PyUnicode_AsUTF8(kind.get())[0]);
}

Kind parse_kind(const std::string& t) {
  static const std::pair<const char*, Kind> kinds[] = {
      {"Tensor", Kind::Tensor},
      {"Number", Kind::Number},
      {"Tensor|Number", Kind::Operand},
      {"int", Kind::Int},
      {"float", Kind::Float},
      {"bool", Kind::Bool},
      {"int[]", Kind::Ints},
      {"int[1]", Kind::Ints},
      {"int[*]", Kind::Ints},
      {"Tensor[]", Kind::Tensors},
      {"Tensor[*]", Kind::Tensors},
      {"dtype", Kind::DType},
      {"device", Kind::Device},
      {"layout", Kind::Layout},
      {"memory_format", Kind::MemoryFormat},
      {"str", Kind::Str},
      {"Generator", Kind::Generator},
      {"Any", Kind::Any},
      {"Any[*]", Kind::Any},
  };
  for (auto& [text, kind] : kinds)
    if (t == text) return kind;
  fail(ErrorKind::Runtime, "unknown type '", t, "' in a signature");
}

Object parse_default(const std::string& t) {
  if (t == "None") return Object::borrow(Py_None);
  if (t == "True") return Object::borrow(Py_True);
  if (t == "False") return Object::borrow(Py_False);
  if (t == "inf" || t == "-inf") return own(PyFloat_FromDouble(t[0] == '-' ? -HUGE_VAL : HUGE_VAL));
  if (t[0] == '\'')
    return own(PyUnicode_FromStringAndSize(t.data() + 1, static_cast<Py_ssize_t>(t.size()) - 2));
  if (t[0] == '(') {
    Object list = own(PyList_New(0));
    size_t at = 1;
    while (at < t.size() && t[at] != ')') {
      size_t end = t.find_first_of(",)", at);
      Object item = own(PyLong_FromString(t.substr(at, end - at).c_str(), nullptr, 10));
      check_status(PyList_Append(list.get(), item.get()));
      at = t.find_first_not_of(", ", end);
      if (at == std::string::npos) break;
    }
    return own(PyList_AsTuple(list.get()));
  }
  if (t.find_first_of(".e") != std::string::npos) return own(PyFloat_FromDouble(std::stod(t)));
  return own(PyLong_FromString(t.c_str(), nullptr, 10));
}

// Splits at commas outside of parentheses.
std::vector<std::string> split_parameters(const std::string& t) {
  std::vector<std::string> parts;
  int depth = 0;
  std::string part;
  for (char c : t) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == ',' && depth == 0) {
      parts.push_back(part);
      part.clear();
    } else if (!(c == ' ' && part.empty())) {
      part += c;
    }
  }
  if (!part.empty()) parts.push_back(part);
  return parts;
}

bool all_of_sequence(PyObject* o, bool (*test)(PyObject*)) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  PyObject** items = PySequence_Fast_ITEMS(o);
  for (Py_ssize_t i = 0; i < n; ++i)
    if (!test(items[i])) return false;
  return true;
}

bool is_python_tensor(PyObject* o) { return is_tensor(o); }

std::string expected(const Parameter& p) {
  switch (p.kind) {
    case Kind::Ints:
      return "tuple of ints";
    case Kind::Tensors:
      return "tuple of Tensors";
    case Kind::Operand:
      return "Tensor";
    case Kind::DType:
      return "fastgrad.dtype";
    case Kind::Generator:
      return "fastgrad.Generator";
    case Kind::Layout:
      return "fastgrad.layout";
    case Kind::MemoryFormat:
      return "fastgrad.memory_format";
    default:
      return p.type.back() == '?' ? p.type.substr(0, p.type.size() - 1) : p.type;
  }
}

}  // namespace

bool is_integer(PyObject* o) {
  if (PyLong_Check(o)) return !PyBool_Check(o);
  if (is_tensor(o)) {
    const Array& a = impl_of(o)->array;
    return a.shape.empty() && is_integral(a.dtype, false);
  }
  return is_numpy_kind(o, "iu");
}

bool is_number(PyObject* o) {
  return PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o) || is_numpy_kind(o, "iufb") ||
         is_stand_in(o);
}

bool accepts(const Parameter& p, PyObject* v) {
  if (v == Py_None) return p.nullable || p.kind == Kind::Any;
  switch (p.kind) {
    case Kind::Tensor:
      return is_tensor(v);
    case Kind::Number:
      return is_number(v) ||
             (is_tensor(v) && impl_of(v)->array.shape.empty() && !tensor_of(v).requires_grad());
    case Kind::Operand:
      return is_tensor(v) || is_number(v);
    case Kind::Int:
      return is_integer(v);
    case Kind::Float:
      return PyFloat_Check(v) || is_integer(v) || is_number(v);
    case Kind::Bool:
      return PyBool_Check(v) || is_numpy_kind(v, "b");
    case Kind::Ints:
      return all_of_sequence(v, is_integer) || (p.single && is_integer(v));
    case Kind::Tensors:
      return all_of_sequence(v, is_python_tensor);
    case Kind::DType:
      return is_dtype(v) || PyType_Check(v) || std::strncmp(Py_TYPE(v)->tp_name, "numpy", 5) == 0;
    case Kind::Device:
      return is_device(v) || PyUnicode_Check(v) || (PyLong_Check(v) && !PyBool_Check(v));
    case Kind::Layout:
      return is_layout(v);
    case Kind::MemoryFormat:
      return is_memory_format(v);
    case Kind::Str:
      return PyUnicode_Check(v);
    case Kind::Generator:
      return is_generator(v);
    case Kind::Any:
      return true;
  }
  return false;
}

Signature::Signature(const char* text) : text_(text) {
  if (size_t arrow = text_.find(" -> "); arrow != std::string::npos) {
    returns_ = text_.substr(arrow + 4);
    text_.resize(arrow);
  }
  bool keyword_only = false;
  std::string inner = text_.substr(1, text_.rfind(')') - 1);
  for (const std::string& part : split_parameters(inner)) {
    if (part == "*") {
      keyword_only = true;
      continue;
    }
    Parameter p;
    size_t space = part.find(' ');
    p.type = part.substr(0, space);
    std::string name = part.substr(space + 1);
    if (size_t eq = name.find('='); eq != std::string::npos) {
      p.has_default = true;
      p.default_value = parse_default(name.substr(eq + 1));
      name.resize(eq);
    }
    p.name = name;
    std::string type = p.type;
    if (type.back() == '?') {
      p.nullable = true;
      type.pop_back();
    }
    p.kind = parse_kind(type);
    p.single = type == "int[1]";
    p.variadic = type.size() > 3 && type.compare(type.size() - 3, 3, "[*]") == 0;
    p.keyword_only = keyword_only;
    if (!keyword_only) ++positional_;
    parameters_.push_back(std::move(p));
  }
  FG_CHECK(parameters_.size() <= kMaxParameters, "too many parameters: ", text_);
}

Signature Signature::without_last() const {
  std::vector<std::string> parts = split_parameters(text_.substr(1, text_.rfind(')') - 1));
  parts.pop_back();
  if (parts.back() == "*") parts.pop_back();
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "(" : ", ") + part;
  return Signature((text + ") -> " + returns_).c_str());
}

int Signature::find(PyObject* name) const {
  const char* s = PyUnicode_AsUTF8(name);
  auto search = [&](const char* wanted) {
    for (size_t i = 0; i < parameters_.size(); ++i)
      if (parameters_[i].name == wanted) return static_cast<int>(i);
    return -1;
  };
  int i = search(s);
  if (i >= 0) return i;
  static const std::pair<const char*, const char*> numpy_names[] = {
      {"axis", "dim"}, {"keepdims", "keepdim"}, {"x", "input"},
      {"a", "input"},  {"x1", "input"},         {"x2", "other"}};
  for (auto& [theirs, ours] : numpy_names)
    if (std::strcmp(s, theirs) == 0) return search(ours);
  return -1;
}

bool Signature::bind(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject** slots,
                     Object& scratch, std::string* why, const char* function) const {
  auto no = [&](auto&&... parts) {
    if (why) *why = str(function, "(", parts...);
    return false;
  };
  const size_t n = parameters_.size();
  for (size_t i = 0; i < n; ++i) slots[i] = nullptr;
  size_t given = static_cast<size_t>(nargs);
  // The trailing ints or tensors of f(x, 1, 2, 3) become one tuple.
  for (size_t v = 0; v < positional_ && given > v; ++v) {
    if (!parameters_[v].variadic) continue;
    const Parameter& p = parameters_[v];
    bool unpacked =
        p.kind == Kind::Any || (p.kind == Kind::Ints ? is_integer(args[v]) : is_tensor(args[v]));
    if (!unpacked && (given == v + 1 || p.kind == Kind::Tensors || PyTuple_Check(args[v]) ||
                      PyList_Check(args[v]) || args[v] == Py_None))
      break;
    scratch = own(PyTuple_New(static_cast<Py_ssize_t>(given - v)));
    for (size_t k = v; k < given; ++k)
      PyTuple_SET_ITEM(scratch.get(), static_cast<Py_ssize_t>(k - v), Py_NewRef(args[k]));
    slots[v] = scratch.get();
    if (!accepts(p, slots[v]))
      return no("): argument '", p.name, "' must be ", expected(p), ", but found element of type ",
                type_name(args[given - 1]), " at pos ", given - v - 1);
    given = v;
    break;
  }
  if (given > positional_)
    return no(") takes ", positional_, " positional argument", positional_ == 1 ? "" : "s", " but ",
              given, " were given");
  for (size_t i = 0; i < given; ++i) {
    const Parameter& p = parameters_[i];
    if (!accepts(p, args[i]))
      return no("): argument '", p.name, "' (position ", i + 1, ") must be ", expected(p), ", not ",
                type_name(args[i]));
    slots[i] = args[i];
  }
  Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  for (Py_ssize_t k = 0; k < nkw; ++k) {
    PyObject* key = PyTuple_GET_ITEM(kwnames, k);
    int i = find(key);
    if (i < 0) return no(") got an unexpected keyword argument '", text_of(key), "'");
    const Parameter& p = parameters_[static_cast<size_t>(i)];
    if (slots[i]) return no(") got multiple values for argument '", p.name, "'");
    PyObject* v = args[nargs + k];
    if (!accepts(p, v))
      return no("): argument '", p.name, "' must be ", expected(p), ", not ", type_name(v));
    slots[i] = v;
  }
  for (size_t i = 0; i < n; ++i) {
    if (slots[i]) continue;
    const Parameter& p = parameters_[i];
    if (!p.has_default) {
      if (p.variadic && p.kind == Kind::Tensors) {
        scratch = own(PyTuple_New(0));
        slots[i] = scratch.get();
        continue;
      }
      return no(") missing 1 required positional arguments: \"", p.name, "\"");
    }
    slots[i] = p.default_value.get();
  }
  return true;
}

}  // namespace fastgrad::py
