// Errors that reach Python. Each kind maps to one Python exception class (bindings/errors.cpp).
//
// Texts name the op, what was expected, what came, and what to do; where PyTorch users match on
// PyTorch's words, those come first.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fastgrad {

enum class ErrorKind { Runtime, Value, Type, Index, NotImplemented, Memory, Linalg };

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  // An exception of the user's own code on its way through the library: it must come out unchanged.
  virtual bool is_foreign() const { return false; }

 private:
  ErrorKind kind_;
};

// Concatenates anything that can be streamed.
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, str(parts...));
}

}  // namespace fastgrad

// FG_CHECK(condition, parts...): RuntimeError, as PyTorch's TORCH_CHECK. The others name their
// class.
#define FG_CHECK_KIND(kind, cond, ...)     \
  do {                                     \
    if (!(cond)) [[unlikely]]              \
      ::fastgrad::fail(kind, __VA_ARGS__); \
  } while (0)
#define FG_CHECK(cond, ...) FG_CHECK_KIND(::fastgrad::ErrorKind::Runtime, cond, __VA_ARGS__)
#define FG_CHECK_VALUE(cond, ...) FG_CHECK_KIND(::fastgrad::ErrorKind::Value, cond, __VA_ARGS__)
#define FG_CHECK_TYPE(cond, ...) FG_CHECK_KIND(::fastgrad::ErrorKind::Type, cond, __VA_ARGS__)
#define FG_CHECK_INDEX(cond, ...) FG_CHECK_KIND(::fastgrad::ErrorKind::Index, cond, __VA_ARGS__)
