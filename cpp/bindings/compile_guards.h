// What a compiled function relies on in the world of Python: globals, closures, attributes.
//
// Note [Python guards]
// fastgrad._examine walks over everything that a function can reach before it is recorded, and
// lists what it found: entries of dictionaries, items of lists, contents of cells, codes of
// functions. The list serves twice. Checked right after the recording, it tells whether the call
// changed Python objects, which a replay would not do. Checked before each replay, it tells whether
// somebody else did. Where a dictionary has not changed at all since the last check, its version
// says so at once.
#pragma once

#include <string>
#include <vector>

#include "bindings/python.h"

namespace fastgrad::py {

class PythonGuards {
 public:
  // `list`: tuples (kind, holder, ...) as fastgrad._examine makes them.
  explicit PythonGuards(PyObject* list);
  // Null when all hold, else what has changed.
  const char* check();
  int traverse(visitproc visit, void* arg) const;

 private:
  struct Entry {
    Object key, expected;  // expected absent: there must be no entry
    std::string label;
  };
  struct Holder {
    enum class Kind : uint8_t {
      Dict,
      Instance,
      List,
      Cell,
      Function,
      Attribute,
      Class,
      Bytes,
      Set
    } kind;
    Object holder;
    PyTypeObject* type = nullptr;  // of the holder
    Py_ssize_t size = -1;          // Dict: how many entries it must have; -1: any
    uint64_t version = 0;
    std::vector<Entry> entries;
  };
  static bool holds(Holder& h, const Entry** changed);
  std::vector<Holder> holders_;
};

// Identity, or equal numbers, strings, and tuples of them.
bool same_value(PyObject* a, PyObject* b);

}  // namespace fastgrad::py
