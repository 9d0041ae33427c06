// Losses of a classification, and dropout.
#pragma once

#include "base/philox.h"
#include "storage/array.h"

namespace fastgrad {

// Scores are (batch, classes, inner), targets and losses of single positions (batch, inner). The
// target is int64; positions whose target is `ignore` count for nothing. weight, one per class, may
// be null.
struct ClassShape {
  int64_t batch = 0, classes = 0, inner = 1;
};
enum class Reduction : int64_t { None, Mean, Sum };

// loss = -weight[t] * scores[t]; total is the sum of weight[t].
void nll_loss(const ClassShape& s, const Array& scores, const Array& target, const Array* weight,
              Reduction reduction, int64_t ignore, const Array& loss, const Array& total);
// The scores' gradient.
void nll_loss_adjoint(const ClassShape& s, const Array& g, const Array& target, const Array* weight,
                      const Array& total, Reduction reduction, int64_t ignore, const Array& dx);

// The same of log_softmax(scores), with a part `smoothing` of each target spread over all classes;
// lse, float64, is log(sum(exp(scores))) of each position.
void cross_entropy(const ClassShape& s, const Array& scores, const Array& target,
                   const Array* weight, Reduction reduction, int64_t ignore, double smoothing,
                   const Array& loss, const Array& lse, const Array& total);
void cross_entropy_grad(const ClassShape& s, const Array& g, const Array& scores,
                        const Array& target, const Array* weight, const Array& lse,
                        const Array& total, Reduction reduction, int64_t ignore, double smoothing,
                        const Array& dx);

// Scores and targets are (rows, classes), the scores float32 or float64, the targets int64: a row's
// right classes until the first negative number. loss = sum of max(0, 1 - x[j] + x[i]) / classes
// over the right classes j and all others i, by rows; slopes are its derivatives.
void multilabel_margin_loss(const Array& scores, const Array& target, const Array& loss,
                            const Array& slopes);

// out = x / (1 - p) where element i of the stream says so, else 0.
void dropout(const Array& x, RandomStream s, double p, const Array& out);
// The same for n elements from number `first` on.
template <class T>
void dropout_span(const T* x, RandomStream s, int64_t first, double p, int64_t n, T* out);

}  // namespace fastgrad
