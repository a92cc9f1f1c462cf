# OpenJDK with G1, several threads, under load: each thread checks its own live objects while the collector moves them.
if ! command -v javac > /dev/null; then echo "SKIPPED there is no OpenJDK"; exit 0; fi
cat > Load.java <<'SOURCE'
import java.util.ArrayDeque;
import java.util.Random;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Load {
    static final AtomicLong rounds = new AtomicLong();
    static final ConcurrentHashMap<Integer, long[]> shared = new ConcurrentHashMap<>();

    // Keeps a window of random arrays alive, each with its sum in front, and checks those that leave it.
    static void work(int seed) throws Exception {
        Random random = new Random(seed);
        ArrayDeque<long[]> alive = new ArrayDeque<>();
        while (true) {
            long[] made = new long[2 + random.nextInt(2000)];
            for (int i = 1; i < made.length; i++) made[0] += made[i] = random.nextLong();
            alive.add(made);
            shared.put(random.nextInt(1000), made);
            if (alive.size() > 1000) check(alive.remove());
            check(shared.get(shared.keySet().iterator().next()));
            rounds.incrementAndGet();
        }
    }

    static void check(long[] one) {
        long sum = 0;
        for (int i = 1; i < one.length; i++) sum += one[i];
        if (sum != one[0]) { System.out.println("DIFFERS"); Runtime.getRuntime().halt(1); }
    }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        for (int i = 0; i < 4; i++) {
            int seed = i;
            pool.submit(() -> { try { work(seed); } catch (Throwable t) { System.out.println("FAILED " + t); } return 0; });
        }
        Executors.newScheduledThreadPool(1).scheduleAtFixedRate(
            () -> System.out.println(rounds.get() + " rounds"), 50, 50, TimeUnit.MILLISECONDS);
    }
}
SOURCE
javac Load.java
start log java -XX:+UseG1GC -Xmx256m -XX:-UsePerfData Load
until_true 30 grep -q 'rounds' log
for round in 1 2 3; do
    checkpoint_kill "$pid" "image$round"
    restore_detached "image$round"
    collected=$(wc -l < log)
    until_true 20 eval '(($(wc -l < log) > collected + 10))'
done
kill -QUIT "$pid"
until_true 20 grep -q 'garbage-first heap' log # the last part of what it then says of itself
! grep -Ev 'rounds$' <(sed '/Full thread dump/,$d' log | grep . | head -n -1) || fail "it says so"
end_group "$pid"
