# debian.sh - sourced by vpi: Debian's stock kernels in QEMU, the second opinion of --full.
#
#   $cache/debian-ARCH-KEY/  vmlinuz, initrd, release, lib/modules/VERSION, headers (for modules)
#
#   $cache/root-arm64-KEY/   the root of a machine that isn't the host's kind, with what petcam is
#                            built against; beside it root-arm64-KEY.cross, meson's cross file
#
# The kernel is found by its metapackage, fetched by apt and unpacked, not installed; so is the root,
# whose packages' scripts do not run (their programs would be foreign).

# What a session may load, with what it depends on.
debian_modules=(virtio_pci 9p 9pnet_virtio overlay vivid vim2m vimc vgem vkms drm_shmem_helper
    videobuf2-dma-contig videobuf2-vmalloc loop virtio_rng)
# What is needed before there is a root.
debian_boot_modules=(virtio_pci 9pnet_virtio 9p overlay)

declare -A qemu_of=([amd64]=qemu-system-x86_64 [arm64]=qemu-system-aarch64)
declare -A kbuild_of=([amd64]=x86 [arm64]=arm64)
declare -A cross_of=([amd64]="" [arm64]=aarch64-linux-gnu-)

# What a foreign root has beside the libraries of ../../dev.
root_packages=(base-files base-passwd bash coreutils busybox-static mount util-linux hostname sed grep
    gawk procps kmod findutils libc6-dev libgcc-12-dev python3 ffmpeg v4l-utils strace openssl
    ca-certificates libgl1-mesa-dri libegl1 libgles2)

# apt_for ARCH PROGRAM ARGS...: apt with the lists of ARCH. A foreign architecture has lists of its own,
# beside the host's, whose settings stay as they are.
apt_for() {
    local arch=$1 program=$2 state=$cache/apt-$1
    shift 2
    if [ "$arch" = "$(dpkg --print-architecture)" ]; then
        "$program" "$@"
        return
    fi
    mkdir -p "$state"/{lists/partial,archives/partial}
    touch "$state/status"
    "$program" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" \
        -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" -o "Dir::State::status=$state/status" \
        -o "Dir::Cache=$state" -o "Dir::Cache::archives=$state/archives" "$@"
}

# debian_release ARCH: of the newest stock kernel, as 6.1.0-56-amd64.
debian_release() {
    local arch=$1 name
    if [ "$arch" != "$(dpkg --print-architecture)" ]; then
        if [ -z "$(find "$cache/apt-$arch/lists" -name '*Packages*' -mtime -7 2>/dev/null)" ]; then
            apt_for "$arch" apt-get -q update >&2 || return 1
        fi
    fi
    name=$(apt_for "$arch" apt-cache depends "linux-image-$arch" 2>/dev/null |
        sed -n 's/^ *Depends: linux-image-//p' | head -n 1)
    [ -n "$name" ] && echo "$name"
}

# debian_key ARCH RELEASE
debian_key() {
    {
        echo "$1 $2"
        apt_for "$1" apt-cache show "linux-image-$2" | sed -n 's/^Version: //p' | head -n 1
        cat "$here/guest/init-qemu"
        sed -n '/^build_debian_in()/,/^}/p' "$here/debian.sh"
        echo "${debian_modules[*]}"
    } | hash_of
}

