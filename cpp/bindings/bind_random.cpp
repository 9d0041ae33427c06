#include "bindings/creation_options.h"
#include "bindings/families.h"
#include "bindings/generator_object.h"
#include "ops/creation.h"
#include "ops/random.h"

namespace fastgrad::py {
namespace {

Generator& generator(const Arguments& a, int i) {
  return a.has(i) ? generator_of(a.object(i)) : default_generator();
}

// What the filler of a new tensor needs besides the tensor.
using Filler = void (*)(const Tensor&, Generator&);

template <Filler fill>
void bind_sized(Registry& r, const char* name, const char* doc, const char* like_doc) {
  r.add(name, kFunction, doc)
      .on("(int[*] size, *, Generator? generator=None, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            Options o(a, 3);
            Tensor t = empty(a.ints(0), o.dtype_or(default_dtype(), a, 2));
            fill(t, generator(a, 1));
            return o.finish(t);
          });
  r.add((std::string(name) + "_like").c_str(), kFunction, like_doc)
      .on("(Tensor input, *, Generator? generator=None, " FG_OPTIONS
          ", memory_format? memory_format=None)",
          [](const Arguments& a) {
            Options o(a, 2);
            Tensor x = a.tensor(0);
            Tensor t = empty_like(x, o.dtype.value_or(x.dtype()),
                                  a.memory_format(7, MemoryFormat::Preserve));
            fill(t, generator(a, 1));
            return o.finish(t);
          });
}

void fill_uniform01(const Tensor& t, Generator& g) { uniform_(t, 0, 1, g); }
void fill_normal01(const Tensor& t, Generator& g) { normal_(t, 0, 1, g); }

PyObject* make_randint(const Arguments& a, int64_t low, int64_t high, DimSpan size,
                       int generator_slot) {
  Options o(a, generator_slot + 2);
  Tensor t = empty(size, o.dtype_or(DType::Int64, a, generator_slot + 1));
  random_(t, low, high, generator(a, generator_slot));
  return o.finish(t);
}

PyObject* make_randint_like(const Arguments& a, int64_t low, int64_t high, int generator_slot) {
  Options o(a, generator_slot + 1);
  Tensor x = a.tensor(0);
  Tensor t = empty_like(x, o.dtype.value_or(x.dtype()),
                        a.memory_format(generator_slot + 6, MemoryFormat::Preserve));
  random_(t, low, high, generator(a, generator_slot));
  return o.finish(t);
}

void bind_integers(Registry& r) {
  r.add("randint", kFunction, "Random integers from low (0 when absent) to high, high excluded.")
      .on("(int high, int[] size, *, Generator? generator=None, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) { return make_randint(a, 0, a.integer(0), a.ints(1), 2); })
      .on("(int low, int high, int[] size, *, Generator? generator=None, Tensor? "
          "out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            return make_randint(a, a.integer(0), a.integer(1), a.ints(2), 3);
          });
  r.add("randint_like", kFunction, "randint() with the shape and element type of input.")
      .on("(Tensor input, int high, *, Generator? generator=None, " FG_OPTIONS
          ", memory_format? memory_format=None)",
          [](const Arguments& a) { return make_randint_like(a, 0, a.integer(1), 2); })
      .on("(Tensor input, int low, int high, *, Generator? generator=None, " FG_OPTIONS
          ", memory_format? memory_format=None)",
          [](const Arguments& a) { return make_randint_like(a, a.integer(1), a.integer(2), 3); });
  r.add("randperm", kFunction, "The numbers from 0 to n - 1 in a random order.")
      .on("(int n, *, Generator? generator=None, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            Options o(a, 3);
            return o.finish(
                randperm(a.integer(0), o.dtype_or(DType::Int64, a, 2), generator(a, 1)));
          });
}

void bind_distributions(Registry& r) {
  r.add("normal", kFunction,
        "Random numbers from normal distributions with the given means and standard deviations.")
      .on("(Tensor mean, Tensor std, *, Generator? generator=None, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(normal(a.tensor(0), a.tensor(1), generator(a, 2)));
          })
      .on("(Tensor mean, float std=1.0, *, Generator? generator=None, Tensor? out=None)",
          [](const Arguments& a) { return wrap(normal(a.tensor(0), a.real(1), generator(a, 2))); })
      .on("(float mean, Tensor std, *, Generator? generator=None, Tensor? out=None)",
          [](const Arguments& a) { return wrap(normal(a.real(0), a.tensor(1), generator(a, 2))); })
      .on("(float mean, float std, int[] size, *, Generator? generator=None, Tensor? "
          "out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            Options o(a, 5);
            Tensor t = empty(a.ints(2), o.dtype_or(default_dtype(), a, 4));
            normal_(t, a.real(0), a.real(1), generator(a, 3));
            return o.finish(t);
          });
  r.add("bernoulli", kBoth, "1 with the probability that input gives (or p), else 0.")
      .on("(Tensor input, *, Generator? generator=None, Tensor? out=None)",
          [](const Arguments& a) { return wrap(bernoulli(a.tensor(0), generator(a, 1))); })
      .on("(Tensor input, float p, *, Generator? generator=None)", [](const Arguments& a) {
        Tensor t = empty_like(a.tensor(0), a.tensor(0).dtype());
        bernoulli_(t, a.real(1), generator(a, 2));
        return wrap(t);
      });
  r.add("_standard_gamma", kFunction, "Random numbers of gamma distributions with rate 1.")
      .on("(Tensor input, Generator? generator=None)",
          [](const Arguments& a) { return wrap(standard_gamma(a.tensor(0), generator(a, 1))); });
  r.add("poisson", kFunction, "Random counts from Poisson distributions with the given rates.")
      .on("(Tensor input, Generator? generator=None)",
          [](const Arguments& a) { return wrap(poisson(a.tensor(0), generator(a, 1))); });
  r.add("multinomial", kBoth, "Indices drawn by weight from each row of input.")
      .on("(Tensor input, int num_samples, bool replacement=False, *, Generator? generator=None, "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(multinomial(a.tensor(0), a.integer(1), a.boolean(2), generator(a, 3)));
          });
}

