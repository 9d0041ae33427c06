# Compile through ccache where it is installed and no other launcher was asked for.
if(FASTGRAD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(FASTGRAD_CCACHE_PROGRAM ccache)
  if(FASTGRAD_CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${FASTGRAD_CCACHE_PROGRAM}")
  endif()
endif()
