#include <memory>
#include <string>
#include <utility>

#include "base/small_vector.h"
#include "check.h"

namespace fastgrad {
namespace {

using Strings = SmallVector<std::string, 2>;

// Long enough to live on the heap, so that a lost or doubled destructor shows under ASan.
std::string word(int i) { return "a string that does not fit inside " + std::to_string(i); }

Strings make(int n) {
  Strings v;
  for (int i = 0; i < n; ++i) v.push_back(word(i));
  return v;
}

bool holds_words(const Strings& v, int n) {
  bool same = v.size() == static_cast<size_t>(n);
  for (int i = 0; same && i < n; ++i) same = v[static_cast<size_t>(i)] == word(i);
  return same;
}

TEST(grows_from_inline_to_heap) {
  for (int n = 0; n < 9; ++n) CHECK(holds_words(make(n), n));
}

TEST(copies_are_independent) {
  for (int n : {1, 2, 3, 7}) {
    Strings a = make(n);
    Strings b(a);
    b[0] = "changed";
    CHECK(holds_words(a, n));
    b = a;
    CHECK(holds_words(b, n));
    const Strings& alias = b;
    b = alias;
    CHECK(holds_words(b, n));
  }
}

TEST(moves_leave_an_empty_usable_vector) {
  for (int n : {1, 2, 3, 7}) {
    Strings a = make(n);
    Strings b(std::move(a));
    CHECK(holds_words(b, n));
    a = make(3);  // NOLINT(bugprone-use-after-move): what this test is about
    CHECK(holds_words(a, 3));
    b = std::move(a);
    CHECK(holds_words(b, 3));
  }
}

TEST(insert_and_erase_keep_the_order) {
  SmallVector<int, 4> v{1, 2, 4, 5};
  v.insert(2, 3);
  CHECK((v == SmallVector<int, 4>{1, 2, 3, 4, 5}));
  v.insert(0, 0);
  v.insert(6, 6);
  CHECK((v == SmallVector<int, 4>{0, 1, 2, 3, 4, 5, 6}));
  v.erase(0);
  v.erase(5);
  v.erase(1);
  CHECK((v == SmallVector<int, 4>{1, 3, 4, 5}));
}

TEST(resize_constructs_and_destroys) {
  Strings v = make(5);
  v.resize(2);
  CHECK(holds_words(v, 2));
  v.resize(4);
  CHECK(v[3].empty());
  v.clear();
  CHECK(v.empty());
}

TEST(holds_what_cannot_be_copied) {
  SmallVector<std::unique_ptr<int>, 1> v;
  for (int i = 0; i < 5; ++i) v.push_back(std::make_unique<int>(i));
  auto w = std::move(v);
  CHECK(*w[4] == 4);
}

}  // namespace
}  // namespace fastgrad
