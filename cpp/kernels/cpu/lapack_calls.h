// The LAPACK routines that the kernels call, with one overload for float and double each.
//
// Declared here and not taken from OpenBLAS's lapack.h, whose names do not all carry the library's
// prefix. Matrices are column-major; sizes are 32-bit; character arguments have hidden lengths.
#pragma once

#include <cblas.h>

#include <algorithm>
#include <cstddef>
#include <memory>

#include "base/long_work.h"
#include "kernels/cpu/blas_threads.h"

namespace fastgrad::lapack {

using Int = int;

// FG_LAPACK(name, parameters, arguments, hidden lengths): T is the element type.
#define FG_LAPACK_ROUTINES(X)                                                                      \
  X(getrf, (Int m, Int n, T * a, Int lda, Int * ipiv, Int * info), (&m, &n, a, &lda, ipiv, info),  \
    (const Int*, const Int*, T*, const Int*, Int*, Int*))                                          \
  X(geqrf, (Int m, Int n, T * a, Int lda, T * tau, T * work, Int lwork, Int * info),               \
    (&m, &n, a, &lda, tau, work, &lwork, info),                                                    \
    (const Int*, const Int*, T*, const Int*, T*, T*, const Int*, Int*))                            \
  X(gelqf, (Int m, Int n, T * a, Int lda, T * tau, T * work, Int lwork, Int * info),               \
    (&m, &n, a, &lda, tau, work, &lwork, info),                                                    \
    (const Int*, const Int*, T*, const Int*, T*, T*, const Int*, Int*))                            \
  X(orglq, (Int m, Int n, Int k, T * a, Int lda, const T* tau, T* work, Int lwork, Int* info),     \
    (&m, &n, &k, a, &lda, tau, work, &lwork, info),                                                \
    (const Int*, const Int*, const Int*, T*, const Int*, const T*, T*, const Int*, Int*))          \
  X(sterf, (Int n, T * d, T * e, Int * info), (&n, d, e, info), (const Int*, T*, T*, Int*))        \
  X(bdsdc,                                                                                         \
    (char uplo, char job, Int n, T* d, T* e, T* u, Int ldu, T* vt, Int ldvt, T* work, Int* iwork,  \
     Int* info),                                                                                   \
    (&uplo, &job, &n, d, e, u, &ldu, vt, &ldvt, nullptr, nullptr, work, iwork, info, 1, 1),        \
    (const char*, const char*, const Int*, T*, T*, T*, const Int*, T*, const Int*, T*, Int*, T*,   \
     Int*, Int*, size_t, size_t))                                                                  \
  X(gesdd,                                                                                         \
    (char job, Int m, Int n, T* a, Int lda, T* s, T* u, Int ldu, T* vt, Int ldvt, T* work,         \
     Int lwork, Int* iwork, Int* info),                                                            \
    (&job, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, &lwork, iwork, info, 1),                  \
    (const char*, const Int*, const Int*, T*, const Int*, T*, T*, const Int*, T*, const Int*, T*,  \
     const Int*, Int*, Int*, size_t))                                                              \
  X(geev,                                                                                          \
    (char jobl, char jobr, Int n, T* a, Int lda, T* wr, T* wi, T* vl, Int ldvl, T* vr, Int ldvr,   \
     T* work, Int lwork, Int* info),                                                               \
    (&jobl, &jobr, &n, a, &lda, wr, wi, vl, &ldvl, vr, &ldvr, work, &lwork, info, 1, 1),           \
    (const char*, const char*, const Int*, T*, const Int*, T*, T*, T*, const Int*, T*, const Int*, \
     T*, const Int*, Int*, size_t, size_t))                                                        \
  X(gels,                                                                                          \
    (char trans, Int m, Int n, Int nrhs, T* a, Int lda, T* b, Int ldb, T* work, Int lwork,         \
     Int* info),                                                                                   \
    (&trans, &m, &n, &nrhs, a, &lda, b, &ldb, work, &lwork, info, 1),                              \
    (const char*, const Int*, const Int*, const Int*, T*, const Int*, T*, const Int*, T*,          \
     const Int*, Int*, size_t))                                                                    \
  X(gelsy,                                                                                         \
    (Int m, Int n, Int nrhs, T * a, Int lda, T * b, Int ldb, Int * jpvt, T rcond, Int * rank,      \
     T * work, Int lwork, Int * info),                                                             \
    (&m, &n, &nrhs, a, &lda, b, &ldb, jpvt, &rcond, rank, work, &lwork, info),                     \
    (const Int*, const Int*, const Int*, T*, const Int*, T*, const Int*, Int*, const T*, Int*, T*, \
     const Int*, Int*))                                                                            \
  X(gelss,                                                                                         \
    (Int m, Int n, Int nrhs, T * a, Int lda, T * b, Int ldb, T * s, T rcond, Int * rank, T * work, \
     Int lwork, Int * info),                                                                       \
    (&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, info),                        \
    (const Int*, const Int*, const Int*, T*, const Int*, T*, const Int*, T*, const T*, Int*, T*,   \
     const Int*, Int*))                                                                            \
  X(gelsd,                                                                                         \
    (Int m, Int n, Int nrhs, T * a, Int lda, T * b, Int ldb, T * s, T rcond, Int * rank, T * work, \
     Int lwork, Int * iwork, Int * info),                                                          \
    (&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, iwork, info),                 \
    (const Int*, const Int*, const Int*, T*, const Int*, T*, const Int*, T*, const T*, Int*, T*,   \
     const Int*, Int*, Int*))

extern "C" {
#define T float
#define X(name, parameters, arguments, types) void scipy_s##name##_ types;
FG_LAPACK_ROUTINES(X)
#undef X
#undef T
#define T double
#define X(name, parameters, arguments, types) void scipy_d##name##_ types;
FG_LAPACK_ROUTINES(X)
#undef X
#undef T
}

#define T float
#define X(name, parameters, arguments, types) \
  inline void name parameters {               \
    one_blas_thread();                        \
    LongWork long_work(1.0 * n * n * n);      \
    scipy_s##name##_ arguments;               \
  }
FG_LAPACK_ROUTINES(X)
#undef X
#undef T
#define T double
#define X(name, parameters, arguments, types) \
  inline void name parameters {               \
    one_blas_thread();                        \
    LongWork long_work(1.0 * n * n * n);      \
    scipy_d##name##_ arguments;               \
  }
FG_LAPACK_ROUTINES(X)
#undef X
#undef T
#undef FG_LAPACK_ROUTINES

// Steps of a division in halves, called for many values at once. The i-th eigenvalue of
// diag(d) + rho·z·zᵀ, i from 1, and its distances from the elements of d; the square root of that
// of diag(d)² + rho·z·zᵀ, and its distances from d and -d.
extern "C" {
void scipy_slasd4_(const Int* n, const Int* i, const float* d, const float* z, float* distances,
                   const float* rho, float* value, float* sums, Int* info);
void scipy_dlasd4_(const Int* n, const Int* i, const double* d, const double* z, double* distances,
                   const double* rho, double* value, double* sums, Int* info);
void scipy_slaed4_(const Int* n, const Int* i, const float* d, const float* z, float* distances,
                   const float* rho, float* value, Int* info);
void scipy_dlaed4_(const Int* n, const Int* i, const double* d, const double* z, double* distances,
                   const double* rho, double* value, Int* info);
}
inline void laed4(Int n, Int i, const float* d, const float* z, float* distances, float rho,
                  float* value, Int* info) {
  scipy_slaed4_(&n, &i, d, z, distances, &rho, value, info);
}
inline void laed4(Int n, Int i, const double* d, const double* z, double* distances, double rho,
                  double* value, Int* info) {
  scipy_dlaed4_(&n, &i, d, z, distances, &rho, value, info);
}

inline void lasd4(Int n, Int i, const float* d, const float* z, float* distances, float rho,
                  float* value, float* sums, Int* info) {
  scipy_slasd4_(&n, &i, d, z, distances, &rho, value, sums, info);
}
inline void lasd4(Int n, Int i, const double* d, const double* z, double* distances, double rho,
                  double* value, double* sums, Int* info) {
  scipy_dlasd4_(&n, &i, d, z, distances, &rho, value, sums, info);
}

// Row-major triangular solve: a·x = b or x·a = b in place of b.
inline void trsm(CBLAS_SIDE side, CBLAS_UPLO uplo, CBLAS_TRANSPOSE trans, CBLAS_DIAG diag, Int m,
                 Int n, const float* a, Int lda, float* b, Int ldb) {
  LongWork long_work(1.0 * m * n * (side == CblasLeft ? m : n));
  scipy_cblas_strsm(CblasRowMajor, side, uplo, trans, diag, m, n, 1.0f, a, lda, b, ldb);
}
inline void trsm(CBLAS_SIDE side, CBLAS_UPLO uplo, CBLAS_TRANSPOSE trans, CBLAS_DIAG diag, Int m,
                 Int n, const double* a, Int lda, double* b, Int ldb) {
  LongWork long_work(1.0 * m * n * (side == CblasLeft ? m : n));
  scipy_cblas_dtrsm(CblasRowMajor, side, uplo, trans, diag, m, n, 1.0, a, lda, b, ldb);
}

// Row-major triangular solve of one vector, in place.
inline void trsv(CBLAS_UPLO uplo, CBLAS_TRANSPOSE trans, CBLAS_DIAG diag, Int n, const float* a,
                 Int lda, float* x) {
  scipy_cblas_strsv(CblasRowMajor, uplo, trans, diag, n, a, lda, x, 1);
}
inline void trsv(CBLAS_UPLO uplo, CBLAS_TRANSPOSE trans, CBLAS_DIAG diag, Int n, const double* a,
                 Int lda, double* x) {
  scipy_cblas_dtrsv(CblasRowMajor, uplo, trans, diag, n, a, lda, x, 1);
}

// Runs a LAPACK routine; at the first time call(work, -1) asks for the size of its working memory.
template <class T, class F>
class WithWork {
 public:
  explicit WithWork(F& call) : call_(call) {}
  void operator()() {
    if (!work_) {
      T size = 0;
      call_(&size, -1);
      size_ = static_cast<Int>(size);
      work_.reset(new T[static_cast<size_t>(std::max(size_, 1))]);
    }
    call_(work_.get(), size_);
  }

 private:
  F& call_;
  Int size_ = 0;
  std::unique_ptr<T[]> work_;
};

}  // namespace fastgrad::lapack
