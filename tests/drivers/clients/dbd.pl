# DBD::Pg: six handles; transactions, placeholders, copies, errors, a listing of columns; prepared on the server or not.
use strict;
use warnings;
use DBI;

my $prepare = shift @ARGV;
my @handles = map { DBI->connect('dbi:Pg:', undef, undef, {RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_server_prepare => $prepare}) } 1 .. 6;
$handles[0]->do('DELETE FROM copied');

for my $i (0 .. $#handles) {
    my $dbh = $handles[$i];
    my $asked = $dbh->prepare('SELECT ?::text, ?::int * 7');
    for my $j (1 .. 3) {
        $asked->execute("handle $i.$j", $i);
        print join(' ', map { join ',', @$_ } @{$asked->fetchall_arrayref}), "\n";
    }
    if ($i == 0) {    # what may call nextval keeps its connection
        $dbh->begin_work;
        $dbh->do('COPY copied FROM STDIN');
        $dbh->pg_putcopydata("0\tline $_\n") for 1 .. 1000;
        $dbh->pg_putcopyend;
        $dbh->commit;
    }
    $dbh->do("COPY (SELECT $i, name FROM copied) TO STDOUT");
    my ($row, $lines) = ('', 0);
    $lines += $row =~ /^$i\tline/ while $dbh->pg_getcopydata(\$row) >= 0;
    print "copied: $lines\n";
    eval {
        $dbh->begin_work;
        $dbh->do('UPDATE kept SET name = ? WHERE owner = ?', undef, 'never seen', $i);
        $dbh->do('SELECT 1 / 0');
        $dbh->commit;
    };
    print $dbh->state, ' ', $dbh->errstr, "\n";
    $dbh->rollback;
    print $dbh->selectrow_array('SELECT name FROM kept WHERE owner = ?', undef, $i), ' ', $dbh->ping, "\n";
}
system($ENV{BACKENDS}) == 0 or die 'could not count';
$_->disconnect for @handles;
