#!/bin/bash
# A virtual Raspberry Pi: Debian arm64 with its own kernel and systemd in qemu-system-aarch64, reached by SSH.
#   ./pi-vm.sh start                    build (first time, about 40 s) and boot it (about 15 s); user pi, with sudo
#   ./pi-vm.sh build                    only build it, so that the first start is quick
#   ./pi-vm.sh ssh [CMD ...]            ./pi-vm.sh ssh systemctl is-system-running
#   ./pi-vm.sh ssh-config               prints an ssh_config: rsync -e "ssh -F $(./pi-vm.sh ssh-config)" -a app pi:
#   ./pi-vm.sh camera PICTURE           /dev/video0 shows this PNG or JPEG, 640x480 (BGR3, bit-exact)
#   ./pi-vm.sh camera FRAMES.bgr        ... or these raw 640x480 BGR frames, in a loop
#   ./pi-vm.sh camera --pattern         a webcam with a test pattern, many sizes
#   ./pi-vm.sh camera --disconnect | --fatal | --unbind | --off      faults; a new PICTURE repairs them
#   ./pi-vm.sh powercut                 kill it without shutdown, boot it again from the same disk
#   ./pi-vm.sh off | on                 the two halves of that
#   ./pi-vm.sh log | stop               console output; end it and drop its disk
# PI_PORT=2222 is its SSH port on 127.0.0.1 and its name: another port is another machine, at the same time.
# PI_PICAMERA2=1 (at start) adds the real picamera2 on libcamera's virtual camera (trixie; NV12 only, see README).
# PI_SUITE=bookworm|trixie  PI_CPUS=1  PI_MEM=1024 (MB)  PI_DISK=2G (writable space)  PI_EXTRA="deb deb" (when built)
# PI_TIMEOUT=240 (seconds to wait for SSH)
# One emulated processor boots in 15 s of the host's CPU time; two take twice as long: they wait for each other.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
port=${PI_PORT:-2222} suite=${PI_SUITE:-bookworm} extra=${PI_EXTRA:-} kind= wheels=
if [ -n "${PI_PICAMERA2:-}" ]; then   # libcamera has a "virtual" camera from trixie on
  suite=trixie kind=-picamera2 wheels=opencv-python-headless==4.11.0.86
  extra+=" python3-libcamera libcamera-ipa libcamera-tools python3-prctl python3-piexif python3-pil python3-av
    python3-libarchive-c python3-jsonschema python3-tqdm"
fi
run=$CACHE/run/pi-$port key=$CACHE/pi-key

