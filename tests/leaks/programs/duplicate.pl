# Four handles for one target, all disconnected.
use strict;
use warnings;
use DBI;

sub route {
    return DBI->connect('dbi:Pg:dbname=shop', 'app', '', { RaiseError => 1 });
}

my @clients = map { route() } 1 .. 4;
$_->disconnect for @clients;
