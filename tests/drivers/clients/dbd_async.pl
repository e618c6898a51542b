# DBD::Pg's asynchronous queries: eight handles at once, waited for by select on pg_socket, one cancelled.
use strict;
use warnings;
use DBI;
use DBD::Pg ':async';

my @handles = map { DBI->connect('dbi:Pg:', undef, undef, {RaiseError => 1, PrintError => 0, pg_server_prepare => 0}) } 1 .. 8;
my %descriptors = map { $_->{pg_socket} => 1 } @handles;
print 'descriptors: ', scalar(keys %descriptors), "\n";

my $right = 0;
for my $round (1 .. 6) {
    my %waiting;
    for my $i (0 .. $#handles) {
        my $asked = $handles[$i]->prepare('SELECT ?::text, pg_sleep(0.004)', {pg_async => PG_ASYNC});
        $asked->execute("$i/$round");
        $waiting{$handles[$i]->{pg_socket}} = [$asked, $i];
    }
    while (%waiting) {
        my $mask = '';
        vec($mask, $_, 1) = 1 for keys %waiting;
        my $n = select(my $ready = $mask, undef, undef, 20);
        die "nothing became ready in 20 s\n" unless $n > 0;
        for my $number (grep { vec($ready, $_, 1) } keys %waiting) {
            my ($asked, $i) = @{$waiting{$number}};
            next unless $handles[$i]->pg_ready;
            $asked->pg_result;
            $right += $asked->fetchrow_arrayref->[0] eq "$i/$round";
            delete $waiting{$number};
        }
    }
}
print "right: $right\n";

# The answer waited for without a look; an error; a query that is cancelled; one given up for another.
$_->do('SELECT pg_sleep(0.01)', {pg_async => PG_ASYNC}) for @handles;
print join(' ', map { $_->pg_result } @handles), "\n";
eval { $handles[1]->do('SELECT 1 / 0', {pg_async => PG_ASYNC}); $handles[1]->pg_result; };
print $handles[1]->state, "\n";
$handles[2]->do('SELECT pg_sleep(20)', {pg_async => PG_ASYNC});
select undef, undef, undef, 0.1;
print 'cancelled: ', $handles[2]->pg_cancel ? 'yes' : 'no', "\n";
$handles[3]->do('SELECT pg_sleep(20)', {pg_async => PG_ASYNC});
select undef, undef, undef, 0.1;
$handles[3]->do('SELECT pg_sleep(0)', {pg_async => PG_ASYNC + PG_OLDQUERY_CANCEL});
print $handles[3]->pg_result, "\n";
print join(' ', map { $handles[$_]->selectrow_array("SELECT 'goes on $_'") } 0 .. $#handles), "\n";
system($ENV{BACKENDS}) == 0 or die 'could not count';
$_->disconnect for @handles;
