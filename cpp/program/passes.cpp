#include "program/passes.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <cstdlib>
#include <unordered_map>
#include <unordered_set>

#include "core/memory.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

// Whether p is all of its storage, without gaps.
bool covers(const Graph& g, const Place& p) {
  return p.offset == 0 && static_cast<size_t>(p.nbytes()) == g.storages[at(p.storage)].nbytes &&
         (p.contiguous || !may_overlap_itself(p.shape, p.strides));
}

std::vector<int> count_writes(const Graph& g) {
  std::vector<int> writes(g.storages.size(), 0);
  for (const Instruction& i : g.instructions)
    for (const Place& p : i.out) ++writes[at(p.storage)];
  return writes;
}

std::vector<uint8_t> find_results(const Task& t) {
  std::vector<uint8_t> result(t.graph.storages.size(), 0);
  for (const Place& p : t.results)
    if (p.defined()) result[at(p.storage)] = 1;
  return result;
}

// All bytes of a storage; of one outside, those that its tensors reach.
Place bytes_of(const Graph& g, int32_t storage) {
  const Storage& s = g.storages[at(storage)];
  Place p;
  p.storage = storage;
  p.dtype = DType::UInt8;
  p.offset = s.first;
  p.numel = s.role == Storage::Role::External ? s.last - s.first : static_cast<int64_t>(s.nbytes);
  p.shape = Dims{p.numel};
  p.strides = Dims{1};
  return p;
}

// Copies `part` of a storage to the same place in another one.
Instruction copy_of(Place part, int32_t to) {
  Instruction i;
  i.kind = Instruction::Kind::Primitive;
  i.primitive = &recorded::kCopy;
  i.in.push_back(part);
  part.storage = to;
  i.out.push_back(std::move(part));
  return i;
}

int32_t add_internal(Graph& g, size_t nbytes) {
  Storage& s = g.storages.emplace_back();
  s.nbytes = nbytes;
  return static_cast<int32_t>(g.storages.size()) - 1;
}

void rename(Graph& g, const std::vector<int32_t>& to) {
  for (Instruction& i : g.instructions) {
    for (Place& p : i.in)
      if (p.defined()) p.storage = to[at(p.storage)];
    for (Place& p : i.out) p.storage = to[at(p.storage)];
  }
}

std::vector<int32_t> identity(const Graph& g) {
  std::vector<int32_t> to(g.storages.size());
  for (size_t s = 0; s < to.size(); ++s) to[s] = static_cast<int32_t>(s);
  return to;
}

void insert_front(Graph& g, std::vector<Instruction>&& first) {
  for (Instruction& i : g.instructions) first.push_back(std::move(i));
  g.instructions = std::move(first);
}

// Keeps some instructions of a list, in their order and where they are: moving them costs as much
// as a pass.
class Kept {
 public:
  explicit Kept(std::vector<Instruction>& list) : list_(list) {}
  ~Kept() { list_.erase(list_.begin() + static_cast<std::ptrdiff_t>(count_), list_.end()); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  void keep(Instruction& i) {
    if (&list_[count_] != &i) list_[count_] = std::move(i);
    ++count_;
  }

 private:
  std::vector<Instruction>& list_;
  size_t count_ = 0;
};

bool has_effects(const Instruction& i) {
  return i.guards() || (i.kind == Instruction::Kind::Primitive && !i.primitive->pure);
}

// The one place that an instruction writes, if it makes all of a storage that no other one writes,
// and that is no result.
const Place* sole_definition(const Task& t, const Instruction& i, const std::vector<int>& writes,
                             const std::vector<uint8_t>& results) {
  if (has_effects(i) || i.out.size() != 1) return nullptr;
  const Place& p = i.out[0];
  const Storage& s = t.graph.storages[at(p.storage)];
  if (s.role != Storage::Role::Internal || s.unset || writes[at(p.storage)] != 1 ||
      results[at(p.storage)] || !covers(t.graph, p))
    return nullptr;
  return &p;
}

// Whether the elements of both follow each other in memory in the same order.
bool same_layout(const Place& a, const Place& b) {
  if (a.dtype != b.dtype) return false;
  return a.contiguous && b.contiguous ? a.numel == b.numel
                                      : a.shape == b.shape && a.strides == b.strides;
}

}  // namespace

