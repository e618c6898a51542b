# A DBD::Pg program: handles side by side, prepared statements, transactions, COPY, notifications, a fork.
use strict;
use warnings;
use DBI;
use POSIX ();

$| = 1;
sub open_handle {
    return DBI->connect('dbi:Pg:dbname=shop', 'app', '', {RaiseError => 1, PrintError => 0, AutoCommit => 1});
}

for my $number (1 .. 10) {
    my $handle = open_handle();
    print "request ", $handle->selectrow_array('SELECT ?::int * 2', undef, $number), "\n";
    $handle->disconnect;
}

my ($first, $second) = (open_handle(), open_handle());
$first->{PrintWarn} = 0;
$first->do('SET client_min_messages = warning');
$first->do('DROP TABLE IF EXISTS pl_item');
$first->do('CREATE TABLE pl_item (id int, name text)');
$first->begin_work;
$first->do('INSERT INTO pl_item VALUES (1, ?)', undef, 'first');
$second->do('INSERT INTO pl_item VALUES (2, ?)', undef, 'second');
$first->rollback;
print "left ", join(',', @{$second->selectcol_arrayref('SELECT name FROM pl_item')}), "\n";

my $one = $first->prepare('SELECT name || ? FROM pl_item WHERE id = ?');
my $two = $second->prepare('SELECT upper(name) || ? FROM pl_item WHERE id = ?');
for my $turn (1 .. 4) {
    $one->execute('!', 2);
    $two->execute('?', 2);
    print "prepared ", $one->fetchrow_array, ' ', $two->fetchrow_array, "\n";
    $one->finish;
    $two->finish;
}

eval { $second->do('SELECT 1/0') };
print "error ", $second->state, ' ', ($first->err // 'none'), "\n";

$second->do('COPY pl_item FROM STDIN');
$second->pg_putcopydata("$_\trow $_\n") for 10 .. 12;
$second->pg_putcopyend;
print "copied ", $first->selectrow_array('SELECT count(*) FROM pl_item'), "\n";

$first->do('LISTEN pl_news');
$second->do(q{NOTIFY pl_news, 'hello'});
my $notify;
for (1 .. 100) {
    $notify = $first->pg_notifies and last;
    select undef, undef, undef, 0.02;
}
print "notified $notify->[0] $notify->[2]\n";

$second->do('SET search_path = pg_catalog');
print "path ", $first->selectrow_array('SHOW search_path'), ' / ', $second->selectrow_array('SHOW search_path'), "\n";

my $child = fork;
if ($child == 0) {
    $_->{InactiveDestroy} = 1 for $first, $second, $one, $two;
    my $own = open_handle();
    print "child ", $own->selectrow_array('SELECT 42'), "\n";
    $own->disconnect;
    POSIX::_exit(0);
}
waitpid $child, 0;
print "parent ", $? >> 8, ' ', $first->selectrow_array('SELECT 43'), "\n";
undef $one;
undef $two;
$second->disconnect;
$first->do('DROP TABLE pl_item');
$first->disconnect;
eval { DBI->connect('dbi:Pg:dbname=no_such_database', 'app', '', {RaiseError => 1, PrintError => 0}) };
print "refused ", ($@ =~ /does not exist/ ? 1 : 0), "\n";
my $forgotten = open_handle();
print "done\n";
