// Arrays of random numbers. Element i is a function of the stream and of i alone.
//
// All arrays are row-major. A kernel takes the blocks of its stream from `block` on; blocks_for
// says how many it can take, so that the next one can start behind.
#pragma once

#include "base/philox.h"
#include "storage/array.h"

namespace fastgrad {

// Enough blocks for n elements of any distribution.
inline uint64_t blocks_for(int64_t n) { return static_cast<uint64_t>(n) + 1; }

// Uniform in [from, to); floating-point types.
void fill_uniform(const Array& out, RandomStream s, double from, double to);
// Floating-point types.
void fill_normal(const Array& out, RandomStream s, double mean, double std);
// Uniform among from, from + 1, ..., from + range - 1; range 0 stands for 2^64.
void fill_integers(const Array& out, RandomStream s, int64_t from, uint64_t range);
// 1 with probability p, else 0; p has one element or one per element of out.
void fill_bernoulli(const Array& out, RandomStream s, const Array& p);
// f(u) of u uniform in (0, 1).
void fill_by(const Array& out, RandomStream s, double a, double b,
             double (*f)(double u, double a, double b));
// Poisson with one rate per element of out; both of one floating-point type.
void fill_poisson(const Array& out, RandomStream s, const Array& rates);
// Gamma with rate 1 and one concentration per element of out.
void fill_gamma(const Array& out, RandomStream s, const Array& concentrations);
// A random order of the numbers below out.numel.
void fill_permutation(const Array& out, RandomStream s);
// Row by row of `weights` (rows x n, float64): out.shape[1] indices drawn by weight.
void fill_multinomial(const Array& out, RandomStream s, const Array& weights, bool replacement);

}  // namespace fastgrad
