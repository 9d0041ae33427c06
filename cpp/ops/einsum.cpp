// einsum: the equation becomes a list of labels per operand; operands are contracted in pairs, each
// pair as one (batched) matrix product, in an order that keeps intermediate results small.
#include "ops/einsum.h"

#include <algorithm>

#include "ops/as_strided.h"
#include "ops/convert.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Labels: 0..25 are A..Z, 26..51 are a..z (PyTorch's order of an implicit output), then come the
// dimensions of the ellipsis, counted from the left of the longest one.
constexpr int kLetters = 52;
constexpr int kEllipsis = -1;
using Labels = SmallVector<int, 8>;

struct Term {
  Tensor tensor;
  Labels labels;  // one per dimension, no two alike
};

bool has(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}
size_t place(const Labels& labels, int label) {
  return static_cast<size_t>(std::find(labels.begin(), labels.end(), label) - labels.begin());
}
char letter(int label) { return static_cast<char>(label < 26 ? 'A' + label : 'a' + label - 26); }
std::string label_text(int label) {
  return label < kLetters ? std::string(1, letter(label)) : "...";
}

struct Equation {
  std::vector<Labels> inputs;
  std::optional<Labels> output;
};

Equation parse(std::string_view text, size_t operands) {
  Equation e;
  e.inputs.emplace_back();
  Labels* current = &e.inputs.back();
  bool ellipsis = false;
  auto where = [&] {
    return e.output ? std::string("output") : str("operand ", e.inputs.size() - 1);
  };
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == ' ') continue;
    if (c == '.') {
      FG_CHECK(!ellipsis, "einsum(): found '.' for ", where(),
               " for which an ellipsis was already found");
      FG_CHECK(text.substr(i, 3) == "...", "einsum(): found '.' for ", where(),
               " that is not part of any ellipsis (...)");
      current->push_back(kEllipsis);
      ellipsis = true;
      i += 2;
    } else if (c == ',' && !e.output) {
      FG_CHECK(e.inputs.size() < operands,
               "einsum(): fewer operands were provided than specified in the equation");
      e.inputs.emplace_back();
      current = &e.inputs.back();
      ellipsis = false;
    } else if (c == '-' && !e.output) {
      FG_CHECK(text.substr(i, 2) == "->", "einsum(): found '-' at index ", i,
               " that is not part of '->'");
      e.output.emplace();
      current = &*e.output;
      ellipsis = false;
      ++i;
    } else {
      bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
      FG_CHECK(upper || lower, "einsum(): invalid subscript given at index ", i,
               " in the equation string, subscripts must be in [a-zA-Z]");
      current->push_back(upper ? c - 'A' : c - 'a' + 26);
    }
  }
  FG_CHECK(e.inputs.size() >= operands,
           "einsum(): more operands were provided than specified in the equation");
  return e;
}

// Replaces the ellipsis by one label per dimension that it stands for.
Labels without_ellipsis(const Labels& labels, int64_t dims, int64_t longest) {
  Labels out;
  for (int l : labels) {
    if (l != kEllipsis) {
      out.push_back(l);
      continue;
    }
    for (int64_t i = longest - dims; i < longest; ++i)
      out.push_back(kLetters + static_cast<int>(i));
  }
  return out;
}

// The diagonal of dimensions with the same label.
Term take_diagonals(Tensor t, const Labels& labels, size_t operand) {
  Labels unique;
  for (int l : labels)
    if (!has(unique, l)) unique.push_back(l);
  if (unique.size() == labels.size()) return {std::move(t), unique};
  Dims sizes(unique.size(), 0), strides(unique.size(), 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    size_t at = place(unique, labels[i]);
    bool seen = place(labels, labels[i]) < i;
    FG_CHECK(!seen || sizes[at] == t.shape()[i], "einsum(): subscript ", label_text(labels[i]),
             " is repeated for operand ", operand, " but the sizes don't match, ", t.shape()[i],
             " != ", sizes[at]);
    sizes[at] = t.shape()[i];
    strides[at] += t.strides()[i];
  }
  return {as_strided(t, sizes, strides), unique};
}

Tensor permuted(const Tensor& t, const Labels& from, const Labels& to) {
  if (from == to) return t;
  Dims order;
  for (int l : to) order.push_back(static_cast<int64_t>(place(from, l)));
  return permute(t, order);
}

// Sums over the labels that are not in `keep`.
Term sum_out(Term t, const Labels& keep) {
  Dims dims;
  Labels rest;
  for (size_t i = 0; i < t.labels.size(); ++i)
    if (has(keep, t.labels[i]))
      rest.push_back(t.labels[i]);
    else
      dims.push_back(static_cast<int64_t>(i));
  if (dims.empty()) return t;
  return {sum(t.tensor, dims), rest};
}

