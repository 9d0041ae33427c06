// How the library was built and what it runs on: for bug reports, and the number of threads.
#pragma once

#include <string>

namespace fastgrad {

// The most threads that work on one operation: see base/thread_pool.h.
int num_threads();
// n > 0.
void set_num_threads(int n);

// Several lines of "key: value".
std::string build_configuration();

}  // namespace fastgrad
