#!/usr/bin/env bash
# Proves the package and its units under a real systemd: systemd-test.sh PACKAGE.deb
#
# It starts systemd in namespaces of its own, on a copy of this machine's root that is thrown away, with
# no network but its own loopback. Needs root, unshare, overlayfs, cgroup v2 and systemd 252 or newer; where
# they are missing it says so and ends with 77. It takes about a minute, and ends after six at most.
set -euo pipefail
script=$(realpath "$0")

skip() {
    echo "skipped: $*"
    exit 77
}

# --- the machine ------------------------------------------------------------------------------------------------

# As the first process of its namespaces: makes a root, and becomes systemd.
become_systemd() {
    local top=$1 device
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 tmpfs "$top"
    mkdir "$top/upper" "$top/work" "$top/root"
    mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" overlay "$top/root"
    cp -- "$2" "$top/upper/gnomon.deb"
    cp -- "$script" "$top/upper/systemd-test.sh"
    cd "$top/root"
    mount -t proc proc proc
    # What is the machine's own is not to be changed from within.
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
        IFS=: read -r name major minor <<<"$device"
        mknod -m 666 "dev/$name" c "$major" "$minor"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    mkdir -p run/systemd/system var/log/journal
    for unit in systemd-modules-load systemd-remount-fs systemd-random-seed systemd-update-utmp; do
        ln -sf /dev/null "run/systemd/system/$unit.service"
    done
    for unit in sys-kernel-debug sys-kernel-tracing sys-fs-fuse-connections dev-hugepages dev-mqueue; do
        ln -sf /dev/null "run/systemd/system/$unit.mount"
    done
    # A container's image may forbid packages to start and stop what they bring.
    rm -f usr/sbin/policy-rc.d
    mkdir .before
    pivot_root . .before
    umount -l /.before
    exec env -i container=gnomon PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set=-sys_module,-sys_time,-sys_boot \
        "$(systemd_program)" --system --unit=basic.target </dev/null
}

systemd_program() {
    local program
    for program in /usr/lib/systemd/systemd /lib/systemd/systemd; do
        [ -x "$program" ] && echo "$program" && return
    done
    return 1
}

cgroup_root() {
    awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts
}

start_machine() {
    local package=$1 cgroups
    [ "$(id -u)" = 0 ] || skip 'needs root'
    systemd_program >/dev/null || skip 'no systemd is installed'
    for program in unshare nsenter setpriv dpkg deb-systemd-invoke; do
        command -v "$program" >/dev/null || skip "no $program"
    done
    cgroups=$(cgroup_root)
    [ -n "$cgroups" ] || skip 'no cgroup v2 is mounted'
    group=$cgroups/gnomon-test-$$
    mkdir "$group" 2>/dev/null || skip "$cgroups cannot be written"
    top=$(mktemp -d)
    trap stop_machine EXIT
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec unshare --mount --pid --net --ipc --uts --cgroup --fork --kill-child \
            bash "$script" --become "$top" "$package"
    ) >"$top.log" 2>&1 &
    outer=$!
    for _ in $(seq 100); do
        sleep 0.2
        init=$(pgrep -P "$outer" || true)
        [ -n "$init" ] || kill -0 "$outer" 2>/dev/null || skip "no namespaces: $(tail -n 1 "$top.log")"
        [ -n "$init" ] && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' && return
    done
    skip "systemd does not come up: $(tail -n 3 "$top.log")"
}

inside() {
    nsenter --target "$init" --mount --pid --net --ipc --uts --cgroup --wd -- "$@"
}

stop_machine() {
    [ -z "${init:-}" ] || kill -KILL "$init" 2>/dev/null || true
    wait "${outer:-}" 2>/dev/null || true
    sleep 0.5
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    rmdir "$top" || true
    rm -f "$top.log"
}

# --- what has to hold, said within it -----------------------------------------------------------------------------

fail() {
    echo "FAILED: $*"
    systemctl status --no-pager --full gnomon.service | head -n 20 || true
    journalctl --no-pager --quiet -u gnomon.service -n 40 || true
    exit 1
}

