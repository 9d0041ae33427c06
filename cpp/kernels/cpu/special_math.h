// Scalar mathematics beyond <cmath>, on float and double (and integers where they have a meaning),
// with PyTorch's values at poles, infinities, NaN and signed zero. No tensors, no allocation.
//
// The float overloads compute in double and round once unless double would be needlessly slow.
// Approximations are our own fits (tools/fit_special.py, special_coef.h).
#pragma once

#include "kernels/cpu/special_activation.h"
#include "kernels/cpu/special_arithmetic.h"
#include "kernels/cpu/special_bessel.h"
#include "kernels/cpu/special_erf.h"
#include "kernels/cpu/special_gamma.h"
#include "kernels/cpu/special_incomplete_gamma.h"
#include "kernels/cpu/special_logarithm.h"
