# libcellar as others use it: a shared and a static library, their headers, and what pkg-config and
# find_package() read. Programs are installed by cellar_program().

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# cellar_library(NAME LAYERS layers...)
# The shared library NAME and the static NAME_static of the layers' objects. client/libNAME.map and the
# visibility in the public headers say what the shared one exports; client/include holds the headers.
function(cellar_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LAYERS")
  set(objects)
  foreach(layer ${arg_LAYERS})
    get_property(target GLOBAL PROPERTY CELLAR_TARGET_${layer})
    list(APPEND objects $<TARGET_OBJECTS:${target}>)
  endforeach()
  set(include ${PROJECT_SOURCE_DIR}/client/include)
  set(map ${PROJECT_SOURCE_DIR}/client/lib${name}.map)
  file(GLOB headers CONFIGURE_DEPENDS ${include}/${name}/*.h)
  add_library(${name} SHARED ${objects})
  add_library(${name}_static STATIC ${objects})
  foreach(target ${name} ${name}_static)
    add_library(${name}::${target} ALIAS ${target})
    target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS ${include} FILES ${headers})
    target_link_libraries(${target} PRIVATE Threads::Threads)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C)
  endforeach()
  set_target_properties(${name} PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map})
  target_link_options(${name} PRIVATE -Wl,--version-script=${map})
  if(CELLAR_SANITIZE STREQUAL "none" AND NOT CELLAR_FUZZ)
    target_link_options(${name} PRIVATE -Wl,--no-undefined)
  endif()
  cellar_library_install(${name})
endfunction()

# What cellar_library() made, and the files by which other builds find it.
function(cellar_library_install name)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/${name})
  set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  install(TARGETS ${name} ${name}_static EXPORT ${name}-targets
    LIBRARY COMPONENT library NAMELINK_COMPONENT development
    ARCHIVE COMPONENT development
    FILE_SET HEADERS COMPONENT development)
  install(EXPORT ${name}-targets NAMESPACE ${name}:: DESTINATION ${package_dir}
    COMPONENT development)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/${name}-config-version.cmake
    COMPATIBILITY SameMajorVersion)
  install(
    FILES ${PROJECT_SOURCE_DIR}/client/${name}-config.cmake
          ${PROJECT_BINARY_DIR}/${name}-config-version.cmake
    DESTINATION ${package_dir} COMPONENT development)
  # The prefix is found from the file's own place, so that an installed tree can be moved.
  file(RELATIVE_PATH CELLAR_PC_PREFIX /${pkgconfig_dir} /)
  configure_file(${PROJECT_SOURCE_DIR}/client/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pkgconfig_dir}
    COMPONENT development)
endfunction()

# cellar_adapter(LAYER REQUIRES package): the layer's own static library, which ties libcellar to a library
# that is not needed otherwise; found by pkg-config as cellar_LAYER. Its header is among libcellar's.
function(cellar_adapter layer)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "REQUIRES" "")
  get_property(target GLOBAL PROPERTY CELLAR_TARGET_${layer})
  set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  install(TARGETS ${target} ARCHIVE COMPONENT development)
  set(CELLAR_ADAPTER ${layer})
  set(CELLAR_ADAPTER_REQUIRES ${arg_REQUIRES})
  file(RELATIVE_PATH CELLAR_PC_PREFIX /${pkgconfig_dir} /)
  configure_file(${PROJECT_SOURCE_DIR}/client/adapter.pc.in ${PROJECT_BINARY_DIR}/${target}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${target}.pc DESTINATION ${pkgconfig_dir}
    COMPONENT development)
endfunction()

# cellar_tool_files(NAME): the manual page and the completion scripts, as the program NAME prints them.
function(cellar_tool_files name)
  set(folder ${PROJECT_BINARY_DIR}/share)
  file(MAKE_DIRECTORY ${folder})
  set(outputs)
  foreach(words man "completion bash" "completion zsh" "completion fish")
    string(REPLACE " " "-" output ${folder}/${name}-${words})
    separate_arguments(words)
    add_custom_command(OUTPUT ${output} DEPENDS ${name}_program VERBATIM
      COMMAND ${name}_program ${words} > ${output})
    list(APPEND outputs ${output})
  endforeach()
  add_custom_target(${name}_tool_files ALL DEPENDS ${outputs})
  set(share ${CMAKE_INSTALL_DATADIR})
  install(FILES ${folder}/${name}-man DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME ${name}.1
    COMPONENT programs)
  install(FILES ${folder}/${name}-completion-bash
    DESTINATION ${share}/bash-completion/completions RENAME ${name} COMPONENT programs)
  install(FILES ${folder}/${name}-completion-zsh DESTINATION ${share}/zsh/vendor-completions
    RENAME _${name} COMPONENT programs)
  install(FILES ${folder}/${name}-completion-fish DESTINATION ${share}/fish/vendor_completions.d
    RENAME ${name}.fish COMPONENT programs)
endfunction()

# Debian packages, by `cpack` in a build configured with -DCMAKE_INSTALL_PREFIX=/usr.
function(cellar_packages)
  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGE_CONTACT "the Cellar project")
  set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
  set(CPACK_STRIP_FILES ON)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SECTION database)
  set(library libcellar${PROJECT_VERSION_MAJOR})
  set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME cellar)
  set(CPACK_COMPONENT_PROGRAMS_DESCRIPTION "Cellar, a wide-column server, and its tool")
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library})
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
  set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "Client library of Cellar")
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libcellar-dev)
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${library} (= ${PROJECT_VERSION})")
  set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Client library of Cellar: headers and static library")
  foreach(component programs library development)
    string(TOUPPER CPACK_DEBIAN_${component}_PACKAGE_NAME package)
    install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright COMPONENT ${component}
      DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${${package}})
  endforeach()
  include(CPack)
endfunction()
