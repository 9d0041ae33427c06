// From a variant to what is written to a file.
#include <algorithm>
#include <cstring>

#include "bindings/compile_variant.h"
#include "bindings/program_codec.h"
#include "core/memory.h"

namespace fastgrad::py {
namespace {

Instruction copy_to(Place from, Place to) {
  Instruction i;
  i.kind = Instruction::Kind::Primitive;
  i.primitive = &recorded::kCopy;
  i.in.push_back(std::move(from));
  i.out.push_back(std::move(to));
  return i;
}

// Leaves out the storages that nobody uses. Those outside get new numbers.
void compact(Graph& g, std::vector<Place>& results, std::vector<Place>& inputs) {
  std::vector<int32_t> to(g.storages.size(), -1);
  std::vector<Storage> kept;
  g.num_externals = 0;
  auto use = [&](Place& p) {
    if (!p.defined()) return;
    int32_t& number = to[at(p.storage)];
    if (number < 0) {
      number = static_cast<int32_t>(kept.size());
      Storage& s = kept.emplace_back(std::move(g.storages[at(p.storage)]));
      if (s.role == Storage::Role::External) {
        s.external = g.num_externals++;
        s.nbytes = static_cast<size_t>(s.last);
      }
    }
    p.storage = number;
  };
  for (Place& p : inputs) use(p);
  for (Instruction& i : g.instructions) {
    for (Place& p : i.in) use(p);
    for (Place& p : i.out) use(p);
  }
  for (Place& p : results) use(p);
  g.storages = std::move(kept);
}

}  // namespace

Object Variant::store() const {
  FG_CHECK(number_inputs_.empty(),
           "save_program: the function takes Python numbers that vary; pass tensors instead");
  Graph g = program_->graph();
  std::vector<Place> results, inputs;
  for (int slot : result_slots_)
    results.push_back(slot < 0 ? program_->results()[made_[static_cast<size_t>(-1 - slot)].result]
                               : entries_[static_cast<size_t>(slot)].place);

  // What becomes of captured tensors is written into their memory at the end.
  auto is_captured = [&](int entry) {
    const Entry& e = entries_[static_cast<size_t>(entry)];
    return e.argument < 0 && std::none_of(
                                 entries_.begin(), entries_.end(),
                                 [&](const Entry& other) {
                                   return other.argument >= 0 &&
                                          other.place.storage == e.place.storage;
                                 });
  };
  for (const DataEffect& d : data_effects_) {
    FG_CHECK(is_captured(d.entry),
             "save_program: the function assigns the .data of an argument; write to it in place "
             "instead, with copy_()");
    g.instructions.push_back(copy_to(program_->results()[made_[static_cast<size_t>(d.made)].result],
                                     entries_[static_cast<size_t>(d.entry)].place));
  }
  for (const GradEffect& effect : grad_effects_) {
    const Entry& e = entries_[static_cast<size_t>(effect.entry)];
    FG_CHECK(is_captured(effect.entry) || effect.made < 0,
             "save_program: the function leaves a .grad in an argument; return the gradient "
             "instead, as autograd.grad() gives it");
    if (!e.has_grad || !e.grad_used) continue;  // nobody will read it
    FG_CHECK(effect.made >= 0,
             "save_program: the function reads a .grad and then sets it to None; zero it with "
             "zero_grad(set_to_none=False)");
    for (const Entry& grad : entries_)
      if (grad.owner == effect.entry)
        g.instructions.push_back(copy_to(
            program_->results()[made_[static_cast<size_t>(effect.made)].result], grad.place));
  }

  for (size_t i = 0; i < num_argument_tensors_; ++i) {
    const Entry& e = entries_[i];
    FG_CHECK(e.external < 0 || !outside_[at(e.external)].exact,
             "save_program: the function uses memory beyond an argument's elements");
    for (size_t k = 0; k < entries_.size(); ++k)
      FG_CHECK(
          k == i || entries_[k].place.storage != e.place.storage || (!entries_[k].used && !e.used),
          "save_program: an argument shares memory with another argument or a captured tensor");
    inputs.push_back(e.place);
  }
  // The values of captured tensors and their gradients as they are now.
  std::vector<std::pair<int32_t, Tensor>> values;
  for (const Entry& e : entries_) {
    if (e.argument >= 0) continue;
    const Tensor& t =
        e.owner >= 0 ? entries_[static_cast<size_t>(e.owner)].captured->grad : e.captured;
    const Storage& s = g.storages[at(e.place.storage)];
    bool known = std::any_of(values.begin(), values.end(),
                             [&](const auto& v) { return v.first == e.place.storage; });
    if (known || !t.defined()) continue;
    auto [first, last] = e.place.bytes();
    if (e.place.contiguous && first == s.first && last == s.last) {
      values.emplace_back(e.place.storage, Tensor(contiguous_copy(t.array())));
      continue;
    }
    Array bytes = Array::empty(Dims{s.last - s.first}, DType::UInt8);
    std::memcpy(bytes.data, t.array().data - e.place.offset + s.first,
                static_cast<size_t>(s.last - s.first));
    values.emplace_back(e.place.storage, Tensor(std::move(bytes)));
  }
  std::vector<Place> state;  // to follow the storages to their new numbers
  size_t num_inputs = inputs.size();
  std::vector<uint8_t> used(g.storages.size(), 0);
  for (const Instruction& i : g.instructions) {
    for (const Place& p : i.in)
      if (p.defined()) used[at(p.storage)] = 1;
    for (const Place& p : i.out) used[at(p.storage)] = 1;
  }
  for (const Place& p : results) used[at(p.storage)] = 1;
  std::erase_if(values, [&](const auto& v) { return !used[at(v.first)]; });
  for (const auto& [storage, tensor] : values) {
    Place& p = inputs.emplace_back();
    p.storage = storage;
  }
  compact(g, results, inputs);

  Object form = own(PyDict_New()), places = own(PyList_New(0)), captured = own(PyList_New(0)),
         arguments = own(PyList_New(0));
  auto put = [&](const char* key, const Object& value) {
    check_status(PyDict_SetItemString(form.get(), key, value.get()));
  };
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (k < num_inputs) {
      check_status(PyList_Append(places.get(), encode_place(inputs[k]).get()));
      continue;
    }
    Object pair =
        own(Py_BuildValue("[iN]", inputs[k].storage, check(wrap(values[k - num_inputs].second))));
    check_status(PyList_Append(captured.get(), pair.get()));
  }
  for (const ArgumentTree& a : arguments_)
    check_status(PyList_Append(arguments.get(), a.form().get()));
  put("inputs", places);
  put("state", captured);
  put("arguments", arguments);
  put("positional", own(PyLong_FromSsize_t(positional_)));
  put("keywords", own(kwnames_ ? PySequence_List(kwnames_.get()) : PyList_New(0)));
  put("result", result_.form());
  put("differentiable", own(PyBool_FromLong(backward_ != nullptr)));
  put("task", encode_task(g, results));
  return form;
}

}  // namespace fastgrad::py
