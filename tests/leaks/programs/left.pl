# A database handle in a global, never disconnected: Perl's destruction does it.
use strict;
use warnings;
use DBI;

our $client;

sub get_conn {
    return DBI->connect('dbi:Pg:dbname=shop', 'app', '', { RaiseError => 1 });
}

$client = get_conn();
$client->do('SELECT 1');
