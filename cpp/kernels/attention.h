// Attention: softmax(scale * q·kᵀ + mask)·v, a few rows of the weights at a time.
#pragma once

#include "base/philox.h"
#include "storage/array.h"

namespace fastgrad {

// q is (batch, queries, depth), k (batch / sharing, keys, depth), v (batch / sharing, keys, width),
// the result (batch, queries, width). Neighbouring `sharing` batches read the same keys.
struct AttentionShape {
  int64_t batch = 0, sharing = 1, queries = 0, keys = 0, depth = 0, width = 0;
  double scale = 1;
  bool causal = false;  // query i sees the keys up to i
  double dropout = 0;   // of the weights, by `stream`: element (batch, query, key) of it
  RandomStream stream;
};

// mask may be null; else it has the shape of (batch..., queries, keys) with strides 0 where
// broadcast: bool (true: seen) or of the type of q, added. lse is log(sum(exp(..))) of every query.
void attention(const AttentionShape& s, const Array& q, const Array& k, const Array& v,
               const Array* mask, const Array& out, const Array& lse);
void attention_grad(const AttentionShape& s, const Array& g, const Array& q, const Array& k,
                    const Array& v, const Array* mask, const Array& out, const Array& lse,
                    const Array& dq, const Array& dk, const Array& dv);

}  // namespace fastgrad