build() {
  local root=$1 r=$1.build kver i=$1.initrd n=0 f
  need mmdebstrap mmdebstrap modprobe kmod cpio cpio xz xz-utils ssh-keygen openssh-client
  rm -rf "$r" "$i"
  # shellcheck disable=SC2086
  WHEELS=$wheels "$KIT/make-root.sh" arm64 "$suite" "$r" linux-image-arm64 busybox-static systemd systemd-sysv dbus udev kmod grep sed mawk findutils tar gzip \
    libpam-systemd openssh-server openssh-sftp-server sudo rsync bash passwd login base-passwd procps iproute2 \
    python3-venv python3-numpy v4l-utils ca-certificates openssl python3-paho-mqtt $extra
  kver=$(ls "$r/lib/modules")
  rm -rf "$r/lib/modules/$kver/kernel"/{drivers/{gpu,scsi,infiniband},drivers/net/{wireless,ethernet},sound}
  depmod -b "$r" "$kver"
  # What the packages' own scripts would have set up
  cp "$r/usr/share/base-passwd/passwd.master" "$r/etc/passwd"
  cp "$r/usr/share/base-passwd/group.master" "$r/etc/group"
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$r/etc/machine-id"; echo >> "$r/etc/machine-id"
  echo raspberrypi > "$r/etc/hostname"
  echo "127.0.0.1 localhost raspberrypi" > "$r/etc/hosts"
  echo "nameserver 10.0.2.3" > "$r/etc/resolv.conf"
  : > "$r/etc/fstab"; : > "$r/etc/ca-certificates.conf"   # it knows no authority but those that a test adds
  for f in auth account password session session-noninteractive; do
    echo "${f%-*} required pam_permit.so" > "$r/etc/pam.d/common-$f"
  done
  echo "session optional pam_systemd.so" >> "$r/etc/pam.d/common-session"
  "$KIT/run-in-root.sh" "$r" sh -ec '
    systemd-sysusers
    for u in sshd messagebus; do getent passwd $u >/dev/null || useradd -rM -d /nonexistent -s /usr/sbin/nologin $u; done
    useradd -m -u 1000 -U -G adm,dialout,sudo,audio,video,plugdev -s /bin/bash pi
    python3 -c "import numpy"' # once, so that the byte code is there
  echo "pi ALL=(ALL) NOPASSWD: ALL" > "$r/etc/sudoers.d/pi"; chmod 440 "$r/etc/sudoers.d/pi"
  cp "$r/usr/share/openssh/sshd_config" "$r/etc/ssh/"
  ssh-keygen -q -A -f "$r"
  [ -e "$key" ] || ssh-keygen -q -t ed25519 -N '' -C edgenet-virtual -f "$key"
  install -d -m 700 -o 1000 -g 1000 "$r/home/pi/.ssh"
  install -m 600 -o 1000 -g 1000 "$key.pub" "$r/home/pi/.ssh/authorized_keys"
  cat > "$r/etc/systemd/system/vm-net.service" <<-'END'
	[Unit]
	DefaultDependencies=no
	Before=network.target ssh.service
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/sh -c 'ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2'
	END
  mkdir -p "$r/etc/systemd/system/multi-user.target.wants"
  ln -s /lib/systemd/system/ssh.service ../vm-net.service "$r/etc/systemd/system/multi-user.target.wants/"
  ln -s /lib/systemd/system/multi-user.target "$r/etc/systemd/system/default.target"
  # udev looks at the disk and the network alone, not at a hundred terminals and the kernel's own ciphers: a boot takes a
  # third less. What comes later, such as the camera, it looks at as ever. And sshd is not loaded anew at every login.
  mkdir -p "$r/etc/systemd/system/systemd-udev-trigger.service.d"
  printf '%s\n' "[Service]" "ExecStart=" \
    "ExecStart=-udevadm trigger --action=add --subsystem-match=block --subsystem-match=net" \
    > "$r/etc/systemd/system/systemd-udev-trigger.service.d/few.conf"
  echo "SSHD_OPTS=-r" > "$r/etc/default/ssh"
  rm -f "$r"/etc/update-motd.d/*
  for f in serial-getty@ttyAMA0 ldconfig; do ln -s /dev/null "$r/etc/systemd/system/$f.service"; done
  [ -z "$kind" ] || add_picamera2 "$r"
  touch "$r/etc/.updated" "$r/var/.updated"
  # initrd: busybox and the modules that lead to the disks
  mkdir -p "$i"/{bin,proc,sys,dev,mods,rw,lower,newroot}
  cp "$r/bin/busybox" "$i/bin/"
  install -m 755 "$KIT/pi-init.sh" "$i/init"
  for f in virtio_pci virtio_mmio virtio_blk virtio_net virtio_rng ext4 crc32c_generic 9pnet_virtio 9p overlay; do
    modprobe -d "$r" -S "$kver" -D $f
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$i.list"
  while read -r f; do
    n=$((n + 1)); f2=$i/mods/$(printf %02d $n)-$(basename "${f%.xz}")
    case $f in *.xz) xz -dc "$f" > "$f2" ;; *) cp "$f" "$f2" ;; esac
  done < "$i.list"
  (cd "$i" && find . | cpio -o -H newc --quiet | gzip -1) > "$r/boot/initrd.gz"
  rm -rf "$i" "$i.list"
  mv "$r" "$root"
}

add_picamera2() {
  local r=$1 site=$1/usr/local/lib/python3.13/dist-packages
  install_wheels arm64 trixie "$r" --no-deps picamera2==0.3.38 simplejpeg==1.9.0 videodev2==0.0.4 openexr==3.5.3
  mkdir "$r/pidng"       # DNG writing: source only, its Python part is enough
  python3 -m pip download -q --no-deps --no-binary=:all: -d "$r/pidng" pidng==4.0.9
  tar xzf "$r"/pidng/*.tar.gz -C "$site" --strip-components=2 --wildcards '*/src/pidng'; rm -r "$r/pidng"
  printf '%s\n' "class _Any(type):" "    def __getattr__(cls, name): return name" \
    "class PixelFormat(metaclass=_Any): pass" > "$site/pykms.py"       # screens: imported, not used
  # The virtual camera has no raw stream, no /dev/dma_heap, and reports 0 bytes used
  sed -i -e 's/^from picamera2.allocators import DmaAllocator$/from picamera2.allocators import LibcameraAllocator/' \
    -e 's/= DmaAllocator()/= LibcameraAllocator(self.camera)/' \
    -e 's/^\( *\)raw_config = .*StreamRole.Raw.*/&\n\1if raw_config is None: return [{"format": "SBGGR8", "size": (640, 480)}]/' \
    "$site/picamera2/picamera2.py"
  sed -i 's/buflen + p_metadata.bytes_used/buflen + p.length/' "$site/picamera2/allocators/allocator.py"
  mkdir -p "$r/usr/share/libcamera/pipeline/virtual"
  printf '%s\n' '"Virtual0":' '  supported_formats:' '  - {width: 640, height: 480, frame_rates: [30, 60]}' '  frames:' \
    '    path: "/var/lib/camera.jpg"' '  location: "CameraLocationBack"' '  model: "virtual"' \
    > "$r/usr/share/libcamera/pipeline/virtual/virtual.yaml"
  echo 'KERNEL=="udmabuf", GROUP="video", MODE="0660"' > "$r/etc/udev/rules.d/60-udmabuf.rules"
}

