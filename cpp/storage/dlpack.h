// DLPack's structures (the ABI of versions 0 and 1) and their translation to Array and back.
#pragma once

#include "storage/array.h"

namespace fastgrad::dlpack {

inline constexpr int32_t kCpu = 1;
inline constexpr uint64_t kReadOnly = 1, kCopied = 2;

struct Version {
  uint32_t major, minor;
};
struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct View {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: row-major
  uint64_t byte_offset;
};
struct Managed {
  View view;
  void* context;
  void (*deleter)(Managed*);
};
struct ManagedVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  View view;
};

// An export of a's memory. `deleter` is what its consumer calls in the end; it must call destroy.
Managed* to_managed(const Array& a, void (*deleter)(Managed*));
ManagedVersioned* to_managed(const Array& a, uint64_t flags, void (*deleter)(ManagedVersioned*));
void destroy(Managed* m);
void destroy(ManagedVersioned* m);

// The array that a view describes; fails for what tensors cannot be. The buffer is still absent.
Array describe(const View& view);

}  // namespace fastgrad::dlpack
