// The matrix exponential, by scaling and squaring a Padé approximant (Higham, SIAM J. Matrix Anal.
// Appl. 26, 2005): exp(A) = exp(A / 2^s)^(2^s), with the degree and s chosen by the norm of A.
#include <cmath>
#include <limits>

#include "kernels/cpu/linalg_batches.h"
#include "kernels/gemm.h"

namespace fastgrad {
namespace {

// The largest 1-norm for which the diagonal approximant of this degree is exact to rounding.
struct Degree {
  int degree;
  double norm;
};
constexpr Degree kDouble[] = {{3, 1.495585217958292e-2},
                              {5, 2.539398330063230e-1},
                              {7, 9.504178996162932e-1},
                              {9, 2.097847961257068},
                              {13, 5.371920351148152}};
constexpr Degree kFloat[] = {
    {3, 4.258730016922831e-1}, {5, 1.880152677804762}, {7, 3.925724783138660}};

template <class T>
class PadeExponential {
 public:
  explicit PadeExponential(int64_t n)
      : n_(n),
        scaled_(square()),
        even_(square()),
        odd_(square()),
        square_(square()),
        power_(square()),
        next_(square()),
        pivots_(Array::empty(Dims{n}, DType::Int32)),
        info_(Array::empty(Dims{}, DType::Int32)) {}

  void operator()(const T* a, T* out) {
    int64_t count = n_ * n_;
    T norm = norm1(a);
    if (!std::isfinite(norm)) {
      std::fill_n(out, count, std::numeric_limits<T>::quiet_NaN());
      return;
    }
    std::span<const Degree> degrees = std::is_same_v<T, float> ? std::span<const Degree>(kFloat)
                                                               : std::span<const Degree>(kDouble);
    Degree chosen = degrees.back();
    for (const Degree& d : degrees)
      if (static_cast<double>(norm) <= d.norm) {
        chosen = d;
        break;
      }
    int squarings = 0;
    if (static_cast<double>(norm) > chosen.norm)
      squarings = static_cast<int>(std::ceil(std::log2(static_cast<double>(norm) / chosen.norm)));
    T* scaled = scaled_.ptr<T>();
    for (int64_t i = 0; i < count; ++i) scaled[i] = std::ldexp(a[i], -squarings);
    approximant(chosen.degree);
    T* result = odd_.ptr<T>();
    for (int i = 0; i < squarings; ++i) {
      multiply(odd_, odd_, next_);
      std::swap(odd_, next_);
      result = odd_.ptr<T>();
    }
    std::copy_n(result, count, out);
  }

 private:
  Array square() const { return Array::empty(Dims{n_, n_}, dtype_of<T>); }
  void multiply(const Array& a, const Array& b, const Array& c) {
    gemm(dtype_of<T>, matrix_of(a), matrix_of(b), matrix_of(c));
  }
  T norm1(const T* a) const {
    T largest = 0;
    for (int64_t j = 0; j < n_; ++j) {
      T column = 0;
      for (int64_t i = 0; i < n_; ++i) column += std::abs(a[i * n_ + j]);
      if (!(column <= largest)) largest = column;
    }
    return largest;
  }

  // p(x) = sum c_k x^k and exp(x) = p(x) / p(-x): with its even part E and odd part O, the result,
  // left in odd_, is (E - O)⁻¹·(E + O).
  void approximant(int degree) {
    int64_t count = n_ * n_;
    T *even = even_.ptr<T>(), *odd = odd_.ptr<T>(), *power = power_.ptr<T>();
    std::fill_n(even, count, T(0));
    std::fill_n(odd, count, T(0));
    multiply(scaled_, scaled_, square_);
    std::fill_n(power, count, T(0));
    for (int64_t i = 0; i < n_; ++i) power[i * n_ + i] = 1;
    double coefficient = 1;
    for (int k = 0; k <= degree; k += 2) {
      if (k > 0) {
        if (k == 2)
          std::copy_n(square_.ptr<T>(), count, power);
        else {
          multiply(power_, square_, next_);
          std::swap(power_, next_);
          power = power_.ptr<T>();
        }
      }
      double following = coefficient * (degree - k) / ((k + 1.0) * (2.0 * degree - k));
      for (int64_t i = 0; i < count; ++i) {
        even[i] += static_cast<T>(coefficient) * power[i];
        odd[i] += static_cast<T>(following) * power[i];
      }
      coefficient = following * (degree - k - 1) / ((k + 2.0) * (2.0 * degree - k - 1));
    }
    multiply(scaled_, odd_, next_);
    const T* o = next_.ptr<T>();
    for (int64_t i = 0; i < count; ++i) {
      odd[i] = even[i] + o[i];
      even[i] -= o[i];
    }
    lu_rows(even_, power_, pivots_, info_);
    lu_rows_solve(power_, pivots_, false, odd_);
  }

  int64_t n_;
  Array scaled_, even_, odd_, square_, power_, next_, pivots_, info_;
};

}  // namespace

void matrix_exp(const Array& a, const Array& out) {
  int64_t n = cols_of(a);
  if (out.numel == 0) return;
  Array x = as_contiguous(a);
  dispatch_float(a.dtype, "matrix_exp", [&]<class T>(T) {
    PadeExponential<T> exponential(n);
    for (int64_t i = 0; i < batch_count(a); ++i)
      exponential(x.ptr<T>() + i * n * n, out.ptr<T>() + i * n * n);
  });
}

}  // namespace fastgrad