void copy_used_constants(Task& t) {
  Graph& g = t.graph;
  std::vector<int> writes = count_writes(g);
  std::vector<uint8_t> results = find_results(t);
  std::vector<int32_t> to = identity(g);
  std::vector<Instruction> copies;
  for (size_t s = 0; s < to.size(); ++s) {
    if (g.storages[s].role != Storage::Role::Constant || (!writes[s] && !results[s])) continue;
    to[s] = add_internal(g, g.storages[s].nbytes);
    copies.push_back(copy_of(bytes_of(g, static_cast<int32_t>(s)), to[s]));
  }
  if (copies.empty()) return;
  rename(g, to);
  for (Place& p : t.results)
    if (p.defined()) p.storage = to[at(p.storage)];
  insert_front(g, std::move(copies));
}

void delay_outside_writes(Task& t) {
  Graph& g = t.graph;
  size_t unguarded = g.instructions.size();  // the first instruction behind all guards
  while (unguarded > 0 && !g.instructions[unguarded - 1].guards()) --unguarded;
  std::vector<uint8_t> early(g.storages.size(), 0);
  for (size_t k = 0; k < unguarded; ++k)
    for (const Place& p : g.instructions[k].out) early[at(p.storage)] = 1;
  std::vector<int32_t> to = identity(g);
  std::vector<Instruction> first, last;
  for (size_t s = 0; s < to.size(); ++s) {
    if (g.storages[s].role != Storage::Role::External || !early[s]) continue;
    to[s] = add_internal(g, g.storages[s].nbytes);
    Place outside = bytes_of(g, static_cast<int32_t>(s)), inside = outside;
    inside.storage = to[s];
    first.push_back(copy_of(outside, to[s]));
    last.push_back(copy_of(std::move(inside), static_cast<int32_t>(s)));
  }
  if (first.empty()) return;
  rename(g, to);
  insert_front(g, std::move(first));
  for (Instruction& i : last) g.instructions.push_back(std::move(i));
}

void fold_constants(Task& t) {
  constexpr size_t kMaxBytes = 1 << 20;
  Graph& g = t.graph;
  std::vector<int> writes = count_writes(g);
  std::vector<uint8_t> results = find_results(t);
  Kept kept(g.instructions);
  for (Instruction& i : g.instructions) {
    const Place* out = sole_definition(t, i, writes, results);
    bool constant = out && g.storages[at(out->storage)].nbytes <= kMaxBytes;
    for (const Place& p : i.in)
      constant =
          constant && (!p.defined() || g.storages[at(p.storage)].role == Storage::Role::Constant);
    if (constant) {
      SmallVector<Array, 4> arrays;
      SmallVector<const Array*, 4> in;
      for (const Place& p : i.in) {
        Storage* s = p.defined() ? &g.storages[at(p.storage)] : nullptr;
        arrays.push_back(s && s->value.defined() ? array_at(p, s->value.data, s->value.buffer)
                         : s                     ? Array::zeros(p.shape, p.dtype)
                                                 : Array());
      }
      for (size_t k = 0; k < i.in.size(); ++k)
        in.push_back(i.in[k].defined() ? &arrays[k] : nullptr);
      Storage& s = g.storages[at(out->storage)];
      Array value = Array::zeros(Dims{static_cast<int64_t>(s.nbytes)}, DType::UInt8);
      Array result = array_at(*out, value.data, value.buffer);
      try {
        execute(i, {in.data(), in.size()}, {&result, 1});
        s.role = Storage::Role::Constant;
        s.value = std::move(value);
        continue;
      } catch (const Error&) {
        // It will fail at run time, as it does without compile.
      }
    }
    kept.keep(i);
  }
}

void simplify_to_copies(Task& t) {
  for (Instruction& i : t.graph.instructions) {
    if (i.kind != Instruction::Kind::Op || i.in.size() != 1 || i.out.size() != 1) continue;
    bool copies = i.op == Op::Sum || i.op == Op::Amax || i.op == Op::Amin || i.op == Op::MaxAll ||
                  i.op == Op::MinAll || i.op == Op::Clone || i.op == Op::ToDType ||
                  i.op == Op::ReshapeCopy;
    const Place &x = i.in[0], &y = i.out[0];
    if (!copies || x.dtype != y.dtype || x.numel != y.numel || !x.contiguous || !y.contiguous)
      continue;
    i.kind = Instruction::Kind::Primitive;
    i.primitive = &recorded::kCopy;
    i.attrs = Attrs();
    i.in[0].shape = y.shape;
    i.in[0].strides = y.strides;
  }
}

void simplify_powers(Task& t) {
  for (Instruction& i : t.graph.instructions) {
    if (i.kind != Instruction::Kind::Elementwise || i.op != Op::Pow || !is_floating(i.compute) ||
        !i.in[0].defined() || i.in[1].defined() || i.attrs.s[1].to_double() != 2.0)
      continue;
    i.op = Op::Square;
    i.in.pop_back();
    i.attrs = Attrs();
  }
}