# build_debian_in FOLDER ARCH RELEASE
build_debian_in() {
    local into=$1 arch=$2 release=$3 common file name
    common=${release%-*}-common
    mkdir -p "$into/debs" "$into/image" "$into/headers" "$into/lib/modules/$release"
    cd "$into/debs"
    apt_for "$arch" apt-get -q download "linux-image-$release" "linux-headers-$release" \
        "linux-headers-$common"
    # The programs of the build run here, whatever they build for.
    apt-get -q download linux-kbuild-6.1
    dpkg-deb -x "$into"/debs/linux-image-*.deb "$into/image"
    for file in "$into"/debs/linux-headers-*.deb "$into"/debs/linux-kbuild-*.deb; do
        dpkg-deb -x "$file" "$into/headers"
    done
    cd "$into"
    echo "$release" >release
    cp image/boot/vmlinuz-* vmlinuz
    # By a relative path, so that it may move.
    echo "include \$(dir \$(lastword \$(MAKEFILE_LIST)))../linux-headers-$common/Makefile" \
        >"headers/usr/src/linux-headers-$release/Makefile"
    ln -s "headers/usr/src/linux-headers-$release" build
    # Of the thousands of modules those that a session may load.
    [ ! -d image/usr/lib/modules ] || [ -d image/lib/modules ] || mv image/usr/lib image/lib
    depmod -b image "$release"
    for name in "${debian_modules[@]}"; do
        modprobe -d image -S "$release" --show-depends "$name" 2>/dev/null || echo "none $name" >&2
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
        name=lib/modules/$release/${file##*/modules/"$release"/}
        install -D -m 644 "$file" "$name"
    done
    cp "image/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "lib/modules/$release/"
    depmod -b . "$release"
    # The first root: busybox and what mounts the second one.
    mkdir -p first/bin first/modules
    cp "$(debian_busybox "$arch")" first/bin/busybox
    install -m 755 "$here/guest/init-qemu" first/init
    for name in "${debian_boot_modules[@]}"; do
        modprobe -d . -S "$release" --show-depends "$name"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
        cp "$file" first/modules/
        echo "/modules/$(basename "$file")"
    done >first/modules.list
    (cd first && find . | cpio --quiet -o -H newc) | gzip -1 >initrd
    rm -rf image debs first
}

# debian_busybox ARCH: a static one.
debian_busybox() {
    local arch=$1
    if [ "$arch" = "$(dpkg --print-architecture)" ]; then
        echo /bin/busybox
        return
    fi
    mkdir busybox
    (cd busybox && apt_for "$arch" apt-get -q download busybox-static && dpkg-deb -x ./*.deb .) >&2
    echo "busybox/bin/busybox"
}

# build_debian_modules_in FOLDER KERNEL ARCH: ours, and what Debian left out of its kernel, from the same
# sources.
build_debian_modules_in() {
    local into=$1 kernel=$2 arch=$3 release folder name
    release=$(cat "$kernel/release")
    mkdir -p "$into/source/v4l2-mem2mem" "$into/source/dmaheaps" "$into/lib/modules"
    cp -r "$here"/modules/. "$into/source"
    tar -xJf "$source_tar" -C "$into/source/v4l2-mem2mem" --strip-components=4 \
        "$source_package/drivers/media/v4l2-core/v4l2-mem2mem.c"
    echo 'obj-m := v4l2-mem2mem.o' >"$into/source/v4l2-mem2mem/Makefile"
    tar -xJf "$source_tar" -C "$into/source/dmaheaps" --strip-components=3 \
        "$source_package/drivers/dma-buf/dma-heap.c" \
        "$source_package/drivers/dma-buf/heaps/system_heap.c"
    mv "$into/source/dmaheaps/heaps/system_heap.c" "$into/source/dmaheaps"
    cp "$here/kernel/dmaheaps.c" "$into/source/dmaheaps/dmaheaps.c"
    echo 'obj-m := dmaheaps.o' >"$into/source/dmaheaps/Makefile"
    for folder in "$into"/source/*/; do
        name=$(basename "$folder")
        [ ! -f "$folder/Makefile" ] || echo "obj-m += $name/"
    done >"$into/source/Kbuild"
    make -s "-j$(nproc)" -C "$kernel/build" "ARCH=${kbuild_of[$arch]}" \
        "CROSS_COMPILE=${cross_of[$arch]}" "CC=${cross_of[$arch]}gcc" M="$into/source" modules
    cp -r "$kernel/lib/modules/$release" "$into/lib/modules"
    mkdir "$into/lib/modules/$release/extra"
    find "$into/source" -name '*.ko' -exec cp -t "$into/lib/modules/$release/extra" {} +
    find "$into/lib/modules/$release/extra" -name '*.ko' -exec "${cross_of[$arch]}strip" -g {} +
    rm -rf "$into/source"
    depmod -b "$into" "$release"
}

# build_debian ARCH: sets `kernel`, `modules`, and for a foreign architecture `guest_root`.
build_debian() {
    local arch=$1 release key
    command -v "${qemu_of[$arch]}" >/dev/null || skip "no ${qemu_of[$arch]} here"
    command -v cpio >/dev/null || skip "no cpio here"
    [ -f "$source_tar" ] || skip "no $source_tar (package $source_package)"
    release=$(debian_release "$arch") || skip "apt knows no linux-image-$arch"
    key=$(debian_key "$arch" "$release")
    cached "debian-$arch-$key" build_debian_in "$arch" "$release"
    [ -n "$found" ] || exit 125
    kernel=$found
    cached "modules-$(modules_key "$key")" build_debian_modules_in "$kernel" "$arch"
    [ -n "$found" ] || exit 125
    modules=$found
    [ "$arch" = "$(dpkg --print-architecture)" ] || build_root "$arch"
}

# root_install ARCH OPTIONS...: apt, about all packages of a foreign root.
root_install() {
    local arch=$1 library_packages=()
    shift
    eval "$(sed -n '/^library_packages=(/,/)$/p' "$checkout/dev")"
    apt_for "$arch" apt-get -q -y --no-install-recommends "$@" install "${root_packages[@]}" \
        "${library_packages[@]}"
}

# build_root_in FOLDER ARCH
build_root_in() {
    local into=$1 arch=$2 file link target triplet=aarch64-linux-gnu
    root_install "$arch" --download-only
    mkdir -p "$into"/usr/{bin,sbin,lib} "$into"/{proc,sys,dev,run,tmp,root,mnt}
    for file in bin sbin lib; do
        ln -s "usr/$file" "$into/$file"
    done
    for file in "$cache/apt-$arch"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink -C "$into"
    done
    rm -rf "$cache/apt-$arch"/archives/*.deb
    # What the packages' scripts would have made.
    cp "$into/usr/share/base-passwd/passwd.master" "$into/etc/passwd"
    cp "$into/usr/share/base-passwd/group.master" "$into/etc/group"
    [ -e "$into/usr/bin/awk" ] || ln -s gawk "$into/usr/bin/awk"
    for file in "$into/usr/lib/$triplet"/{blas,lapack}/*.so.*; do
        [ ! -e "$file" ] || ln -sf "$(basename "$(dirname "$file")")/$(basename "$file")" \
            "$into/usr/lib/$triplet/"
    done
    # Links that begin at / lead out of the root, for who links against it.
    find "$into/usr/lib/$triplet" -type l -lname '/*' | while read -r link; do
        target=$(readlink "$link")
        ln -sfn "$(realpath -sm --relative-to="$(dirname "$link")" "$into$target")" "$link"
    done
    rm -rf "$into"/usr/share/{doc,man,locale,info}
}

cross_file() {
    cat <<CROSS
[binaries]
c = 'aarch64-linux-gnu-gcc'
cpp = 'aarch64-linux-gnu-g++'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'

[properties]
sys_root = '$1'
pkg_config_libdir = ['$1/usr/lib/aarch64-linux-gnu/pkgconfig', '$1/usr/share/pkgconfig']

[built-in options]
c_args = ['--sysroot=$1']
c_link_args = ['--sysroot=$1']
cpp_args = ['--sysroot=$1']
cpp_link_args = ['--sysroot=$1']

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
CROSS
}

# build_root ARCH: sets `guest_root` and `cross`, and shows the guest what of the host it needs.
build_root() {
    local arch=$1 key
    command -v aarch64-linux-gnu-gcc >/dev/null || skip "no aarch64-linux-gnu-gcc here"
    key=$({
        root_install "$arch" --print-uris | sed -n "s/^'[^']*' //p"
        sed -n '/^build_root_in()/,/^}/p' "$here/debian.sh"
    } | hash_of)
    cached "root-$arch-$key" build_root_in "$arch"
    [ -n "$found" ] || exit 125
    guest_root=$found
    cross=$found.cross
    cross_file "$found" >"$cross"
    shown+=("$checkout" "$modules")
}

# qemu_command: what session_boot runs; sets `boot`.
qemu_command() {
    local arch=$1 root=$2 i=0 folder console options=()
    case $arch in
        amd64) console=ttyS0 options=(-machine q35 -cpu max) ;;
        arm64) console=ttyAMA0 options=(-machine virt,gic-version=3 -cpu cortex-a72) ;;
    esac
    boot=("${qemu_of[$arch]}" -accel tcg,thread=multi -smp 2 -m "$memory" -nodefaults -no-user-config
        -display none -serial stdio -no-reboot "${options[@]}"
        -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd"
        -append "console=$console loglevel=6 panic=-1 rdinit=/init vpi.session=$session"
        -virtfs "local,path=$root,mount_tag=root,security_model=none,readonly=on,multidevs=remap")
    for folder in "$session" "${shares[@]}" "${shown[@]}"; do
        # A read-only one is marked so on the guest's side too (guest/init-qemu).
        boot+=(-virtfs "local,path=$folder,mount_tag=share$i,security_model=none,multidevs=remap")
        i=$((i + 1))
    done
}