alive() { pid=$(cat "$run/pid" 2>/dev/null) && grep -qs "edgenet-pi-$port$" <(tr '\0' '\n' 2>/dev/null < "/proc/$pid/cmdline"); }

lock() { mkdir -p "$CACHE/run"; exec 9> "$CACHE/run/$1.lock"; flock 9; }

# A kernel that hides itself from programs switches its page tables at every call, after which the emulator has to look
# all addresses up again: without that, everything takes a third less.
kernel="nokaslr kpti=0 mitigations=off"
# What a boot starts and no test looks at; without it, a boot takes a quarter less.
masked=(modprobe@{configfs,loop,fuse,drm,dm_mod,efi_pstore}.service
  systemd-{modules-load,binfmt,update-utmp,update-utmp-runlevel,random-seed,remount-fs}.service
  {sys-kernel-{config,debug,tracing},sys-fs-fuse-connections,dev-hugepages,dev-mqueue}.mount proc-sys-fs-binfmt_misc.automount
  systemd-ask-password-{console,wall}.path getty.target)

boot() {
  local root; root=$(cat "$run/root")
  # It has one processor, and whoever waits for it has time: it comes before others on this machine.
  nice -n -5 qemu-system-aarch64 -name "edgenet-pi-$port" -M virt,gic-version=3 -cpu cortex-a72 -accel tcg,thread=multi \
    -smp "${PI_CPUS:-1}" -m "${PI_MEM:-1024}" -kernel "$root"/boot/vmlinuz-* -initrd "$root/boot/initrd.gz" \
    -append "console=ttyAMA0 quiet net.ifnames=0 systemd.show_status=1 $kernel ${masked[*]/#/systemd.mask=}" \
    -drive "file=$run/disk.img,format=raw,if=virtio" \
    -virtfs "local,path=$root,mount_tag=root,security_model=none,readonly=on" \
    -netdev "user,id=n0,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=n0,romfile= \
    -device virtio-rng-pci -display none -monitor none -serial "file:$run/console.log" \
    -daemonize -pidfile "$run/pid" 9>&-
  local end=$((SECONDS + ${PI_TIMEOUT:-240}))
  until ssh -F "$run/ssh_config" -o ConnectTimeout=15 pi true 2>/dev/null 9>&-; do
    alive || { tail "$run/console.log"; die "the machine ended while booting"; }
    [ $SECONDS -lt $end ] || { tail "$run/console.log"; halt; die "no SSH after ${PI_TIMEOUT:-240} s"; }
    sleep 0.5
  done
}

