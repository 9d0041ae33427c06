#include "base/threads.h"

namespace fastgrad {

void register_thread() {
  static std::atomic<int> entered{0};
  if (entered.fetch_add(1) > 0) g_multithreaded.store(true);
  t_entered = true;
}

}  // namespace fastgrad
