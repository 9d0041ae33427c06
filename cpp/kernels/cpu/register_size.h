// For what is made once per instruction set: the bytes of its registers, different in each such
// file.
#pragma once

namespace fastgrad {

#if defined(__AVX512F__)
constexpr int kRegister = 64;
#elif defined(__AVX2__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif

}  // namespace fastgrad
