#include <chrono>
#include <new>
#include <thread>
#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include "base/threads.h"
#include "bindings/python.h"
#include "bindings/types.h"

namespace fastgrad::py {
namespace {

// A Python exception on its way through C++ frames that know nothing of Python.
class CarriedError : public Error {
 public:
  CarriedError(const std::string& text, Object type, Object value, Object trace)
      : Error(ErrorKind::Runtime, text),
        type_(std::move(type)),
        value_(std::move(value)),
        trace_(std::move(trace)) {}
  bool is_foreign() const override { return true; }
  void restore() const {
    Object t = type_, v = value_, tb = trace_;
    PyErr_Restore(t.release(), v.release(), tb.release());
  }

 private:
  Object type_, value_, trace_;
};

PyObject* class_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Value:
      return PyExc_ValueError;
    case ErrorKind::Type:
      return PyExc_TypeError;
    case ErrorKind::Index:
      return PyExc_IndexError;
    case ErrorKind::NotImplemented:
      return PyExc_NotImplementedError;
    case ErrorKind::Memory:
      return PyExc_MemoryError;
    case ErrorKind::Linalg:
      return linalg_error();
    case ErrorKind::Runtime:
      break;
  }
  return PyExc_RuntimeError;
}

}  // namespace

void translate_exception() noexcept {
  try {
    throw;
  } catch (const PythonError&) {
  } catch (const CarriedError& e) {
    e.restore();
  } catch (const Error& e) {
    PyErr_SetString(class_of(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "unknown C++ exception");
  }
}

void throw_python_error() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  std::string text = value ? text_of(value) : "Python error";
  throw CarriedError(text, Object(type), Object(value), Object(trace));
}

namespace {
bool interpreter_is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

[[noreturn]] void wait_for_process_exit() {
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

// Note [Threads at exit]
// While the interpreter shuts down, taking the GIL ends the calling thread by unwinding it
// (pthread_exit; Python 3.14 hangs it instead). No destructor and no noexcept frame survives that,
// and the process would abort. It is about to exit anyway, so such a thread waits for it. The check
// before the call is not enough: shutdown may begin while the thread queues for the GIL.
template <class F>
auto take_gil(F&& take) {
  if (interpreter_is_finalizing()) wait_for_process_exit();
#ifdef __GLIBCXX__
  try {
    return take();
  } catch (abi::__forced_unwind&) {
    wait_for_process_exit();
  }
#else
  return take();
#endif
}
}  // namespace

AcquireGil::AcquireGil()
    : state_(PyGILState_Check() ? PyGILState_Ensure() : take_gil(PyGILState_Ensure)) {}

ReleaseGil::ReleaseGil() {
  if (!multithreaded()) return;
  g_threads_without_gil.fetch_add(1);
  state_ = PyEval_SaveThread();
}
ReleaseGil::~ReleaseGil() {
  if (!state_) return;
  take_gil([this] { PyEval_RestoreThread(state_); });
  g_threads_without_gil.fetch_sub(1);
}

std::string type_name(PyObject* o) { return o == Py_None ? "NoneType" : Py_TYPE(o)->tp_name; }

std::string text_of(PyObject* o) {
  Object s(PyObject_Str(o));
  const char* text = s ? PyUnicode_AsUTF8(s.get()) : nullptr;
  if (!text) {
    PyErr_Clear();
    return "<unprintable " + type_name(o) + ">";
  }
  return text;
}

void warn(const std::string& text, PyObject* category) {
  check_status(PyErr_WarnEx(category, text.c_str(), 1));
}

}  // namespace fastgrad::py
