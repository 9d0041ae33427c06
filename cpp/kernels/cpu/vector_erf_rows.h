// Written by tools/fit_erf.py; change that script, not this file.
// clang-format off
#pragma once

namespace fastgrad::math::coef {

// (exp(-w) - 1) / w
constexpr double kErfDecay[] = {
    -1.000000000000001, 0.5000000000000007, -0.16666666663203178, 0.04166666665833735,
    -0.008333499096733046, 0.0013889153457518574,
};

// For c = k / 128: erf(c) below 1/2, else -erfc(c); and the slope of erf there
extern const double kErfRows[1536];

}  // namespace fastgrad::math::coef
