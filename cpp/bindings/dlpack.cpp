#include "bindings/dlpack.h"

#include "base/threads.h"
#include "storage/dlpack.h"

namespace fastgrad::py {
namespace {

template <class M>
constexpr const char* kName =
    std::is_same_v<M, dlpack::Managed> ? "dltensor" : "dltensor_versioned";
template <class M>
constexpr const char* kUsedName =
    std::is_same_v<M, dlpack::Managed> ? "used_dltensor" : "used_dltensor_versioned";

// Consumers may drop their export on any thread, with or without the GIL.
template <class M>
void release_export(M* m) {
  if (interpreter_is_gone()) return;
  AcquireGil gil;
  enter_thread();
  dlpack::destroy(m);
}

// Runs when a capsule dies; one that nobody consumed still owns its tensor.
template <class M>
void destroy_capsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, kName<M>)) return;
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, kName<M>));
  if (m->deleter) m->deleter(m);
}

template <class M>
void release_import(void* managed) {
  auto* m = static_cast<M*>(managed);
  if (m->deleter) m->deleter(m);
}

template <class M>
Tensor consume(PyObject* capsule) {
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, kName<M>));
  if (!m) throw PythonError{};
  if constexpr (std::is_same_v<M, dlpack::ManagedVersioned>) {
    FG_CHECK_KIND(ErrorKind::Value, m->version.major == 1, "from_dlpack: the data speaks version ",
                  m->version.major, ".", m->version.minor, " of DLPack, fastgrad versions 0 and 1");
    if (m->flags & dlpack::kReadOnly)
      warn(
          "The data given to from_dlpack is read-only, and fastgrad does not support non-writable "
          "tensors. This "
          "means writing to this tensor will result in undefined behavior.");
  }
  Array a = dlpack::describe(m->view);
  size_t reach =
      a.numel ? static_cast<size_t>(extent(a.shape, a.strides).hi + 1) * a.itemsize() : 0;
  check_status(PyCapsule_SetName(capsule, kUsedName<M>));
  a.buffer = Buffer::foreign(a.data, reach, m, release_import<M>);
  return Tensor(std::move(a));
}

}  // namespace

PyObject* to_capsule(const Array& a, bool versioned, bool copied) {
  using dlpack::Managed;
  using dlpack::ManagedVersioned;
  if (!versioned)
    return PyCapsule_New(dlpack::to_managed(a, release_export<Managed>), kName<Managed>,
                         destroy_capsule<Managed>);
  ManagedVersioned* m =
      dlpack::to_managed(a, copied ? dlpack::kCopied : 0, release_export<ManagedVersioned>);
  return PyCapsule_New(m, kName<ManagedVersioned>, destroy_capsule<ManagedVersioned>);
}

Tensor from_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, kName<dlpack::ManagedVersioned>))
    return consume<dlpack::ManagedVersioned>(capsule);
  FG_CHECK(PyCapsule_IsValid(capsule, kName<dlpack::Managed>),
           "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed "
           "only once, so you "
           "might have already constructed a tensor from it once.");
  return consume<dlpack::Managed>(capsule);
}

}  // namespace fastgrad::py
