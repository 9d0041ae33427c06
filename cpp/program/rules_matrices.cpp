// Rules for linear algebra: see Note [Graphs from files].
#include "program/call_rules.h"

namespace fastgrad {
namespace {

int64_t rows(const Call& c, size_t k) { return c.size(k, c.rank(k) - 2); }
int64_t cols(const Call& c, size_t k) { return c.size(k, c.rank(k) - 1); }
DimSpan batch(const Call& c, size_t k) { return DimSpan(c.in(k).shape).first(c.rank(k) - 2); }

bool is_matrices(const Call& c, size_t k) {
  DType d = c.in(k).dtype;
  return c.rank(k) >= 2 && (d == DType::Float32 || d == DType::Float64);
}
bool is_square(const Call& c, size_t k) { return is_matrices(c, k) && rows(c, k) == cols(c, k); }
bool same_batch(const Call& c, size_t a, size_t b) {
  return std::ranges::equal(batch(c, a), batch(c, b));
}

bool fits_square(const Call& c) { return c.takes(1) && is_square(c, 0); }
bool fits_matrices(const Call& c) { return c.takes(1) && is_matrices(c, 0); }
bool fits_qr(const Call& c) {
  constexpr int64_t kModes = 3;  // one of which makes an empty Q
  return c.takes(1) && is_matrices(c, 0) && c.integer(0) >= 0 && c.integer(0) < kModes;
}
bool fits_cofactor_grad(const Call& c) {
  return c.takes(2) && is_square(c, 0) && c.same_type(0, 1) && c.same_shape(0, 1);
}
bool fits_solve(const Call& c) {
  return c.takes(2) && is_square(c, 0) && is_matrices(c, 1) && c.same_type(0, 1) &&
         cols(c, 0) == rows(c, 1) && try_broadcast(batch(c, 0), batch(c, 1)).has_value();
}
// Factors and pivots are those of one Solve: pivots are places.
bool fits_solve_factored(const Call& c) {
  return c.takes(3) && is_square(c, 0) && is_matrices(c, 2) && c.same_type(0, 2) &&
         cols(c, 0) == rows(c, 2) && is_made_by(c, 1, Op::Solve, 2) && c.rank(1) + 1 == c.rank(0) &&
         std::equal(c.in(1).shape.begin(), c.in(1).shape.end(), c.in(0).shape.begin()) &&
         is_expandable_to(batch(c, 0), batch(c, 2));
}
bool fits_triangular(const Call& c) {
  constexpr int64_t kBits = 16, kLeft = 2;
  return c.takes(2) && is_square(c, 0) && is_matrices(c, 1) && c.same_type(0, 1) &&
         c.integer(0) >= 0 && c.integer(0) < kBits &&
         cols(c, 0) == (c.integer(0) & kLeft ? rows(c, 1) : cols(c, 1)) &&
         try_broadcast(batch(c, 0), batch(c, 1)).has_value();
}
bool fits_reflectors(const Call& c) {
  return c.takes(2) && is_matrices(c, 0) && c.same_type(0, 1) && c.rank(1) + 1 == c.rank(0) &&
         rows(c, 0) >= cols(c, 0) &&
         std::equal(c.in(1).shape.begin(), c.in(1).shape.end() - 1, c.in(0).shape.begin()) &&
         c.size(1, c.rank(1) - 1) <= cols(c, 0);
}
bool fits_least_squares(const Call& c) {
  int64_t driver = c.integer(0);
  return c.takes(2) && is_matrices(c, 0) && is_matrices(c, 1) && c.same_type(0, 1) &&
         rows(c, 0) == rows(c, 1) && same_batch(c, 0, 1) &&
         (driver == 's' || driver == 'y' || driver == 'd' || driver == 'v');
}
bool fits_pinv(const Call& c) {
  return c.takes(3) && is_matrices(c, 0) && c.in(1).dtype == DType::Float64 &&
         c.in(2).dtype == DType::Float64 && is_expandable_to(c.in(1).shape, batch(c, 0)) &&
         is_expandable_to(c.in(2).shape, batch(c, 0));
}
bool fits_trace(const Call& c) {
  return c.takes(1) && c.rank() == 2 && !is_complex(c.in(0).dtype) && c.in(0).dtype != DType::Bool;
}
bool fits_cross(const Call& c) {
  return c.takes(2) && c.is_number(0) && c.same_type(0, 1) && c.same_shape(0, 1) && c.rank() > 0 &&
         c.dim_in(c.integer(0), c.rank()) && c.size(0, static_cast<size_t>(c.integer(0))) == 3;
}
bool are_row_pairs(const Call& c, size_t x, size_t y) {
  return is_matrices(c, x) && is_matrices(c, y) && c.same_type(x, y) && c.rank(x) == c.rank(y) &&
         same_batch(c, x, y) && cols(c, x) == cols(c, y) && c.attrs().s[0].to_double() >= 0;
}
bool fits_cdist(const Call& c) { return c.takes(2) && are_row_pairs(c, 0, 1); }
bool fits_distance_slopes(const Call& c) {
  return c.takes(4) && are_row_pairs(c, 1, 2) && c.same_type(0, 1) && c.same_type(0, 3) &&
         c.same_shape(0, 3) && c.rank(0) == c.rank(1) && same_batch(c, 0, 1) &&
         rows(c, 0) == rows(c, 1) && cols(c, 0) == rows(c, 2);
}
bool fits_pdist(const Call& c) { return fits_matrices(c) && c.attrs().s[0].to_double() >= 0; }

constexpr OpRule kRules[] = {
    {Op::Cholesky, fits_square},
    {Op::Cofactor, fits_square},
    {Op::CofactorGrad, fits_cofactor_grad},
    {Op::Det, fits_square},
    {Op::SLogDet, fits_square},
    {Op::Inverse, fits_square},
    {Op::MatrixExp, fits_square},
    {Op::Eigh, fits_square},
    {Op::Eigvalsh, fits_square},
    {Op::LuFactor, fits_matrices},
    {Op::Svd, fits_matrices},
    {Op::Svdvals, fits_matrices},
    {Op::Geqrf, fits_matrices},
    {Op::Qr, fits_qr},
    {Op::Solve, fits_solve},
    {Op::SolveFactored, fits_solve_factored},
    {Op::SolveTriangular, fits_triangular},
    {Op::HouseholderProduct, fits_reflectors},
    {Op::LeastSquares, fits_least_squares},
    {Op::Pinv, fits_pinv},
    {Op::Trace, fits_trace},
    {Op::Cross, fits_cross},
    {Op::Cdist, fits_cdist},
    {Op::DistanceSlopes, fits_distance_slopes},
    {Op::Pdist, fits_pdist},
};

}  // namespace

std::span<const OpRule> matrix_rules() { return kRules; }

}  // namespace fastgrad
