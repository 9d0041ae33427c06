// The op table: family blocks by name, elementwise rows from ops/pointwise.cpp.
#include "core/op_info.h"

#include "core/memory.h"

namespace fastgrad {

#define FG_UNARY(Id, ...) extern const OpInfo kOpInfo_##Id;
#define FG_BINARY(Id, ...) extern const OpInfo kOpInfo_##Id;
#define FG_TERNARY(Id, ...) extern const OpInfo kOpInfo_##Id;
#define FG_FAMILY(Id, ...) extern const OpInfo kOpInfo_##Id;
#include "base/op_list.def"

extern const OpInfo* const kOpTable[] = {
#define FG_UNARY(Id, ...) &kOpInfo_##Id,
#define FG_BINARY(Id, ...) &kOpInfo_##Id,
#define FG_TERNARY(Id, ...) &kOpInfo_##Id,
#define FG_FAMILY(Id, ...) &kOpInfo_##Id,
#include "base/op_list.def"
};
namespace {
constexpr const char* kIds[] = {
#define FG_UNARY(Id, ...) #Id,
#define FG_BINARY(Id, ...) #Id,
#define FG_TERNARY(Id, ...) #Id,
#define FG_FAMILY(Id, ...) #Id,
#include "base/op_list.def"
};
static_assert(std::size(kOpTable) == kNumOps && std::size(kIds) == kNumOps);
}  // namespace

const char* id_name(Op op) { return kIds[index(op)]; }

Tensor VjpContext::g_or_zeros(size_t i) const {
  if (cotangents_[i].defined()) return cotangents_[i];
  return Tensor(recorded::zeros(node_.outputs[i].shape, node_.outputs[i].dtype));
}

}  // namespace fastgrad
