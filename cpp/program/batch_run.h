// What was recorded of one example, run for all: see Note [Batches] in program/batch.h.
#pragma once

#include "core/memory.h"
#include "program/batch_rules.h"
#include "transforms/trace.h"

namespace fastgrad {

// The batch in front; `dim` counts the examples, -1: the array is the same for all of them.
Array batch_of(const Array& x, int64_t dim, int64_t count);
// One entry of the batch, which is in front.
Array entry(const Array& x, int64_t i);

// Whether an instruction draws from the default generator.
bool draws(const Instruction& i);

// Where storages lie, for all that has run of a recording.
struct BatchMemory {
  // `stride`: bytes from one example to the next.
  struct Block {
    Ref<Buffer> buffer;
    char* base = nullptr;
    int64_t stride = 0;
    bool own = false;  // made here, for nothing else
  };
  int64_t count = 0;  // of examples
  std::vector<uint8_t> batched;
  std::vector<Block> blocks;
  size_t instructions = 0;  // that have run
  // Random numbers: where those of the first example begin, and how many blocks it is to the next.
  struct {
    uint64_t seed = 0, first = 0, step = 0;
  } draws;

  bool is_batched(const Place& p) const { return batched[static_cast<size_t>(p.storage)]; }
  // A place, with the batch in front where it has one.
  Array array(const Place& p) const;
  // Lets a storage be the examples' shares of an array, which has the batch in front.
  void place_input(int32_t storage, Array column);
};

// Runs what was recorded and has not run yet; false: it does not hold for all examples. `kept` is
// there afterwards, or, with `everything`, all of it. Of the results `summed` only the sums over
// the examples count: `sums` has those that could be made at once.
bool run_batch(Trace& trace, BatchMemory& memory, std::span<const Place> kept, bool everything,
               std::span<const Place> summed, std::vector<Array>& sums);

}  // namespace fastgrad
