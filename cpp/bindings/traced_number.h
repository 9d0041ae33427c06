// Python floats among the arguments of a compiled function that vary from call to call.
//
// Note [Numbers as inputs]
// A float among the arguments is part of a recording's guards at first. Once it has been seen with
// another value, the function gets a stand-in for it while it is recorded: an object that says it
// is a float, but is none for C, so that nobody can read its value without a call into this file.
// Sums, differences, products and quotients with other numbers give further stand-ins, which know
// how they were computed. Beside a tensor of float32 or float64, in `+ - * /`, a comparison or
// their in-place forms, it becomes an operand without dimensions in memory outside, which a replay
// fills anew. Everything else that anybody does with it (comparing, converting, printing, hashing,
// handing it to a function) needs its value: then the argument stays a guard, as it was before.
//
// What cannot be noticed is a look at its class with type(), or at its identity: functions whose
// code might do that get no stand-ins (fastgrad._examine looks for it). When a function raises an
// exception because of one, it is called again without, unless it has had effects by then.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "bindings/python.h"
#include "transforms/trace.h"

namespace fastgrad::py {

// How a number was computed from arguments, in reverse Polish notation.
struct NumberStep {
  enum class Kind : uint8_t { Argument, Constant, Add, Sub, Mul, Div, Neg } kind;
  int argument = -1;
  double constant = 0;
  bool operator==(const NumberStep&) const = default;
};
using NumberFormula = std::vector<NumberStep>;
// Its value; nothing where Python would raise an exception. `arguments` are all those of the call.
std::optional<double> evaluate(const NumberFormula& f, std::span<const double> arguments);

// The stand-ins of one recording.
class NumberInputs : public std::enable_shared_from_this<NumberInputs> {
 public:
  explicit NumberInputs(Trace& trace) : trace_(&trace) {}
  // An operand of the program that a replay fills.
  struct Input {
    NumberFormula formula;
    DType dtype;
    Place place;
    Tensor tensor;
  };

  // A stand-in for argument i.
  Object stand_in(int i, double value);
  // The recording is over: stand-ins that are left are mere numbers.
  void close() { trace_ = nullptr; }
  bool needed(int argument) const;  // its value was
  const std::vector<Input>& inputs() const { return inputs_; }

  void need(const NumberFormula& f);
  // The tensor without dimensions that stands for a number; none when the recording is over.
  std::optional<Tensor> operand(const NumberFormula& f, double value, DType dtype);

 private:
  Trace* trace_;
  std::vector<int> needed_;
  std::vector<Input> inputs_;
};

// How many there are; hardly ever any.
extern int g_stand_ins;
// Puts numbers where the function that was recorded has left stand-ins.
void settle_stand_ins();
bool is_stand_in(PyObject* o);
// The number itself, which somebody needs: a new reference.
PyObject* number_behind(PyObject* stand_in);
double value_behind(PyObject* stand_in);
// The operand for an operator beside a tensor of that type, if it can be one.
std::optional<Tensor> operand_behind(PyObject* stand_in, DType beside);
// o with the numbers in place of stand-ins, in tuples, lists and dictionaries too.
Object without_stand_ins(PyObject* o, int depth = 0);

void add_stand_in_type();

}  // namespace fastgrad::py