halt() { alive || return 0; kill -9 "$pid"; while [ -e "/proc/$pid" ]; do sleep 0.05; done; }

up() { alive || die "no machine runs at port $port (pi-vm.sh start)"; }

[ $# -gt 0 ] || usage
cmd=$1; shift
built() {
  lock "build-pi-$suite$kind"; root=$CACHE/pi-$suite$kind-4   # another number: built anew where an older one is kept
  [ -d "$root" ] || build "$root"
}
case $cmd in
  build) need_root; need flock util-linux; built ;;
  start)
    need_root
    need qemu-system-aarch64 qemu-system-arm ssh openssh-client mkfs.ext4 e2fsprogs flock util-linux
    built
    lock "pi-$port"
    ! alive || die "port $port: already running (pid $pid)"
    rm -rf "$run"; mkdir -p "$run"
    echo "$root" > "$run/root"
    truncate -s "${PI_DISK:-2G}" "$run/disk.img"; mkfs.ext4 -q -F "$run/disk.img"
    printf '%s\n' "Host pi" "HostName 127.0.0.1" "Port $port" "User pi" "IdentityFile \"$key\"" "IdentitiesOnly yes" \
      "StrictHostKeyChecking yes" "UserKnownHostsFile \"$run/known_hosts\"" "LogLevel ERROR" > "$run/ssh_config"
    echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" > "$run/known_hosts"
    boot
    echo "the Pi is up: ssh -F $run/ssh_config pi" ;;
  ssh) up; exec ssh -F "$run/ssh_config" pi "$@" ;;
  ssh-config) up; echo "$run/ssh_config" ;;
  camera)
    up; [ $# = 1 ] || usage
    case $1 in
      --*) what=${1#--} picture=/dev/null ;;
      *.bgr) what=feed picture=$1 ;;
      *) what=feed picture=$run/camera.bgr
        "${PYTHON:-python3}" -c 'import sys, cv2, numpy as np
p = cv2.imdecode(np.frombuffer(sys.stdin.buffer.read(), np.uint8), cv2.IMREAD_COLOR)
if p is None: sys.exit("not a picture that OpenCV can read")
if p.shape != (480, 640, 3): p = cv2.resize(p, (640, 480), interpolation=cv2.INTER_AREA)
sys.stdout.buffer.write(p.tobytes())' < "$1" > "$picture" ;;
    esac
    gzip -1 < "$picture" |
      ssh -F "$run/ssh_config" pi "sudo sh -c $(printf %q "$(cat "$KIT/pi-camera.sh")") sh $what" ;;
  powercut) up; lock "pi-$port"; halt; boot ;;
  off) up; lock "pi-$port"; halt ;;
  on) lock "pi-$port"; ! alive || die "port $port: already running (pid $pid)"; boot ;;
  log) cat "$run/console.log" ;;
  stop) lock "pi-$port"; halt; rm -rf "$run" "$run.lock" ;;
  *) usage ;;
esac