// name_(self, a, b): a filler with two numbers.
template <void (*fill)(const Tensor&, double, double, Generator&)>
PyObject* fill_two(const Arguments& a) {
  fill(a.tensor(0), a.real(1), a.real(2), generator(a, 3));
  return Py_NewRef(a.object(0));
}
template <void (*fill)(const Tensor&, double, Generator&)>
PyObject* fill_one(const Arguments& a) {
  fill(a.tensor(0), a.real(1), generator(a, 2));
  return Py_NewRef(a.object(0));
}

void bind_fillers(Registry& r) {
  r.add("uniform_", kMethod, "Fills with numbers uniform in [from, to).")
      .on("(Tensor self, float from=0.0, float to=1.0, *, Generator? generator=None)",
          fill_two<uniform_>);
  r.add("normal_", kMethod, "Fills with normal numbers.")
      .on("(Tensor self, float mean=0.0, float std=1.0, *, Generator? generator=None)",
          fill_two<normal_>);
  r.add("log_normal_", kMethod, "Fills with numbers whose logarithms are normal.")
      .on("(Tensor self, float mean=1.0, float std=2.0, *, Generator? generator=None)",
          fill_two<log_normal_>);
  r.add("cauchy_", kMethod, "Fills with numbers from a Cauchy distribution.")
      .on("(Tensor self, float median=0.0, float sigma=1.0, *, Generator? generator=None)",
          fill_two<cauchy_>);
  r.add("exponential_", kMethod,
        "Fills with numbers from an exponential distribution of rate lambd.")
      .on("(Tensor self, float lambd=1.0, *, Generator? generator=None)", fill_one<exponential_>);
  r.add("geometric_", kMethod, "Fills with the number of trials up to the first success.")
      .on("(Tensor self, float p, *, Generator? generator=None)", fill_one<geometric_>);
  r.add("bernoulli_", kMethod, "Fills with 1 with probability p, else 0.")
      .on("(Tensor self, Tensor p, *, Generator? generator=None)",
          [](const Arguments& a) {
            bernoulli_(a.tensor(0), a.tensor(1), generator(a, 2));
            return Py_NewRef(a.object(0));
          })
      .on("(Tensor self, float p=0.5, *, Generator? generator=None)", fill_one<bernoulli_>);
  r.add("random_", kMethod, "Fills with integers from `from` (0 when absent) to `to`, excluded.")
      .on("(Tensor self, *, Generator? generator=None)",
          [](const Arguments& a) {
            random_(a.tensor(0), std::nullopt, std::nullopt, generator(a, 1));
            return Py_NewRef(a.object(0));
          })
      .on("(Tensor self, int to, *, Generator? generator=None)",
          [](const Arguments& a) {
            random_(a.tensor(0), 0, a.integer(1), generator(a, 2));
            return Py_NewRef(a.object(0));
          })
      .on("(Tensor self, int from, int? to, *, Generator? generator=None)", [](const Arguments& a) {
        random_(a.tensor(0), a.integer(1), a.optional_integer(2), generator(a, 3));
        return Py_NewRef(a.object(0));
      });
}

void bind_seeds(Registry& r) {
  r.add("manual_seed", kFunction, "Seeds the default generator, which it returns.")
      .on("(Any seed) -> Generator", [](const Arguments& a) {
        default_generator().manual_seed(to_seed(a.object(0)));
        return default_generator_object();
      });
  r.add("seed", kFunction,
        "Seeds the default generator with a number that the system draws, and returns that.")
      .on("() -> int", [](const Arguments&) {
        default_generator().manual_seed(system_seed());
        return PyLong_FromUnsignedLongLong(default_generator().initial_seed());
      });
  r.add("_set_thread_generator", kFunction,
        "The default generator of this thread alone, which the caller keeps; None: the common one.")
      .on("(Generator? generator) -> None", [](const Arguments& a) -> PyObject* {
        set_thread_generator(a.has(0) ? &generator_of(a.object(0)) : nullptr);
        return Py_NewRef(Py_None);
      });
  r.add("initial_seed", kFunction, "The seed of the default generator.")
      .on("() -> int", [](const Arguments&) {
        return PyLong_FromUnsignedLongLong(default_generator().initial_seed());
      });
  r.add("_rng_position", kFunction, "How many blocks the default generator has given out.")
      .on("() -> int", [](const Arguments&) {
        return PyLong_FromUnsignedLongLong(default_generator().position());
      });
  r.add("get_rng_state", kFunction, "The state of the default generator, a tensor of bytes.")
      .on("()", [](const Arguments&) { return generator_state(default_generator()); });
  r.add("set_rng_state", kFunction,
        "Puts the default generator into a state that get_rng_state gave.")
      .on("(Any new_state) -> None", [](const Arguments& a) {
        set_generator_state(default_generator(), a.object(0));
        return none();
      });
}

}  // namespace

void bind_random(Registry& r) {
  bind_sized<fill_uniform01>(r, "rand", "Random numbers uniform in [0, 1).",
                             "rand() with the shape and element type of input.");
  bind_sized<fill_normal01>(r, "randn", "Normal random numbers with mean 0 and variance 1.",
                            "randn() with the shape and element type of input.");
  bind_integers(r);
  bind_distributions(r);
  bind_fillers(r);
  bind_seeds(r);
}

}  // namespace fastgrad::py
