# Both programs print the same.
#   cmake -DFIRST= -DSECOND= -DARGUMENT= -P same_output.cmake
foreach(name FIRST SECOND)
    execute_process(COMMAND "${${name}}" "${ARGUMENT}" OUTPUT_VARIABLE ${name}_OUTPUT
        COMMAND_ERROR_IS_FATAL ANY)
endforeach()
if(FIRST_OUTPUT STREQUAL "" OR NOT FIRST_OUTPUT STREQUAL SECOND_OUTPUT)
    message(FATAL_ERROR "${FIRST} and ${SECOND} differ:\n${FIRST_OUTPUT}\n${SECOND_OUTPUT}")
endif()
message(STATUS "the same:\n${FIRST_OUTPUT}")
