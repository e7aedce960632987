# The shared library exports every function of the public headers and nothing else, and does not
# name libOpenCL, which is opened at run time.
#   cmake -DNM= -DREADELF= -DLIBRARY= "-DHEADERS=a.h;b.h" -P exports.cmake
execute_process(COMMAND "${NM}" -D --defined-only "${LIBRARY}" OUTPUT_VARIABLE table
    COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${table}")
set(exported)
foreach(line ${lines})
    string(REGEX REPLACE "^[0-9a-f]+ [A-Za-z] ([^@]+).*" "\\1" symbol "${line}")
    list(APPEND exported "${symbol}")
endforeach()

set(declared)
foreach(header ${HEADERS})
    file(STRINGS "${header}" code REGEX "^[^/]*forja_[a-z0-9_]+\\(")
    string(REGEX MATCHALL "forja_[a-z0-9_]+\\(" names "${code}")
    list(APPEND declared ${names})
endforeach()
list(TRANSFORM declared REPLACE "\\(" "")

set(missing ${declared})
list(REMOVE_ITEM missing ${exported})
set(extra ${exported})
# gold adds names of sections.
list(REMOVE_ITEM extra ${declared} __bss_start _edata _end)
list(LENGTH declared count)
if(count LESS 40)
    message(FATAL_ERROR "only ${count} functions were read from the headers: is the pattern right?")
endif()
if(missing)
    message(FATAL_ERROR "declared but not exported: ${missing}")
endif()
if(extra)
    message(FATAL_ERROR "exported but in no public header: ${extra}")
endif()

execute_process(COMMAND "${READELF}" -d "${LIBRARY}" OUTPUT_VARIABLE dynamic
    COMMAND_ERROR_IS_FATAL ANY)
if(dynamic MATCHES "libOpenCL")
    message(FATAL_ERROR "the library is linked to libOpenCL:\n${dynamic}")
endif()
message(STATUS "${count} functions exported, all of them public")