int64_t size_of(const Term& t, const Labels& labels) {
  int64_t n = 1;
  for (int l : labels) n *= t.tensor.shape()[place(t.labels, l)];
  return n;
}

Labels joined(std::initializer_list<const Labels*> parts) {
  Labels all;
  for (const Labels* p : parts)
    for (int l : *p) all.push_back(l);
  return all;
}

// t with its dimensions grouped to (batch, rows, cols), or (batch, cols, rows) when only that order
// can be had without a copy; `transposed` says which. Without batch labels: a plain matrix.
Tensor as_matrices(const Term& t, const Labels& batch, const Labels& rows, const Labels& cols,
                   bool& transposed) {
  auto arrange = [&](bool flip, bool may_copy) {
    Labels labels = joined({&batch, flip ? &cols : &rows, flip ? &rows : &cols});
    Dims shape, order;
    if (!batch.empty()) shape.push_back(size_of(t, batch));
    shape.push_back(size_of(t, flip ? cols : rows));
    shape.push_back(size_of(t, flip ? rows : cols));
    for (int l : labels) order.push_back(static_cast<int64_t>(place(t.labels, l)));
    Array p = t.tensor.array().permuted(order);
    if (!may_copy && !view_strides(p.shape, p.strides, shape)) return Tensor();
    transposed = flip;
    Tensor y = permuted(t.tensor, t.labels, labels);
    return y.shape() == shape ? y : reshape(y, shape);
  };
  for (bool flip : {false, true})
    if (Tensor y = arrange(flip, false); y.defined()) return y;
  return arrange(false, true);
}

// x with `count` dimensions of size 1 put in before dimension `at`.
Tensor with_ones(const Tensor& x, size_t at, size_t count) {
  Dims shape(DimSpan(x.shape()).first(at));
  for (size_t i = 0; i < count; ++i) shape.push_back(1);
  for (int64_t n : DimSpan(x.shape()).subspan(at)) shape.push_back(n);
  return view(x, shape);
}

// The product of two terms, summed over the labels that are not in `keep`.
Term contract(Term a, Term b, const Labels& keep) {
  Labels needed_a = joined({&keep, &b.labels}), needed_b = joined({&keep, &a.labels});
  a = sum_out(std::move(a), needed_a);
  b = sum_out(std::move(b), needed_b);
  Labels batch, contracted, left, right;
  for (int l : a.labels)
    (!has(b.labels, l) ? left : has(keep, l) ? batch : contracted).push_back(l);
  for (int l : b.labels)
    if (!has(a.labels, l)) right.push_back(l);
  Labels result = joined({&batch, &left, &right});
  if (contracted.empty()) {  // elementwise, by broadcasting
    Tensor x = permuted(a.tensor, a.labels, joined({&batch, &left}));
    Tensor y = permuted(b.tensor, b.labels, joined({&batch, &right}));
    if (!right.empty() && x.ndim() > 0) x = with_ones(x, a.labels.size(), right.size());
    if (!left.empty() && y.ndim() > 0) y = with_ones(y, batch.size(), left.size());
    return {mul(x, y), result};
  }
  if (is_integral(a.tensor.dtype(), false) && is_integral(b.tensor.dtype(), false)) {
    DType type = promote_types(a.tensor.dtype(), b.tensor.dtype());  // a sum may have widened one
    a.tensor = to_dtype(a.tensor, type);
    b.tensor = to_dtype(b.tensor, type);
  }
  bool transpose_a = false, transpose_b = false;
  Dims shape;
  for (int l : result) {
    const Term& t = has(a.labels, l) ? a : b;
    shape.push_back(t.tensor.shape()[place(t.labels, l)]);
  }
  Tensor x = as_matrices(a, batch, left, contracted, transpose_a);
  Tensor y = as_matrices(b, batch, contracted, right, transpose_b);
  Tensor product = matmul(x, y, transpose_a, transpose_b);
  return {product.shape() == shape ? product : view(product, shape), result};
}

// The pair whose product is smallest compared with what it replaces.
std::pair<size_t, size_t> best_pair(const std::vector<Term>& terms, const Labels& output,
                                    std::span<const int64_t> sizes) {
  std::pair<size_t, size_t> best{0, 1};
  if (terms.size() == 2) return best;
  double best_score = HUGE_VAL;
  auto numel = [&](const Labels& labels) {
    double n = 1;
    for (int l : labels) n *= static_cast<double>(sizes[static_cast<size_t>(l)]);
    return n;
  };
  for (size_t i = 0; i < terms.size(); ++i) {
    for (size_t j = i + 1; j < terms.size(); ++j) {
      Labels result;
      for (const Labels* labels : {&terms[i].labels, &terms[j].labels})
        for (int l : *labels) {
          bool needed = has(output, l);
          for (size_t k = 0; k < terms.size() && !needed; ++k)
            needed = k != i && k != j && has(terms[k].labels, l);
          if (needed && !has(result, l)) result.push_back(l);
        }
      double score = numel(result) - numel(terms[i].labels) - numel(terms[j].labels);
      if (score < best_score) {
        best_score = score;
        best = {i, j};
      }
    }
  }
  return best;
}

