// Who holds the GIL, beside AcquireGil and ReleaseGil in python.h.
#pragma once

#include <memory>
#include <utility>

#include "bindings/python.h"

namespace fastgrad::py {

// f(object) with the GIL, to be called and let go of without it; it holds on to the object, and
// Python's errors become C++'s.
template <class F>
auto with_gil(PyObject* object, F f) {
  struct Owner {
    PyObject* object;
    explicit Owner(PyObject* o) : object(Py_NewRef(o)) {}
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;
    ~Owner() { drop(object); }
  };
  return [owner = std::make_shared<Owner>(object), f = std::move(f)] {
    AcquireGil gil;
    try {
      return f(owner->object);
    } catch (const PythonError&) {
      throw_python_error();
    }
  };
}

// Tells base/long_work.h how to let other Python threads run.
void install_long_work();

}  // namespace fastgrad::py
