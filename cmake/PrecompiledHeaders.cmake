# Most files spend a second on the same headers of the standard library and of the core; reading them
# once makes a full build a fifth shorter. ccache does without: what it keys on is the text of each
# file. The presets do without too, so that CI builds every file on its own includes.
set(FASTGRAD_PCH_DEFAULT ON)
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(FASTGRAD_PCH_DEFAULT OFF)
endif()
option(FASTGRAD_PCH "Precompile the headers that most files include" ${FASTGRAD_PCH_DEFAULT})

# Precompiles common standard headers and these of ours. Files with options of their own do without:
# GCC restores the optimisation level with which the header was compiled, and theirs would be lost.
function(fastgrad_precompile target)
  if(NOT FASTGRAD_PCH)
    return()
  endif()
  list(TRANSFORM ARGN REPLACE "^(.+)$" "<\\1>" OUTPUT_VARIABLE ours)
  target_precompile_headers(${target} PRIVATE
    <algorithm> <array> <cmath> <cstdint> <functional> <memory> <optional> <string> <utility>
    <vector> ${ours})
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    get_source_file_property(options "${source}" COMPILE_OPTIONS)
    if(options)
      set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()
