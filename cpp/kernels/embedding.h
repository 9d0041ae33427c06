// Rows of tables by number, and the sums of bags of them.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// out[i] = table[index[i]] over rows; a row whose number is `skip` becomes zero. by_count divides
// by how often the index has that number.
void embedding(const Array& table, const Array& index, int64_t skip, bool by_count,
               const Array& out);
// out[index[i]] += g[i].
void embedding_adjoint(const Array& g, const Array& index, int64_t skip, bool by_count,
                       const Array& out);

// The sums of bags of rows, in float32 or float64: of the numbers in the last dimension of index,
// or, bag k, of those from ends[k] to ends[k + 1]. factors, one per number, may be null.
void embedding_bag(const Array& table, const Array& index, const Array* ends, const Array* factors,
                   const Array& out);

}  // namespace fastgrad
