# Compiler flags, in one interface target.
find_package(Threads REQUIRED)
add_library(fastgrad_flags INTERFACE)
target_link_libraries(fastgrad_flags INTERFACE Threads::Threads)
if(MSVC)
  target_compile_options(fastgrad_flags INTERFACE /W4 /permissive- /Zc:preprocessor)
else()
  # No -ffast-math ever: NaN, inf and signed zero are part of the results. The three flags below
  # only drop errno, floating-point traps and silent contraction to fma.
  target_compile_options(fastgrad_flags INTERFACE
    -Wall -Wextra -fno-math-errno -fno-trapping-math -ffp-contract=off)
  if(NOT APPLE)
    # Free lists and modes are thread-local and read several times per op: a register and an offset
    # instead of a call. They take a few hundred bytes of the loader's surplus.
    target_compile_options(fastgrad_flags INTERFACE -ftls-model=initial-exec)
  endif()
  if(FASTGRAD_WERROR)
    target_compile_options(fastgrad_flags INTERFACE -Werror)
  endif()
  if(FASTGRAD_SANITIZE)
    target_compile_options(fastgrad_flags INTERFACE
      -fsanitize=${FASTGRAD_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(fastgrad_flags INTERFACE -fsanitize=${FASTGRAD_SANITIZE})
  endif()
endif()

# Kernels that exist once per instruction set say so in their file's name; base/isa.h chooses among
# them at run time. On other processors these files compile to empty tables.
function(fastgrad_set_isa_flags)
  if(MSVC OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    return()
  endif()
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_avx2\\.cpp$")
      set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-mprfchw")
    elseif(source MATCHES "_avx512\\.cpp$")
      set_source_files_properties("${source}" PROPERTIES
        COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-mprfchw;-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mprefer-vector-width=512")
    endif()
    # Loops without copies of each for the last few elements on narrower registers; and what only
    # processors without AVX2 run.
    if((source MATCHES "_avx(2|512)\\.cpp$" AND source MATCHES "elementwise_(arithmetic|comparison|pairs|composed)"
        OR source MATCHES "_baseline\\.cpp$")
       AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS
        "-O2;-ftree-vectorize;-fvect-cost-model=dynamic")
    endif()
    # Loops of which -O3 makes two for every option.
    if(source MATCHES "(bag|distance)_lines" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS "-O2;-fvect-cost-model=very-cheap")
    endif()
    # Loops that a branch on an option divides into a few, each of them without it.
    if(source MATCHES "grid_tiles" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS
        "-O2;-ftree-vectorize;-fvect-cost-model=dynamic;-funswitch-loops")
    endif()
    # Loops that call nothing that throws: tables for unwinding them would be a fiftieth of the wheel.
    # (Products call back when a part is done.)
    if(source MATCHES "_(avx2|avx512|baseline)\\.cpp$|/elementwise_(arithmetic|comparison|special)\\.cpp$"
       AND NOT source MATCHES "gemm_small")
      set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS
        "-fno-exceptions;-fno-unwind-tables;-fno-asynchronous-unwind-tables")
    endif()
    # Loops so short that it counts where in a cache line they begin.
    if(source MATCHES "(row_stream|/count)\\.cpp$" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS "-falign-loops=64")
    endif()
    # Registers that are worked on side by side shall be side by side in the code as well.
    if(source MATCHES "elementwise_vector_" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS "-fschedule-insns;-fsched-pressure;--param=sched-pressure-algorithm=2")
    endif()
  endforeach()
endfunction()

# What runs once per program or per module rather than once per operation is half as large with -Os. These files go to
# the end of the list: of functions that several files hold the linker keeps the first, which shall be a fast one.
function(fastgrad_compile_small list folder)
  set(sources ${${list}})
  foreach(name IN LISTS ARGN)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${folder}${name}.cpp")
    list(REMOVE_ITEM sources "${source}")
    list(APPEND sources "${source}")
    if(FASTGRAD_KERNEL_OPTIONS)
      set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-Os>")
    endif()
  endforeach()
  set(${list} "${sources}" PARENT_SCOPE)
endfunction()
