// Python.h, owning references, and the translation of C++ errors. Only this folder knows Python.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string>
#include <utility>

#include "base/errors.h"
#include "core/deferred.h"

namespace fastgrad::py {

// An owned reference.
class Object {
 public:
  Object() = default;
  explicit Object(PyObject* owned) : p_(owned) {}
  static Object borrow(PyObject* p) {
    Py_XINCREF(p);
    return Object(p);
  }
  Object(const Object& o) : p_(o.p_) { Py_XINCREF(p_); }
  Object(Object&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Object& operator=(Object o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Object() { Py_XDECREF(p_); }
  PyObject* get() const { return p_; }
  PyObject* release() { return std::exchange(p_, nullptr); }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  PyObject* p_ = nullptr;
};

// Thrown when a Python exception is set already.
struct PythonError {};

inline PyObject* check(PyObject* p) {
  if (!p) throw PythonError{};
  return p;
}
inline Object own(PyObject* p) { return Object(check(p)); }
inline void check_status(int status) {
  if (status < 0) throw PythonError{};
}

// Turns the C++ exception in flight into a Python one.
void translate_exception() noexcept;
// Raises the Python exception that is set as a C++ fastgrad::Error that remembers it, so that it
// can pass through the engine and come out unchanged.
[[noreturn]] void throw_python_error();

// Runs f; an exception becomes a Python one and `failed` is returned. All that was put off is
// computed first, and nothing is put off by f: see Note [Deferred rows] in core/deferred.h.
template <class F, class R>
R guarded(F&& f, R failed) noexcept {
  try {
    deferred::settle();
    deferred::AtOnce here;
    return f();
  } catch (...) {
    translate_exception();
    return failed;
  }
}
template <class F>
PyObject* guarded(F&& f) noexcept {
  return guarded(std::forward<F>(f), static_cast<PyObject*>(nullptr));
}
// The same for what asks for no values of tensors but through elementwise(), apply() and backward:
// it may find some that are due, and put off others.
template <class F>
PyObject* guarded_lazily(F&& f) noexcept {
  try {
    return f();
  } catch (...) {
    translate_exception();
    return nullptr;
  }
}

class AcquireGil {
 public:
  AcquireGil();
  ~AcquireGil() { PyGILState_Release(state_); }
  AcquireGil(const AcquireGil&) = delete;
  AcquireGil& operator=(const AcquireGil&) = delete;

 private:
  PyGILState_STATE state_;
};

// Note [After the interpreter]
// Static and thread-local C++ objects die after the interpreter, and tensors and hooks among them
// may still own Python objects. Those went with it, or nobody can free them any more: whatever lets
// go of a Python object in a destructor asks first, or calls drop().
bool interpreter_is_gone();
// Gives a reference back from any thread, with or without the GIL.
void drop(PyObject* owned);

// Releases the GIL while other threads use fastgrad: see Note [Reference counts].
class ReleaseGil {
 public:
  ReleaseGil();
  ~ReleaseGil();
  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;

 private:
  PyThreadState* state_ = nullptr;
};

inline PyObject* none() { Py_RETURN_NONE; }
inline PyObject* boolean(bool b) { return PyBool_FromLong(b); }
std::string type_name(PyObject* o);
// str(o), or a placeholder when that fails.
std::string text_of(PyObject* o);
void warn(const std::string& text, PyObject* category = PyExc_UserWarning);

}  // namespace fastgrad::py
