#!/bin/sh
# Builds one C file against the installed library with what pkg-config says, and runs it.
# usage: pkg_config.sh shared|static COMPILER LIBRARY_DIRECTORY SOURCE OUTPUT
set -eu
linkage=$1 compiler=$2 directory=$3 source=$4 output=$5
export PKG_CONFIG_PATH="$directory/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"

# shellcheck disable=SC2046  # pkg-config prints words
if [ "$linkage" = shared ]; then
    "$compiler" -Wall -Wextra -Werror $(pkg-config --cflags forja) "$source" -o "$output" \
        $(pkg-config --libs forja) -lm "-Wl,-rpath,$directory"
else
    # -lforja would take the shared library, so the archive is named instead.
    "$compiler" -Wall -Wextra -Werror $(pkg-config --cflags forja) "$source" -o "$output" \
        $(pkg-config --static --libs forja | sed "s|-lforja|$directory/libforja.a|")
fi
"$output" host