# holds SECONDS COMMAND...: waits until it does.
holds() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

of_unit() { systemctl show gnomon.service --property "$1" --value; }
main() { of_unit MainPID; }
active() { [ "$(of_unit ActiveState)/$(of_unit SubState)" = active/running ]; }
moved() { active && [ "$(main)" != "$1" ] && [ "$(main)" != 0 ]; }
alone() { [ "$(pgrep -c -x gnomon)" = 1 ]; }
journal() { journalctl --quiet --no-pager -o cat -u gnomon.service --since "@$begun"; }
in_journal() { grep -qE "$1" <<<"$(journal)"; }

# One request after the other, each on a connection of its own; a line for each: served, cut or refused.
client() {
    local line
    while [ -e /tmp/clients ]; do
        if { exec 3<>/dev/tcp/127.0.0.1/80; } 2>/dev/null; then
            printf 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n' >&3 2>/dev/null
            if read -r -t 30 line <&3 2>/dev/null && [[ $line == 'HTTP/1.1 200'* ]]; then
                echo served
            else
                echo cut
            fi
            exec 3>&-
        else
            echo refused
            sleep 0.01
        fi
    done >"/tmp/client.$1"
}

said() { cat /tmp/client.* | grep -c "^$1\$" || true; }
served_more() { [ "$(said served)" -gt "$1" ]; }

# step NAME CUT: what came before has refused nobody, and cut CUT requests at most; clients are served.
step() {
    local served
    served=$(said served)
    holds 10 served_more "$((served + 20))" || fail "$1: nobody is served"
    [ "$(said refused)" = 0 ] || fail "$1: $(said refused) connections were refused"
    [ $(($(said cut) - cut)) -le "$2" ] || fail "$1: $(($(said cut) - cut)) requests were cut"
    printf 'ok  %-28s %6d served, %d cut, 0 refused\n' "$1" "$(($(said served) - before))" "$(($(said cut) - cut))"
    before=$(said served)
    cut=$(said cut)
}

configure() {
    cat >/etc/gnomon/gnomon.toml <<'TOML'
listen = ["0.0.0.0:80", "[::]:80"]
timeouts = { grace = "1s", drain = "5s" }
route.hello.respond = { status = 200, body = "gnomon serves\n" }
TOML
}

install_package() {
    dpkg -i /gnomon.deb >/tmp/dpkg 2>&1 || fail "dpkg: $(cat /tmp/dpkg)"
    id -u gnomon >/dev/null || fail 'no user gnomon'
    gnomon check /etc/gnomon/gnomon.toml || fail 'the configuration of the package is wrong'
    [ "$(systemctl is-enabled gnomon.service)" = disabled ] || fail 'the unit is enabled'
    ! systemctl is-active --quiet gnomon.service || fail 'the unit was started'
    systemctl start gnomon.service || fail 'the configuration of the package does not start'
    systemctl stop gnomon.service || fail 'it does not stop'
    echo 'ok  the package, as it comes'
}

