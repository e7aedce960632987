# Installs into an empty prefix, so that a file which is no longer installed is missed.
#   cmake -DBUILD= -DPREFIX= -P install.cmake
file(REMOVE_RECURSE "${PREFIX}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${PREFIX}"
    COMMAND_ERROR_IS_FATAL ANY)
