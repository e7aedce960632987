# Finds OpenBLAS with its cblas.h through pkg-config, else in the usual places, and defines
# OpenBLAS::OpenBLAS. Installed beside ForjaConfig.cmake for users of the static library.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(PC_OPENBLAS QUIET openblas)
endif()
find_path(OpenBLAS_INCLUDE_DIR cblas.h
    HINTS ${PC_OPENBLAS_INCLUDE_DIRS} PATH_SUFFIXES openblas)
find_library(OpenBLAS_LIBRARY openblas HINTS ${PC_OPENBLAS_LIBRARY_DIRS})
mark_as_advanced(OpenBLAS_INCLUDE_DIR OpenBLAS_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenBLAS
    REQUIRED_VARS OpenBLAS_LIBRARY OpenBLAS_INCLUDE_DIR
    VERSION_VAR PC_OPENBLAS_VERSION
    REASON_FAILURE_MESSAGE
        "install OpenBLAS (Debian: libopenblas-dev), or name its prefix in CMAKE_PREFIX_PATH")
if(OpenBLAS_FOUND AND NOT TARGET OpenBLAS::OpenBLAS)
    add_library(OpenBLAS::OpenBLAS UNKNOWN IMPORTED)
    set_target_properties(OpenBLAS::OpenBLAS PROPERTIES
        IMPORTED_LOCATION "${OpenBLAS_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${OpenBLAS_INCLUDE_DIR}")
endif()
