#!/usr/bin/env bash
# Makes sure that everything a build and a test run need is there: through apt where that is possible,
# else by naming the packages. Quick and silent about the network when nothing is missing.
source "$(dirname "$0")/common.sh"

minimum_swift="6.2"

# What is needed, and how its presence shows. Needed to build:
has_pkg_config() { command -v pkg-config >/dev/null; }
has_openblas() { has_pkg_config && pkg-config --exists openblas; }
has_opencl_headers() {
    [ -e /usr/include/CL/cl.h ] || { has_pkg_config && pkg-config --exists OpenCL-Headers; }
}
# Needed to build and test the C library on its own; GCC finds what clang lets pass:
has_cmake() { command -v cmake >/dev/null; }
has_cxx() { command -v g++ >/dev/null || [ "$(uname)" = Darwin ]; }
# Needed to test on OpenCL:
has_opencl_loader() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep 'libOpenCL\.so\.1' >/dev/null ||
        [ -d /System/Library/Frameworks/OpenCL.framework ]
}
has_pocl() { compgen -G '/etc/OpenCL/vendors/pocl*.icd' >/dev/null || command -v poclcc >/dev/null; }
has_oclgrind() { command -v oclgrind >/dev/null; }
# Needed to test runs of several processes, with each of the two MPIs:
has_open_mpi() { command -v mpirun.openmpi >/dev/null; }
has_mpich() { command -v mpirun.mpich >/dev/null; }

missing_packages() {
    has_pkg_config || echo pkg-config
    has_openblas || echo libopenblas-dev
    has_opencl_headers || echo opencl-headers
    has_cmake || echo cmake
    has_cxx || echo g++
    has_opencl_loader || echo ocl-icd-opencl-dev
    has_pocl || echo pocl-opencl-icd
    has_oclgrind || echo oclgrind
    has_open_mpi || echo openmpi-bin
    has_mpich || echo mpich
}

name_packages() {
    cat >&2 <<'NAMES'
Install them with your package manager:
  Debian, Ubuntu   sudo apt-get install libopenblas-dev ocl-icd-opencl-dev opencl-headers \
                       pocl-opencl-icd oclgrind openmpi-bin mpich pkg-config cmake g++
  Fedora           sudo dnf install openblas-devel ocl-icd-devel opencl-headers pocl \
                       pkgconf-pkg-config cmake gcc-c++
  Arch             sudo pacman -S openblas ocl-icd opencl-headers pocl pkgconf cmake gcc
  macOS            brew install openblas opencl-headers pocl pkgconf cmake
                   export PKG_CONFIG_PATH="$(brew --prefix openblas)/lib/pkgconfig"
OpenBLAS, the OpenCL headers and pkg-config are needed to build; CMake and a C++ compiler only for the
C library and make check; PoCL only to test OpenCL kernels on a CPU, Oclgrind
(https://github.com/jrprice/Oclgrind) only to look for races in them; Open MPI and MPICH, as
mpirun.openmpi and mpirun.mpich, only to test runs of several processes.
NAMES
}

install_missing() {
    local packages
    packages=$(missing_packages)
    [ -n "$packages" ] || return 0
    if can_apt; then
        say "installing" $packages
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
        # shellcheck disable=SC2086  # one word per package
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q install -y --no-install-recommends $packages
        packages=$(missing_packages)
        [ -z "$packages" ] || die "still missing after installing:" $packages
        return 0
    fi
    echo "missing (Debian names):" $packages >&2
    name_packages
    { has_pkg_config && has_openblas && has_opencl_headers; } ||
        die "the build needs pkg-config, OpenBLAS and the OpenCL headers" "see the list above"
    echo "The build works without the rest; some tests do not." >&2
}

check_swift() {
    local how="install one from https://www.swift.org/install (swiftly is the short way), then put it on PATH"
    command -v "$SWIFT" >/dev/null || die "there is no Swift toolchain on PATH; $minimum_swift or later is needed" "$how"
    local version
    version=$("$SWIFT" --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+(\.[0-9]+)+).*/\1/p' | head -n 1)
    [ -n "$version" ] || die "\"$SWIFT --version\" does not name a version" "$how"
    [ "$(printf '%s\n' "$minimum_swift" "$version" | sort -V | head -n 1)" = "$minimum_swift" ] ||
        die "Swift $version is too old; $minimum_swift or later is needed" "$how"
    echo "Swift $version, OpenBLAS $(pkg-config --modversion openblas): ready"
}

install_missing
check_swift
