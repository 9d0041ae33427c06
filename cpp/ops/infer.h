// What several ops say of their outputs (OpInfo::infer).
#pragma once

#include "ops/reduction.h"

namespace fastgrad {

// Of the type and shape of input 0.
inline void infer_as_input(const Attrs&, Inputs in, Metas& out) {
  out[0].dtype = in[0]->dtype;
  out[0].shape = in[0]->shape;
}
// The same, and positions along a dimension of it.
inline void infer_as_input_and_positions(const Attrs&, Inputs in, Metas& out) {
  out[0] = {in[0]->dtype, in[0]->shape, {}, 0};
  out[1] = {DType::Int64, in[0]->shape, {}, 0};
}
// Of input 0's type; list kList of the attributes is the shape.
template <size_t kList = 0>
void infer_listed_shape(const Attrs& a, Inputs in, Metas& out) {
  out[0].dtype = in[0]->dtype;
  out[0].shape = Dims(a.list(kList));
}
// One element of each reduced line of input 0, as ops/reduction.h has their attributes.
inline void infer_reduced(const Attrs& a, Inputs in, Metas& out) {
  out[0] = {in[0]->dtype, reduced_shape(a, in[0]->shape), {}, 0};
}
// The same, and where in its line it stands.
inline void infer_reduced_and_positions(const Attrs& a, Inputs in, Metas& out) {
  infer_reduced(a, in, out);
  out[1] = {DType::Int64, out[0].shape, {}, 0};
}

}  // namespace fastgrad
