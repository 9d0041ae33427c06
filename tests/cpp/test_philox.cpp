#include "base/philox.h"
#include "check.h"

namespace fastgrad {
namespace {

// The known answers that the authors of Philox publish with their library (Random123, kat_vectors).
TEST(philox_known_answers) {
  RandomBlock zeros;
  philox<1>(0, 0, 0, &zeros);
  CHECK((zeros == RandomBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  RandomBlock ones;
  philox<1>(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, &ones);
  CHECK((ones == RandomBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(philox_blocks_do_not_depend_on_the_batch) {
  RandomBlock batch[16], one;
  philox<16>(7, 1000, 3, batch);
  for (uint64_t i = 0; i < 16; ++i) {
    philox<1>(7, 1000 + i, 3, &one);
    CHECK(batch[i] == one);
  }
}

}  // namespace
}  // namespace fastgrad
