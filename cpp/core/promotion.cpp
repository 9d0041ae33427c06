#include "core/promotion.h"

namespace fastgrad {
namespace {

std::optional<DType> combine(std::optional<DType> higher, std::optional<DType> lower) {
  if (!higher || !lower) return higher ? higher : lower;
  if (is_complex(*higher)) return higher;
  if (is_floating(*higher)) return is_complex(*lower) ? to_complex(*higher) : *higher;
  if (*higher == DType::Bool || kind(*lower) >= DTypeKind::Float)
    return promote_types(*higher, *lower);
  return higher;
}

}  // namespace

DType ResultType::get() const {
  return combine(with_dims_, combine(zero_dim_, number_)).value_or(default_dtype());
}

const char* scalar_type_name(DType d) {
  static constexpr const char* names[kNumDTypes] = {
      "Bool", "Byte",     "Char",  "Short",  "Int",          "Long",
      "Half", "BFloat16", "Float", "Double", "ComplexFloat", "ComplexDouble"};
  return names[static_cast<int>(d)];
}

}  // namespace fastgrad
