// Which instruction set the kernels use.
//
// Kernels that profit from it are compiled once per instruction set, in files that end in _avx2.cpp
// and _avx512.cpp (see cmake/Compiler.cmake); each chooses among its versions by isa().
#pragma once

namespace fastgrad {

// Ordered: a later one includes the earlier ones.
enum class Isa { Baseline, Avx2, Avx512 };

// The best that this processor has, or what the environment variable FASTGRAD_ISA asks for
// ("baseline", "avx2", "avx512"; never more than the processor has).
Isa isa();
const char* name(Isa isa);

// Whether loops over long arrays shall ask for memory ahead: not on processors whose own
// prefetching follows streams from page to page. See Note [Prefetch] in kernels/cpu/prefetch.h.
bool gains_by_prefetch();

}  // namespace fastgrad
