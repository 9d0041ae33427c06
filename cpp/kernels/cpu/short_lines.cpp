#include "kernels/cpu/short_lines.h"

#include <cstring>
#include <limits>

#include "base/isa.h"
#include "kernels/cpu/words.h"

namespace fastgrad {

const ShortLineTable& short_line_table() {
  static const ShortLineTable& table = [&]() -> const ShortLineTable& {
    if (isa() == Isa::Avx512 && kShortLinesAvx512.split[2][2]) return kShortLinesAvx512;
    if (isa() >= Isa::Avx2 && kShortLinesAvx2.split[2][2]) return kShortLinesAvx2;
    return kShortLinesBaseline;
  }();
  return table;
}

void repeat_word(const char* word, int64_t size, char* to, int64_t bytes) {
  const RepeatKernel repeat = short_line_table().repeat;
  with_word(size, [&]<class Word>(Word w) {
    std::memcpy(&w, word, sizeof w);
    if constexpr (sizeof(Word) == 16)
      repeat(w.low, w.high, to, bytes);
    else {
      const uint64_t eight = ~uint64_t{0} / std::numeric_limits<Word>::max() * w;
      repeat(eight, eight, to, bytes);
    }
  });
}

}  // namespace fastgrad
