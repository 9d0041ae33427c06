#include "bindings/gil.h"

#include <chrono>
#include <thread>
#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include "base/long_work.h"
#include "base/threads.h"
#include "bindings/python.h"

namespace fastgrad::py {

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

bool interpreter_is_gone() {
  // Py_IsInitialized alone is false already while the interpreter takes its own objects down.
#if PY_VERSION_HEX >= 0x030D0000
  return !Py_IsInitialized() && !PyThreadState_GetUnchecked();
#else
  return !Py_IsInitialized() && !_PyThreadState_UncheckedGet();
#endif
}

void drop(PyObject* owned) {
  if (!owned || interpreter_is_gone()) return;
  AcquireGil gil;
  Py_DECREF(owned);
}

void install_long_work() {
  g_release_interpreter = []() -> void* {
    if (!PyGILState_Check()) return nullptr;  // in a backward pass that has let go already
    g_threads_without_gil.fetch_add(1);
    return PyEval_SaveThread();
  };
  g_poll_interpreter = [] {
    if (PyGILState_Check() && PyErr_CheckSignals() < 0) throw_python_error();
  };
  g_take_interpreter = [](void* released) {
    take_gil([released] { PyEval_RestoreThread(static_cast<PyThreadState*>(released)); });
    g_threads_without_gil.fetch_sub(1);
  };
}

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

}  // namespace fastgrad::py
