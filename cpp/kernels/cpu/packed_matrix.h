// A right-hand matrix packed once for many products; see Note [Panels] in gemm_small.h.
#pragma once

#include "kernels/cpu/gemm_small.h"
#include "storage/buffer.h"

namespace fastgrad {

template <class T>
class PackedMatrix {
 public:
  PackedMatrix(int64_t k, int64_t n, const T* b, int64_t b_row, int64_t b_col)
      : kernels_(own_gemm(T{})), k_(k), n_(n) {
    int64_t width = kernels_.panel_width, panels = (n + width - 1) / width;
    memory_ = Buffer::allocate(static_cast<size_t>(panels * width * k) * sizeof(T));
    kernels_.pack(k, n, b, b_row, b_col, reinterpret_cast<T*>(memory_->data()));
  }
  // c = a·b + from for m > 0 rows; see SmallGemm for `from`.
  void multiply(int64_t m, const T* a, int64_t a_row, T* c, int64_t c_row, const T* from,
                int64_t from_row, const Upcoming* next) const {
    kernels_.panels(m, n_, k_, a, a_row, 1, reinterpret_cast<const T*>(memory_->data()),
                    k_ * kernels_.panel_width, c, c_row, from, from_row, next);
  }

 private:
  const OwnGemm<T>& kernels_;
  int64_t k_, n_;
  Ref<Buffer> memory_;
};

}  // namespace fastgrad
