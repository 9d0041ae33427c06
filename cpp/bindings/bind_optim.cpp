// One step of an optimiser for all parameters of a group, straight from the optimiser's own
// dictionaries: nothing is cached, so that whatever the user changes in them counts at once.
#include "bindings/families.h"
#include "ops/item.h"
#include "ops/optim.h"

namespace fastgrad::py {
namespace {

class Key {
 public:
  Key(const char* text) : object_(check(PyUnicode_InternFromString(text))) {}
  PyObject* get() const { return object_; }

 private:
  PyObject* object_;  // for ever
};

// The keys of a parameter's state, in the order in which ops/optim.h wants it.
template <size_t N>
struct StateKeys {
  Key keys[N];
};

// What every function below is called with: a parameter group, the optimiser's `state`, and a
// function (group, param) that makes a parameter's first state.
constexpr const char* kSignature = "(Any group, Any state, Any make_state) -> None";

class Group {
 public:
  explicit Group(const Arguments& a)
      : group_(a.object(0)), state_(a.object(1)), make_(a.object(2)) {
    FG_CHECK_TYPE(PyDict_Check(group_), "a parameter group is a dict, got ", type_name(group_));
    FG_CHECK_TYPE(PyDict_Check(state_), "an optimiser's state is a dict, got ", type_name(state_));
  }

  double real(const Key& key) const { return to_real(option(key)); }
  // One of two numbers, as in betas=(0.9, 0.999).
  double real(const Key& key, Py_ssize_t i) const {
    PyObject* pair = option(key);
    if (PyTuple_CheckExact(pair) && i < PyTuple_GET_SIZE(pair))
      return to_real(PyTuple_GET_ITEM(pair, i));
    return to_real(own(PySequence_GetItem(pair, i)).get());
  }
  bool flag(const Key& key) const {
    int truth = PyObject_IsTrue(option(key));
    check_status(truth);
    return truth != 0;
  }

  // Calls update(param, state tensors, options) for every parameter with a gradient. The bits of
  // `required` tell which tensors must be there.
  template <size_t N, class Options>
  PyObject* step(const StateKeys<N>& names, unsigned required, const Options& options,
                 void (*update)(const Tensor&, std::span<Tensor>, const Options&)) const {
    static const Key params_key("params");
    PyObject* params = option(params_key);
    FG_CHECK_TYPE(PyList_Check(params), "the params of a group are a list, got ",
                  type_name(params));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(params); ++i) {
      Object p = Object::borrow(PyList_GET_ITEM(params, i));
      FG_CHECK_TYPE(is_tensor(p.get()), "optimizer can only optimize Tensors, but one of the ",
                    "params is ", type_name(p.get()));
      Tensor param = tensor_of(p.get());
      if (!param->grad.defined()) continue;
      Object kept = required == kStateless ? Object() : state_of(p.get());
      Tensor state[N];
      bool absent[N] = {};
      for (size_t k = 0; kept && k < N; ++k) {
        PyObject* value = PyDict_GetItemWithError(kept.get(), names.keys[k].get());
        if (!value && PyErr_Occurred()) throw PythonError{};
        absent[k] = !value || value == Py_None;
        if (absent[k]) {
          if (!(required >> k & 1)) continue;
          PyErr_SetObject(PyExc_KeyError, names.keys[k].get());
          throw PythonError{};
        }
        FG_CHECK_TYPE(is_tensor(value), "an optimiser's state '", text_of(names.keys[k].get()),
                      "' is a tensor, got ", type_name(value));
        state[k] = tensor_of(value);
      }
      update(param, std::span<Tensor>(state, N), options);
      for (size_t k = 0; kept && k < N; ++k)
        if (absent[k] && state[k].defined())
          check_status(PyDict_SetItem(kept.get(), names.keys[k].get(), own(wrap(state[k])).get()));
    }
    return none();
  }

  static constexpr unsigned kStateless = ~0u;

 private:
  static double to_real(PyObject* o) {
    if (PyFloat_CheckExact(o)) return PyFloat_AS_DOUBLE(o);
    if (is_tensor(o)) return item(tensor_of(o)).to_double();
    double value = PyFloat_AsDouble(o);
    if (value == -1.0 && PyErr_Occurred()) throw PythonError{};
    return value;
  }

  PyObject* option(const Key& key) const {
    PyObject* value = PyDict_GetItemWithError(group_, key.get());
    if (value) return value;
    if (!PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key.get());
    throw PythonError{};
  }

  Object state_of(PyObject* param) const {
    PyObject* kept = PyDict_GetItemWithError(state_, param);
    if (!kept && PyErr_Occurred()) throw PythonError{};
    if (kept && PyDict_Check(kept) && (PyDict_GET_SIZE(kept) > 0 || make_ == Py_None))
      return Object::borrow(kept);
    Object made = make_ == Py_None
                      ? own(PyDict_New())
                      : own(PyObject_CallFunctionObjArgs(make_, group_, param, nullptr));
    FG_CHECK_TYPE(PyDict_Check(made.get()), "the state of a parameter is a dict, got ",
                  type_name(made.get()));
    check_status(PyDict_SetItem(state_, param, made.get()));
    return made;
  }

