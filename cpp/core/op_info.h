// What the library knows of an op besides its identity.
#pragma once

#include "core/node.h"

namespace fastgrad {

// The mathematical class decides what can be derived (jvp, batching, fusion); DESIGN of rules.
enum class OpClass : uint8_t { Elementwise, Linear, Bilinear, General };

// What infer says of an output. The offset counts for views alone; strides for views, and where an
// op lays its output out in another way than row by row.
struct Meta {
  DType dtype = DType::Float32;
  Dims shape;
  Dims strides;
  int64_t offset = 0;
};

using Metas = SmallVector<Meta, 4>;  // as many as a decomposition has

// Input arrays; null where an optional input is absent.
using Inputs = std::span<const Array* const>;

// The saved values and the cotangents that a gradient rule sees.
class VjpContext {
 public:
  VjpContext(const Node& node, std::span<Tensor> cotangents, std::span<Tensor> gradients,
             const uint8_t* needed)
      : node_(node), cotangents_(cotangents), gradients_(gradients), needed_(needed) {}

  const Attrs& attrs() const { return node_.attrs; }
  const Node& node() const { return node_; }
  size_t num_inputs() const { return node_.edges.size(); }
  // The cotangent of output i; undefined when nothing depends on that output.
  const Tensor& g(size_t i = 0) const { return cotangents_[i]; }
  // The same, as zeros when undefined.
  Tensor g_or_zeros(size_t i) const;
  Tensor in(uint32_t i) const { return node_.saved_input(i); }
  Tensor out(uint32_t i = 0) const { return node_.saved_output(i); }
  // Whether anybody wants the gradient of input i.
  bool needs(size_t i) const { return needed_ ? needed_[i] : node_.edges[i].node.get() != nullptr; }
  // Shape and dtype of input i; only where needs(i).
  DimSpan in_shape(size_t i) const { return edge_shape(node_.edges[i]); }
  DType in_dtype(size_t i) const { return edge_dtype(node_.edges[i]); }
  const OutputMeta& out_meta(size_t i = 0) const { return node_.outputs[i]; }
  void set(size_t i, Tensor gradient) { gradients_[i] = std::move(gradient); }

 private:
  const Node& node_;
  std::span<Tensor> cotangents_, gradients_;
  const uint8_t* needed_;
};

struct OpInfo {
  const char* name = nullptr;               // "mul"
  const char* backward_name = nullptr;      // "MulBackward0"; null: made of the id
  int (*overload)(const Attrs&) = nullptr;  // the number at the end of that name; null: 0
  OpClass cls = OpClass::General;
  int num_outputs = 1;  // -1: infer or eval decides
  // The output is a view of input 0: infer fills strides and offset, there is no eval.
  bool view = false;
  // The output's shape depends on values: there is no infer, eval makes the outputs.
  bool dynamic_shape = false;
  // Fills one Meta per output (already sized to num_outputs when that is not -1).
  void (*infer)(const Attrs&, Inputs, Metas& out) = nullptr;
  // Writes the outputs, which have the shapes of infer and are row-major unless it gave strides.
  void (*eval)(const Attrs&, Inputs, std::span<Array> out) = nullptr;
  // Null: not differentiable.
  void (*vjp)(VjpContext&) = nullptr;
  // Input i's gradient reads the values in save[min(i, 3)]: bit k is input k, bit 16 + k output k.
  uint32_t save[4] = {0, 0, 0, 0};
  // Bit i: output i is never differentiable (indices and the like). Integer outputs are not anyway.
  uint32_t nondifferentiable_outputs = 0;
};
inline constexpr uint32_t save_in(int i) { return 1u << i; }
inline constexpr uint32_t save_out(int i) { return 1u << (16 + i); }
inline constexpr uint32_t kSaveOut = save_out(0);

extern const OpInfo* const kOpTable[];
inline const OpInfo& info(Op op) { return *kOpTable[index(op)]; }
const char* id_name(Op op);  // "Mul"

// Defines the block of a family op. Forgetting one that op_families.def names is a link error.
#define FG_DEFINE_OP(Id)            \
  extern const OpInfo kOpInfo_##Id; \
  const OpInfo kOpInfo_##Id

}  // namespace fastgrad
