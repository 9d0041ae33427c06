// The backward pass of a recorded function, as a program of its own.
//
// Note [Compiled backward]
// When a recorded function returns tensors that require grad, the recorder goes on while the engine
// computes the gradients of its inputs, from cotangents of the results' shapes. What this second
// part reads of the first is saved: a replay of the forward program makes it in blocks that its
// results' node keeps. Saved memory is checked for versions before it is read, as on the tape.
//
// Results that get no cotangent are no zeros: they take no part, and inputs that only they use get
// no gradient. So there is a pass for each set of results that is likely to have cotangents. Where
// there is none, and where the gradient is to be differentiated in turn, the function is called
// again, on the tape.
#pragma once

#include <memory>

#include "program/call_again.h"
#include "program/program.h"
#include "transforms/trace.h"

namespace fastgrad {

class CompiledBackward {
 public:
  // Records gradients of `outputs`, which have just been recorded by `trace`, for `inputs`. Null:
  // there is no backward pass, and `why` says so. The storages that the forward program must save
  // are appended to `results`.
  static std::shared_ptr<CompiledBackward> record(Trace& trace, std::span<const Tensor> outputs,
                                                  std::span<const Tensor> inputs,
                                                  std::vector<Place>& results, std::string& why);

  // Memory that a pass reads: of a forward block (by the place of its result), or outside.
  struct Source {
    bool saved;
    size_t index;  // in the forward program's results; of the external storage
  };
  struct Memory {
    Ref<Buffer> buffer;
    char* base;
    uint32_t version;
  };
  const std::vector<Source>& sources() const { return sources_; }
  // Gives `outputs` a node that runs this; `again` makes them anew. `memory` has an entry per
  // source.
  static void attach(const std::shared_ptr<CompiledBackward>& b, std::span<const Tensor> outputs,
                     std::span<const Tensor> inputs, std::vector<Memory> memory, CallAgain again);

 private:
  friend struct CompiledRule;
  // The backward pass of the outputs in `mask`.
  struct Pass {
    uint64_t mask;
    std::unique_ptr<Program> program;
    std::vector<int> externals;  // of each: its source, or -1 - the output it is a cotangent of
    std::vector<int> gradient_result;  // of each input, in the program's results; -1: none
  };
  bool record_pass(Trace& trace, std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                   uint64_t mask, std::vector<Place>& results, std::string& why);
  int source(Source s);
  // False: the values decide otherwise than when it was recorded.
  bool run(const Pass& pass, std::span<const Memory> memory, std::span<Tensor> cotangents,
           std::span<Tensor> gradients) const;

  std::vector<Pass> passes_;
  std::vector<Source> sources_;
  std::vector<Place> cotangents_;
  std::ptrdiff_t first_saved_ = 0;  // in the forward program's results
};

}  // namespace fastgrad
