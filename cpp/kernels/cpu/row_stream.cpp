#include "kernels/cpu/row_stream.h"

#include <algorithm>
#include <cstring>

#include "kernels/copy.h"
#include "kernels/cpu/row_copy.h"
#include "kernels/cpu/short_lines.h"
#include "kernels/cpu/words.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

template <class Word>
Word load(const char* from) {
  Word w;
  std::memcpy(&w, from, sizeof(Word));
  return w;
}

// Rows that repeat one element, of kEnd to 2 * kEnd bytes.
template <class Word, int kEnd>
void repeat_rows(const char* from, int64_t row_step, int64_t bytes, int64_t rows, char* to) {
  for (; rows > 0; --rows, from += row_step, to += bytes) {
    Word end[kEnd / sizeof(Word)];
    std::fill(std::begin(end), std::end(end), load<Word>(from));
    std::memcpy(to, end, kEnd);
    std::memcpy(to + bytes - kEnd, end, kEnd);
  }
}

template <class Word>
void neighbours(const char* from, int64_t row_step, int64_t, int64_t count, int64_t rows,
                char* to) {
  constexpr int64_t kSize = sizeof(Word);
  const int64_t bytes = count * kSize;
  if (rows == 1) return LongCopy{bytes}(from, to);
  with_row_copy<kSize>(bytes, [&](auto copy) {
    for (; rows > 0; --rows, from += row_step, to += bytes) copy(from, to);
  });
}

template <class Word>
void repeats(const char* from, int64_t row_step, int64_t, int64_t count, int64_t rows, char* to) {
  constexpr int64_t kSize = sizeof(Word);
  const int64_t bytes = count * kSize;
  if constexpr (kSize == 4 || kSize == 8)
    if (const SpreadKernel spread = spread_kernel(kSize); rows > 1 && spread)
      return spread(from, row_step, bytes, rows, to);
  if (rows > 1 && with_end<kSize>(bytes, [&]<int kEnd>() {
        repeat_rows<Word, kEnd>(from, row_step, bytes, rows, to);
      }))
    return;
  for (; rows > 0; --rows, from += row_step, to += bytes) repeat_word(from, kSize, to, bytes);
}

template <class Word>
void spread(const char* from, int64_t row_step, int64_t step, int64_t count, int64_t rows,
            char* to) {
  auto* out = reinterpret_cast<Word*>(to);
  for (; rows > 0; --rows, from += row_step, out += count) {
    const char* p = from;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4, p += 4 * step) {  // loads first: `to` might be `from`
      const auto a = load<Word>(p), b = load<Word>(p + step), c = load<Word>(p + 2 * step),
                 d = load<Word>(p + 3 * step);
      out[i] = a;
      out[i + 1] = b;
      out[i + 2] = c;
      out[i + 3] = d;
    }
    for (; i < count; ++i, p += step) out[i] = load<Word>(p);
  }
}

}  // namespace

void copy_rows(const char* from, int64_t from_step, char* to, int64_t to_step, int64_t bytes,
               int64_t rows) {
  with_row_copy<1>(bytes, [&](auto copy) {
    for (; rows > 0; --rows, from += from_step, to += to_step) copy(from, to);
  });
}

RowLayout::RowLayout(const Array& a) : data_(a.data), size_(static_cast<int64_t>(a.itemsize())) {
  for (size_t d = 0; d < a.shape.size(); ++d) {
    const int64_t n = a.shape[d], stride = a.strides[d] * size_;
    if (n == 1) continue;
    if (!shape_.empty() && strides_.back() == stride * n) {
      shape_.back() *= n;
      strides_.back() = stride;
    } else {
      shape_.push_back(n);
      strides_.push_back(stride);
    }
  }
  while (shape_.size() < 2) {
    shape_.insert(0, 1);
    strides_.insert(0, 0);
  }
  const int64_t step = strides_.back();
  rows_ = with_word(size_, [&]<class Word>(Word) -> Rows {
    return step == size_ ? neighbours<Word> : step == 0 ? repeats<Word> : spread<Word>;
  });
}

bool RowLayout::comes_cheap(int64_t row) const {
  constexpr int64_t kOften = 4 * kBlock;
  const int64_t inner = shape_.back(), step = strides_.back(), rows = shape_[shape_.size() - 2];
  if (step != 0 && step != size_) return false;
  if (inner >= kOften) return true;
  if (inner != row) return false;
  return step == 0 ? size_ >= 4 : strides_[shape_.size() - 2] == 0 && rows * row >= kOften;
}

RowStream::RowStream(const RowLayout& layout, int64_t start)
    : layout_(&layout), at_(layout.data_), index_(layout.shape_.size(), 0) {
  for (size_t d = index_.size(); d-- > 0; start /= layout.shape_[d]) {
    index_[d] = start % layout.shape_[d];
    at_ += index_[d] * layout.strides_[d];
  }
}

// Moves on by `count` in dimension `dim`, into the dimensions before it at the end of a row.
void RowStream::step(size_t dim, int64_t count) {
  const RowLayout& l = *layout_;
  index_[dim] += count;
  at_ += count * l.strides_[dim];
  for (; dim > 0 && index_[dim] == l.shape_[dim]; --dim) {
    at_ += l.strides_[dim - 1] - l.shape_[dim] * l.strides_[dim];
    index_[dim] = 0;
    ++index_[dim - 1];
  }
}

void RowStream::copy(int64_t n, char* to) {
  const RowLayout& l = *layout_;
  const size_t last = index_.size() - 1;
  const int64_t inner = l.shape_[last], step_in = l.strides_[last];
  while (n > 0) {
    if (index_[last] == 0 && n >= inner) {
      const int64_t rows = std::min(n / inner, l.shape_[last - 1] - index_[last - 1]);
      l.rows_(at_, l.strides_[last - 1], step_in, inner, rows, to);
      step(last - 1, rows);
      n -= rows * inner;
      to += rows * inner * l.size_;
    } else {
      const int64_t count = std::min(n, inner - index_[last]);
      l.rows_(at_, 0, step_in, count, 1, to);
      step(last, count);
      n -= count;
      to += count * l.size_;
    }
  }
}

const char* RowStream::next(int64_t n, char* scratch, bool kept, bool& single) {
  const RowLayout& l = *layout_;
  const size_t last = index_.size() - 1;
  const int64_t step_in = l.strides_[last];
  single = false;
  if (n <= l.shape_[last] - index_[last] && (step_in == 0 || step_in == l.size_)) {
    const char* here = at_;
    single = step_in == 0;
    step(last, n);
    return here;
  }
  const size_t rows = index_.size() - 2;
  const bool again =
      kept && l.strides_[rows] == 0 && index_[rows + 1] == 0 && n % l.shape_[rows + 1] == 0;
  const int64_t count = n / l.shape_[rows + 1];
  if (again && held_ == at_ && n <= held_elements_ && count <= l.shape_[rows] - index_[rows]) {
    step(rows, count);
    return scratch;
  }
  held_ = again && count <= l.shape_[rows] - index_[rows] ? at_ : nullptr;
  held_elements_ = n;
  copy(n, scratch);
  return scratch;
}

}  // namespace fastgrad
