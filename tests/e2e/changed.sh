# Contents of files are not in the image: what has changed since is refused, unless a rule takes it.
cat > program.py << 'SCRIPT'
import mmap, os, sys
log, data, read, private = open("log", "a"), open("data", "r+b"), open("read"), open("private", "rb")
mapped = mmap.mmap(private.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
private.close()
read.read(5)
n = 0
while True:
    n += 1
    print(n, file=log, flush=True)
    if os.path.exists("stop"): os.kill(os.getpid(), 19)
    __import__("time").sleep(0.02)
SCRIPT
head -c 8192 /dev/zero | tr '\0' p > private
head -c 9000 /dev/zero | tr '\0' d > data
echo "first second" > read
start out python3 program.py
until_true 10 grep -sq '^3$' log

# It has appended to its own log up to the end, and nobody has touched that since: nothing need be said.
checkpoint_kill "$pid" image
restore_detached image
until_true 10 grows log

refuses() { # SENTENCE OPTIONS…: and nothing is written
    local sentence=$1 before; shift
    before=$(cat log data read private | sha256sum)
    expect_exit 3 restore --detach "$@" < image
    grep -q -- "$sentence" stderr || fail "it does not say \"$sentence\": $(cat stderr)"
    [[ $(cat log data read private | sha256sum) == "$before" ]] || fail "a file was written to"
}
ends() { kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"; }

# Left running, it has written more: the image is older than its log.
checkpoint.sh "$pid" -o image --leave-running
until_true 10 grows log
ends
refuses "--on-change append:$PWD/log"
refuses "--on-change append" --on-change "append:/elsewhere/**"
refuses "--on-change append" --on-change append --on-change "refuse:$PWD/*"
restore_detached image --on-change "append:$PWD/l?g"
until_true 10 grows log
ends
# One whose end is another one has not only grown.
sed -i "s/^[0-9]*\$/x/" log
truncate -s 100K log
refuses "another file has that name" --on-change append


# The rule may travel.
rm -f log
start out python3 program.py
until_true 10 grep -sq '^3$' log
checkpoint.sh "$pid" -o image --leave-running --on-change "append:$PWD/log"
until_true 10 grows log
ends
refuses "--on-change append" --on-change refuse
restore_detached image
until_true 10 grows log
checkpoint_kill "$pid" image
# In place, with the same size: a log, a data file, and one that is only mapped.
printf x | dd of=log conv=notrunc status=none
refuses "log: its content was changed since"
refuses "log: its content was changed since" --on-change "append:$PWD/log"
refuses "log: its content was changed since" --on-change "accept:**/private"
restore_detached image --on-change "accept:$PWD/log"; ends
rm log; start out python3 program.py
until_true 10 grep -sq '^3$' log
checkpoint_kill "$pid" image
printf x | dd of=data bs=1 seek=5000 conv=notrunc status=none
refuses "data: its content was changed since"
refuses "data: its content was changed since" --on-change append
restore_detached image --on-change "accept:$PWD/data"
checkpoint_kill "$pid" image
printf x | dd of=private bs=1 seek=100 conv=notrunc status=none
refuses "private: its content was changed since"
restore_detached image --on-change "accept:$PWD/private"
checkpoint_kill "$pid" image
# The times put back do not hide it, as long as the system runs.
touch -r data time; printf y | dd of=data bs=1 seek=8999 conv=notrunc status=none; touch -r time data
refuses "data: its inode was changed since"
restore_detached image --on-change accept
checkpoint_kill "$pid" image

# What is only read may grow, as it may for every reader; what was read must still be there.
echo more >> read
restore_detached image
checkpoint_kill "$pid" image
echo "other second more" > read
refuses "read: "
printf 'first second\nmore\n' > read
restore_detached image --on-change "accept:$PWD/read"
checkpoint_kill "$pid" image

# Rotated: another file has the name, and is longer.
mv log log.1; cat log.1 log.1 > log
refuses "log: another file has that name by now"
refuses "log: another file has that name by now" --on-change append
rm log; mv log.1 log
touch -r log time
restore_detached image --on-change "accept:$PWD/log"
until_true 10 grows log
checkpoint_kill "$pid" image

# Something else in the place of a file: restore does not wait for another end to be opened.
for file in log data private; do
    mv "$file" kept; mkfifo "$file"
    expect_exit 3 timeout 20 restore --detach --on-change accept < image
    grep -q "$file: it is of another kind now" stderr || fail "$file: $(cat stderr)"
    rm "$file"; mkdir "$file"
    expect_exit 3 timeout 20 restore --detach --on-change accept < image
    rmdir "$file"; mv kept "$file"
done
restore_detached image --on-change accept
ends
