// OpenBLAS's own threads, which are not used.
#pragma once

#include <cblas.h>

namespace fastgrad {

// Products are small or split by our own threads: OpenBLAS must not start its own.
inline void one_blas_thread() {
  static const bool done = (scipy_openblas_set_num_threads(1), true);
  (void)done;
}

}  // namespace fastgrad
