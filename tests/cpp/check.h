// The C++ tests' framework: no dependency, so that the tests run wherever the library compiles.
//
//   TEST(broadcast_of_scalars) {
//     CHECK(a == b);
//     CHECK_FAILS(ErrorKind::Runtime, broadcast(a, c));
//   }
//
// A failed check prints its place and its text, and the test goes on. The program takes the stems
// of the files to run as arguments; without any it runs all.
#pragma once

#include <exception>
#include <string>

#include "base/errors.h"

namespace fastgrad::test {

using Body = void (*)();

// Adds a test to the list that `main` runs; called before `main` through TEST.
bool register_test(const char* file, const char* name, Body body);

// Records the outcome of one check.
void note_check(bool passed, const char* file, int line, const std::string& text);

}  // namespace fastgrad::test

#define TEST(name)                                                    \
  static void test_##name();                                          \
  [[maybe_unused]] static const bool registered_##name =              \
      ::fastgrad::test::register_test(__FILE__, #name, &test_##name); \
  static void test_##name()

#define CHECK(...) \
  ::fastgrad::test::note_check(static_cast<bool>(__VA_ARGS__), __FILE__, __LINE__, #__VA_ARGS__)

// The expression raises an Error of this kind, such as ErrorKind::Index.
#define CHECK_FAILS(error_kind, ...)                                       \
  do {                                                                     \
    bool failed_so = false;                                                \
    try {                                                                  \
      static_cast<void>(__VA_ARGS__);                                      \
    } catch (const ::fastgrad::Error& error) {                             \
      failed_so = error.kind() == (error_kind);                            \
    }                                                                      \
    ::fastgrad::test::note_check(failed_so, __FILE__, __LINE__,            \
                                 #__VA_ARGS__ " fails with " #error_kind); \
  } while (false)
