#include "base/scalar.h"

namespace fastgrad {

void Scalar::store_other(DType d, void* out) const {
  dispatch_all(d, [&]<class T>(T) { *static_cast<T*>(out) = to<T>(); });
}

}  // namespace fastgrad
