#include "bindings/compile_guards.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace fastgrad::py {

bool same_value(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (!a || !b || Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) {
    double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof x) == 0;  // -0.0 is not 0.0
  }
  if (PyLong_CheckExact(a) || PyUnicode_CheckExact(a) || PyBytes_CheckExact(a)) {
    int equal = PyObject_RichCompareBool(a, b, Py_EQ);
    if (equal < 0) PyErr_Clear();
    return equal == 1;
  }
  if (PyTuple_CheckExact(a)) {
    if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a); ++i)
      if (!same_value(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i))) return false;
    return true;
  }
  return false;
}

namespace {

PyObject* item(PyObject* tuple, Py_ssize_t i) { return PyTuple_GET_ITEM(tuple, i); }

// A number that changes with every change of the dictionary; 0 where Python has none.
uint64_t version_of(PyObject* dict) {
#if PY_VERSION_HEX < 0x030C0000
  return reinterpret_cast<PyDictObject*>(dict)->ma_version_tag;
#else
  static_cast<void>(dict);
  return 0;
#endif
}

// A borrowed reference, or null.
PyObject* find(PyObject* dict, PyObject* key) {
  PyObject* found = PyDict_GetItemWithError(dict, key);
  if (!found) PyErr_Clear();
  return found;
}

// The dictionary with an object's attributes, borrowed; null when there is none.
PyObject* dict_of(PyObject* o) {
  PyObject** dict = _PyObject_GetDictPtr(o);
  return dict ? *dict : nullptr;
}

// Whether a dictionary has an order of its own to check: that of an OrderedDict has no version, but
// fewer than two entries have but one.
bool is_linked(PyObject* dict) { return PyODict_Check(dict) && PyDict_GET_SIZE(dict) > 1; }

}  // namespace

PythonGuards::PythonGuards(PyObject* list) {
  static constexpr std::string_view kKinds[] = {"dict",     "instance",  "list",  "cell",
                                                "function", "attribute", "class", "bytes",
                                                "set",      "bases"};
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    PyObject* g = PyList_GET_ITEM(list, i);
    Holder h;
    const auto* kind = std::ranges::find(kKinds, text_of(item(g, 0)));
    FG_CHECK(kind != std::end(kKinds), "there are no guards of this kind");
    h.kind = static_cast<Holder::Kind>(kind - kKinds);
    h.holder = Object::borrow(item(g, 1));
    h.size = PyLong_AsSsize_t(item(g, 2));
    h.type = Py_TYPE(h.holder.get());
    PyObject* entries = item(g, 3);  // (label, key, expected) or (label, key)
    for (Py_ssize_t e = 0; e < PyList_GET_SIZE(entries); ++e) {
      PyObject* entry = PyList_GET_ITEM(entries, e);
      Entry& added = h.entries.emplace_back();
      added.label = text_of(item(entry, 0));
      added.key = Object::borrow(item(entry, 1));
      if (PyTuple_GET_SIZE(entry) > 2) added.expected = Object::borrow(item(entry, 2));
    }
    holders_.push_back(std::move(h));
  }
}

bool PythonGuards::note(size_t k, std::vector<Word>& words) const {
  const Holder& h = holders_[k];
  auto add = [&](const void* at) {
    Word w{at, 0, k};
    std::memcpy(&w.expected, at, sizeof w.expected);
    words.push_back(w);
  };
  PyObject* holder = h.holder.get();
  switch (h.kind) {
#if PY_VERSION_HEX < 0x030C0000 && UINTPTR_MAX == UINT64_MAX  // later ones have no version
    case Holder::Kind::Dict:
    case Holder::Kind::Class: {
      bool is_class = h.kind == Holder::Kind::Class;
      PyObject* dict = is_class ? reinterpret_cast<PyTypeObject*>(holder)->tp_dict : holder;
      if (is_linked(dict)) return false;
      add(&reinterpret_cast<PyDictObject*>(dict)->ma_version_tag);
      return true;
    }
#endif
    case Holder::Kind::Cell: {
      auto* cell = reinterpret_cast<PyCellObject*>(holder);
      if (cell->ob_ref != h.entries[0].expected.get()) return false;
      add(&cell->ob_ref);
      return true;
    }
    case Holder::Kind::Function: {
      auto* f = reinterpret_cast<PyFunctionObject*>(holder);
      PyObject** parts[] = {&f->func_code, &f->func_defaults, &f->func_kwdefaults};
      for (size_t i = 0; i < h.entries.size(); ++i)
        if ((*parts[i] ? *parts[i] : Py_None) != h.entries[i].expected.get()) return false;
      for (size_t i = 0; i < h.entries.size(); ++i) add(parts[i]);
      return true;
    }
    case Holder::Kind::Bases: {
      PyObject** bases = &reinterpret_cast<PyTypeObject*>(holder)->tp_mro;
      if (*bases != h.entries[0].expected.get()) return false;
      add(bases);
      return true;
    }
    default:
      return false;
  }
}

