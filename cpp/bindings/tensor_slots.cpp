#include "bindings/tensor_slots.h"

#include "bindings/arguments.h"
#include "bindings/buffer_protocol.h"
#include "bindings/indexing.h"
#include "bindings/traced_number.h"
#include "core/inplace.h"
#include "core/recorder.h"
#include "kernels/copy.h"
#include "ops/arithmetic.h"
#include "ops/convert.h"
#include "ops/item.h"
#include "ops/matmul.h"

namespace fastgrad::py {
namespace {

template <class Slot>
void* slot(Slot f) {
  return reinterpret_cast<void*>(f);
}

// The usual numbers, without the questions that to_operand asks.
bool plain_number(PyObject* o, Scalar& out) {
  if (PyFloat_CheckExact(o)) {
    out = Scalar(PyFloat_AS_DOUBLE(o));
    return true;
  }
  if (!PyLong_CheckExact(o)) return false;
  int overflow;
  out = Scalar(PyLong_AsLongLongAndOverflow(o, &overflow));
  return overflow == 0;
}

// Operators beside which a number may be an input of a recording: see Note [Numbers as inputs].
constexpr bool takes_stand_in(Op op) {
  switch (op) {
    case Op::Add:
    case Op::Sub:
    case Op::Mul:
    case Op::Div:
    case Op::Lt:
    case Op::Le:
    case Op::Eq:
    case Op::Ne:
    case Op::Gt:
    case Op::Ge:
      return true;
    default:
      return false;
  }
}

// a <op> b, where one of them is a tensor. NotImplemented lets Python try the other operand.
template <Op op>
[[gnu::hot]] PyObject* binary(PyObject* a, PyObject* b) {
  enter_thread();
  return guarded_lazily([&]() -> PyObject* {
    // The caller's references keep the tensors alive.
    Scalar number;
    if (is_tensor(a)) {
      if (is_tensor(b)) return wrap(elementwise(op, Operand(impl_of(a)), Operand(impl_of(b))));
      if (plain_number(b, number)) return wrap(elementwise(op, Operand(impl_of(a)), number));
    } else if (plain_number(a, number)) {
      return wrap(elementwise(op, number, Operand(impl_of(b))));
    }
    std::optional<Operand> x, y;
    Tensor keep_x, keep_y;
    if constexpr (takes_stand_in(op)) {
      if (is_stand_in(a) || is_stand_in(b)) [[unlikely]] {
        bool first = is_stand_in(a);
        Tensor t = tensor_of(first ? b : a);
        if (auto n = operand_behind(first ? a : b, t.dtype()))
          return wrap(first ? elementwise(op, Operand(*n), Operand(t))
                            : elementwise(op, Operand(t), Operand(*n)));
      }
    }
    if (!to_operand(a, x, keep_x) || !to_operand(b, y, keep_y)) Py_RETURN_NOTIMPLEMENTED;
    return wrap(elementwise(op, *x, *y));
  });
}

template <Op op>
PyObject* inplace(PyObject* self, PyObject* other) {
  enter_thread();
  return guarded_lazily([&]() -> PyObject* {
    std::optional<Operand> y;
    Tensor keep;
    Tensor x = tensor_of(self);
    if constexpr (takes_stand_in(op)) {
      if (is_stand_in(other)) [[unlikely]]
        if (auto n = operand_behind(other, x.dtype())) {
          keep = *n;
          y.emplace(keep);
        }
    }
    if (!y && !to_operand(other, y, keep)) Py_RETURN_NOTIMPLEMENTED;
    Operand operands[] = {x, *y};
    elementwise_inplace(op, x, operands);
    return Py_NewRef(self);
  });
}

template <Op op>
PyObject* unary(PyObject* self) {
  enter_thread();
  return guarded_lazily([&] { return wrap(elementwise(op, tensor_of(self))); });
}

// a @ b. A NumPy array beside a tensor is promoted as in NumPy; two tensors must have one type.
PyObject* matrix_multiply(PyObject* a, PyObject* b) {
  enter_thread();
  return guarded([&]() -> PyObject* {
    if (is_tensor(a) && is_tensor(b)) return wrap(matmul(tensor_of(a), tensor_of(b)));
    std::optional<Operand> x, y;
    Tensor keep_x, keep_y;
    if (!to_operand(a, x, keep_x) || !to_operand(b, y, keep_y)) Py_RETURN_NOTIMPLEMENTED;
    if (!x->is_tensor() || !y->is_tensor()) Py_RETURN_NOTIMPLEMENTED;
    DType type = promote_types(keep_x.dtype(), keep_y.dtype());
    return wrap(matmul(to_dtype(keep_x, type), to_dtype(keep_y, type)));
  });
}

PyObject* positive(PyObject* self) {
  return guarded([&] {
    FG_CHECK(impl_of(self)->array.dtype != DType::Bool,
             "The `+` operator, on a bool tensor is not supported.");
    return Py_NewRef(self);
  });
}

PyObject* invert(PyObject* self) {
  enter_thread();
  return guarded([&] {
    FG_CHECK_TYPE(is_integral(impl_of(self)->array.dtype, true),
                  "~ (operator.invert) is only implemented on integer and Boolean-type tensors");
    return wrap(elementwise(Op::BitwiseNot, tensor_of(self)));
  });
}

// The same as binary and inplace, with a look at the operands first.
template <Op op, void (*check)(const Operand&, const Operand&)>
PyObject* checked_binary(PyObject* a, PyObject* b) {
  enter_thread();
  return guarded([&]() -> PyObject* {
    std::optional<Operand> x, y;
    Tensor keep_x, keep_y;
    if (!to_operand(a, x, keep_x) || !to_operand(b, y, keep_y)) Py_RETURN_NOTIMPLEMENTED;
    check(*x, *y);
    return wrap(elementwise(op, *x, *y));
  });
}

template <Op op, void (*check)(const Operand&, const Operand&)>
PyObject* checked_inplace(PyObject* self, PyObject* other) {
  enter_thread();
  return guarded([&]() -> PyObject* {
    std::optional<Operand> y;
    Tensor keep;
    if (!to_operand(other, y, keep)) Py_RETURN_NOTIMPLEMENTED;
    Tensor x = tensor_of(self);
    check(x, *y);
    RowCall(op, x, *y).run_inplace(x);
    return Py_NewRef(self);
  });
}

constexpr auto floor_divide = checked_binary<Op::FloorDivide, check_divisor>;
constexpr auto modulo = checked_binary<Op::Remainder, check_divisor>;

PyObject* divide_with_remainder(PyObject* a, PyObject* b) {
  Object quotient(floor_divide(a, b));
  if (!quotient || quotient.get() == Py_NotImplemented) return quotient.release();
  Object rest(modulo(a, b));
  return rest ? PyTuple_Pack(2, quotient.get(), rest.get()) : nullptr;
}

// Only a Python integer can be an exponent that integers do not allow.
PyObject* to_power(PyObject* a, PyObject* b, PyObject*) {
  if (!PyLong_Check(b) || is_floating(impl_of(a)->array.dtype)) return binary<Op::Pow>(a, b);
  enter_thread();
  return guarded_lazily([&] { return wrap(power(tensor_of(a), to_number(b)).run()); });
}
PyObject* to_power_inplace(PyObject* self, PyObject* b, PyObject*) {
  if (!PyLong_Check(b)) return inplace<Op::Pow>(self, b);
  enter_thread();
  return guarded([&] {
    Tensor x = tensor_of(self);
    power(x, to_number(b)).run_inplace(x);
    return Py_NewRef(self);
  });
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  switch (op) {
    case Py_LT:
      return binary<Op::Lt>(a, b);
    case Py_LE:
      return binary<Op::Le>(a, b);
    case Py_EQ:
      return binary<Op::Eq>(a, b);
    case Py_NE:
      return binary<Op::Ne>(a, b);
    case Py_GT:
      return binary<Op::Gt>(a, b);
    default:
      return binary<Op::Ge>(a, b);
  }
}

Py_hash_t identity_hash(PyObject* self) { return _Py_HashPointer(self); }

int to_bool(PyObject* self) {
  enter_thread();
  return guarded([&]() -> int { return truth(tensor_of(self)); }, -1);
}

// The only element, which must be real.
Scalar real_element(PyObject* self, const char* type) {
  refuse_recording("float(tensor) or int(tensor)");
  const Array& a = impl_of(self)->array;
  FG_CHECK_VALUE(a.numel == 1, "only one element tensors can be converted to Python scalars");
  if (is_complex(a.dtype)) {
    std::complex<double> v;
    cast_kernel(a.dtype, DType::Complex128)(a.data, 1, reinterpret_cast<char*>(&v), 1, 1);
    FG_CHECK(v.imag() == 0, "value cannot be converted to type ", type,
             " without overflow: its imaginary part is not 0");
  }
  return element(a);
}

PyObject* to_float(PyObject* self) {
  return guarded([&] { return PyFloat_FromDouble(real_element(self, "double").to_double()); });
}
PyObject* to_int(PyObject* self) {
  return guarded([&]() -> PyObject* {
    Scalar s = real_element(self, "int64_t");
    return s.is_float() ? PyLong_FromDouble(s.to_double()) : PyLong_FromLongLong(s.to_int());
  });
}
PyObject* to_index(PyObject* self) {
  return guarded([&]() -> PyObject* {
    const Array& a = impl_of(self)->array;
    FG_CHECK_TYPE(is_integral(a.dtype, true) && a.numel == 1,
                  "only integer tensors of a single element can be converted to an index");
    watch_values(a);
    return PyLong_FromLongLong(element(a).to_int());
  });
}

Py_ssize_t length(PyObject* self) {
  return guarded(
      [&]() -> Py_ssize_t {
        const Array& a = impl_of(self)->array;
        FG_CHECK_TYPE(!a.shape.empty(), "len() of a 0-d tensor");
        return static_cast<Py_ssize_t>(a.shape[0]);
      },
      Py_ssize_t{-1});
}

}  // namespace

std::vector<PyType_Slot> tensor_slots() {
  return {
      {Py_nb_add, slot(binary<Op::Add>)},
      {Py_nb_subtract, slot(binary<Op::Sub>)},
      {Py_nb_multiply, slot(binary<Op::Mul>)},
      {Py_nb_true_divide, slot(binary<Op::Div>)},
      {Py_nb_power, slot(to_power)},
      {Py_nb_floor_divide, slot(floor_divide)},
      {Py_nb_remainder, slot(modulo)},
      {Py_nb_divmod, slot(divide_with_remainder)},
      {Py_nb_lshift, slot(binary<Op::BitwiseLeftShift>)},
      {Py_nb_rshift, slot(binary<Op::BitwiseRightShift>)},
      {Py_nb_and, slot(binary<Op::BitwiseAnd>)},
      {Py_nb_or, slot(binary<Op::BitwiseOr>)},
      {Py_nb_xor, slot(binary<Op::BitwiseXor>)},
      {Py_nb_invert, slot(invert)},
      {Py_nb_matrix_multiply, slot(matrix_multiply)},
      {Py_nb_inplace_add, slot(inplace<Op::Add>)},
      {Py_nb_inplace_subtract, slot(inplace<Op::Sub>)},
      {Py_nb_inplace_multiply, slot(inplace<Op::Mul>)},
      {Py_nb_inplace_true_divide, slot(inplace<Op::Div>)},
      {Py_nb_inplace_power, slot(to_power_inplace)},
      {Py_nb_inplace_floor_divide, slot(checked_inplace<Op::FloorDivide, check_divisor>)},
      {Py_nb_inplace_remainder, slot(checked_inplace<Op::Remainder, check_divisor>)},
      {Py_nb_inplace_lshift, slot(inplace<Op::BitwiseLeftShift>)},
      {Py_nb_inplace_rshift, slot(inplace<Op::BitwiseRightShift>)},
      {Py_nb_inplace_and, slot(inplace<Op::BitwiseAnd>)},
      {Py_nb_inplace_or, slot(inplace<Op::BitwiseOr>)},
      {Py_nb_inplace_xor, slot(inplace<Op::BitwiseXor>)},
      {Py_nb_negative, slot(unary<Op::Neg>)},
      {Py_nb_positive, slot(positive)},
      {Py_nb_absolute, slot(unary<Op::Abs>)},
      {Py_nb_bool, slot(to_bool)},
      {Py_nb_float, slot(to_float)},
      {Py_nb_int, slot(to_int)},
      {Py_nb_index, slot(to_index)},
      {Py_bf_getbuffer, slot(tensor_getbuffer)},
      {Py_bf_releasebuffer, slot(tensor_releasebuffer)},
      {Py_tp_richcompare, slot(compare)},
      {Py_tp_hash, slot(identity_hash)},
      {Py_mp_length, slot(length)},
      {Py_mp_subscript, slot(get_item)},
      {Py_mp_ass_subscript, slot(set_item)},
      {Py_sq_contains, slot(contains)},
      {Py_tp_iter, slot(iterate)},
      {Py_tp_getset, slot(tensor_attributes())},
  };
}

}  // namespace fastgrad::py
