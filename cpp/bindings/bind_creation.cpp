#include "bindings/creation_options.h"
#include "bindings/families.h"
#include "bindings/from_python.h"
#include "bindings/types.h"
#include "core/memory.h"
#include "ops/creation.h"

namespace fastgrad::py {
namespace {

enum class Fill { None, Zeros, Ones };

template <Fill fill>
Tensor filled(Tensor t) {
  if constexpr (fill != Fill::None) {
    recorded::fill_array(t.array(), Scalar(fill == Fill::Ones));
  }
  return t;
}

// A number, or a 0-d tensor, at the widest precision.
std::complex<double> complex_number(const Arguments& a, int i) {
  if (!is_tensor(a.object(i)) && !PyComplex_Check(a.object(i))) return a.number(i).to_double();
  Array x = number_array(a.object(i), DType::Complex128);
  if (is_tensor(a.object(i))) watch_values(x);
  std::complex<double> v;
  cast_kernel(x.dtype, DType::Complex128)(x.data, 1, reinterpret_cast<char*>(&v), 1, 1);
  return v;
}

bool is_complex_number(PyObject* o) {
  return PyComplex_Check(o) || (is_tensor(o) && is_complex(impl_of(o)->array.dtype));
}

// The type of a progression between two numbers.
DType progression_dtype(const Options& o, const Arguments& a, int out) {
  bool complex = is_complex_number(a.object(0)) || is_complex_number(a.object(1));
  DType d = o.dtype_or(complex ? to_complex(default_dtype()) : default_dtype(), a, out);
  FG_CHECK(!complex || is_complex(d), "linspace(): inferred dtype ",
           name(to_complex(default_dtype())), " can't be safely cast to passed dtype ", name(d));
  return d;
}

void check_zero_dim(const char* op, const Arguments& a) {
  for (int i = 0; i < 2; ++i) {
    int64_t ndim = is_tensor(a.object(i)) ? a.tensor(i).ndim() : 0;
    FG_CHECK(ndim == 0, op, " only supports 0-dimensional start and end tensors, but got ",
             i ? "end" : "start", " with ", ndim, " dimension(s).");
  }
}

template <Fill fill>
void bind_filled(Registry& r, const char* name, const char* doc) {
  r.add(name, kFunction, doc)
      .on("(int[*] size, *, Tensor? out=None, " FG_OPTIONS ", memory_format? memory_format=None)",
          [](const Arguments& a) {
            Options o(a, 2);
            MemoryFormat format = a.memory_format(7, MemoryFormat::Contiguous);
            return o.finish(
                filled<fill>(empty(a.ints(0), o.dtype_or(default_dtype(), a, 1), format)));
          });
  std::string like = std::string(name) + "_like", renewed = std::string("new_") + name;
  std::string like_doc =
      std::string(name) + "() with the shape, element type and memory order of input.";
  std::string new_doc = std::string(name) + "() with the element type of this tensor.";
  r.add(like.c_str(), kFunction, like_doc.c_str())
      .on("(Tensor input, *, " FG_OPTIONS ", memory_format? memory_format=None)",
          [](const Arguments& a) {
            Options o(a, 1);
            Tensor x = a.tensor(0);
            return o.finish(filled<fill>(empty_like(x, o.dtype.value_or(x.dtype()),
                                                    a.memory_format(6, MemoryFormat::Preserve))));
          });
  r.add(renewed.c_str(), kMethod, new_doc.c_str())
      .on("(Tensor self, int[*] size, *, " FG_OPTIONS ")", [](const Arguments& a) {
        Options o(a, 2);
        return o.finish(filled<fill>(empty(a.ints(1), o.dtype.value_or(a.tensor(0).dtype()))));
      });
}

void bind_full(Registry& r) {
  r.add("full", kFunction, "A tensor of the given size in which every element is fill_value.")
      .on("(int[] size, Number fill_value, *, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            Options o(a, 3);
            std::optional<DType> d = o.dtype;
            if (a.has(2)) d = o.dtype_or(DType::Float32, a, 2);
            Array value = number_array(a.object(1), d);
            return o.finish(full(a.ints(0), value, d.value_or(value.dtype)));
          });
  r.add("full_like", kFunction, "full() with the shape, element type and memory order of input.")
      .on("(Tensor input, Number fill_value, *, " FG_OPTIONS ", memory_format? memory_format=None)",
          [](const Arguments& a) {
            Options o(a, 2);
            Tensor x = a.tensor(0);
            Tensor out = empty_like(x, o.dtype.value_or(x.dtype()),
                                    a.memory_format(7, MemoryFormat::Preserve));
            recorded::fill_array(out.array(), number_array(a.object(1), out.dtype()));
            return o.finish(out);
          });
  r.add("new_full", kMethod, "full() with the element type of this tensor.")
      .on("(Tensor self, int[] size, Number fill_value, *, " FG_OPTIONS ")",
          [](const Arguments& a) {
            Options o(a, 3);
            DType d = o.dtype.value_or(a.tensor(0).dtype());
            return o.finish(full(a.ints(1), number_array(a.object(2), d), d));
          });
  r.add("scalar_tensor", kFunction, "A 0-d tensor that holds a number.")
      .on("(Number s, *, " FG_OPTIONS ")", [](const Arguments& a) {
        Options o(a, 1);
        DType d = o.dtype.value_or(is_complex_number(a.object(0)) ? to_complex(default_dtype())
                                                                  : default_dtype());
        return o.finish(full({}, number_array(a.object(0), d), d));
      });
}

// The type of a range over these numbers: int64 when all are whole.
DType range_dtype(std::initializer_list<Scalar> numbers) {
  for (const Scalar& s : numbers)
    if (s.is_float()) return default_dtype();
  return DType::Int64;
}

PyObject* make_range(const Arguments& a, Scalar start, Scalar end, Scalar step, int out) {
  Options o(a, out + 1);
  return o.finish(arange(start, end, step, o.dtype_or(range_dtype({start, end, step}), a, out)));
}

void bind_progressions(Registry& r) {
  r.add("arange", kFunction, "The numbers from start to end (excluded) in steps of step.")
      .on("(Number end, *, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) { return make_range(a, 0, a.number(0), 1, 1); })
      .on("(Number start, Number end, Number step=1, *, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            return make_range(a, a.number(0), a.number(1), a.number(2), 3);
          });
  r.add("linspace", kFunction | kExactOut,
        "steps evenly spaced numbers from start to end, both included.")
      .on("(Tensor|Number start, Tensor|Number end, int steps, *, Tensor? out=None, " FG_OPTIONS
          ")",
          [](const Arguments& a) {
            check_zero_dim("linspace", a);
            Options o(a, 4);
            return o.finish(linspace(complex_number(a, 0), complex_number(a, 1), a.integer(2),
                                     progression_dtype(o, a, 3)));
          });
  r.add("logspace", kFunction | kExactOut,
        "steps numbers from base**start to base**end, evenly spaced on a logarithmic scale.")
      .on("(Tensor|Number start, Tensor|Number end, int steps, float base=10.0, *, Tensor? "
          "out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            check_zero_dim("logspace", a);
            Options o(a, 5);
            return o.finish(logspace(complex_number(a, 0), complex_number(a, 1), a.integer(2),
                                     a.real(3), progression_dtype(o, a, 4)));
          });
  r.add("eye", kFunction, "The n x m matrix with ones on its main diagonal; m is n when absent.")
      .on("(int n, *, Tensor? out=None, " FG_OPTIONS ")",
          [](const Arguments& a) {
            Options o(a, 2);
            return o.finish(eye(a.integer(0), a.integer(0), o.dtype_or(default_dtype(), a, 1)));
          })
      .on("(int n, int m, *, Tensor? out=None, " FG_OPTIONS ")", [](const Arguments& a) {
        Options o(a, 3);
        return o.finish(eye(a.integer(0), a.integer(1), o.dtype_or(default_dtype(), a, 2)));
      });
}