// The entry's value, borrowed, or null. Entries seldom move, so it is looked for where it was.
PyObject* PythonGuards::look_up(PyObject* dict, Entry& e) {
  PyObject *key, *value;
  if (e.position >= 0) {
    Py_ssize_t at = e.position;
    if (PyDict_Next(dict, &at, &key, &value) && key == e.key.get()) return value;
    e.position = -1;
  }
  PyObject* found = find(dict, e.key.get());
  if (!found) return nullptr;
  Py_ssize_t at = 0, here = 0;
  for (; PyDict_Next(dict, &at, &key, &value); here = at) {
    if (value != found || !same_value(key, e.key.get())) continue;
    e.key = Object::borrow(key);
    e.position = here;
    break;
  }
  return found;
}

bool PythonGuards::holds(Holder& h, const Entry** changed) {
  PyObject* holder = h.holder.get();
  switch (h.kind) {
    case Holder::Kind::Dict:
    case Holder::Kind::Instance:
    case Holder::Kind::Class: {
      if (!h.entries.empty()) *changed = &h.entries[0];
      PyObject* dict = holder;
      if (h.kind == Holder::Kind::Class)
        dict = reinterpret_cast<PyTypeObject*>(holder)->tp_dict;
      else if (h.kind == Holder::Kind::Instance)
        dict = Py_TYPE(holder) == h.type ? dict_of(holder) : nullptr;
      if (!dict) return false;
      bool linked = is_linked(dict);
      uint64_t version = linked ? 0 : version_of(dict);
      if (version && version == h.version) return true;
      if (h.size >= 0 && PyDict_GET_SIZE(dict) != h.size) return false;
      bool whole =
          h.kind != Holder::Kind::Class && h.size == static_cast<Py_ssize_t>(h.entries.size());
      if (whole && !linked) {
        Py_ssize_t at = 0;
        PyObject *key, *value;
        for (const Entry& e : h.entries) {  // in the same order, too
          *changed = &e;
          if (!PyDict_Next(dict, &at, &key, &value) || !same_value(key, e.key.get()) ||
              !same_value(value, e.expected.get()))
            return false;
        }
      } else {
        Object keys(whole ? PyObject_GetIter(dict) : nullptr);
        if (whole && !keys) PyErr_Clear();
        for (Entry& e : h.entries) {
          *changed = &e;
          if (!same_value(look_up(dict, e), e.expected.get())) return false;
          if (!whole) continue;
          Object key(keys ? PyIter_Next(keys.get()) : nullptr);
          if (!key) PyErr_Clear();
          if (!same_value(key.get(), e.key.get())) return false;
        }
      }
      h.version = version;
      return true;
    }
    case Holder::Kind::List: {
      if (PyList_GET_SIZE(holder) != static_cast<Py_ssize_t>(h.entries.size())) return false;
      for (size_t i = 0; i < h.entries.size(); ++i) {
        *changed = &h.entries[i];
        if (!same_value(PyList_GET_ITEM(holder, static_cast<Py_ssize_t>(i)),
                        h.entries[i].expected.get()))
          return false;
      }
      return true;
    }
    case Holder::Kind::Cell:
      *changed = &h.entries[0];
      return same_value(PyCell_GET(holder), h.entries[0].expected.get());
    case Holder::Kind::Function: {
      *changed = &h.entries[0];
      auto* f = reinterpret_cast<PyFunctionObject*>(holder);
      PyObject* parts[] = {f->func_code, f->func_defaults, f->func_kwdefaults};
      for (size_t i = 0; i < h.entries.size(); ++i)
        if (!same_value(parts[i] ? parts[i] : Py_None, h.entries[i].expected.get())) return false;
      return true;
    }
    case Holder::Kind::Bases:
      *changed = &h.entries[0];
      return reinterpret_cast<PyTypeObject*>(holder)->tp_mro == h.entries[0].expected.get();
    case Holder::Kind::Attribute:
      for (const Entry& e : h.entries) {
        *changed = &e;
        if (Py_TYPE(holder) != h.type) return false;
        Object now(PyObject_GetAttr(holder, e.key.get()));
        if (!now) PyErr_Clear();
        if (!same_value(now.get(), e.expected.get())) return false;
      }
      return true;
    case Holder::Kind::Set:
      if (PySet_GET_SIZE(holder) != static_cast<Py_ssize_t>(h.entries.size())) return false;
      for (const Entry& e : h.entries) {
        *changed = &e;
        int there = PySet_Contains(holder, e.expected.get());
        if (there < 0) PyErr_Clear();
        if (there != 1) return false;
      }
      return true;
    case Holder::Kind::Bytes: {
      *changed = &h.entries[0];
      Py_buffer now;
      if (PyObject_GetBuffer(holder, &now, PyBUF_CONTIG_RO) < 0) {
        PyErr_Clear();
        return false;
      }
      PyObject* expected = h.entries[0].expected.get();
      bool same = now.len == PyBytes_GET_SIZE(expected) &&
                  !std::memcmp(now.buf, PyBytes_AS_STRING(expected), static_cast<size_t>(now.len));
      PyBuffer_Release(&now);
      return same;
    }
  }
  return false;
}

