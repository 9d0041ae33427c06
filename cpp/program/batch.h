// A function of one example, run for a batch of them: what fg.func.vmap does.
//
// Note [Batches]
// The function is called for the first example while a recorder looks on, derivatives and whatever
// else it computes included. Each block of memory that depends on the example then becomes a row of
// blocks, one per example, and each instruction runs once for all of them. A place in memory has
// the batch as one dimension more, in front; so views need no rule, nor do writes into parts.
// Elementwise instructions, copies and fills need none either. Other ops have one where they can
// take a whole batch at once (program/batch_rules.cpp), and run once per example where they cannot,
// which is a loop over kernels, without Python and without a tape.
//
// What the recorder cannot promise to hold for all examples sends the caller back to calling the
// function for each: decisions about values that come out otherwise for another example, random
// numbers, writes to memory outside, gradients left in leaves that live on. The call for the first
// example was an ordinary one, and counts as that one.
#pragma once

#include "program/batch_rules.h"
#include "transforms/trace.h"

namespace fastgrad {

class ExampleRecording {
 public:
  // Inputs, with the dimension of each that counts the examples.
  ExampleRecording(std::span<const Tensor> inputs, std::span<const int64_t> dims);

  // The first example's, to be given to the function between start() and stop().
  const Tensors& examples() const { return examples_; }
  void start() { trace_.start_inside(); }
  void stop() { trace_.stop(); }

  // Whether the function wrote to its inputs, which were copies.
  bool wrote_to_inputs() const;
  // What became of the results for the first example, for examples `from` to `until`: the batch is
  // their first dimension; undefined for those that are the same for all examples. False: the
  // function must be called for each.
  bool run(std::span<const Tensor> results, int64_t from, int64_t until, Tensors& out);

 private:
  friend class BatchRun;
  Tensors examples_;
  std::vector<Array> columns_;     // the inputs, the batch in front
  std::vector<int32_t> storages_;  // of the examples
  Trace trace_;
};

}  // namespace fastgrad
