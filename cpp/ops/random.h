// Random numbers: the generator, and tensors filled from it.
//
// Note [Random streams]
// A Generator is a seed and a count of blocks taken so far. An operation reserves the blocks that
// it may need and makes each element from the element's own place among them, so results depend
// on neither the number of threads nor the order in which elements are made.
#pragma once

#include <mutex>
#include <optional>

#include "base/philox.h"
#include "core/tensor.h"

namespace fastgrad {

struct Primitive;

class Generator {
 public:
  struct State {
    uint64_t seed, next_block;
  };
  Generator();  // seeded by the system
  explicit Generator(uint64_t seed) : state_{seed, 0} {}

  RandomStream reserve(uint64_t blocks);
  void manual_seed(uint64_t seed) { set_state({seed, 0}); }
  uint64_t initial_seed() { return state().seed; }
  State state();
  void set_state(State s);
  // How far the stream is: tells, while a program is recorded too, whether anything was drawn.
  uint64_t position();

 private:
  std::mutex mutex_;
  State state_;
};

// The calling thread's own where it has one, else the one that all threads share.
Generator& default_generator();
// Gives the calling thread a default generator of its own, or with null takes it away. The caller
// keeps `g` alive meanwhile.
void set_thread_generator(Generator* g);
uint64_t system_seed();

// In-place fillers; each fails for element types that cannot hold its values. Gradients do not
// pass: what self depended on gets zeros.
void uniform_(const Tensor& self, double from, double to, Generator& g);
void normal_(const Tensor& self, double mean, double std, Generator& g);
void bernoulli_(const Tensor& self, double p, Generator& g);
void bernoulli_(const Tensor& self, const Tensor& p, Generator& g);
void exponential_(const Tensor& self, double rate, Generator& g);
void geometric_(const Tensor& self, double p, Generator& g);
void cauchy_(const Tensor& self, double median, double sigma, Generator& g);
void log_normal_(const Tensor& self, double mean, double std, Generator& g);
// Integers in [from, to); all that the type can hold from 0 (or from `from`) on when absent.
void random_(const Tensor& self, std::optional<int64_t> from, std::optional<int64_t> to,
             Generator& g);

Tensor normal(const Tensor& mean, const Tensor& std, Generator& g);
Tensor normal(const Tensor& mean, double std, Generator& g);
Tensor normal(double mean, const Tensor& std, Generator& g);
Tensor bernoulli(const Tensor& p, Generator& g);
Tensor poisson(const Tensor& rates, Generator& g);
// Of rate 1; without gradients by the concentrations.
Tensor standard_gamma(const Tensor& concentrations, Generator& g);
Tensor multinomial(const Tensor& weights, int64_t draws, bool replacement, Generator& g);
Tensor randperm(int64_t n, DType dtype, Generator& g);

// Where the random numbers of an operation begin that makes them itself: blocks of the default
// generator. While somebody records, `recorded` has seed and block as well: an operation that reads
// them from there draws anew in every replay. Not in recordings that are refused by then: what
// such an operation saves must be what it saves when a checkpoint runs it again later.
struct DrawnStream {
  RandomStream stream;
  Tensor recorded;
};
DrawnStream draw_stream(uint64_t blocks);
// A stream from what draw_stream() recorded.
RandomStream stream_at(const Array& recorded);

// What recordings have for random numbers, as long as they draw from the default generator.
std::span<const Primitive* const> random_primitives();
// The other generator that a recorded primitive draws from; null for all else. Whoever keeps the
// recording keeps the generator.
Generator* own_generator(const Primitive& p, const Attrs& attrs);

}  // namespace fastgrad
