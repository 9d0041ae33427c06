// The innermost loops of the alignment of labels, once per instruction set.
//
// Note [Probabilities of alignments]
// A sum over all alignments has terms whose sizes differ by more than a double can hold, and each
// may count in the end. Hence numbers are pairs, m 2^e, of doubles: sums bring their terms to the
// largest e, products add it, and neither takes an exponential or a logarithm as sums of logarithms
// would. m wanders off by a few bits in each step, and gets its own exponent back every kCtcSteps
// steps. 0 is m = 0 with an e below all others.
// Places between labels (blanks) and places of labels are two rows, so that neighbours stand side
// by side: blank s is before label s. A row of states is four rows of `width` doubles: m and e of
// blanks, m and e of labels. What stands behind the last place is 0.
#pragma once

#include <cstdint>

namespace fastgrad {

// Rows are as wide as fill a multiple of so many doubles.
constexpr int64_t kCtcLanes = 8;
// The most steps of one call.
constexpr int64_t kCtcSteps = 32;
constexpr double kCtcNever = -1e250;

struct CtcSteps {
  const double* barred;   // for each label kCtcNever where the one before it is the same, else 0
  const double* emitted;  // for each step m and e of the labels, and of the blank at place `blank`
  int64_t width, blank, steps;
};
struct CtcLines {
  // Each of `rows` rows of logarithms becomes m of their exponentials; e comes behind it.
  void (*exponentials)(double* x, int64_t rows, int64_t width);
  // From the states before a step to those after it, `apart` doubles further on; apart may be 0.
  void (*forward)(const CtcSteps& s, double* states, int64_t apart);
  // The same back from what follows the last step, `after`, in place. shares: for each step, the
  // part of a probability that goes through each label, and at place `blank` through any blank;
  // scale 2^-exponent is 1 over that probability. states: those after each step.
  void (*backward)(const CtcSteps& s, const double* states, double* after, double scale,
                   double exponent, double* shares);
};
// Null members where the compiler could not make them.
extern const CtcLines kCtcBaseline, kCtcAvx2, kCtcAvx512;

}  // namespace fastgrad
