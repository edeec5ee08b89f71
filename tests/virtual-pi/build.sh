# build.sh - sourced by vpi: the kernel and the modules of the virtual Pi, cached by content.
#
#   $cache/kernel-KEY/   linux (the UML binary), lib/modules/VERSION, build (for modules), release
#   $cache/modules-KEY/  lib/modules/VERSION: the kernel's modules and, in extra/, ours
#
# Each is made beside its place and renamed, so what is there is whole; a lock lets one build it at
# a time. What has not been used for 30 days goes when something new is built.

source_package=linux-source-6.1
source_tar=/usr/src/$source_package.tar.xz

# What is never compiled for UML, and most of what is to unpack (only the Kconfig files are read).
unpacked_without=(
    "$source_package/Documentation/*.[ryt]*"
    "$source_package/tools/*"
    "$source_package/arch/[!ux]*/*.[chS]"
    "$source_package/arch/*/*.dts*"
    "$source_package/drivers/gpu/drm/amd/*.[ch]"
    "$source_package/drivers/gpu/drm/i915/*.[ch]"
    "$source_package/drivers/gpu/drm/nouveau/*.[ch]"
    "$source_package/drivers/gpu/drm/radeon/*.[ch]"
    "$source_package/drivers/net/ethernet/*.[ch]"
    "$source_package/drivers/net/wireless/*.[ch]"
    "$source_package/drivers/scsi/*.[ch]"
    "$source_package/drivers/staging/*.[ch]"
    "$source_package/drivers/infiniband/*.[ch]"
    "$source_package/drivers/media/usb/*.[ch]"
    "$source_package/sound/*.[ch]"
)

hash_of() { sha256sum | cut -c1-16; }