const char* PythonGuards::check() {
  if (words_.empty()) return check_all();
  for (size_t i = 0; i < words_.size(); ++i)
    if (!words_[i].holds()) [[unlikely]]
      if (const char* changed = check_again(i)) return changed;
  for (size_t i = 0; i < wordless_.size(); ++i) {
    const Entry* changed = nullptr;
    if (!holds(holders_[wordless_[i]], &changed))
      return changed ? changed->label.c_str() : "a container";
  }
  return words_.empty() ? check_all() : nullptr;  // somebody else has found a change meanwhile
}

const char* PythonGuards::check_again(size_t word) {
  const size_t k = words_[word].holder;
  const Entry* changed = nullptr;
  if (!holds(holders_[k], &changed)) return changed ? changed->label.c_str() : "a container";
  std::vector<Word>& now = noted_;
  now.clear();
  bool noted = note(k, now);  // equal values at another place have no words
  size_t first = 0;
  while (first < words_.size() && words_[first].holder != k) ++first;
  size_t end = first;
  while (end < words_.size() && words_[end].holder == k) ++end;
  if (!noted || now.size() != end - first) return check_all();
  std::copy(now.begin(), now.end(), words_.begin() + static_cast<std::ptrdiff_t>(first));
  return nullptr;
}

const char* PythonGuards::check_all() {
  std::vector<Word> words;
  std::vector<size_t> wordless;
  const Entry* changed = nullptr;
  bool all = true;
  for (size_t k = 0; k < holders_.size() && all; ++k) {
    changed = nullptr;
    if (!note(k, words)) wordless.push_back(k);
    all = holds(holders_[k], &changed);
  }
  if (!all) words.clear();
  words_ = std::move(words);
  wordless_ = std::move(wordless);
  if (all) return nullptr;
  return changed ? changed->label.c_str() : "a container";
}

bool PythonGuards::watches(PyObject* container) const {
  for (const Holder& h : holders_)
    if (h.holder.get() == container) return true;
  return false;
}

int PythonGuards::traverse(visitproc visit, void* arg) const {
  for (const Holder& h : holders_) {
    Py_VISIT(h.holder.get());
    for (const Entry& e : h.entries) {
      Py_VISIT(e.key.get());
      Py_VISIT(e.expected.get());
    }
  }
  return 0;
}

}  // namespace fastgrad::py
