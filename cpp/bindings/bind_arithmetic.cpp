// Elementwise functions whose arguments are more than the operands of a row.
#include "bindings/families.h"
#include "bindings/op_rows.h"
#include "bindings/return_types.h"
#include "core/promotion.h"
#include "ops/arithmetic.h"
#include "ops/compare.h"
#include "ops/frexp.h"

namespace fastgrad::py {
namespace {

// A function behind which this row stands, documented by it unless there is more to say.
Definition& add_row(Registry& r, const char* name, Op op, unsigned places,
                    const char* doc = nullptr) {
  Definition& d = r.add(name, places, doc ? doc : row_facts(op).doc);
  d.row = op;
  return d;
}

// Signatures. A number may stand first only where PyTorch takes one there.
constexpr const char* kScaled =
    "(Tensor|Number input, Tensor|Number other, *, Number alpha=1, Tensor? out=None)";
constexpr const char* kTensorFirst = "(Tensor input, Tensor|Number other, *, Tensor? out=None)";
constexpr const char* kNumberFirst = "(Number input, Tensor other, *, Tensor? out=None)";
constexpr const char* kBinary = "(Tensor|Number input, Tensor|Number other, *, Tensor? out=None)";

Rounding rounding(const Arguments& a, int i) {
  return a.has(i) ? parse_rounding(a.text(i)) : Rounding::None;
}

// A row on two operands whose divisor must not be an integer 0.
template <Op op>
RowCall division(const Arguments& a) {
  check_divisor(a.operand(0), a.operand(1));
  return RowCall(op, a.operand(0), a.operand(1));
}

RowCall to_power(const Arguments& a) { return power(a.operand(0), a.operand(1)); }
PyObject* power_in_float64(const Arguments& a) {
  return wrap(float_power(a.operand(0), a.operand(1)));
}

std::optional<Operand> bound(const Arguments& a, int i) {
  return a.has(i) ? std::optional(a.operand(i)) : std::nullopt;
}

PyObject* itself(const Arguments& a) { return Py_NewRef(a.object(0)); }

void bind_sums(Registry& r) {
  add_row(r, "add", Op::Add, kBoth | kInplace)
      .on_row(
          kScaled,
          [](const Arguments& a) { return scaled_sum(a.operand(0), a.operand(1), a.number(2)); })
      .binary = Op::Add;
  add_row(r, "sub", Op::Sub, kBoth | kInplace)
      .on_row(kScaled,
              [](const Arguments& a) {
                return scaled_difference(a.operand(0), a.operand(1), a.number(2));
              })
      .binary = Op::Sub;
  r.add("rsub", kFunction, "Reversed difference: other - alpha * input.")
      .on_row("(Tensor input, Tensor|Number other, *, Number alpha=1)", [](const Arguments& a) {
        return scaled_difference(a.operand(1), a.operand(0), a.number(2));
      });
  add_row(r, "addcmul", Op::Addcmul, kBoth | kInplace, "input + value * tensor1 * tensor2.")
      .on_row("(Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1, Tensor? out=None)",
              [](const Arguments& a) {
                return scaled_product(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3));
              });
  add_row(r, "addcdiv", Op::Addcdiv, kBoth | kInplace, "input + value * tensor1 / tensor2.")
      .on_row("(Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1, Tensor? out=None)",
              [](const Arguments& a) {
                return scaled_quotient(a.tensor(0), a.tensor(1), a.tensor(2), a.number(3));
              });
  add_row(r, "lerp", Op::Lerp, kBoth | kInplace,
          "Linear interpolation: input + weight * (end - input).")
      .on_row(
          "(Tensor input, Tensor end, Tensor|Number weight, *, Tensor? out=None)",
          [](const Arguments& a) { return interpolate(a.tensor(0), a.tensor(1), a.operand(2)); });
}

void bind_quotients(Registry& r) {
  add_row(r, "div", Op::Div, kBoth | kInplace,
          "Quotient input / other; rounding_mode 'trunc' rounds it towards 0, 'floor' down.")
      .on_row(
          "(Tensor|Number input, Tensor|Number other, *, str? rounding_mode=None, "
          "Tensor? out=None)",
          [](const Arguments& a) { return divide(a.operand(0), a.operand(1), rounding(a, 2)); })
      .binary = Op::Div;
  add_row(r, "true_divide", Op::Div, kBoth | kInplace)
      .on_row(kBinary,
              [](const Arguments& a) { return RowCall(Op::Div, a.operand(0), a.operand(1)); })
      .binary = Op::Div;
  add_row(r, "floor_divide", Op::FloorDivide, kBoth | kInplace)
      .on_row(kBinary, division<Op::FloorDivide>);
  add_row(r, "remainder", Op::Remainder, kBoth | kInplace)
      .on_row(kTensorFirst, division<Op::Remainder>)
      .on_row(kNumberFirst, division<Op::Remainder>);
  add_row(r, "fmod", Op::Fmod, kBoth | kInplace).on_row(kTensorFirst, division<Op::Fmod>);
  add_row(r, "pow", Op::Pow, kBoth | kInplace)
      .on_row("(Tensor input, Tensor|Number exponent, *, Tensor? out=None)", to_power)
      .on_row("(Number input, Tensor exponent, *, Tensor? out=None)", to_power);
  r.add("float_power", kBoth | kExactOut, "Power input ** exponent, computed in float64.")
      .on("(Tensor input, Tensor|Number exponent, *, Tensor? out=None)", power_in_float64)
      .on("(Number input, Tensor exponent, *, Tensor? out=None)", power_in_float64);
  r.add("float_power_", kMethod, "In-place form of :func:`fastgrad.float_power`.")
      .on_row("(Tensor input, Tensor|Number exponent)",
              [](const Arguments& a) {
                DType d = a.tensor(0).dtype();
                FG_CHECK(d == DType::Float64, "the base given to float_power_ has dtype ",
                         scalar_type_name(d), " but the operation's result requires dtype Double");
                return RowCall(Op::Pow, a.operand(0), a.operand(1));
              })
      .inplace = true;
}

void bind_bounds(Registry& r) {
  add_row(r, "clamp", Op::Clamp, kBoth | kInplace,
          "The input between min and max: min(max(input, min), max). Where they cross, max.")
      .on_row(
          "(Tensor input, Tensor|Number? min=None, Tensor|Number? max=None, *, Tensor? out=None)",
          [](const Arguments& a) { return clamp_between(a.operand(0), bound(a, 1), bound(a, 2)); });
  add_row(r, "clamp_min", Op::ClampMin, kBoth | kInplace)
      .on_row("(Tensor input, Tensor|Number min, *, Tensor? out=None)",
              [](const Arguments& a) { return clamp_above(a.operand(0), a.operand(1)); });
  add_row(r, "clamp_max", Op::ClampMax, kBoth | kInplace)
      .on_row("(Tensor input, Tensor|Number max, *, Tensor? out=None)",
              [](const Arguments& a) { return clamp_below(a.operand(0), a.operand(1)); });
  add_row(r, "round", Op::Round, kBoth | kInplace | kExactOut,
          "The input rounded to the nearest multiple of 10**-decimals, halves to the even one.")
      .on_row("(Tensor input, *, int decimals=0, Tensor? out=None)",
              [](const Arguments& a) { return round_to(a.tensor(0), a.integer(1)); })
      .unary = Op::Round;
  r.add("nan_to_num", kBoth | kInplace | kExactOut,
        "The input with nan for NaN, posinf for inf and neginf for -inf; by default 0 and the "
        "largest and least number of the dtype.")
      .on("(Tensor input, float? nan=None, float? posinf=None, float? neginf=None, *, "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(replace_nonfinite(a.tensor(0), a.optional_real(1), a.optional_real(2),
                                          a.optional_real(3)));
          });
  add_row(r, "heaviside", Op::Heaviside, kBoth | kInplace | kExactOut)
      .on_row("(Tensor input, Tensor values, *, Tensor? out=None)", [](const Arguments& a) {
        FG_CHECK(a.tensor(0).dtype() == a.tensor(1).dtype(),
                 "heaviside is not yet implemented for tensors with different dtypes. Got ",
                 name(a.tensor(0).dtype()), " and ", name(a.tensor(1).dtype()));
        return RowCall(Op::Heaviside, a.operand(0), a.operand(1));
      });
  add_row(r, "ldexp", Op::Ldexp, kBoth | kInplace)
      .on_row("(Tensor input, Tensor other, *, Tensor? out=None)", [](const Arguments& a) {
        FG_CHECK_KIND(ErrorKind::NotImplemented,
                      a.tensor(1).dtype() != DType::Bool || !is_floating(a.tensor(0).dtype()),
                      "\"ldexp\" not implemented for exponents of type 'Bool'; convert them first, "
                      "e.g. with .int()");
        return RowCall(Op::Ldexp, a.operand(0), a.operand(1));
      });
  add_row(r, "nextafter", Op::Nextafter, kBoth | kInplace)
      .on_row("(Tensor input, Tensor other, *, Tensor? out=None)", [](const Arguments& a) {
        for (int i : {0, 1})
          FG_CHECK_KIND(ErrorKind::NotImplemented,
                        itemsize(a.tensor(i).dtype()) > 2 || !is_floating(a.tensor(i).dtype()),
                        "\"nextafter\" not implemented for '",
                        scalar_type_name(a.tensor(i).dtype()), "'; it is for float32 and float64");
        return RowCall(Op::Nextafter, a.operand(0), a.operand(1));
      });
}