template <Tensor (*indices)(int64_t, int64_t, int64_t, DType)>
PyObject* make_indices(const Arguments& a) {
  Options o(a, 3);
  return o.finish(
      indices(a.integer(0), a.integer(1), a.integer(2), o.dtype.value_or(DType::Int64)));
}

void bind_triangles(Registry& r) {
  r.add("tril_indices", kFunction,
        "The row and column indices of the lower triangle of a row x col matrix.")
      .on("(int row, int col, int offset=0, *, " FG_OPTIONS ")", make_indices<tril_indices>);
  r.add("triu_indices", kFunction,
        "The row and column indices of the upper triangle of a row x col matrix.")
      .on("(int row, int col, int offset=0, *, " FG_OPTIONS ")", make_indices<triu_indices>);
}

}  // namespace

void bind_creation(Registry& r) {
  r.add("tensor", kFunction, "A tensor with a copy of data.")
      .on("(Any data, *, dtype? dtype=None, device? device=None, bool requires_grad=False, bool "
          "pin_memory=False)",
          [](const Arguments& a) {
            check_device(a.object(2));
            refuse_pinning(a.boolean(4));
            Tensor t = tensor_from_user(a.object(0), a.optional_dtype(1), "fastgrad.tensor");
            if (a.boolean(3)) require_grad(t);
            return wrap(t);
          });
  bind_filled<Fill::None>(r, "empty", "A tensor of the given size whose elements are not set.");
  bind_filled<Fill::Zeros>(r, "zeros", "A tensor of the given size filled with zeros.");
  bind_filled<Fill::Ones>(r, "ones", "A tensor of the given size filled with ones.");
  r.add("new_tensor", kMethod, "fastgrad.tensor(data) with the element type of this tensor.")
      .on("(Tensor self, Any data, *, dtype? dtype=None, device? device=None, bool "
          "requires_grad=False, "
          "layout? layout=None, bool pin_memory=False)",
          [](const Arguments& a) {
            if (a.has(3)) check_device(a.object(3));
            Tensor t =
                tensor_from_user(a.object(1), a.optional_dtype(2).value_or(a.tensor(0).dtype()),
                                 "tensor.new_tensor");
            if (a.boolean(4)) require_grad(t);
            return wrap(t);
          });
  r.add("empty_strided", kFunction,
        "A tensor of the given size and strides whose elements are not set.")
      .on("(int[] size, int[] stride, *, " FG_OPTIONS ")", [](const Arguments& a) {
        Options o(a, 2);
        return o.finish(empty_strided(a.ints(0), a.ints(1), o.dtype.value_or(default_dtype())));
      });
  r.add("new_empty_strided", kMethod, "empty_strided() with the element type of this tensor.")
      .on("(Tensor self, int[] size, int[] stride, *, " FG_OPTIONS ")", [](const Arguments& a) {
        Options o(a, 3);
        return o.finish(empty_strided(a.ints(1), a.ints(2), o.dtype.value_or(a.tensor(0).dtype())));
      });
  r.add("empty_permuted", kFunction,
        "A gapless tensor whose dimensions lie in memory in the given order, unset.")
      .on("(int[] size, int[] physical_layout, *, " FG_OPTIONS ")", [](const Arguments& a) {
        Options o(a, 2);
        return o.finish(empty_permuted(a.ints(0), a.ints(1), o.dtype.value_or(default_dtype())));
      });
  bind_full(r);
  bind_progressions(r);
  bind_triangles(r);
}

}  // namespace fastgrad::py