namespace {

bool is_one(const Graph& g, const Place& p) {
  const Storage& s = g.storages[at(p.storage)];
  bool single = p.numel == 1 || std::all_of(p.strides.begin(), p.strides.end(),
                                            [](int64_t stride) { return stride == 0; });
  if (s.role != Storage::Role::Constant || !single || p.numel == 0 || !s.value.defined())
    return false;
  const char* v = s.value.data + p.offset;
  if (p.dtype == DType::Float64) return *reinterpret_cast<const double*>(v) == 1.0;
  if (p.dtype == DType::Float32) return *reinterpret_cast<const float*>(v) == 1.0f;
  return false;
}

// The operand that an instruction hands through unchanged, if it does that.
const Place* forwarded(const Graph& g, const Instruction& i) {
  if (i.kind == Instruction::Kind::Primitive && i.primitive == &recorded::kCopy) return &i.in[0];
  if (i.kind != Instruction::Kind::Elementwise || (i.op != Op::Mul && i.op != Op::GradMul))
    return nullptr;
  // grad_mul makes +0 of a cotangent that is -0: only a cotangent of 1 may go.
  for (size_t k = 0; k < 2; ++k) {
    if (i.op == Op::GradMul && k == 0) continue;
    const Place &x = i.in[k], &factor = i.in[1 - k];
    if (!x.defined() || x.dtype != i.compute) continue;
    bool one = factor.defined() ? factor.dtype == i.compute && is_one(g, factor)
                                : i.attrs.s[1 - k].to_double() == 1.0;
    if (one) return &x;
  }
  return nullptr;
}

}  // namespace

void forward_copies(Task& t) {
  Graph& g = t.graph;
  std::vector<int> writes = count_writes(g);
  std::vector<uint8_t> results = find_results(t);
  // When each storage is written and last read, by position among the instructions as they stand.
  std::vector<std::vector<int>> written(g.storages.size());
  std::vector<int> last_read(g.storages.size(), -1);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    for (const Place& p : g.instructions[k].out)
      written[at(p.storage)].push_back(static_cast<int>(k));
    for (const Place& p : g.instructions[k].in)
      if (p.defined()) last_read[at(p.storage)] = static_cast<int>(k);
  }
  auto unchanged = [&](int32_t storage, int from, int until) {
    const auto& w = written[at(storage)];
    auto next = std::upper_bound(w.begin(), w.end(), from);
    return next == w.end() || *next > until;
  };
  struct Alias {
    int32_t storage = -1;
    int64_t offset = 0;
  };
  std::vector<Alias> alias(g.storages.size());
  Kept kept(g.instructions);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    Instruction& i = g.instructions[k];
    for (Place& p : i.in) {
      if (!p.defined() || alias[at(p.storage)].storage < 0) continue;
      p.offset += alias[at(p.storage)].offset;
      p.storage = alias[at(p.storage)].storage;
    }
    const Place* out = sole_definition(t, i, writes, results);
    const Place* x = out ? forwarded(g, i) : nullptr;
    // x must still hold the value wherever the copy is read.
    if (x && same_layout(*x, *out) && x->contiguous &&
        unchanged(x->storage, static_cast<int>(k), last_read[at(out->storage)])) {
      // x is read for longer now.
      int& read = last_read[at(x->storage)];
      read = std::max(read, last_read[at(out->storage)]);
      alias[at(out->storage)] = {x->storage, x->offset};
      continue;
    }
    kept.keep(i);
  }
}

namespace {

// Elementwise kernels, copies and sums: what never throws.
bool is_safe(const Instruction& i) {
  return i.kind == Instruction::Kind::Elementwise ||
         (i.kind == Instruction::Kind::Primitive &&
          (i.primitive == &recorded::kCopy || i.primitive == &recorded::kFillNumber)) ||
         (i.kind == Instruction::Kind::Op && (i.op == Op::Sum || i.op == Op::Mean) &&
          is_floating(i.in[0].dtype));
}

}  // namespace