hardened() {
    local pid status
    pid=$(main)
    status=/proc/$pid/status
    [ "$(stat -c %U "/proc/$pid")" = gnomon ] || fail 'runs as another user'
    grep -qE '^NoNewPrivs:\s1' "$status" || fail 'may gain rights'
    grep -qE '^Seccomp:\s2' "$status" || fail 'no filter of system calls'
    grep -qE '^CapEff:\s0000000000000400' "$status" || fail 'other capabilities than to bind low ports'
    grep -qE '^CapBnd:\s0000000000000400' "$status" || fail 'may get other capabilities'
    # Without CAP_SYS_RESOURCE systemd itself cannot raise limits: so in many a sandbox.
    if (((0x$(awk '/^CapEff/ { print $2 }' /proc/1/status) >> 24) & 1)); then
        grep -qE '^Max open files +1048576' "/proc/$pid/limits" || fail 'too few files'
        grep -qE '^Max locked memory +unlimited' "/proc/$pid/limits" || fail 'too little locked memory'
    else
        echo '--  limits are not looked at: this machine does not let systemd raise them'
    fi
    nsenter --target "$pid" --mount -- sh -c '! touch /etc/x /usr/x /home/x 2>/dev/null' || fail 'may write'
    [ "$(stat -c '%U %a' /var/lib/gnomon)" = 'gnomon 700' ] || fail 'others read the state'
    [ "$(stat -c '%U %a' /var/log/gnomon)" = 'gnomon 750' ] || fail 'others read the logs'
    [ "$(of_unit NFileDescriptorStore)" -gt 1 ] || fail 'systemd keeps no sockets'
    printf 'ok  hardened: user, capabilities, files, seccomp; %s sockets kept; driver %s\n' \
        "$(of_unit NFileDescriptorStore)" "$(gnomon status | grep -oE 'io_uring|epoll' | head -n 1)"
}

reloads() {
    local pid
    pid=$(main)
    systemctl reload gnomon.service || fail 'reload'
    [ "$(main)" = "$pid" ] || fail 'a reload started another process'
    echo 'nonsense = 1' >>/etc/gnomon/gnomon.toml
    ! systemctl reload gnomon.service 2>/dev/null || fail 'a wrong configuration was taken'
    active && [ "$(main)" = "$pid" ] || fail 'a refused reload hurt'
    configure
    step 'reload, and a refused one' 0
}

# upgrades NAME COMMAND...: another main process, no restart, and the old one ends.
upgrades() {
    local name=$1 pid kept
    shift
    pid=$(main)
    kept=$(of_unit NFileDescriptorStore)
    "$@" >/tmp/said 2>&1 || fail "$name: $(cat /tmp/said)"
    holds 20 moved "$pid" || fail "$name: systemd still takes $pid for the main process"
    holds 20 alone || fail "$name: the old process stays"
    active || fail "$name: not active"
    [ "$(of_unit NRestarts)" = "$restarts" ] || fail "$name: restarted"
    [ "$(of_unit NFileDescriptorStore)" = "$kept" ] || fail "$name: $kept sockets kept before, now another number"
    step "$name" 0
}

# An update that cannot take over leaves the old process, and says so.
updates_in_vain() {
    local pid
    pid=$(main)
    echo 'nonsense = 1' >>/etc/gnomon/gnomon.toml
    dpkg -i --force-confold /gnomon.deb >/tmp/dpkg 2>&1 || fail "dpkg: $(cat /tmp/dpkg)"
    grep -q 'the running process goes on' /tmp/dpkg || fail "dpkg does not tell: $(cat /tmp/dpkg)"
    active && [ "$(main)" = "$pid" ] || fail 'an update with a wrong configuration hurt'
    configure
    step 'update that cannot take over' 0
}

# A process that has taken over feeds the watchdog as the first one did.
is_fed() {
    local pid
    pid=$(main)
    sleep 12
    [ "$(main)" = "$pid" ] && [ "$(of_unit NRestarts)" = "$restarts" ] || fail 'the watchdog was not fed'
    step 'twelve seconds of watchdog' 0
}

# dies NAME SECONDS SIGNAL: it is started anew with its sockets.
dies() {
    local pid
    pid=$(main)
    kill "-$3" "$pid"
    holds "$2" moved "$pid" || fail "$1: not started anew"
    restarts=$((restarts + 1))
    [ "$(of_unit NRestarts)" = "$restarts" ] || fail "$1: $(of_unit NRestarts) restarts"
    step "$1" 2
}

dies_often() {
    local pid round
    for round in $(seq 8); do
        pid=$(main)
        kill -KILL "$pid"
        holds 20 moved "$pid" || fail "killed for the ${round}th time: not started anew"
    done
    restarts=$((restarts + 8))
    step 'killed eight times in a row' 16
}

watched() {
    dies 'stopped, seen by the watchdog' 40 STOP
    in_journal 'Watchdog timeout' || fail 'no word of the watchdog'
}