# kernel_key: of everything that the kernel is made from.
kernel_key() {
    {
        dpkg-query -W -f '${Version}\n' "$source_package"
        gcc -dumpfullversion
        cat "$here"/kernel/*.config "$here"/kernel/*.patch
        # The recipe: of this file only what makes the kernel.
        sed -n '/^build_kernel_in()/,/^}/p' "$here/build.sh"
    } | hash_of
}

# modules_key KERNEL_KEY
modules_key() {
    {
        echo "$1"
        cd "$here/modules"
        find . -type f \( -name '*.[ch]' -o -name Makefile \) | LC_ALL=C sort | xargs sha256sum
    } | hash_of
}

# need_tools: says what is missing, as a skip.
need_tools() {
    local name missing=()
    for name in gcc make flex bison bc patch xz depmod flock; do
        command -v "$name" >/dev/null || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] || skip "cannot build the kernel: no ${missing[*]} here"
    [ -f "$source_tar" ] || skip "cannot build the kernel: no $source_tar (package $source_package)"
}

# build_kernel_in FOLDER: leaves in it what the head of this file says.
build_kernel_in() {
    local into=$1 tree=$1/build jobs
    jobs=$(nproc)
    mkdir -p "$tree"
    tar -xJf "$source_tar" -C "$tree" --strip-components=1 --wildcards \
        "${unpacked_without[@]/#/--exclude=}"
    cd "$tree"
    local change
    for change in "$here"/kernel/*.patch; do
        patch -s -p1 <"$change"
    done
    # The build finds its way by relative paths, so that the tree may move.
    unset KBUILD_OUTPUT
    export ARCH=um KBUILD_BUILD_USER=petcam KBUILD_BUILD_HOST=petcam
    make -s x86_64_defconfig
    scripts/kconfig/merge_config.sh -m .config "$here"/kernel/{media,um}.config >/dev/null
    make -s olddefconfig
    make -s "-j$jobs" linux modules
    make -s INSTALL_MOD_PATH="$into" INSTALL_MOD_STRIP=1 modules_install
    make -s kernelrelease >"$into/release"
    strip -g -o "$into/linux" linux
    rm -f "$into"/lib/modules/*/build "$into"/lib/modules/*/source
    # Of the tree only what out-of-tree modules are built with is kept.
    mkdir "$into/kept"
    find .config Makefile Kbuild Module.symvers include scripts arch/um arch/x86 \
        \( -type f -o -type l \) \
        ! -name '*.o' ! -name '*.a' ! -name '.*.cmd' ! -path 'arch/*.[cS]' -print0 |
        tar -c --null -T - | tar -x -C "$into/kept"
    cd "$into"
    rm -rf "$tree"
    mv kept build
}

# build_modules_in FOLDER KERNEL
build_modules_in() {
    local into=$1 kernel=$2 release folder name
    release=$(cat "$kernel/release")
    mkdir -p "$into/source" "$into/lib/modules"
    cp -r "$here"/modules/. "$into/source"
    for folder in "$into"/source/*/; do
        name=$(basename "$folder")
        [ -f "$folder/Makefile" ] && echo "obj-m += $name/"
    done >"$into/source/Kbuild"
    make -s "-j$(nproc)" -C "$kernel/build" ARCH=um M="$into/source" modules >&2
    cp -r "$kernel/lib/modules/$release" "$into/lib/modules"
    mkdir "$into/lib/modules/$release/extra"
    find "$into/source" -name '*.ko' -exec cp -t "$into/lib/modules/$release/extra" {} +
    rm -rf "$into/source"
    depmod -b "$into" "$release"
}

# cached NAME FUNCTION [ARGS...]: sets `found` to $cache/NAME, made by FUNCTION where it is missing;
# to nothing if it could not be made (the reason is said). Never to be called inside of a condition,
# where bash ignores -e also in what is called.
cached() {
    local name=$1 function=$2 work log building status=0 began=$SECONDS
    shift 2
    found=$cache/$name
    if [ -d "$found" ]; then
        touch -c "$found"
        return 0
    fi
    mkdir -p "$cache"
    exec 9>"$cache/$name.lock"
    flock -n 9 || { note "waiting for another build of $name"; flock 9; }
    if [ ! -d "$found" ]; then
        work=$(mktemp -d "$cache/building.XXXXXX")
        log=$cache/$name.log
        note "building $name (its output: $log)"
        # A process group of its own, which ends with us.
        set -m
        (set -e; "$function" "$work" "$@") >"$log" 2>&1 </dev/null 9>&- &
        set +m
        building=$!
        trap 'kill -- "-$building" 2>/dev/null; rm -rf "$work"; exit 143' INT TERM HUP
        wait "$building" || status=$?
        trap - INT TERM HUP
        if [ "$status" -eq 0 ]; then
            touch "$work"
            mv -T "$work" "$found"
            note "built $name in $((SECONDS - began)) s, $(du -sm "$found" | cut -f1) MB"
            find "$cache" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
        else
            grep -E -m 10 'error:|\*\*\*' "$log" >&2 || tail -n 20 "$log" >&2
            rm -rf "$work"
            note "$name could not be built; the whole output is in $log"
            found=""
        fi
    fi
    exec 9>&-
}

build_kernel() {
    local key
    key=$(kernel_key)
    if [ ! -d "$cache/kernel-$key" ]; then
        need_tools
        note "a kernel takes some minutes once; after that it is in the cache"
    fi
    cached "kernel-$key" build_kernel_in
    [ -n "$found" ] || exit 125
    kernel=$found
}

# build_modules [lenient]: a session by hand takes the last ones that could be built rather than none.
build_modules() {
    local key=${kernel##*/kernel-}
    local last=$cache/modules-last-$key
    cached "modules-$(modules_key "$key")" build_modules_in "$kernel"
    if [ -n "$found" ]; then
        modules=$found
        ln -sfn "$modules" "$last"
    elif [ "${1-}" = lenient ] && [ -d "$last/" ]; then
        modules=$(realpath "$last")
        note "ATTENTION: our modules as they are do not build; the last ones that did are used"
    else
        exit 125
    fi
}
