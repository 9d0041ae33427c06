#include <new>

#include "bindings/python.h"
#include "bindings/types.h"
#include "core/recorder.h"

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

// A function that is recorded may catch this one, and nothing tells a replay that it comes again.
// Where linear algebra fails, something does: see check_info().
void note_exception(const Error& e) {
  const bool of_values = e.kind() == ErrorKind::Index || e.kind() == ErrorKind::Runtime ||
                         e.kind() == ErrorKind::Value;
  if (of_values) refuse_recording("catching an exception of fastgrad");
}

}  // namespace

void translate_exception() noexcept {
  try {
    throw;
  } catch (const PythonError&) {
  } catch (const CarriedError& e) {
    e.restore();
  } catch (const Error& e) {
    note_exception(e);
    PyErr_SetString(class_of(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_MemoryError,
                    "not enough memory for what the call keeps beside its tensors; smaller sizes "
                    "or numbers of parts need less");
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
