// Where the arrays of a batch lie: see Note [Batches] in program/batch.h.
#include "ops/random.h"
#include "program/batch_run.h"
#include "program/execute.h"

namespace fastgrad {

Array batch_of(const Array& x, int64_t dim, int64_t count) {
  if (dim < 0) {
    Dims shape{count};
    for (int64_t n : x.shape) shape.push_back(n);
    return x.expanded(shape);
  }
  Dims order{dim};
  for (int64_t d = 0; d < x.ndim(); ++d)
    if (d != dim) order.push_back(d);
  return x.permuted(order);
}

Array entry(const Array& x, int64_t i) {
  return x.view(DimSpan(x.shape).subspan(1), DimSpan(x.strides).subspan(1), i * x.strides[0]);
}

Array BatchMemory::array(const Place& p) const {
  const Block& m = blocks[static_cast<size_t>(p.storage)];
  if (!is_batched(p)) return array_at(p, m.base, m.buffer);
  Array a;
  a.buffer = m.buffer;
  a.data = m.base + p.offset;
  a.dtype = p.dtype;
  a.shape.push_back(count);
  a.strides.push_back(m.stride / static_cast<int64_t>(itemsize(p.dtype)));
  for (size_t d = 0; d < p.shape.size(); ++d) {
    a.shape.push_back(p.shape[d]);
    a.strides.push_back(p.strides[d]);
  }
  a.numel = count * p.numel;
  a.contiguous = is_contiguous(a.shape, a.strides);
  return a;
}

void BatchMemory::place_input(int32_t storage, Array column) {
  if (batched.size() <= static_cast<size_t>(storage)) {
    batched.resize(static_cast<size_t>(storage) + 1);
    blocks.resize(static_cast<size_t>(storage) + 1);
  }
  if (!entry(column, 0).contiguous || count == 1) column = recorded::contiguous_copy(column);
  batched[static_cast<size_t>(storage)] = 1;
  blocks[static_cast<size_t>(storage)] = {
      column.buffer, column.data, column.strides[0] * static_cast<int64_t>(column.itemsize()),
      false};
}

bool draws(const Instruction& i) {
  if (i.kind != Instruction::Kind::Primitive || i.primitive->pure) return false;
  const auto known = random_primitives();
  return std::find(known.begin(), known.end(), i.primitive) != known.end();
}

}  // namespace fastgrad