void sink_copies(Task& t) {
  Graph& g = t.graph;
  size_t n = g.storages.size();
  std::vector<int> writes = count_writes(g), first(n, INT_MAX), last_read(n, -1), last_write(n, -1);
  std::vector<uint8_t> results = find_results(t);
  // Memory outside: when it is read or written before, and the first instruction from which on
  // nothing can stop a run.
  std::vector<int> before(n, -1), safe_from(g.instructions.size(), 0);
  int safe = 0;
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    auto when = static_cast<int>(k);
    if (!is_safe(g.instructions[k])) safe = when + 1;
    safe_from[k] = safe;
    for (const Place& p : g.instructions[k].in)
      if (p.defined()) {
        first[at(p.storage)] = std::min(first[at(p.storage)], when);
        last_read[at(p.storage)] = when;
      }
    for (const Place& p : g.instructions[k].out) {
      first[at(p.storage)] = std::min(first[at(p.storage)], when);
      last_write[at(p.storage)] = when;
    }
  }
  std::vector<int32_t> to = identity(g);
  std::vector<int64_t> shift(n, 0);
  std::vector<uint8_t> gone(g.instructions.size(), 0);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    auto when = static_cast<int>(k);
    auto touch = [&] {
      for (const Place& p : i.in)
        if (p.defined()) before[at(p.storage)] = when;
      for (const Place& p : i.out) before[at(p.storage)] = when;
    };
    if (i.kind != Instruction::Kind::Primitive || i.primitive != &recorded::kCopy) {
      touch();
      continue;
    }
    const Place &x = i.in[0], &y = i.out[0];
    size_t from = at(x.storage), into = at(y.storage);
    bool outside = g.storages[into].role == Storage::Role::External;
    bool fits = from != into && g.storages[from].role == Storage::Role::Internal &&
                !g.storages[from].unset && !results[from] && to[from] == x.storage &&
                covers(g, x) && same_layout(x, y) && last_write[from] <= when &&
                (last_read[from] <= when || last_write[into] <= when);
    if (outside)
      // Nobody may see it sooner than the copy would show it.
      fits = fits && x.contiguous && y.contiguous && before[into] < first[from] &&
             safe_from[k] <= first[from];
    else
      fits = fits && g.storages[into].role == Storage::Role::Internal && !g.storages[into].unset &&
             results[into] && covers(g, y) && first[into] == when;
    touch();
    if (!fits) continue;
    to[from] = y.storage;
    shift[from] = y.offset;
    first[into] = std::min(first[into], first[from]);
    gone[k] = 1;
  }
  {
    Kept kept(g.instructions);
    for (size_t k = 0; k < g.instructions.size(); ++k)
      if (!gone[k]) kept.keep(g.instructions[k]);
  }
  for (Instruction& i : g.instructions) {
    for (Place& p : i.in)
      if (p.defined()) p.offset += shift[at(p.storage)];
    for (Place& p : i.out) p.offset += shift[at(p.storage)];
  }
  rename(g, to);
}

namespace {

template <class T>
void put(std::string& key, const T& v) {
  key.append(reinterpret_cast<const char*>(&v), sizeof v);
}
void put(std::string& key, DimSpan dims) {
  put(key, dims.size());
  key.append(reinterpret_cast<const char*>(dims.data()), dims.size() * sizeof(int64_t));
}

// What an instruction computes from which values, into `key`.
void make_key(const Instruction& i, const std::vector<int>& version, std::string& key) {
  // Written in a few pieces without gaps: recordings of small ops spend their time here.
  struct Head {
    const void *primitive, *condition;
    int64_t numbers[3];
    uint16_t op;
    uint8_t kind, compute, result, scalars, outcome, number_kinds, inputs, unused[7];
  };
  static_assert(sizeof(Head) == 56 && kNumOps < 65536);
  Head h{};
  h.primitive = i.primitive;
  h.condition = i.condition;
  for (int k = 0; k < 3; ++k) {
    const Scalar& n = i.attrs.s[k];
    h.numbers[k] = n.is_float() ? std::bit_cast<int64_t>(n.to_double()) : n.to_int();
    h.number_kinds |= static_cast<uint8_t>(static_cast<int>(n.kind()) << 2 * k);
  }
  h.op = static_cast<uint16_t>(index(i.op));
  h.kind = static_cast<uint8_t>(i.kind);
  h.compute = static_cast<uint8_t>(i.compute);
  h.result = static_cast<uint8_t>(i.result);
  h.scalars = i.attrs.scalars;
  h.outcome = i.outcome;
  h.inputs = static_cast<uint8_t>(i.in.size());
  key.clear();
  put(key, h);
  put(key, i.attrs.lists());
  struct Operand {
    int64_t offset;
    int32_t storage, version;
    int64_t dtype;
  };
  auto put_place = [&](const Place& p, Operand o) {
    o.dtype = static_cast<int64_t>(p.dtype) << 1 | p.contiguous;
    put(key, o);
    put(key, DimSpan(p.shape));
    if (!p.contiguous) put(key, DimSpan(p.strides));
  };
  for (const Place& p : i.in)
    put_place(p, {p.offset, p.storage, p.defined() ? version[at(p.storage)] : 0, 0});
  for (const Place& p : i.out) put_place(p, {0, 0, 0, 0});
}

}  // namespace

