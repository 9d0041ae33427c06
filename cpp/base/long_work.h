// Lets other Python threads run during long calls of BLAS and LAPACK, and Ctrl-C end long loops.
//
// The caller's references keep the memory alive, and the call itself counts no references, so it
// may run without the GIL even while counts are plain: see Note [Reference counts] in threads.h.
// The bindings install how; below the threshold it costs one comparison.
#pragma once

namespace fastgrad {

// Releases the GIL where this thread holds it, and says what to give back; null: nothing.
inline void* (*g_release_interpreter)() = nullptr;
inline void (*g_take_interpreter)(void* released) = nullptr;

// Fails where the user has asked to stop: for loops over as many operations as an argument says.
inline void (*g_poll_interpreter)() = nullptr;
inline void poll_interpreter() {
  if (g_poll_interpreter) g_poll_interpreter();
}

class LongWork {
 public:
  explicit LongWork(double multiplications) {
    constexpr double kLong = 1e6;  // some 100 us, a hundred times the cost of letting go
    if (multiplications >= kLong && g_release_interpreter) released_ = g_release_interpreter();
  }
  ~LongWork() {
    if (released_) g_take_interpreter(released_);
  }
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

 private:
  void* released_ = nullptr;
};

}  // namespace fastgrad
