#include "autograd/accumulate.h"

#include "autograd/cycles.h"
#include "core/memory.h"
#include "kernels/elementwise.h"
#include "ops/convert.h"
#include "ops/pointwise.h"

namespace fastgrad {
namespace {

// Accumulation into one leaf from several threads; nothing when there is one thread.
class LeafLock {
 public:
  explicit LeafLock(TensorImpl* leaf) : leaf_(multithreaded() ? leaf : nullptr) {
    while (leaf_ && leaf_->grad_lock.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~LeafLock() {
    if (leaf_) leaf_->grad_lock.clear(std::memory_order_release);
  }
  LeafLock(const LeafLock&) = delete;
  LeafLock& operator=(const LeafLock&) = delete;

 private:
  TensorImpl* leaf_;
};

}  // namespace

namespace {
// Whether nobody else knows what t is a view of, and t is all of it.
[[gnu::noinline]] bool is_last_view(const Tensor& t) {
  const Tensor& base = t->view->base;
  return base->refs.get() == 1 && t->array.buffer->use_count() == 2 && t.numel() == base.numel() &&
         !recorder();
}
}  // namespace

bool is_exclusive(const Tensor& t) {
  return t->refs.get() == 1 && !t->node && t->array.contiguous && t->array.buffer->owns_memory() &&
         (t->view ? is_last_view(t) : t->array.buffer->use_count() == 1);
}

void add_into(const Tensor& sum, const Tensor& g) {
  deferred::settle();
  const Array &a = sum.array(), &b = g.array();
  if (Recorder* r = recorder()) [[unlikely]] {
    const Operand operands[] = {sum, g};
    r->elementwise(Op::Add, compute_dtype(a.dtype), compute_dtype(a.dtype), operands, a);
  }
  BlockKernel kernel = block_kernel(ElementwiseOp::Add, compute_dtype(a.dtype));
  if (a.contiguous && b.contiguous && a.dtype == b.dtype && compute_dtype(a.dtype) == a.dtype) {
    const char* in[] = {a.data, b.data};
    run_contiguous(kernel, a.dtype, a.dtype, a.data, in, 2, 0, a.numel);
    return;
  }
  const Array* in[] = {&a, &b};
  run_elementwise(kernel, compute_dtype(a.dtype), compute_dtype(a.dtype), in, 2, a);
}

bool has_nan(const Tensor& t) {
  if (!is_floating(t.dtype())) return false;
  deferred::settle(t.array());
  Array a = recorded::as_contiguous(t.array(), DType::Float64);
  const double* p = a.ptr<double>();
  for (int64_t i = 0; i < a.numel; ++i)
    if (p[i] != p[i]) return true;
  return false;
}

void accumulate_grad(const Tensor& leaf, Tensor g, bool create_graph) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->accumulate(leaf);
  LeafLock lock(leaf.impl());
  Tensor& grad = leaf->grad;
  if (!grad.defined()) {
    if (create_graph)
      grad = clone(g);
    else if (!is_exclusive(g))
      grad = Tensor(recorded::contiguous_copy(g.array()));
    else
      grad = g->view ? Tensor(g.array()) : std::move(g);  // a reshaped one is no view any more
  } else if (create_graph) {
    grad = add(grad, g);
  } else {
    add_into(grad, g);
    grad->array.buffer->bump_version();
  }
  if (create_graph && grad->node) note_gradient_with_history(leaf);
}

}  // namespace fastgrad
