// The rows of the op table as functions, methods and in-place methods, and their other names.
#include <algorithm>
#include <cstring>

#include "bindings/families.h"
#include "bindings/op_rows.h"

namespace fastgrad::py {
namespace {

bool is_one_of(std::initializer_list<const char*> names, const char* name) {
  return std::any_of(names.begin(), names.end(),
                     [&](const char* n) { return std::strcmp(n, name) == 0; });
}

// Rows that only gradient rules and other functions use.
bool is_internal(const char* name) {
  return std::strncmp(name, "grad_", 5) == 0 ||
         is_one_of({"bce", "div_trunc", "elu", "gelu", "gelu_tanh", "hardshrink", "hardsigmoid",
                    "hardswish", "hardtanh", "huber", "leaky_relu", "mish", "silu", "softplus",
                    "softshrink", "threshold"},
                   name);
}

bool in_special_alone(const char* name) {
  return is_one_of({"ndtr", "log_ndtr", "ndtri", "zeta"}, name);
}

unsigned places(const char* name) {
  if (in_special_alone(name)) return kFunction;
  unsigned exact = is_one_of({"abs", "bitwise_not", "ceil", "floor", "frac", "isneginf", "isposinf",
                              "neg", "sgn", "sign", "signbit", "trunc"},
                             name)
                       ? static_cast<unsigned>(kExactOut)
                       : 0u;
  if (is_one_of({"angle",     "entr",       "erfcx",   "fmax",    "fmin",     "i0e",      "i1",
                 "i1e",       "isfinite",   "isinf",   "isnan",   "isneginf", "isposinf", "isreal",
                 "logaddexp", "logaddexp2", "maximum", "minimum", "signbit",  "xlog1py"},
                name))
    return kBoth | exact;
  if (is_one_of({"relu"}, name)) return kBoth | kInplace | kInplaceFunction;
  return kBoth | kInplace | exact;
}

// Where PyTorch takes a number instead of a tensor.
constexpr const char* kAnywhere = "(Tensor|Number input, Tensor|Number other, *, Tensor? out=None)";
constexpr const char* kSecond = "(Tensor input, Tensor|Number other, *, Tensor? out=None)";
constexpr const char* kFirst = "(Number input, Tensor other, *, Tensor? out=None)";
constexpr const char* kNowhere = "(Tensor input, Tensor other, *, Tensor? out=None)";

void add_binary_overloads(Definition& d, const char* name, RowBody body) {
  if (is_one_of({"mul"}, name)) {
    d.on_row(kAnywhere, body);
  } else if (is_one_of({"bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
                        "bitwise_xor", "xlog1py", "xlogy", "zeta"},
                       name)) {
    d.on_row(kSecond, body).on_row(kFirst, body);
  } else {
    bool second = is_one_of({"copysign", "eq", "ge", "gt", "le", "lt", "ne"}, name);
    d.on_row(second ? kSecond : kNowhere, body);
  }
}

void bind_row(Registry& r, Op op, RowBody body) {
  const RowFacts& facts = row_facts(op);
  if (is_internal(facts.name) || r.find(facts.name)) return;
  std::string name = facts.name;
  if (in_special_alone(facts.name)) name = "special." + name;
  Definition& d = r.add(name.c_str(), places(facts.name), facts.doc);
  d.row = op;
  if (facts.arity == 1) {
    d.on_row("(Tensor input, *, Tensor? out=None)", body).unary = op;
  } else {
    add_binary_overloads(d, facts.name, body);
    d.binary = op;
  }
}

// Every row that has not been bound by hand before. Those of three inputs all have.
void bind_rows(Registry& r) {
#define FG_UNARY(Id, ...) \
  bind_row(r, Op::Id, [](const Arguments& a) { return RowCall(Op::Id, a.operand(0)); });
#define FG_BINARY(Id, ...) \
  bind_row(r, Op::Id,      \
           [](const Arguments& a) { return RowCall(Op::Id, a.operand(0), a.operand(1)); });
#include "base/op_list.def"
}

void bind_aliases(Registry& r) {
  static constexpr const char* names[][2] = {
      {"absolute", "abs"},  {"negative", "neg"},  {"subtract", "sub"},     {"multiply", "mul"},
      {"divide", "div"},    {"arcsin", "asin"},   {"arccos", "acos"},      {"arctan", "atan"},
      {"arctan2", "atan2"}, {"arcsinh", "asinh"}, {"arccosh", "acosh"},    {"arctanh", "atanh"},
      {"fix", "trunc"},     {"clip", "clamp"},    {"not_equal", "ne"},     {"less", "lt"},
      {"less_equal", "le"}, {"greater", "gt"},    {"greater_equal", "ge"},
  };
  for (auto& [name, original] : names) r.alias(name, original);
}

}  // namespace

void bind_pointwise(Registry& r) {
  bind_arithmetic(r);
  bind_special(r);
  bind_rows(r);
  bind_aliases(r);
  bind_special_names(r);
}

}  // namespace fastgrad::py
