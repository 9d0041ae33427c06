#include "bindings/compile_trees.h"

#include "bindings/compile_guards.h"
#include "bindings/types.h"

namespace fastgrad::py {

ArgumentTree::ArgumentTree(PyObject* o, std::vector<PyObject*>& tensors) : kind_(Kind::Value) {
  if (is_tensor(o)) {
    kind_ = Kind::Tensor;
    value_ = Object::borrow(reinterpret_cast<PyObject*>(Py_TYPE(o)));
    tensors.push_back(o);
    return;
  }
  if (PyTuple_Check(o) || PyList_CheckExact(o)) {
    kind_ = PyTuple_Check(o) ? Kind::Tuple : Kind::List;
    value_ = Object::borrow(reinterpret_cast<PyObject*>(Py_TYPE(o)));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      children_.emplace_back(PySequence_Fast_GET_ITEM(o, i), tensors);
    return;
  }
  if (PyDict_CheckExact(o)) {
    kind_ = Kind::Dict;
    value_ = own(PySequence_Tuple(o));
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(o, &at, &key, &value)) children_.emplace_back(value, tensors);
    return;
  }
  value_ = Object::borrow(o);
}

bool ArgumentTree::match(PyObject* o, PyObject**& next) const {
  switch (kind_) {
    case Kind::Tensor:
      if (!match_tensor(o)) return false;
      *next++ = o;
      return true;
    case Kind::Value:
      return same_value(o, value_.get());
    case Kind::Number:
      return PyFloat_CheckExact(o);
    case Kind::Tuple:
    case Kind::List:
      if (reinterpret_cast<PyObject*>(Py_TYPE(o)) != value_.get() ||
          PySequence_Fast_GET_SIZE(o) != static_cast<Py_ssize_t>(children_.size()))
        return false;
      for (size_t i = 0; i < children_.size(); ++i)
        if (!children_[i].match(PySequence_Fast_GET_ITEM(o, static_cast<Py_ssize_t>(i)), next))
          return false;
      return true;
    case Kind::Dict: {
      if (!PyDict_CheckExact(o) || PyDict_GET_SIZE(o) != static_cast<Py_ssize_t>(children_.size()))
        return false;
      Py_ssize_t at = 0;
      PyObject *key, *value;
      for (size_t i = 0; PyDict_Next(o, &at, &key, &value); ++i)  // in the same order, too
        if (!same_value(key, PyTuple_GET_ITEM(value_.get(), static_cast<Py_ssize_t>(i))) ||
            !children_[i].match(value, next))
          return false;
      return true;
    }
  }
  return false;
}

PyObject* ArgumentTree::build(PyObject* const*& next) const {
  auto n = static_cast<Py_ssize_t>(children_.size());
  switch (kind_) {
    case Kind::Tensor:
      return Py_NewRef(*next++);
    case Kind::Value:
    case Kind::Number:
      return Py_NewRef(value_.get());
    case Kind::Tuple:
    case Kind::List: {
      Object list = own(PyList_New(n));
      for (Py_ssize_t i = 0; i < n; ++i)
        PyList_SET_ITEM(list.get(), i, children_[static_cast<size_t>(i)].build(next));
      if (kind_ == Kind::List) return list.release();
      if (value_.get() == reinterpret_cast<PyObject*>(&PyTuple_Type))
        return check(PyList_AsTuple(list.get()));
      const char* maker = PyObject_HasAttrString(value_.get(), "_make") ? "_make" : "__call__";
      return check(PyObject_CallMethod(value_.get(), maker, "(O)", list.get()));
    }
    case Kind::Dict: {
      Object dict = own(PyDict_New());
      for (Py_ssize_t i = 0; i < n; ++i) {
        Object value = own(children_[static_cast<size_t>(i)].build(next));
        check_status(PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(value_.get(), i), value.get()));
      }
      return dict.release();
    }
  }
  return nullptr;
}

namespace {

// {"kind": kind, "value": value, "items": [forms of children]}; null parts are left out.
template <class Tree>
Object form_of(const char* kind, PyObject* value, const std::vector<Tree>* children) {
  Object form = own(PyDict_New());
  check_status(PyDict_SetItemString(form.get(), "kind", own(PyUnicode_FromString(kind)).get()));
  if (value) check_status(PyDict_SetItemString(form.get(), "value", value));
  if (!children) return form;
  Object items = own(PyList_New(0));
  for (const Tree& c : *children) check_status(PyList_Append(items.get(), c.form().get()));
  check_status(PyDict_SetItemString(form.get(), "items", items.get()));
  return form;
}

}  // namespace

Object ArgumentTree::form() const {
  switch (kind_) {
    case Kind::Tensor:
      return form_of<ArgumentTree>("tensor", nullptr, nullptr);
    case Kind::Tuple:
    case Kind::List:
      return form_of(kind_ == Kind::Tuple ? "tuple" : "list", nullptr, &children_);
    case Kind::Dict:
      return form_of("dict", value_.get(), &children_);
    case Kind::Value:
    case Kind::Number:
      return form_of<ArgumentTree>("value", value_.get(), nullptr);
  }
  return {};
}

Object ResultTree::form() const {
  switch (kind_) {
    case Kind::Tensor:
      return form_of<ResultTree>("tensor", own(PyLong_FromLong(number_)).get(), nullptr);
    case Kind::Tuple:
    case Kind::NamedTuple:
      return form_of("tuple", nullptr, &children_);
    case Kind::List:
      return form_of("list", nullptr, &children_);
    case Kind::Dict:
      return form_of("dict", value_.get(), &children_);
    case Kind::Value:
      return form_of<ResultTree>("value", value_.get(), nullptr);
  }
  return {};
}

