// The type of a result: PyTorch's rules, in which tensors with dimensions, 0-d tensors and Python
// numbers form three ranks, and a lower rank counts only when it is of a higher kind.
#pragma once

#include <optional>

#include "base/scalar.h"
#include "storage/array.h"

namespace fastgrad {

class ResultType {
 public:
  void add(const Array& a) { add_to(a.shape.empty() ? zero_dim_ : with_dims_, a.dtype); }
  void add(const Scalar& s) { add_to(number_, s.dtype()); }
  void add_number(DType d) { add_to(number_, d); }
  DType get() const;

 private:
  static void add_to(std::optional<DType>& rank, DType d) {
    rank = rank ? promote_types(*rank, d) : d;
  }
  std::optional<DType> with_dims_, zero_dim_, number_;
};

// "Float", "Long", ...: how PyTorch's errors call element types.
const char* scalar_type_name(DType d);

}  // namespace fastgrad
