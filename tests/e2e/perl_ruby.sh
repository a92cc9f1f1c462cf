# Interpreters in the middle of their work: Perl with a forked child behind a pipe, Ruby with threads and a fiber.
cat > pipe.pl <<'SCRIPT'
use strict; use Digest::SHA qw(sha256_hex); $| = 1;
pipe(my $in, my $out); pipe(my $back, my $answer);
if (!fork) {
    close $out; $answer->autoflush(1);
    while (my $line = <$in>) { chomp $line; print $answer sha256_hex($line), "\n"; }
    exit 7;
}
close $in; close $answer; $out->autoflush(1);
my ($n, $last) = (0, ""); local $SIG{ALRM} = sub { $n >= 0 or die };
for (1 .. 6000) {
    print $out "$n $last\n"; chomp(my $said = <$back>);
    die "DIFFERS" unless $said eq sha256_hex("$n $last");
    ($n, $last) = ($n + 1, $said); alarm 1 if $n % 100 == 0;
    select undef, undef, undef, 0.001;
    print "$n\n" if $n % 100 == 0;
}
close $out; wait; print $? >> 8 == 7 ? "passed\n" : "FAILED $?\n";
SCRIPT
cat > threads.rb <<'SCRIPT'
require 'digest/sha2'
$stdout.sync = true
queue, results = SizedQueue.new(4), Queue.new
workers = 3.times.map { Thread.new { while (n = queue.pop) != :end; results << [n, Digest::SHA256.hexdigest(n.to_s)]; end } }
numbers = Fiber.new { 3000.times { |n| Fiber.yield n }; nil }
reader = Thread.new do
  3000.times do |i|
    n, hash = results.pop
    abort 'DIFFERS' unless hash == Digest::SHA256.hexdigest(n.to_s)
    puts i if i % 100 == 0
  end
end
while (n = numbers.resume); queue << n; sleep 0.001; end
workers.each { queue << :end }
(workers + [reader]).each(&:join)
puts 'passed'
SCRIPT
for program in 'perl pipe.pl' 'ruby threads.rb'; do
    if ! command -v "${program% *}" > /dev/null; then echo "SKIPPED there is no ${program% *}"; continue; fi
    start log $program
    work_goes_on 500 1000 1500
done
