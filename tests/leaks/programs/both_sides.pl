# Forks with a connection and uses it on both sides, one after the other.
use strict;
use warnings;
use DBI;
use POSIX ();

my $client = DBI->connect('dbi:Pg:dbname=shop', 'app', '', { RaiseError => 1 });
$client->do('SELECT 1');
my $pid = fork();
if ($pid == 0) {
    $client->do('SELECT 2');
    POSIX::_exit(0);
}
waitpid($pid, 0);
$client->do('SELECT 3');
$client->disconnect;
