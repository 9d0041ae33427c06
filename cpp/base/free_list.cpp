#include "base/free_list.h"

#include <new>

namespace fastgrad {

void throw_bad_alloc() { throw std::bad_alloc(); }

}  // namespace fastgrad
