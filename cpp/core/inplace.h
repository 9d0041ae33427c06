// Note [Views and in-place]
//
// A view shares its base's Buffer and so its version counter; ViewInfo::base is always the root.
// An in-place write makes three things true, as in PyTorch:
//   1. The version grew, so a rule that saved the old value fails instead of using the new one.
//   2. The written tensor's history is that of the op. For a view, the BASE's history becomes
//      base = as_strided_scatter(base, result), with the view's geometry in the base.
//   3. Every other view of that base has an outdated history. It is rebuilt when it is next asked
//      for (gradient_edge): as_strided(base) with the view's geometry. ViewInfo::version tells.
#pragma once

#include <functional>

#include "core/op_info.h"

namespace fastgrad {

// Fails with PyTorch's texts when self may not be written: leaves that require grad, views made by
// several-output functions or under no_grad, memory that several elements share. Returns whether
// the write must be recorded.
bool check_inplace(const Tensor& self, bool other_requires_grad, const char* op);

// self = f(self), where f makes a view of its argument: self gets the view's sizes and strides, and
// the memory stays as it is (transpose_, squeeze_, ...).
void inplace_view(const Tensor& self, const char* op, const std::function<Tensor(const Tensor&)>& f);

// After the write: self's history becomes that of `result` (same shape, already recorded).
void rebase_history(const Tensor& self, const Tensor& result);

// self = f(self), written in place: the in-place form of any op that has no kernel of its own for
// it. f gets self, or a copy with self's history where f's rule may want the old value.
void assign_inplace(const Tensor& self, const char* op, const std::function<Tensor(const Tensor&)>& f);

// Carries a retain_grad hook of t from its present node to another one.
void move_retained_grad(const Tensor& t, const Ref<Node>& to, uint32_t nr);

// For out=: gives `out` this shape, with fresh memory when it has another one.
void resize_output(const Tensor& out, DimSpan shape);

}  // namespace fastgrad