void bind_comparisons(Registry& r) {
  constexpr const char* tolerances =
      "(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False)";
  r.add("isclose", kBoth, "Whether |input - other| <= atol + rtol * |other|, elementwise.")
      .on(tolerances, [](const Arguments& a) {
        return wrap(isclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4)));
      });
  r.add("allclose", kBoth, "Whether |input - other| <= atol + rtol * |other| everywhere.")
      .on((std::string(tolerances) + " -> bool").c_str(), [](const Arguments& a) {
        return boolean(allclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4)));
      });
  r.add("equal", kBoth, "Whether two tensors have the same shape and values.")
      .on("(Tensor input, Tensor other) -> bool",
          [](const Arguments& a) { return boolean(equal(a.tensor(0), a.tensor(1))); });
  add_row(r, "where", Op::Where, kFunction | kExactOut | kLazy,
          "input where condition is true, else other; without these the indices where it is true.")
      .on("(Tensor condition) -> Tensor[]",
          [](const Arguments& a) {
            deferred::settle();
            return wrap_tuple(where_indices(a.tensor(0)));
          })
      .on("(Tensor condition, Tensor|Number input, Tensor|Number other, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(select_where(a.tensor(0), a.operand(1), a.operand(2)));
          });
  r.add("where", kMethod | kLazy, "This tensor where condition is true, else other.")
      .on("(Tensor input, Tensor condition, Tensor|Number other)", [](const Arguments& a) {
        return wrap(select_where(a.tensor(1), a.operand(0), a.operand(2)));
      });
}

