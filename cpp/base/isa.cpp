#include "base/isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace fastgrad {
namespace {

Isa detect() {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return Isa::Avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::Avx2;
#endif
  return Isa::Baseline;
}

Isa choose() {
  Isa best = detect();
  const char* wanted = std::getenv("FASTGRAD_ISA");
  if (!wanted) return best;
  for (Isa i : {Isa::Baseline, Isa::Avx2, Isa::Avx512})
    if (std::strcmp(wanted, name(i)) == 0) return i < best ? i : best;
  return best;
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

bool gains_by_prefetch() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool gains = !__builtin_cpu_is("amd");
  return gains;
#else
  return true;
#endif
}

const char* name(Isa isa) {
  return isa == Isa::Avx512 ? "avx512" : isa == Isa::Avx2 ? "avx2" : "baseline";
}

}  // namespace fastgrad
