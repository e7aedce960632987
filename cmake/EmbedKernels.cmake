# Writes the arrays that opencl/kernel_sources.c would get from #embed: NAME.cl or NAME.ptx becomes
# NAME[], its bytes and a terminating zero.
#
#   cmake -DOUTPUT=HEADER -P EmbedKernels.cmake -- KERNEL.cl...
set(header "// Written by cmake/EmbedKernels.cmake from kernels/.\n")
set(is_kernel FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
    set(argument "${CMAKE_ARGV${i}}")
    if(is_kernel)
        get_filename_component(name "${argument}" NAME_WE)
        file(READ "${argument}" bytes HEX)
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
        string(APPEND header "static const char ${name}[] = {${bytes}0};\n")
    elseif(argument STREQUAL "--")
        set(is_kernel TRUE)
    endif()
endforeach()
file(WRITE "${OUTPUT}" "${header}")