int ArgumentTree::traverse(visitproc visit, void* arg) const {
  Py_VISIT(value_.get());
  for (const ArgumentTree& c : children_)
    if (int status = c.traverse(visit, arg)) return status;
  return 0;
}

bool ResultTree::describe(PyObject* o, const Numbering& number, std::string& why, int depth) {
  if (is_tensor(o)) {
    kind_ = Kind::Tensor;
    number_ = number(o);
    return number_ >= 0;
  }
  if (depth > 64) {
    why = "it returns containers nested too deep";
    return false;
  }
  auto describe_items = [&](PyObject* sequence) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); ++i)
      if (!children_.emplace_back().describe(PySequence_Fast_GET_ITEM(sequence, i), number, why,
                                             depth + 1))
        return false;
    return true;
  };
  if (PyTuple_Check(o) && Py_TYPE(o) != size_type()) {
    kind_ = PyTuple_CheckExact(o) ? Kind::Tuple : Kind::NamedTuple;
    value_ = Object::borrow(reinterpret_cast<PyObject*>(Py_TYPE(o)));
    return describe_items(o);
  }
  if (PyList_CheckExact(o)) {
    kind_ = Kind::List;
    return describe_items(o);
  }
  if (PyDict_CheckExact(o)) {
    kind_ = Kind::Dict;
    value_ = own(PySequence_Tuple(o));
    Object values = own(PyDict_Values(o));
    return describe_items(values.get());
  }
  bool constant = o == Py_None || o == Py_Ellipsis || PyBool_Check(o) || PyFloat_CheckExact(o) ||
                  PyLong_CheckExact(o) || PyUnicode_CheckExact(o) || PyBytes_CheckExact(o) ||
                  PyComplex_CheckExact(o) || Py_TYPE(o) == size_type() || is_dtype(o) ||
                  is_device(o);
  if (!constant) why = "it returns an object of type " + type_name(o);
  value_ = Object::borrow(o);
  return constant;
}

PyObject* ResultTree::build(PyObject* const* tensors) const {
  auto n = static_cast<Py_ssize_t>(children_.size());
  switch (kind_) {
    case Kind::Tensor:
      return Py_NewRef(tensors[number_]);
    case Kind::Value:
      return Py_NewRef(value_.get());
    case Kind::Tuple:
    case Kind::NamedTuple: {
      Object tuple = own(PyTuple_New(n));
      for (Py_ssize_t i = 0; i < n; ++i)
        PyTuple_SET_ITEM(tuple.get(), i, children_[static_cast<size_t>(i)].build(tensors));
      if (kind_ == Kind::Tuple) return tuple.release();
      if (PyObject_HasAttrString(value_.get(), "_make"))  // collections.namedtuple
        return check(PyObject_CallMethod(value_.get(), "_make", "(O)", tuple.get()));
      return check(PyObject_CallOneArg(value_.get(), tuple.get()));
    }
    case Kind::List: {
      Object list = own(PyList_New(n));
      for (Py_ssize_t i = 0; i < n; ++i)
        PyList_SET_ITEM(list.get(), i, children_[static_cast<size_t>(i)].build(tensors));
      return list.release();
    }
    case Kind::Dict: {
      Object dict = own(PyDict_New());
      for (Py_ssize_t i = 0; i < n; ++i) {
        Object value = own(children_[static_cast<size_t>(i)].build(tensors));
        check_status(PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(value_.get(), i), value.get()));
      }
      return dict.release();
    }
  }
  return nullptr;
}

bool ResultTree::is_row() const {
  if (kind_ != Kind::Tuple) return false;
  for (size_t i = 0; i < children_.size(); ++i)
    if (children_[i].single() != static_cast<int>(i)) return false;
  return true;
}

bool ResultTree::take_apart(PyObject* o, std::vector<PyObject*>& tensors) const {
  size_t n = children_.size();
  switch (kind_) {
    case Kind::Tensor:
      if (!is_tensor(o)) return false;
      tensors[static_cast<size_t>(number_)] = o;
      return true;
    case Kind::Value:
      return true;
    case Kind::Tuple:
    case Kind::NamedTuple:
    case Kind::List:
      if (!(kind_ == Kind::List ? PyList_CheckExact(o) : PyTuple_Check(o)) ||
          PySequence_Fast_GET_SIZE(o) != static_cast<Py_ssize_t>(n))
        return false;
      for (size_t i = 0; i < n; ++i)
        if (!children_[i].take_apart(PySequence_Fast_GET_ITEM(o, static_cast<Py_ssize_t>(i)),
                                     tensors))
          return false;
      return true;
    case Kind::Dict:
      if (!PyDict_CheckExact(o)) return false;
      for (size_t i = 0; i < n; ++i) {
        PyObject* item =
            PyDict_GetItem(o, PyTuple_GET_ITEM(value_.get(), static_cast<Py_ssize_t>(i)));
        if (!item || !children_[i].take_apart(item, tensors)) return false;
      }
      return true;
  }
  return false;
}

int ResultTree::traverse(visitproc visit, void* arg) const {
  Py_VISIT(value_.get());
  for (const ResultTree& c : children_)
    if (int status = c.traverse(visit, arg)) return status;
  return 0;
}

}  // namespace fastgrad::py