ReturnType frexp_result("frexp", {"mantissa", "exponent"});

void bind_parts(Registry& r) {
  r.add("frexp", kBoth | kExactOut, "input = mantissa * 2**exponent with 1/2 <= |mantissa| < 1.")
      .on("(Tensor input, *, Tensor[]? out=None) -> (Tensor mantissa, Tensor exponent)",
          [](const Arguments& a) {
            Tensors parts = frexp(a.tensor(0));
            return frexp_result({parts[0], parts[1]});
          });
}

// What does nothing to real tensors.
void bind_identities(Registry& r) {
  r.add("positive", kBoth, "The input itself: +input. Not for bool.")
      .on("(Tensor input)", [](const Arguments& a) {
        FG_CHECK(a.tensor(0).dtype() != DType::Bool,
                 "The `+` operator, on a bool tensor is not supported.");
        return itself(a);
      });
  auto real_only = [](const Arguments& a) {
    FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(a.tensor(0).dtype()),
                  "conj() of complex tensors is not supported yet");
    return itself(a);
  };
  r.add("conj", kBoth, "Complex conjugate; a real tensor itself.").on("(Tensor input)", real_only);
}

}  // namespace

void bind_arithmetic(Registry& r) {
  bind_sums(r);
  bind_quotients(r);
  bind_bounds(r);
  bind_comparisons(r);
  bind_parts(r);
  bind_identities(r);
}

}  // namespace fastgrad::py
