// Tensor: a counted handle to an Array with its place in the graph.
#pragma once

#include <memory>
#include <vector>

#include "core/modes.h"
#include "storage/array.h"

namespace fastgrad {

struct TensorImpl;
struct Node;
class Tensor;
using Tensors = std::vector<Tensor>;

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Array&& a);  // below
  explicit Tensor(const Array& a) : Tensor(Array(a)) {}
  // Uninitialised, row-major.
  static Tensor empty(DimSpan shape, DType dtype);
  // The same, of the shape of a row-major array whose elements are not smaller.
  static Tensor empty_like(const Array& rows, DType dtype);
  static Tensor adopt(TensorImpl* p) { return Tensor(Ref<TensorImpl>::adopt(p)); }
  static Tensor share(TensorImpl* p) { return Tensor(Ref<TensorImpl>::share(p)); }

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  TensorImpl* operator->() const { return impl_.get(); }
  TensorImpl* detach_handle() { return impl_.detach(); }
  bool is(const Tensor& o) const { return impl_ == o.impl_; }

  // The first two are defined below TensorImpl.
  const Array& array() const;
  Array& mutable_array() const;
  DType dtype() const { return array().dtype; }
  const Dims& shape() const { return array().shape; }
  const Dims& strides() const { return array().strides; }
  int64_t size(int64_t dim) const { return shape()[static_cast<size_t>(wrap_dim(dim, ndim()))]; }
  int64_t ndim() const { return array().ndim(); }
  int64_t numel() const { return array().numel; }
  bool is_contiguous() const { return array().contiguous; }

  bool requires_grad() const;  // below
  bool is_leaf() const;
  // The same memory and version counter, without history.
  Tensor detach() const;

 private:
  explicit Tensor(Ref<TensorImpl> p) : impl_(std::move(p)) {}
  Ref<TensorImpl> impl_;
};

// How a view came to be; decides whether it may be written in place while gradients are recorded.
enum class ViewKind : uint8_t { Normal, MultiOutput, NoGrad, Inference };

// Note [Views and in-place]: see core/inplace.h.
struct ViewInfo {
  Tensor base;       // never itself a view
  uint32_t version;  // of the buffer when `node` was last derived from the base's
  ViewKind kind;

  // From a free list: views of small tensors are as frequent as small tensors.
  static void* operator new(size_t);
  static void operator delete(void*);
};

// A function on a gradient: tensor hooks, retain_grad. May return undefined for "unchanged".
struct GradHook {
  virtual ~GradHook() = default;
  virtual Tensor operator()(const Tensor& grad) = 0;
  // The Python callable behind it, for the garbage collector; null for others.
  virtual void* python_callable() const { return nullptr; }
};

// What few tensors have.
struct TensorExtras {
  std::vector<std::shared_ptr<GradHook>> hooks;       // leaves: run on the summed gradient
  std::vector<std::shared_ptr<GradHook>> post_hooks;  // leaves: run after accumulation
  bool retains_grad = false;
  bool cycle_suspect = false;              // see autograd/cycles.h
  std::shared_ptr<TensorImpl*> self_cell;  // for those who know the tensor without owning it
};

struct TensorImpl {
  RefCount refs;
  bool leaf_requires_grad = false;
  bool inference = false;
  bool assignable = false;                        // see Note [Variables] in core/variables.h
  std::atomic_flag grad_lock = ATOMIC_FLAG_INIT;  // accumulation from several threads
  uint32_t output_nr = 0;                         // which output of `node` this is
  Array array;
  Ref<Node> node;  // grad_fn; null for leaves
  Tensor grad;
  std::atomic<Node*> accumulator{nullptr};  // owned; see Note [Accumulators] in core/node.h
  std::unique_ptr<ViewInfo> view;
  std::unique_ptr<TensorExtras> extras;
  void* python = nullptr;  // the wrapper, when there is one; borrowed or owned, bindings know

  TensorImpl() = default;
  explicit TensorImpl(Array&& a) : inference(t_modes.inference), array(std::move(a)) {}
  ~TensorImpl() {
    if (extras || accumulator.load(std::memory_order_relaxed)) release_rare();
  }
  static TensorImpl* make();
  void release_rare();
  void retain() { refs.increment(); }
  void release() {
    if (refs.decrement()) destroy();
  }
  uint32_t version() const { return array.buffer->version(); }
  TensorExtras& extra() {
    if (!extras) extras = std::make_unique<TensorExtras>();
    return *extras;
  }

 private:
  void destroy();
};

// Set by the bindings: drops a wrapper that the Impl owns.
extern void (*g_release_python)(void* wrapper);

inline const Array& Tensor::array() const { return impl_->array; }
inline Array& Tensor::mutable_array() const { return impl_->array; }
inline bool requires_grad(const TensorImpl* t) {
  if (t->leaf_requires_grad || t->node) return true;
  return t->view && requires_grad(t->view->base.impl());
}
inline bool Tensor::requires_grad() const { return fastgrad::requires_grad(impl_.get()); }

using ViewPool = FreeList<ViewInfo, sizeof(ViewInfo)>;
inline void* ViewInfo::operator new(size_t) { return ViewPool::allocate(); }
inline void ViewInfo::operator delete(void* p) { ViewPool::deallocate(p); }

using ImplPool = FreeList<TensorImpl, sizeof(TensorImpl)>;
inline TensorImpl* TensorImpl::make() { return new (ImplPool::allocate()) TensorImpl; }
inline Tensor::Tensor(Array&& a)
    : impl_(Ref<TensorImpl>::adopt(new (ImplPool::allocate()) TensorImpl(std::move(a)))) {}
inline Tensor Tensor::empty(DimSpan shape, DType dtype) {
  Tensor t = adopt(TensorImpl::make());
  t->array.make_empty(shape, dtype);
  t->inference = t_modes.inference;
  return t;
}

inline Tensor Tensor::empty_like(const Array& rows, DType dtype) {
  Tensor t = adopt(TensorImpl::make());
  t->array.make_like(rows, dtype);
  t->inference = t_modes.inference;
  return t;
}

}  // namespace fastgrad

#include "core/node.h"  // completes Ref<Node>, which every TensorImpl holds
