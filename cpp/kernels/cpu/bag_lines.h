// The innermost loop of bags of rows, once per instruction set; all give the same bits.
#pragma once

#include <cstdint>

namespace fastgrad {

template <class T>
struct BagLines {
  // y = the sum of table[rows[k]] * factors[k] over k < n, of `width` columns. Row numbers go on up
  // to rows[left]; factors may be null.
  void (*sum)(const T* table, int64_t width, const int64_t* rows, const T* factors, int64_t n,
              int64_t left, T* y);
};
struct BagTable {
  BagLines<float> f32;
  BagLines<double> f64;
  const BagLines<float>& operator()(float) const { return f32; }
  const BagLines<double>& operator()(double) const { return f64; }
};
// Null members where the compiler could not make them.
extern const BagTable kBagsBaseline, kBagsAvx2, kBagsAvx512;

}  // namespace fastgrad
