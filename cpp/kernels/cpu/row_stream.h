// The elements of a strided array in row-major order, in a row.
//
// Note [Short rows]
// Points in space, colours and classes make arrays whose last dimension has 2, 3 or 4 elements, and
// broadcasting against them repeats single elements, or rows of that length. A call per row, or a
// loop whose end the processor has to guess, costs more than the row. Here one call brings many
// rows, each with two stores that overlap: both ends of a row of 12 bytes are 8 bytes long. A row
// that is read again and again is brought once, as often as a block holds it.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// A strided array as its own dimensions see it, merged as far as they can be, whatever other
// operands need: x[None] of a contiguous x is one row that is read again and again.
class RowLayout {
 public:
  RowLayout() = default;
  explicit RowLayout(const Array& a);
  // Whether a block of whole rows of `row` elements costs next to nothing: it stands in memory, has
  // been brought before, or repeats an element in each row.
  bool comes_cheap(int64_t row) const;

 private:
  friend class RowStream;
  // `rows` times `count` elements, which are `step` bytes apart; rows are `row_step` bytes apart.
  using Rows = void (*)(const char* from, int64_t row_step, int64_t step, int64_t count,
                        int64_t rows, char* to);
  const char* data_ = nullptr;
  int64_t size_ = 0;      // of an element, in bytes
  Dims shape_, strides_;  // two dimensions at least; strides in bytes
  Rows rows_ = nullptr;
};

class RowStream {
 public:
  RowStream() = default;
  RowStream(const RowLayout& layout, int64_t start);

  // Writes the next n elements to `to`.
  void copy(int64_t n, char* to);
  // Where the next n elements stand in a row, or after copying them to `scratch`; `single` says
  // that one element serves for all n. `kept`: the scratch holds what was written to it last time.
  const char* next(int64_t n, char* scratch, bool kept, bool& single);

 private:
  void step(size_t dim, int64_t count);
  const RowLayout* layout_ = nullptr;
  const char* at_ = nullptr;
  SmallVector<int64_t, 8> index_;
  const char* held_ = nullptr;  // the row that the scratch holds again and again,
  int64_t held_elements_ = 0;   // this far
};

}  // namespace fastgrad
