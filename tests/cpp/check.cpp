#include "check.h"

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <vector>

namespace fastgrad::test {
namespace {

struct Test {
  std::string file;
  const char* name;
  Body body;
};

// A function-local object: registration runs before `main`, in no particular order of files.
std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

std::atomic<int> failed_checks = 0;  // checks may stand in threads

bool wanted(const Test& test, int argc, char** argv) {
  if (argc == 1) return true;
  for (int i = 1; i < argc; ++i) {
    if (test.file == argv[i]) return true;
  }
  return false;
}

bool run(const Test& test) {
  failed_checks = 0;
  try {
    test.body();
  } catch (const std::exception& error) {
    note_check(false, test.file.c_str(), 0, std::string("uncaught exception: ") + error.what());
  }
  if (failed_checks != 0) std::printf("FAILED %s: %s\n", test.file.c_str(), test.name);
  return failed_checks == 0;
}

}  // namespace

bool register_test(const char* file, const char* name, Body body) {
  tests().push_back({std::filesystem::path(file).stem().string(), name, body});
  return true;
}

void note_check(bool passed, const char* file, int line, const std::string& text) {
  if (passed) return;
  ++failed_checks;
  std::printf("%s:%d: %s\n", file, line, text.c_str());
}

int run_all(int argc, char** argv) {
  int passed = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    if (!wanted(test, argc, argv)) continue;
    ++(run(test) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace fastgrad::test

int main(int argc, char** argv) { return fastgrad::test::run_all(argc, argv); }
