// What a compiled function relies on in the world of Python: globals, closures, attributes.
//
// Note [Python guards]
// fastgrad._examine walks over everything that a function can reach before it is recorded, and
// lists what it found: entries of dictionaries, items of lists, contents of cells, codes of
// functions. The list serves twice. Checked right after the recording, it tells whether the call
// changed Python objects, which a replay would not do. Checked before each replay, it tells whether
// somebody else did. Where a dictionary has not changed at all since the last check, its version
// says so at once. What can be told from one word of memory (a version, the content of a cell, the
// code of a function) is kept as that word, so that a check of many is a loop of comparisons. A
// word that differs says little: the counter of a loop in a script is an entry of the dictionary
// with all its functions. Then that one holder is looked at, where its entries were the last time.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "bindings/python.h"

namespace fastgrad::py {

class PythonGuards {
 public:
  // `list`: tuples (kind, holder, ...) as fastgrad._examine makes them.
  explicit PythonGuards(PyObject* list);
  // Null when all hold, else what has changed. Looking at some holders runs code of the user's
  // (hashes of keys), which may come here again, as may other threads meanwhile.
  const char* check();
  bool watches(PyObject* container) const;
  int traverse(visitproc visit, void* arg) const;

 private:
  struct Entry {
    Object key, expected;  // expected absent: there must be no entry
    std::string label;
    Py_ssize_t position = -1;  // of a dictionary's entry, for PyDict_Next(); -1: not known
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
      Set,
      Bases
    } kind;
    Object holder;
    PyTypeObject* type = nullptr;  // of the holder
    Py_ssize_t size = -1;          // Dict: how many entries it must have; -1: any
    uint64_t version = 0;
    std::vector<Entry> entries;
  };
  // A word that says that part of a holder is as it was when the word was noted.
  struct Word {
    const void* at;
    uintptr_t expected;
    size_t holder;
    bool holds() const {
      uintptr_t now;
      std::memcpy(&now, at, sizeof now);
      return now == expected;
    }
  };
  const char* check_all();
  // The same for the holder of a word that differs; the word is noted anew.
  const char* check_again(size_t word);
  static bool holds(Holder& h, const Entry** changed);
  static PyObject* look_up(PyObject* dict, Entry& e);
  // Appends the words of holder k; false: it must be looked at.
  bool note(size_t k, std::vector<Word>& words) const;
  std::vector<Holder> holders_;
  // Objects in words are those of entries: no other object can come to lie at their address.
  std::vector<Word> words_, noted_;
  std::vector<size_t> wordless_;  // holders that have none
};

// Identity, or equal numbers, strings, and tuples of them.
bool same_value(PyObject* a, PyObject* b);

}  // namespace fastgrad::py