restarts_slowly() {
    local pid
    pid=$(main)
    systemctl restart gnomon.service || fail 'restart'
    moved "$pid" || fail 'restart: the same process'
    restarts=0
    step 'systemctl restart' 0
}

stops() {
    rm /tmp/clients
    wait
    systemctl stop gnomon.service || fail 'stop'
    [ "$(of_unit Result)" = success ] || fail "stop: $(of_unit Result)"
    ! pgrep -x gnomon >/dev/null || fail 'stop: a process is left'
    echo 'ok  systemctl stop'
}

# A wrong configuration is not started again and again.
gives_up() {
    echo 'nonsense = 1' >>/etc/gnomon/gnomon.toml
    ! systemctl start gnomon.service 2>/dev/null || fail 'a wrong configuration was started'
    holds 5 systemctl is-failed gnomon.service || fail "wrong configuration: $(of_unit ActiveState)"
    [ "$(of_unit NRestarts)" = 0 ] || fail "wrong configuration: started $(of_unit NRestarts) times more"
    [ "$(of_unit ExecMainStatus)" = 78 ] || fail "wrong configuration: status $(of_unit ExecMainStatus)"
    in_journal nonsense || fail 'the journal does not say what is wrong'
    configure
    systemctl reset-failed gnomon.service
    echo 'ok  a wrong configuration is told, and not tried again'
}

socket_activated() {
    cp /usr/share/doc/gnomon/examples/gnomon.socket /etc/systemd/system/
    systemctl daemon-reload
    systemctl start gnomon.socket || fail 'the socket unit'
    exec 3<>/dev/tcp/127.0.0.1/80 || fail 'systemd does not listen'
    printf 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n' >&3
    read -r -t 20 line <&3 || fail 'the first connection starts nothing'
    [[ $line == 'HTTP/1.1 200'* ]] || fail "the first connection got $line"
    exec 3>&-
    holds 10 active || fail 'socket activation: not active'
    systemctl stop gnomon.socket gnomon.service || fail 'socket activation: stop'
    rm /etc/systemd/system/gnomon.socket
    systemctl daemon-reload
    echo 'ok  socket activation'
}

purges() {
    systemctl enable --now --quiet gnomon.service || fail 'enable'
    dpkg -P gnomon >/tmp/dpkg 2>&1 || fail "purge: $(cat /tmp/dpkg)"
    ! pgrep -x gnomon >/dev/null || fail 'purge: still runs'
    for path in /usr/bin/gnomon /etc/gnomon /var/lib/gnomon /var/log/gnomon /run/gnomon \
        /etc/systemd/system/multi-user.target.wants/gnomon.service; do
        [ ! -e "$path" ] && [ ! -L "$path" ] || fail "purge: $path is left"
    done
    echo 'ok  removed and purged'
}

prove() {
    begun=$(date +%s) before=0 cut=0 restarts=0
    systemctl --version | head -n 1
    install_package
    configure
    systemctl start gnomon.service || fail 'it does not start'
    active || fail 'it is not active'
    hardened
    touch /tmp/clients
    client 1 &
    client 2 &
    step 'started' 0
    reloads
    upgrades 'gnomon upgrade' gnomon upgrade
    upgrades 'USR2' systemctl kill -s USR2 gnomon.service
    upgrades 'update of the package' dpkg -i --force-confold /gnomon.deb
    updates_in_vain
    is_fed
    dies 'killed' 20 KILL
    dies_often
    upgrades 'upgrade after a crash' gnomon upgrade
    watched
    restarts_slowly
    stops
    gives_up
    socket_activated
    purges
    echo 'all ok'
}

case ${1:-} in
    --become) become_systemd "$2" "$3" ;;
    --inside) prove ;;
    '') echo "usage: $0 PACKAGE.deb" >&2 && exit 2 ;;
    *)
        start_machine "$(realpath "$1")"
        inside timeout 360 bash /systemd-test.sh --inside
        ;;
esac
