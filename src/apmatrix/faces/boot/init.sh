#!/bin/busybox sh
# First program of the guest: sets it up, says that it is ready, and runs what was asked for.
# Words to the bridge are lines that start with a record separator (octal 036).
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/pts /dev/shm /run
/bin/busybox mount -t devpts devpts /dev/pts
/bin/busybox mount -t tmpfs tmpfs /tmp
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-vt100}"
stty -F /dev/ttysclp0 -opost -echo 2>/dev/null

say() { printf '\036apmatrix:%s:%s\n' "$1" "$2"; }

for module in /lib/modules/apmatrix/*.ko; do
    [ -e "$module" ] && { insmod "$module" || say module "${module##*/}"; }
done
say ready "$(uname -r)"

if [ -e /apmatrix/command ]; then
    dmesg -n 1
    say begin ''
    sh /apmatrix/command </dev/null
    say end "$?"
elif [ -e /apmatrix/interactive ]; then
    . /apmatrix/interactive
    stty -F /dev/ttysclp0 sane rows "$ROWS" cols "$COLUMNS"
    export TERM
    cd /root && setsid cttyhack sh -l
fi
sync
poweroff -f
