#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "base/fork.h"
#include "base/threads.h"
#include "check.h"
#include "storage/allocator.h"
#include "storage/array.h"
#ifdef FASTGRAD_CAN_FORK
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace fastgrad {
namespace {

TEST(blocks_are_aligned_writable_and_distinct) {
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t nbytes : {1, 64, 129, 4096, 100'000, 3'000'000}) {
    void* p = memory::allocate(nbytes);
    CHECK(reinterpret_cast<uintptr_t>(p) % 64 == 0);
    std::memset(p, static_cast<int>(blocks.size() + 1), nbytes);
    blocks.push_back({p, nbytes});
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto* bytes = static_cast<const unsigned char*>(blocks[i].first);
    CHECK(bytes[0] == i + 1);
    CHECK(bytes[blocks[i].second - 1] == i + 1);
  }
  for (auto [p, nbytes] : blocks) memory::deallocate(p, nbytes);
}

TEST(freed_blocks_are_used_again) {
  memory::deallocate(memory::allocate(1'000'000), 1'000'000);
  uint64_t before = memory::stats().system_allocations;
  memory::deallocate(memory::allocate(1'000'000), 1'000'000);
  CHECK(memory::stats().system_allocations == before);
  memory::empty_cache();
  CHECK(memory::stats().cached == 0);
}

#ifdef FASTGRAD_CAN_FORK
// Whether a forked child that allocates a block ends by itself, within five seconds.
bool child_allocates(size_t nbytes) {
  pid_t child = fork();
  if (child == 0) {
    memory::deallocate(memory::allocate(nbytes), nbytes);
    _exit(0);
  }
  for (int tries = 0; tries < 500; ++tries) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && !WEXITSTATUS(status);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return false;
}

TEST(a_child_forked_while_a_thread_allocates_can_allocate) {
  for (size_t nbytes : {1'000'000, 3'000'000}) {
    std::atomic<bool> stop{false};
    std::thread busy([&] {
      while (!stop) memory::deallocate(memory::allocate(nbytes), nbytes);
    });
    bool all = true;
    for (int i = 0; all && i < 50; ++i) all = child_allocates(nbytes);
    stop = true;
    busy.join();
    CHECK(all);
  }
}
#endif

// Whatever is alive at once, written whole, keeps its contents; what was freed is used again.
TEST(large_blocks_are_distinct_and_joined_when_freed) {
  memory::empty_cache();
  constexpr size_t kMiB = size_t{1} << 20;
  std::vector<std::pair<unsigned char*, size_t>> alive;
  uint64_t random = 1, bytes = 0, most = 0;
  auto check_and_free = [&](size_t i) {
    auto [p, nbytes] = alive[i];
    const unsigned char mark = p[0];
    CHECK(p[nbytes / 2] == mark && p[nbytes - 1] == mark);
    memory::deallocate(p, nbytes);
    bytes -= nbytes;
    alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(i));
  };
  for (int step = 0; step < 400; ++step) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    if (alive.size() > 8) check_and_free(random >> 33 & 7);
    const size_t nbytes = kMiB + (random >> 40) % (3 * kMiB);
    auto* p = static_cast<unsigned char*>(memory::allocate(nbytes));
    std::memset(p, step, nbytes);
    alive.push_back({p, nbytes});
    most = std::max<uint64_t>(most, bytes += nbytes);
  }
  while (!alive.empty()) check_and_free(alive.size() - 1);
  // A quarter more than was alive at once: pieces too short for any request lie between blocks.
  CHECK(memory::stats().cached >= most && memory::stats().cached < most + most / 4 + 4 * kMiB);
  const uint64_t before = memory::stats().system_allocations;
  for (size_t nbytes : {3 * kMiB, 2 * kMiB, 5 * kMiB / 2})
    memory::deallocate(memory::allocate(nbytes), nbytes);
  CHECK(memory::stats().system_allocations == before);
  memory::empty_cache();
  CHECK(memory::stats().cached == 0);
}

TEST(impossible_and_forbidden_allocations_fail_cleanly) {
  memory::Stats before = memory::stats();
  CHECK_FAILS(ErrorKind::Memory, memory::allocate(size_t{1} << 60));
  memory::set_limit(before.allocated + 1'000'000);
  CHECK_FAILS(ErrorKind::Memory, memory::allocate(2'000'000));
  memory::set_limit(0);
  CHECK(memory::stats().allocated == before.allocated);
}

TEST(a_block_may_be_freed_by_another_thread) {
  for (int round = 0; round < 20; ++round) {
    std::vector<Ref<Buffer>> buffers;
    for (size_t nbytes : {8, 200, 5000, 300'000}) buffers.push_back(Buffer::allocate(nbytes));
    std::thread([buffers = std::move(buffers)]() mutable {
      enter_thread();
      for (auto& buffer : buffers) std::memset(buffer->data(), 1, buffer->nbytes());
      buffers.clear();
    }).join();
  }
}

TEST(threads_share_buffers) {
  Ref<Buffer> shared = Buffer::allocate(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([shared] {
      enter_thread();
      for (int i = 0; i < 1000; ++i) {
        Ref<Buffer> copy = shared;
        Ref<Buffer> own = Buffer::allocate(static_cast<size_t>(i) + 1);
        std::memset(own->data(), 0, own->nbytes());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(shared->use_count() == 1);
}

TEST(foreign_memory_is_given_back_once) {
  static int released = 0;
  double data[4] = {1, 2, 3, 4};
  {
    Ref<Buffer> buffer = Buffer::foreign(data, sizeof(data), nullptr, [](void*) { ++released; });
    Ref<Buffer> alias = Buffer::alias(buffer);
    buffer = nullptr;
    CHECK(released == 0);
    CHECK(alias->data() == reinterpret_cast<char*>(data));
    alias->bump_version();
  }
  CHECK(released == 1);
}

TEST(arrays_view_the_same_memory) {
  Array a = Array::zeros(Dims{2, 3, 4}, DType::Float64);
  CHECK(a.contiguous && a.numel == 24 && a.nbytes() == 192);
  Array row = a.narrowed(1, 1, 1);
  row.ptr<double>()[0] = 7;
  CHECK(a.ptr<double>()[4] == 7);
  CHECK((row.shape == Dims{2, 1, 4}) && !row.contiguous && row.offset() == 4);
  Array turned = a.permuted(Dims{2, 0, 1});
  CHECK((turned.shape == Dims{4, 2, 3}) && (turned.strides == Dims{1, 12, 4}));
  Array wide = a.narrowed(0, 0, 1).expanded(Dims{5, 3, 4});
  CHECK(wide.numel == 60 && wide.strides[0] == 0);
  CHECK(memory_overlaps(a, row));
  CHECK(!memory_overlaps(a.narrowed(0, 0, 1), a.narrowed(0, 1, 1)));
  CHECK(!memory_overlaps(a, Array::zeros(Dims{2}, DType::Float64)));
}

}  // namespace
}  // namespace fastgrad
