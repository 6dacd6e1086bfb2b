# Found by find_package(cellar). Targets: cellar::cellar, the shared library, and cellar::cellar_static.

include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/cellar-targets.cmake)