// The output's labels: as written, or each letter that occurs once, after the ellipsis.
Labels output_labels(const Equation& e, const std::vector<Labels>& inputs, int64_t longest) {
  if (e.output) {
    Labels out = without_ellipsis(*e.output, longest, longest);
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i] >= kLetters) continue;
      FG_CHECK(place(out, out[i]) == i, "einsum(): output subscript ", letter(out[i]),
               " appears more than once in the output");
      bool known = std::any_of(inputs.begin(), inputs.end(),
                               [&](const Labels& l) { return has(l, out[i]); });
      FG_CHECK(known, "einsum(): output subscript ", letter(out[i]),
               " does not appear in the equation for any input operand");
    }
    return out;
  }
  Labels out;
  for (int64_t i = 0; i < longest; ++i) out.push_back(kLetters + static_cast<int>(i));
  for (int l = 0; l < kLetters; ++l) {
    int64_t count = 0;
    for (const Labels& in : inputs) count += std::count(in.begin(), in.end(), l);
    if (count == 1) out.push_back(l);
  }
  return out;
}

}  // namespace

Tensor einsum(std::string_view equation, std::span<const Tensor> operands) {
  FG_CHECK(!operands.empty(), "einsum(): must provide at least one operand");
  Equation e = parse(equation, operands.size());
  // How many dimensions the ellipses stand for.
  int64_t longest = 0;
  SmallVector<int64_t, 8> ellipsis_dims;
  for (size_t i = 0; i < operands.size(); ++i) {
    int64_t named = static_cast<int64_t>(e.inputs[i].size()), ndim = operands[i].ndim(), dims = 0;
    if (has(e.inputs[i], kEllipsis)) {
      dims = ndim - (named - 1);
      FG_CHECK(dims >= 0, "einsum(): the number of subscripts in the equation (", named - 1,
               ") is more than the number of dimensions (", ndim, ") for operand ", i);
    } else {
      FG_CHECK(named == ndim, "einsum(): the number of subscripts in the equation (", named,
               ") does not match the number of dimensions (", ndim, ") for operand ", i,
               " and no ellipsis was given");
    }
    ellipsis_dims.push_back(dims);
    longest = std::max(longest, dims);
  }
  std::vector<Labels> inputs;
  for (size_t i = 0; i < operands.size(); ++i)
    inputs.push_back(without_ellipsis(e.inputs[i], ellipsis_dims[i], longest));
  Labels output = output_labels(e, inputs, longest);

  std::vector<int64_t> sizes(static_cast<size_t>(kLetters + longest), 1);
  std::vector<Term> terms;
  for (size_t i = 0; i < operands.size(); ++i) {
    Term t = take_diagonals(operands[i], inputs[i], i);
    for (size_t d = 0; d < t.labels.size(); ++d) {
      int64_t n = t.tensor.shape()[d], &known = sizes[static_cast<size_t>(t.labels[d])];
      FG_CHECK(known == 1 || n == 1 || n == known, "einsum(): subscript ", label_text(t.labels[d]),
               " has size ", n, " for operand ", i,
               " which does not broadcast with previously seen size ", known);
      if (n != 1) known = n;
    }
    terms.push_back(std::move(t));
  }
  // A dimension of size 1 that others have larger drops out: what it meets is not changed by it.
  for (Term& t : terms) {
    Dims shape;
    Labels labels;
    for (size_t d = 0; d < t.labels.size(); ++d) {
      if (t.tensor.shape()[d] == 1 && sizes[static_cast<size_t>(t.labels[d])] != 1) continue;
      shape.push_back(t.tensor.shape()[d]);
      labels.push_back(t.labels[d]);
    }
    if (labels.size() != t.labels.size()) t = {view(t.tensor, shape), labels};
  }
  while (terms.size() > 1) {
    auto [i, j] = best_pair(terms, output, sizes);
    Labels keep = output;
    for (size_t k = 0; k < terms.size(); ++k)
      if (k != i && k != j) keep = joined({&keep, &terms[k].labels});
    Term product = contract(std::move(terms[i]), std::move(terms[j]), keep);
    terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(j));
    terms[i] = std::move(product);
  }
  Term last = sum_out(std::move(terms[0]), output);
  Tensor y = permuted(last.tensor, last.labels, output);
  return y.is(operands[0]) ? view(y, y.shape()) : y;
}

}  // namespace fastgrad
