// What losses of classes read at a position: its target, the class's weight, the cotangent.
#pragma once

#include "kernels/copy.h"
#include "kernels/loss.h"

namespace fastgrad {

// Targets and the weights of classes, as the loops read them.
template <class T>
class Targets {
 public:
  Targets(const ClassShape& s, const Array& target, const Array* weight, int64_t ignore)
      : shape_(s),
        target_(as_contiguous(target, DType::Int64)),
        classes_(target_.ptr<int64_t>()),
        ignore_(ignore) {
    if (!weight) return;
    weight_ = as_contiguous(*weight, dtype_of<T>);
    weights_ = weight_.ptr<T>();
  }
  // The class at a position, or -1 where it counts for nothing.
  int64_t at(int64_t position) const {
    const int64_t t = classes_[position];
    if (t == ignore_) return -1;
    FG_CHECK_INDEX(t >= 0 && t < shape_.classes, "Target ", t, " is out of bounds for ",
                   shape_.classes, " classes (in nll_loss)");
    return t;
  }
  double weight(int64_t c) const { return weights_ ? static_cast<double>(weights_[c]) : 1.0; }

 private:
  const ClassShape& shape_;
  Array target_, weight_;
  const int64_t* classes_;
  const T* weights_ = nullptr;
  int64_t ignore_;
};

// The cotangent of one position's loss.
template <class T>
class Cotangents {
 public:
  Cotangents(Reduction r, const Array& g, const Array& total)
      : g_(as_contiguous(g, dtype_of<T>)), step_(r == Reduction::None) {
    if (r == Reduction::Mean)
      scale_ = 1 / static_cast<double>(*as_contiguous(total, dtype_of<T>).template ptr<T>());
  }
  double at(int64_t position) const {
    return scale_ * static_cast<double>(g_.ptr<T>()[position * step_]);
  }

 private:
  Array g_;
  int64_t step_;  // one for each position, or one for all
  double scale_ = 1;
};

// What a reduction returns for losses and weights that add up to this.
inline double reduced(Reduction r, double loss, double weight) {
  return r == Reduction::Mean ? loss / weight : loss;
}

}  // namespace fastgrad
