// The product of vectors in space.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// out = a x b along dim, where all have 3 elements; of out's shape and type, a real one.
void cross_product(const Array& a, const Array& b, int64_t dim, const Array& out);

}  // namespace fastgrad
