// The backward pass of a recorded function, as a program of its own.
//
// Note [Compiled backward]
// When a recorded function returns tensors that require grad, the recorder goes on while the engine
// computes the gradients of its inputs once, from cotangents of the results' shapes. What this
// second part reads of the first is saved: a replay of the forward program makes it in blocks that
// its results' node keeps. Saved memory is checked for versions before it is read, as on the tape.
#pragma once

#include <memory>

#include "program/program.h"
#include "transforms/trace.h"

namespace fastgrad {

class CompiledBackward {
 public:
  // Records gradients of `outputs`, which have just been recorded by `trace`, for leaf `inputs`.
  // Null: there is no backward pass, and `why` says so. The storages that the forward program must
  // save are appended to `results`.
  static std::shared_ptr<CompiledBackward> record(Trace& trace, std::span<const Tensor> outputs,
                                                  std::span<const Tensor> inputs,
                                                  std::vector<Place>& results, std::string& why);

  // Memory that a run reads: of a forward block (by the place of its result), or outside.
  struct Source {
    enum class Kind : uint8_t { Cotangent, Saved, Outside } kind;
    size_t index;  // of the cotangent; in the forward program's results; of the external storage
  };
  struct Memory {
    Ref<Buffer> buffer;
    char* base;
    uint32_t version;
  };
  const std::vector<Source>& sources() const { return sources_; }
  // Gives `outputs` a node that runs this. `memory` has an entry per source, empty for cotangents.
  static void attach(const std::shared_ptr<CompiledBackward>& b, std::span<const Tensor> outputs,
                     std::span<const Tensor> inputs, std::vector<Memory> memory);

 private:
  friend struct CompiledRule;
  void run(std::span<const Memory> memory, std::span<Tensor> cotangents,
           std::span<Tensor> gradients) const;

  std::unique_ptr<Program> program_;
  std::vector<Source> sources_;  // of the program's externals
  std::vector<Place> cotangents_;
  std::vector<int> gradient_result_;  // of each input, in the program's results; -1: none
};

}  // namespace fastgrad