void merge_common(Task& t) {
  Graph& g = t.graph;
  std::vector<int> writes = count_writes(g), version(g.storages.size(), 0);
  std::vector<uint8_t> results = find_results(t);
  std::vector<int32_t> to = identity(g);
  std::unordered_map<std::string, int32_t> known;
  known.reserve(g.instructions.size());
  std::string key;
  Kept kept(g.instructions);
  for (Instruction& i : g.instructions) {
    for (Place& p : i.in)
      if (p.defined()) p.storage = to[at(p.storage)];
    const Place* out = i.attrs.has_text() ? nullptr : sole_definition(t, i, writes, results);
    bool written_in_place = false;
    for (const Place& p : i.in)
      written_in_place = written_in_place || (out && p.storage == out->storage);
    if (out && !written_in_place) {
      make_key(i, version, key);
      auto [found, added] = known.try_emplace(key, out->storage);
      if (!added) {
        to[at(out->storage)] = found->second;
        continue;
      }
    }
    for (const Place& p : i.out) ++version[at(p.storage)];
    kept.keep(i);
  }
}

void advance_guards(Task& t) {
  Graph& g = t.graph;
  bool guarded = false;
  for (const Instruction& i : g.instructions) guarded = guarded || i.guards();
  if (!guarded) return;
  // Behind which instruction each storage has its present value; 0: it is there at the start.
  std::vector<size_t> made(g.storages.size(), 0);
  std::vector<int> version(g.storages.size(), 0);
  std::unordered_set<std::string> known;
  std::string key;
  std::vector<std::vector<Instruction>> moved(g.instructions.size() + 1);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    Instruction& i = g.instructions[k];
    for (const Place& p : i.out) {
      made[at(p.storage)] = k + 1;
      ++version[at(p.storage)];
    }
    if (!i.guards()) continue;
    make_key(i, version, key);
    // Those that compare with values have nothing else that tells them apart.
    if (i.kind == Instruction::Kind::Watch || known.insert(key).second)
      moved[made[at(i.in[0].storage)]].push_back(std::move(i));
    i.in.clear();
  }
  std::vector<Instruction> left;
  left.reserve(g.instructions.size());
  for (size_t k = 0; k < moved.size(); ++k) {
    if (k > 0 && !(g.instructions[k - 1].guards() && g.instructions[k - 1].in.empty()))
      left.push_back(std::move(g.instructions[k - 1]));
    for (Instruction& i : moved[k]) left.push_back(std::move(i));
  }
  g.instructions = std::move(left);
}

void drop_dead(Task& t) {
  Graph& g = t.graph;
  std::vector<uint8_t> live = find_results(t);
  for (size_t s = 0; s < live.size(); ++s)
    live[s] = live[s] || g.storages[s].role == Storage::Role::External;
  std::vector<uint8_t> dead(g.instructions.size(), 0);
  for (size_t k = g.instructions.size(); k-- > 0;) {
    Instruction& i = g.instructions[k];
    bool used = has_effects(i);
    for (const Place& p : i.out) used = used || live[at(p.storage)];
    dead[k] = !used;
    if (!used) continue;
    // What is overwritten as a whole need not have been made before.
    bool overwrites = i.kind != Instruction::Kind::Primitive || i.primitive->overwrites;
    for (const Place& p : i.out)
      if (overwrites && g.storages[at(p.storage)].role != Storage::Role::External && covers(g, p))
        live[at(p.storage)] = 0;
    for (const Place& p : i.in)
      if (p.defined()) live[at(p.storage)] = 1;
  }
  Kept kept(g.instructions);
  for (size_t k = 0; k < g.instructions.size(); ++k)
    if (!dead[k]) kept.keep(g.instructions[k]);
}

void optimise(Task& t) {
  // The tests check what each pass leaves; a program is checked once, at the end.
  static const bool check_each = std::getenv("FASTGRAD_VERIFY_PASSES") != nullptr;
  for (void (*pass)(Task&) : {copy_used_constants, advance_guards, delay_outside_writes,
                              fold_constants, simplify_to_copies, simplify_powers, forward_copies,
                              merge_common, sink_copies, drop_dead, split_paddings}) {
    pass(t);
    if (check_each) t.graph.verify();
  }
}

}  // namespace fastgrad
