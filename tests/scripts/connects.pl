use strict;
use DBI;
package App::Db;
sub get_conn {
    return DBI->connect("dbi:Pg:dbname=shop", "", "", {RaiseError => 1});
}
package main;
my $one = App::Db::get_conn();
my $other = eval { App::Db::get_conn() };
$_->disconnect for $one, $other;
