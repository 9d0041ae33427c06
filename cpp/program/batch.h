// A function of one example, run for a batch of them: what fg.func.vmap does.
//
// Note [Batches]
// The function is called for the first example while a recorder looks on, derivatives and whatever
// else it computes included. Each block of memory that depends on the example then becomes a row of
// blocks, one per example, and each instruction runs once for all of them. A place in memory has
// the batch as one dimension more, in front; so views need no rule, nor do writes into parts.
// Elementwise instructions, copies and fills need none either. Other ops have one where they can
// take a whole batch at once (program/batch_rules*.cpp), and run once per example where they
// cannot, which is a loop over kernels, without Python and without a tape.
//
// Random numbers are those that calls one after the other would draw: every example has a stretch
// of blocks of the generator, as long as the first example's.
//
// What the recorder cannot promise to hold for all examples sends the caller back to calling the
// function for each: decisions about values that come out otherwise for another example, writes to
// memory outside, gradients left in leaves that live on. The call for the first example was an
// ordinary one, and counts as that one.
//
// Note [Gradients of batches]
// Where results require grad, the tape of the first example is what there is, and what it has saved
// is kept for all examples. The node of a batch's results, when it runs, goes on recording while
// the engine walks that tape, and runs what was recorded for all examples in turn. Edges lead to
// what the tape leads to: inputs that are mapped, for which it makes batches, and whatever else
// requires grad, for which it makes sums. A gradient that is to be differentiated again is such a
// result itself.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "program/batch_rules.h"
#include "program/call_again.h"
#include "transforms/trace.h"

namespace fastgrad {

struct BatchMemory;

class ExampleRecording : public std::enable_shared_from_this<ExampleRecording> {
 public:
  // Inputs, with the dimension of each that counts the examples.
  ExampleRecording(std::span<const Tensor> inputs, std::span<const int64_t> dims);

  // The first example's, to be given to the function between start() and stop().
  Tensors examples() const;
  void start();
  void stop();

  // Whether the function wrote to its inputs, or to entries that it took by an index: they are
  // copies here.
  bool wrote_to_copies() const;
  // What became of the results for the first example, for examples `from` to `until`: the batch is
  // their first dimension; undefined for those that are the same for all examples. False: the
  // function must be called for each. `again` does that, and gives batches of the results.
  // `same_draws`: all examples have the same random numbers.
  bool run(std::span<const Tensor> results, int64_t from, int64_t until, bool same_draws,
           const CallAgain& again, Tensors& out);

 private:
  friend struct HistoryOfBatch;
  // What stands for the first example's share of a tensor; `dim` counts the examples, -1: it is
  // shared by all, or the sum over all.
  struct Link {
    Tensor example, whole;
    int64_t dim;
  };
  // What the history of examples' results leads to, and what it has saved.
  struct Route {
    std::vector<Link> ends;
    std::vector<Place> saved;
    bool opaque = false;  // there are nodes that do not show what they have saved
  };
  // Where the memory of an array stands; undefined where nobody has told of it.
  Place place_of(const Array& a);
  std::optional<Route> route_of(std::span<const Tensor> results, std::span<const Link> inputs);
  void attach(std::vector<Link> results, std::vector<Link> inputs, const Route& route,
              std::shared_ptr<BatchMemory> memory, CallAgain again);
  // Instructions before `may_draw` may draw random numbers.
  bool may_run(size_t may_draw) const;

  std::vector<Link> inputs_;
  std::vector<int32_t> storages_;              // of the inputs' examples
  uint64_t clock_ = 0;                         // the tape's when it began
  uint64_t first_block_ = 0, last_block_ = 0;  // of random numbers
  Trace trace_;
  std::mutex running_;  // one history's backward at a time
};

}  // namespace fastgrad
