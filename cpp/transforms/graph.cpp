#include "transforms/graph.h"

#include <sstream>

namespace fastgrad {
namespace {

// The version of every storage while one walks through the instructions.
class Versions {
 public:
  explicit Versions(const Graph& g) : graph_(g), count_(g.storages.size(), 0) {}
  std::string value(const Place& p) const {
    auto i = static_cast<size_t>(p.storage);
    return str(prefix(graph_.storages[i].role), i, ".", count_[i]);
  }
  void write(const Place& p) { ++count_[static_cast<size_t>(p.storage)]; }

 private:
  static const char* prefix(Storage::Role role) {
    switch (role) {
      case Storage::Role::External:
        return "@";
      case Storage::Role::Constant:
        return "#";
      default:
        return "%";
    }
  }
  const Graph& graph_;
  std::vector<int> count_;
};

std::string geometry(const Place& p) {
  std::ostringstream s;
  s << name(p.dtype) << to_string(p.shape);
  if (!p.contiguous) s << " strides " << to_string(p.strides);
  if (p.offset) s << " at " << p.offset;
  return s.str();
}

std::string number(const Scalar& s) {
  std::ostringstream text;
  text.precision(17);
  if (s.is_float())
    text << s.to_double();
  else
    text << s.to_int();
  return text.str();
}

}  // namespace

const char* Graph::name_of(const Instruction& i) const {
  switch (i.kind) {
    case Instruction::Kind::Primitive:
      return i.primitive->name;
    case Instruction::Kind::Watch:
      return "watch";
    case Instruction::Kind::Truth:
      return "truth";
    case Instruction::Kind::Condition:
      return i.condition->name;
    default:
      return info(i.op).name;
  }
}

std::string Graph::text() const {
  std::ostringstream s;
  Versions versions(*this);
  for (const Instruction& i : instructions) {
    std::string args;
    for (size_t k = 0; k < i.in.size(); ++k) {
      args += k ? ", " : "";
      if (i.kind == Instruction::Kind::Elementwise && i.attrs.scalars >> k & 1)
        args += number(i.attrs.s[k]);
      else if (!i.in[k].defined())
        args += "none";
      else
        args += versions.value(i.in[k]) + ":" + geometry(i.in[k]);
    }
    std::string results;
    for (const Place& p : i.out) {
      versions.write(p);
      results += (results.empty() ? "" : ", ") + versions.value(p) + ":" + geometry(p);
    }
    if (i.kind == Instruction::Kind::Condition)
      for (const Scalar& n : i.attrs.s) args += " " + number(n);
    if (!results.empty()) s << results << " = ";
    s << name_of(i) << "(" << args << ")";
    if (i.kind == Instruction::Kind::Truth || i.kind == Instruction::Kind::Condition)
      s << " is " << (i.outcome ? "True" : "False");
    s << "  ; " << flops(i) << " flops, " << bytes(i) << " bytes\n";
  }
  return s.str();
}

std::string Graph::dot() const {
  std::ostringstream s;
  s << "digraph program {\n  node [shape=box];\n";
  std::vector<int> writer(storages.size(), -1);
  for (size_t k = 0; k < instructions.size(); ++k) {
    const Instruction& i = instructions[k];
    s << "  i" << k << " [label=\"" << name_of(i) << "\\n"
      << flops(i) << " flops, " << bytes(i) << " bytes\"];\n";
    for (const Place& p : i.in) {
      if (!p.defined()) continue;
      auto at = static_cast<size_t>(p.storage);
      if (writer[at] < 0)
        s << "  s" << at << " [shape=ellipse, label=\""
          << (storages[at].role == Storage::Role::External ? "input" : "constant") << " "
          << to_string(p.shape) << "\"];\n  s" << at << " -> i" << k << ";\n";
      else
        s << "  i" << writer[at] << " -> i" << k << " [label=\"" << to_string(p.shape) << "\"];\n";
    }
    for (const Place& p : i.out) writer[static_cast<size_t>(p.storage)] = static_cast<int>(k);
  }
  s << "}\n";
  return s.str();
}

void Graph::verify() const {
  std::vector<bool> written(storages.size());
  for (size_t i = 0; i < storages.size(); ++i)
    written[i] = storages[i].role != Storage::Role::Internal || storages[i].unset;
  auto check = [&](const Instruction& i, const Place& p) {
    FG_CHECK(p.storage < static_cast<int32_t>(storages.size()), "graph: no storage ", p.storage);
    if (p.numel == 0) return;
    auto [first, last] = p.bytes();
    FG_CHECK(
        first >= 0 && last <= static_cast<int64_t>(storages[static_cast<size_t>(p.storage)].nbytes),
        "graph: ", name_of(i), " reaches beyond storage ", p.storage);
  };
  for (const Instruction& i : instructions) {
    for (const Place& p : i.in) {
      if (!p.defined()) continue;
      check(i, p);
      FG_CHECK(written[static_cast<size_t>(p.storage)], "graph: ", name_of(i), " reads storage ",
               p.storage, ", which nothing has written");
    }
    for (const Place& p : i.out) {
      check(i, p);
      written[static_cast<size_t>(p.storage)] = true;
    }
  }
}

}  // namespace fastgrad
