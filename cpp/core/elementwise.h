// Elementwise ops: operands, promotion, the fast path.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// A tensor or a Python number, for the length of a call. A number never becomes a tensor: it goes
// to the kernel as it is and to the tape as an attribute.
class Operand {
 public:
  Operand(const Tensor& t) : tensor_(t.impl()) {}
  explicit Operand(TensorImpl* t) : tensor_(t) {}  // for those who own t otherwise
  Operand(Scalar s) : scalar_(s) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Operand(T v) : scalar_(v) {}

  bool is_tensor() const { return tensor_ != nullptr; }
  TensorImpl* impl() const { return tensor_; }
  const Array& array() const { return tensor_->array; }
  Tensor tensor() const { return Tensor::share(tensor_); }
  const Scalar& scalar() const { return scalar_; }

 private:
  TensorImpl* tensor_ = nullptr;
  Scalar scalar_;
};

// The value of an operand that a rule reads back from the tape.
class SavedOperand {
 public:
  SavedOperand() = default;
  SavedOperand(Tensor t) : tensor_(std::move(t)) {}
  SavedOperand(Scalar s) : scalar_(s) {}
  operator Operand() const { return tensor_.defined() ? Operand(tensor_) : Operand(scalar_); }
  bool is_tensor() const { return tensor_.defined(); }
  const Tensor& tensor() const { return tensor_; }
  const Scalar& scalar() const { return scalar_; }

 private:
  Tensor tensor_;
  Scalar scalar_;
};

// Input i of an elementwise node, whether it was a tensor or a number.
SavedOperand saved_operand(const VjpContext& c, uint32_t i);

Tensor elementwise(Op op, std::span<const Operand> operands);
Tensor elementwise(Op op, const Operand& a);
Tensor elementwise(Op op, const Operand (&operands)[2]);
inline Tensor elementwise(Op op, const Operand& a, const Operand& b) {
  const Operand operands[] = {a, b};
  return elementwise(op, operands);
}
Tensor elementwise(Op op, const Operand& a, const Operand& b, const Operand& c);

// Writes the result into `self`, in place (its history becomes the op's; core/inplace.cpp checks
// whether it may). operands[k] may be self.
void elementwise_inplace(Op op, const Tensor& self, std::span<const Operand> operands);
// out=: computes into `out` where that is a result of the right shape and type as it stands and
// nothing has to be recorded, else does nothing and returns false.
bool elementwise_out(Op op, const Tensor& out, std::span<const Operand> operands);

// A row with its operands, checked and ready to run: as it is, or in place. What the operands refer
// to must outlive the call; `keep` holds what was made for it.
struct RowCall {
  explicit RowCall(Op op, const Operand& a) : op(op), size(1), operands{a, 0, 0} {}
  RowCall(Op op, const Operand& a, const Operand& b) : op(op), size(2), operands{a, b, 0} {}
  RowCall(Op op, const Operand& a, const Operand& b, const Operand& c)
      : op(op), size(3), operands{a, b, c} {}

  std::span<const Operand> span() const { return {operands, size}; }
  Tensor run() const { return elementwise(op, span()); }
  void run_inplace(const Tensor& self) const { elementwise_inplace(op, self, span()); }
  bool run_out(const Tensor& out) const { return elementwise_out(op, out, span()); }

  Op op;
  size_t size;
  Operand operands[3];
  Tensor keep;
};

OpTypes op_types(Op op);
// The element type that op computes in on operands of this common type.
DType elementwise_compute_dtype(Op op, DType common);
// Whether an operand takes part in promotion: Where's condition does not, nor do numbers that
// parametrize an op.
inline bool promotes(Op op, size_t operand) {
  switch (op) {
    case Op::Where:
      return operand != 0;
    case Op::AddScaled:
    case Op::GradSoftplus:
    case Op::Lerp:
      return operand != 2;
    case Op::RoundDecimals:
    case Op::Softplus:
      return operand == 0;
    default:
      return true;
  }
}

}  // namespace fastgrad
