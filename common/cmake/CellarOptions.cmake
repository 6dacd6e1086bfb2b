# Flags and options for every target. Presets (CMakePresets.json) set the options; a plain `cmake -B build`
# gives an optimised build with assertions on, as they are in every build.

set(CELLAR_SANITIZE none CACHE STRING "Sanitizer: none, address (with undefined) or thread")
set_property(CACHE CELLAR_SANITIZE PROPERTY STRINGS none address thread)
option(CELLAR_WERROR "Warnings are errors" OFF)
option(CELLAR_FUZZ "Build libFuzzer targets; needs clang" OFF)
option(CELLAR_COVERAGE "Count executed lines for gcovr" OFF)
option(CELLAR_SYSTEM_TESTS "Register the system and lint tests" ON)
# Faults put in on purpose, to show that the tests of durability notice them. Never for use.
option(CELLAR_FAULT_SKIP_LOG_SYNC "Fault: the log is not synced" OFF)
option(CELLAR_FAULT_ANSWER_BEFORE_SYNC "Fault: writes are answered before the sync" OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
# One set of objects serves programs and libraries; hidden names cost no indirect calls and are not
# exported from libcellar.so.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)

add_compile_definitions(_GNU_SOURCE)
include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/client/include)
add_compile_options(
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wformat=2 -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wimplicit-fallthrough
  -Wno-format-zero-length -fno-common -fno-strict-aliasing -fno-omit-frame-pointer)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wduplicated-cond -Wduplicated-branches -Wlogical-op)
else()
  add_compile_options(-Wthread-safety)
endif()
if(CELLAR_WERROR)
  add_compile_options(-Werror)
endif()

if(CELLAR_SANITIZE STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
  if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
    # clang 14 reports NULL + 0, the end of an empty slice; gcc keeps this check in preset asan.
    list(APPEND sanitizers -fno-sanitize=pointer-overflow)
  endif()
elseif(CELLAR_SANITIZE STREQUAL "thread")
  set(sanitizers -fsanitize=thread)
elseif(CELLAR_SANITIZE STREQUAL "none")
  set(sanitizers "")
else()
  message(FATAL_ERROR "CELLAR_SANITIZE is '${CELLAR_SANITIZE}'; it must be none, address or thread")
endif()
if(CELLAR_FUZZ)
  list(APPEND sanitizers -fsanitize=fuzzer-no-link)
endif()
if(CELLAR_COVERAGE)
  list(APPEND sanitizers --coverage)
endif()
add_compile_options(${sanitizers})
add_link_options(${sanitizers} -Wl,--as-needed)

foreach(fault CELLAR_FAULT_SKIP_LOG_SYNC CELLAR_FAULT_ANSWER_BEFORE_SYNC)
  if(${fault})
    message(WARNING "${fault} is on: this build loses data on purpose")
    add_compile_definitions(${fault})
  endif()
endforeach()
