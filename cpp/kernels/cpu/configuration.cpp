#include "kernels/configuration.h"

#include <cblas.h>

#include "base/errors.h"
#include "base/thread_pool.h"

namespace fastgrad {
namespace {

const char* compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return "MSVC";
#endif
}

}  // namespace

int num_threads() { return pool_size(); }

void set_num_threads(int n) { set_pool_size(n); }

std::string build_configuration() {
#ifdef NDEBUG
  const char* assertions = "off";
#else
  const char* assertions = "on";
#endif
  return str("compiler: ", compiler(), "\nassertions: ", assertions,
             "\nblas: ", scipy_openblas_get_config(),
             "\nblas kernels: ", scipy_openblas_get_corename(), "\nthreads: ", num_threads(), "\n");
}

}  // namespace fastgrad
