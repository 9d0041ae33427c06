// Small matrices side by side, one in each lane of the registers, once per instruction set.
//
// Note [Matrices in lanes]
// Row by row a matrix of a few rows fills no register, and its pivots are branches that nobody can
// guess. So element (i, j) of as many matrices as a register has lanes becomes one register, and
// columns change places by masks. Each lane does what the loops of linalg_small.h do, in their
// order, so that the bits are the same in a batch of any size; a lane in which a pivot is zero, no
// number, or so small that its reciprocal overflows is left to them.
#pragma once

#include <cstdint>

#include "kernels/cpu/linalg_small.h"

namespace fastgrad {

inline constexpr int64_t kMostLanes = 16;

template <class T>
struct MatrixLanes {
  int64_t most = 0;  // matrices at a time; 0: there is no such loop
  // a·P = L·U in place for `count` matrices of n x n, one behind the other, or P·a = L·U. Returns
  // a bit for each matrix that it has left as it was.
  uint32_t (*factor)(T* a, int64_t n, bool by_rows, int32_t* pivots, int64_t count);
  // x = (L·U)⁻¹·x, or (L·U)⁻ᵀ·x, of (n, k) for each, k at most kSmallFactor.
  void (*solve)(const T* lu, int64_t n, bool transposed, T* x, int64_t k, int64_t count);
  // x = t⁻¹·x of (n, k), or x·t⁻¹ of (k, n) where the triangle is the transposed one, for each.
  void (*divide)(const T* t, int64_t n, const SmallTriangle& of, bool left, T* x, int64_t k,
                 int64_t count);
  // a = L·Lᵀ in place, or UᵀU of the upper triangle, which leave the other triangle as it was.
  // Returns a bit for each matrix that is not positive definite, and left as it was.
  uint32_t (*cholesky)(T* a, int64_t n, bool upper, int64_t count);
};
struct MatrixLaneTable {
  MatrixLanes<float> f32;
  MatrixLanes<double> f64;
};
extern const MatrixLaneTable kMatrixLanesAvx2, kMatrixLanesAvx512;

const MatrixLaneTable& matrix_lane_table();
inline const MatrixLanes<float>& matrix_lanes(float) { return matrix_lane_table().f32; }
inline const MatrixLanes<double>& matrix_lanes(double) { return matrix_lane_table().f64; }

}  // namespace fastgrad
