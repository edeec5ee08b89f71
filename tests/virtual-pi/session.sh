# session.sh - sourced by vpi: one session, whatever the kernel runs on.

# The kernel has this long beyond the command's limit to start, load modules and power off.
beyond_limit=45

# session_open COMMAND...: the folder that host and guest share, with all that the guest is to know.
session_open() {
    # On memory where there is any: what the guest writes there is flushed at each write.
    session_parent=${TMPDIR:-/tmp}
    [ -d /dev/shm ] && [ -w /dev/shm ] && session_parent=/dev/shm
    session=$(mktemp -d "$session_parent/vpi.XXXXXX")
    pid=""
    trap session_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    local name
    echo "command=(${*@Q})" >"$session/command"
    {
        for name in HOME LANG TZ TERM USER ${!LC_*} ${!PETCAM_*} ${!PYTHON*} ${!ASAN_*} ${!UBSAN_*} \
            ${!TSAN_*} ${!MALLOC_*}; do
            [ -z "${!name+set}" ] || echo "export $name=${!name@Q}"
        done
        echo "export TMPDIR=/tmp VPI=$machine PETCAM_VPI_SLOW=$slow"
        for name in "${environment[@]}"; do
            local value=${name#*=}
            echo "export ${name%%=*}=${value@Q}"
        done
    } >"$session/environment"
    {
        echo "checkout=${checkout@Q} limit=$limit camera=${camera@Q}"
        echo "camera_timing=${camera_timing@Q} codec=${codec@Q}"
        echo "modules=${modules@Q}"
        # One file where the caller has one, so that the order of the lines is kept.
        if [ /proc/self/fd/1 -ef /proc/self/fd/2 ]; then echo "joined=1"; else echo "joined="; fi
    } >"$session/options"
    [ ${#shares[@]} -eq 0 ] || printf '%s\n' "${shares[@]}" >"$session/shares"
    [ ${#shown[@]} -eq 0 ] || printf '%s\n' "${shown[@]}" >"$session/shown"
    touch "$session"/{shares,shown,stdout,stderr,console}
    cp "$here/guest/start" "$session/start"
}

# uml_command: sets `boot` to what runs the kernel.
uml_command() {
    local room parent=$session_parent
    # The guest's memory is a file, of which only what is touched takes room.
    room=$(df -Pm "$parent" | awk 'NR == 2 { print $4 }')
    if [ "$room" -lt "$memory" ]; then
        parent=${TMPDIR:-/tmp}
        [ "$(df -Pm "$parent" | awk 'NR == 2 { print $4 }')" -ge "$memory" ] ||
            skip "no $memory MB free in $session_parent or $parent for the memory of the virtual Pi"
    fi
    boot=(env "TMPDIR=$parent" "$kernel/linux" "mem=${memory}M" rootfstype=hostfs rootflags=/ ro
        "init=$here/guest/init-uml" con0=fd:0,fd:1 con=null loglevel=6 panic=-1
        "vpi.session=$session")
}

session_boot() {
    # A process group of its own, with the helpers that a kernel leaves behind when it is killed.
    setsid "${boot[@]}" </dev/null >"$session/console" 2>&1 &
    pid=$!
    # It has an end even if we are killed.
    {
        if ! timeout "$((limit + beyond_limit))" tail -s 0.1 "--pid=$pid" -f /dev/null; then
            # It hangs: where, if a debugger is there to tell.
            ! command -v gdb >/dev/null || [ "$machine" != uml ] ||
                timeout 20 gdb -batch -p "$pid" -ex bt | grep '^#' >"$session/hang"
        fi
        kill -KILL -- "-$pid"
    } >/dev/null 2>&1 &
    tail -c +1 -s 0.1 "--pid=$pid" -f "$session/stdout" 2>/dev/null &
    local out=$!
    tail -c +1 -s 0.1 "--pid=$pid" -f "$session/stderr" >&2 2>/dev/null &
    local err=$!
    { wait "$pid"; } 2>/dev/null || true
    pid=""
    wait "$out" "$err" || true
}

# session_end: on every way out.
session_end() {
    if [ -n "$pid" ]; then
        kill -KILL -- "-$pid" 2>/dev/null || true
        { wait "$pid"; } 2>/dev/null || true
    fi
    [ -z "$console" ] || cp "$session/console" "$console" 2>/dev/null || true
    rm -rf "$session"
}

console_tail() {
    note "the last lines of its console:"
    tail -n "${1:-25}" "$session/console" | sed 's/\r$//; s/^/    /' >&2
}

complaint='BUG: |WARNING: |Oops|Kernel panic|INFO: task .* blocked|general protection fault|UBSAN|list_(add|del) corruption'

# session_close: exits with the session's status, as the head of vpi says.
session_close() {
    local status
    if [ ! -s "$session/status" ]; then
        if [ -s "$session/failed" ]; then
            note "the virtual Pi did not start: $(cat "$session/failed")"
        elif grep -q 'Kernel panic' "$session/console"; then
            note "the kernel panicked"
        elif [ ! -s "$session/started" ]; then
            note "the kernel did not start"
        else
            note "the kernel hung or died: it gave no status within $((limit + beyond_limit)) s"
        fi
        [ ! -s "$session/hang" ] || { note "it was at:"; sed 's/^/    /' "$session/hang" >&2; }
        console_tail
        exit 125
    fi
    status=$(cat "$session/status")
    if [ -z "$allow_warnings" ] && grep -qE "$complaint" "$session/console"; then
        note "the kernel complained:"
        grep -m 1 -A 30 -E "$complaint" "$session/console" | sed 's/\r$//; s/^/    /' >&2
        [ "$status" -ne 0 ] || status=123
    fi
    exit "$status"
}