  PyObject* group_;
  PyObject* state_;
  PyObject* make_;
};

// The names of options, as PyTorch has them.
struct OptionKeys {
  Key lr{"lr"}, momentum{"momentum"}, dampening{"dampening"}, weight_decay{"weight_decay"},
      nesterov{"nesterov"}, maximize{"maximize"}, betas{"betas"}, eps{"eps"}, amsgrad{"amsgrad"},
      decoupled_weight_decay{"decoupled_weight_decay"}, momentum_decay{"momentum_decay"},
      lr_decay{"lr_decay"}, rho{"rho"}, alpha{"alpha"}, centered{"centered"}, etas{"etas"},
      step_sizes{"step_sizes"}, lambd{"lambd"}, t0{"t0"};
};
const OptionKeys& keys() {
  static const OptionKeys k;
  return k;
}

PyObject* step_sgd(const Arguments& a) {
  static const StateKeys<1> names{{"momentum_buffer"}};
  const Group g(a);
  const OptionKeys& k = keys();
  SgdOptions o{g.real(k.lr),           g.real(k.momentum), g.real(k.dampening),
               g.real(k.weight_decay), g.flag(k.nesterov), g.flag(k.maximize)};
  return g.step(names, o.momentum == 0.0 ? Group::kStateless : 0, o, sgd_step);
}

PyObject* step_adam(const Arguments& a) {
  static const StateKeys<4> names{{"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}};
  const Group g(a);
  const OptionKeys& k = keys();
  AdamOptions o{g.real(k.lr),
                g.real(k.betas, 0),
                g.real(k.betas, 1),
                g.real(k.eps),
                g.real(k.weight_decay),
                g.flag(k.amsgrad),
                g.flag(k.decoupled_weight_decay),
                g.flag(k.maximize)};
  return g.step(names, o.amsgrad ? 0b1111 : 0b0111, o, adam_step);
}

PyObject* step_adamax(const Arguments& a) {
  static const StateKeys<3> names{{"step", "exp_avg", "exp_inf"}};
  const Group g(a);
  const OptionKeys& k = keys();
  AdamaxOptions o{g.real(k.lr),  g.real(k.betas, 0),     g.real(k.betas, 1),
                  g.real(k.eps), g.real(k.weight_decay), g.flag(k.maximize)};
  return g.step(names, 0b111, o, adamax_step);
}

PyObject* step_nadam(const Arguments& a) {
  static const StateKeys<4> names{{"step", "mu_product", "exp_avg", "exp_avg_sq"}};
  const Group g(a);
  const OptionKeys& k = keys();
  NAdamOptions o{g.real(k.lr),
                 g.real(k.betas, 0),
                 g.real(k.betas, 1),
                 g.real(k.eps),
                 g.real(k.weight_decay),
                 g.real(k.momentum_decay),
                 g.flag(k.decoupled_weight_decay),
                 g.flag(k.maximize)};
  return g.step(names, 0b1111, o, nadam_step);
}

PyObject* step_radam(const Arguments& a) {
  static const StateKeys<3> names{{"step", "exp_avg", "exp_avg_sq"}};
  const Group g(a);
  const OptionKeys& k = keys();
  RAdamOptions o{g.real(k.lr),      g.real(k.betas, 0),     g.real(k.betas, 1),
                 g.real(k.eps),     g.real(k.weight_decay), g.flag(k.decoupled_weight_decay),
                 g.flag(k.maximize)};
  return g.step(names, 0b111, o, radam_step);
}

PyObject* step_adagrad(const Arguments& a) {
  static const StateKeys<2> names{{"step", "sum"}};
  const Group g(a);
  const OptionKeys& k = keys();
  AdagradOptions o{g.real(k.lr), g.real(k.lr_decay), g.real(k.eps), g.real(k.weight_decay),
                   g.flag(k.maximize)};
  return g.step(names, 0b11, o, adagrad_step);
}

PyObject* step_adadelta(const Arguments& a) {
  static const StateKeys<3> names{{"step", "square_avg", "acc_delta"}};
  const Group g(a);
  const OptionKeys& k = keys();
  AdadeltaOptions o{g.real(k.lr), g.real(k.rho), g.real(k.eps), g.real(k.weight_decay),
                    g.flag(k.maximize)};
  return g.step(names, 0b111, o, adadelta_step);
}

PyObject* step_rmsprop(const Arguments& a) {
  static const StateKeys<4> names{{"step", "square_avg", "grad_avg", "momentum_buffer"}};
  const Group g(a);
  const OptionKeys& k = keys();
  RmspropOptions o{g.real(k.lr),       g.real(k.alpha),        g.real(k.eps),
                   g.real(k.momentum), g.real(k.weight_decay), g.flag(k.centered),
                   g.flag(k.maximize)};
  unsigned required = 0b0011 | (o.centered ? 0b0100 : 0) | (o.momentum > 0.0 ? 0b1000 : 0);
  return g.step(names, required, o, rmsprop_step);
}

PyObject* step_rprop(const Arguments& a) {
  static const StateKeys<3> names{{"step", "prev", "step_size"}};
  const Group g(a);
  const OptionKeys& k = keys();
  RpropOptions o{g.real(k.etas, 0), g.real(k.etas, 1), g.real(k.step_sizes, 0),
                 g.real(k.step_sizes, 1), g.flag(k.maximize)};
  return g.step(names, 0b111, o, rprop_step);
}

PyObject* step_asgd(const Arguments& a) {
  static const StateKeys<4> names{{"step", "eta", "mu", "ax"}};
  const Group g(a);
  const OptionKeys& k = keys();
  AsgdOptions o{g.real(k.lr), g.real(k.lambd),        g.real(k.alpha),
                g.real(k.t0), g.real(k.weight_decay), g.flag(k.maximize)};
  return g.step(names, 0b1111, o, asgd_step);
}

PyObject* clear_grads(const Arguments& a) {
  PyObject* params = a.object(0);
  FG_CHECK_TYPE(PyList_Check(params), "expected a list of tensors, got ", type_name(params));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(params); ++i) {
    PyObject* p = PyList_GET_ITEM(params, i);
    FG_CHECK_TYPE(is_tensor(p), "expected a tensor, got ", type_name(p));
    Tensor old;  // released last, when nothing points to it any more
    std::swap(old, impl_of(p)->grad);
  }
  return none();
}

}  // namespace

void bind_optim(Registry& r) {
  r.add("_sgd_step", kFunction, "optim.SGD").on(kSignature, step_sgd);
  r.add("_adam_step", kFunction, "optim.Adam").on(kSignature, step_adam);
  r.add("_adamax_step", kFunction, "optim.Adamax").on(kSignature, step_adamax);
  r.add("_nadam_step", kFunction, "optim.NAdam").on(kSignature, step_nadam);
  r.add("_radam_step", kFunction, "optim.RAdam").on(kSignature, step_radam);
  r.add("_adagrad_step", kFunction, "optim.Adagrad").on(kSignature, step_adagrad);
  r.add("_adadelta_step", kFunction, "optim.Adadelta").on(kSignature, step_adadelta);
  r.add("_rmsprop_step", kFunction, "optim.RMSprop").on(kSignature, step_rmsprop);
  r.add("_rprop_step", kFunction, "optim.Rprop").on(kSignature, step_rprop);
  r.add("_asgd_step", kFunction, "optim.ASGD").on(kSignature, step_asgd);
  r.add("_clear_grads", kFunction, "optim.Optimizer.zero_grad")
      .on("(Any params) -> None", clear_grads);
  // optim.LBFGS works on all parameters as one vector.
  r.add("_flat_values", kFunction, "optim.LBFGS")
      .on("(Tensor[] params) -> Tensor",
          [](const Arguments& a) { return wrap(flat_values(a.tensors(0))); });
  r.add("_flat_gradients", kFunction, "optim.LBFGS")
      .on("(Tensor[] params) -> Tensor",
          [](const Arguments& a) { return wrap(flat_gradients(a.tensors(0))); });
  r.add("_add_flat", kFunction, "optim.LBFGS")
      .on("(Tensor[] params, Tensor flat, float alpha) -> None", [](const Arguments& a) {
        add_flat(a.tensors(0), a.tensor(1), a.real(2));
        return none();
      });
  r.add("_lbfgs_direction", kFunction, "optim.LBFGS")
      .on("(Tensor gradient, Tensor[] changes, Tensor[] steps, Any ro, float scale) -> Tensor",
          [](const Arguments& a) {
            Object given = own(PySequence_Fast(a.object(3), "expected a list of numbers"));
            SmallVector<double, 16> ro;
            for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(given.get()); ++i)
              ro.push_back(PyFloat_AsDouble(PySequence_Fast_GET_ITEM(given.get(), i)));
            if (PyErr_Occurred()) throw_python_error();
            Tensors changes = a.tensors(1), steps = a.tensors(2);
            return wrap(lbfgs_direction(a.tensor(0), changes, steps, ro, a.real(4)));
          });
  r.add("_assign_flat", kFunction, "optim.LBFGS")
      .on("(Tensor[] params, Tensor flat) -> None", [](const Arguments& a) {
        assign_flat(a.tensors(0), a.tensor(1));
        return none();
      });
}

}  // namespace fastgrad::py
