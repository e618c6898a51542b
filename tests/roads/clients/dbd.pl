# Three connections at once by DBD::Pg.
use strict;
use warnings;
use DBI;

my @open = map { DBI->connect("dbi:Pg:application_name=roads-$_", undef, undef, { RaiseError => 1 }) } 0 .. 2;
print join(' ', $open[$_]->selectrow_array('SELECT ?::int * 7, current_setting(?)', undef, $_, 'application_name')), "\n"
    for 0 .. 2;
$_->disconnect for @open;
