// The transcendental functions on whole registers, for float and double: our own polynomials
// (tools/fit_vector.py), at most 2.5 ULP from the exact value everywhere (tools/ulp.py).
#pragma once

#include "kernels/cpu/vector_activation.h"
#include "kernels/cpu/vector_erf.h"
#include "kernels/cpu/vector_erfinv.h"
#include "kernels/cpu/vector_exp_log.h"
#include "kernels/cpu/vector_gamma.h"
#include "kernels/cpu/vector_plane.h"
#include "kernels/cpu/vector_pow.h"
#include "kernels/cpu/vector_trig.h"
