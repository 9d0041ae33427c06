# OpenBLAS and LAPACK from the scipy-openblas32 package on PyPI. Its Python module is asked for
# paths at configure time only; at run time the dynamic linker finds the library by RPATH.
find_package(Python REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
    "import scipy_openblas32 as b; print(b.get_include_dir(), b.get_lib_dir(), b.get_library(fullname=True), sep=';')"
  OUTPUT_VARIABLE FASTGRAD_BLAS_INFO RESULT_VARIABLE FASTGRAD_BLAS_STATUS
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(FASTGRAD_BLAS_STATUS)
  message(FATAL_ERROR
    "scipy-openblas32 was not found by ${Python_EXECUTABLE}. Build with `pip install .`, or run "
    "`pip install scipy-openblas32` and configure again.")
endif()
list(GET FASTGRAD_BLAS_INFO 0 FASTGRAD_BLAS_INCLUDE)
list(GET FASTGRAD_BLAS_INFO 1 FASTGRAD_BLAS_LIB)
list(GET FASTGRAD_BLAS_INFO 2 FASTGRAD_BLAS_NAME)
add_library(fastgrad_openblas INTERFACE)
target_include_directories(fastgrad_openblas SYSTEM INTERFACE "${FASTGRAD_BLAS_INCLUDE}")
target_link_libraries(fastgrad_openblas INTERFACE "${FASTGRAD_BLAS_LIB}/${FASTGRAD_BLAS_NAME}")
