"""A container engine, as far as the interface of criu is concerned: starts `criu swrk FD`, sends requests and answers notifications.

    engine.py REQUEST [NAME=VALUE ...] [--refuse SCRIPT] [--die SCRIPT] [--slow SCRIPT] [--kill SCRIPT] [--wait] [--more REQUEST ...]

REQUEST is version, features, check, dump, pre_dump, restore or a number. Options have the names of the protocol; images and work are
directories. It prints each notification, and the answer as a line of words. --refuse answers a notification with no, --die ends the
engine there, --kill ends the front there, --slow waits there for a second. What --type says is written to the master that the front hands over, and
what comes from there is printed. With --wait it waits for the restored root as its parent.
"""
import array, os, select, signal, socket, struct, sys, time

REQUESTS = {"empty": 0, "dump": 1, "restore": 2, "check": 3, "pre_dump": 4, "notify": 6, "features": 9, "version": 10}
NAMES = {number: name for name, number in REQUESTS.items()}
NUMBERS = {"images_dir_fd": 1, "pid": 2, "leave_running": 3, "ext_unix_sk": 4, "tcp_established": 5, "shell_job": 7, "file_locks": 8,
    "log_level": 9, "log_file": 10, "notify_scripts": 12, "root": 13, "parent_img": 14, "track_mem": 15, "work_dir_fd": 17, "ext_mnt": 23,
    "manage_cgroups": 24, "rst_sibling": 26, "inherit_fd": 27, "manage_cgroups_mode": 34, "external": 37, "empty_ns": 38, "timeout": 45,
    "lazy_pages": 48, "orphan_pts_master": 50, "config_file": 51, "tcp_close": 52, "lsm_profile": 53, "unknown": 99}

def varint(n):
    out = b""
    n &= (1 << 64) - 1
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])

def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value

def fields(data):
    all, at = {}, 0
    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]; at += 1
            n |= (byte & 127) << shift; shift += 7
            if byte < 128: return n
    while at < len(data):
        key = number()
        if key & 7 == 0: value = number()
        else:
            length = number()
            value = data[at:at + length]; at += length
        all[key >> 3] = value
    return all

def options(words):
    out = b""
    for word in words:
        name, value = word.split("=", 1)
        if name in ("images", "work"):
            fd = os.open(value, os.O_RDONLY)
            out += field(NUMBERS[name + "_dir_fd"], fd)
        elif name == "inherit_fd":
            key, fd = value.rsplit(":", 1)
            out += field(27, field(1, key.encode()) + field(2, int(fd)))
        elif name == "ext_mnt":
            key, source = value.split(":", 1)
            out += field(23, field(1, key.encode()) + field(2, source.encode()))
        elif value.isdigit(): out += field(NUMBERS[name], int(value))
        else: out += field(NUMBERS[name], value.encode())
    return out

def main():
    words, at = sys.argv[1:], {}
    wait = "--wait" in words
    words = [word for word in words if word != "--wait"]
    for what in ("--refuse", "--die", "--slow", "--kill", "--type"):
        if what in words:
            i = words.index(what)
            at[what] = words[i + 1]
            del words[i:i + 2]
    rounds = [[]]
    for word in words:
        if word == "--more": rounds.append([])
        else: rounds[-1].append(word)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.set_inheritable(theirs.fileno(), True)
    front = os.spawnvpe(os.P_NOWAIT, "criu", ["criu", "swrk", str(theirs.fileno())], os.environ)
    theirs.close()
    good, masters = True, []
    for n, words in enumerate(rounds):
        kind = REQUESTS.get(words[0]) if not words[0].isdigit() else int(words[0])
        opts = options(words[1:])
        keep = field(4, 1) if n + 1 < len(rounds) else b""
        ours.send(field(1, kind) + (field(2, opts) if opts else b"") + keep)
        while True:
            data, control, _, _ = ours.recvmsg(65536, 4096)
            if not data:
                print("end of file"); good = False
                break
            answer = fields(data)
            if answer[1] != 6:
                good &= shown(answer)
                break
            note = fields(answer[5])
            script = note[1].decode()
            fds = [f for _, _, d in control for f in array.array("i", d)]
            print("notify", script, *([note[2]] if 2 in note else []), *(["+fd"] if fds else []), flush=True)
            for fd in fds: print("master", os.readlink(f"/proc/self/fd/{fd}"), flush=True)
            if at.get("--slow") == script: time.sleep(1)
            if at.get("--die") == script: os._exit(9)
            if at.get("--kill") == script: os.kill(front, signal.SIGKILL)
            if script == "post-restore": assert os.path.exists(f"/proc/{note[2]}/stat")
            try: ours.send(field(1, 6) + field(3, 0 if at.get("--refuse") == script else 1))
            except BrokenPipeError: pass
            masters += fds
    ours.close()
    _, status = os.waitpid(front, 0)
    print("front", os.waitstatus_to_exitcode(status), flush=True)
    if "--type" in at:
        for line in at["--type"].split("|"):
            os.write(masters[0], line.encode().decode("unicode_escape").encode())
            time.sleep(0.3)
        while select.select(masters, [], [], 0.5)[0]:
            try: data = os.read(masters[0], 4096)
            except OSError: break
            print("terminal", repr(data.decode()), flush=True)
    if wait and good and 4 in answer:
        pid = fields(answer[4])[1]
        _, status = os.waitpid(pid, 0)
        print("root", os.waitstatus_to_exitcode(status), flush=True)
    sys.exit(0 if good and status == 0 else 1)

def shown(answer):
    words = [NAMES.get(answer[1], str(answer[1])), "ok" if answer[2] else "no"]
    if 4 in answer: words.append(f"pid={fields(answer[4])[1]}")
    if 8 in answer: words.append("features=" + ",".join(str(v) for _, v in sorted(fields(answer[8]).items())))
    if 10 in answer:
        version = fields(answer[10])
        words.append(f"version={version[1]}.{version[2]} {version.get(6, b'').decode()}")
    if 9 in answer: words.append(answer[9].decode())
    print(*words, flush=True)
    return bool(answer[2])

main()
