# Asks for its own frames, and writes down what Perl itself says they are.
use strict;
use warnings;
no warnings 'void';
open(my $truth, '>>', $ENV{PROBE_TRUTH}) or die;
$truth->autoflush(1);
$SIG{__DIE__} = $SIG{__WARN__} = sub { print STDERR "a handler of the program ran: @_" };

sub own {
    my ($i, @lines) = 0;
    while (my ($package, $file, $line) = caller($i++)) {
        next if $line == 0; # perl's own call of an END block
        my $by = (caller($i))[3] // '';
        push @lines, "$file\t$line\t" . ($by =~ s/^main:://r) . "\n";
    }
    print $truth "= perl running\n", @lines;
}

package App::Pool;
sub connect { main::own(); getppid() }
package main;

sub deep { $_[0] ? deep($_[0] - 1) : do { own(); getppid() } }

App::Pool->connect;
deep(20);
own(); getppid();
my $f = sub { own(); getppid() };
$f->();
map { own(); getppid() } 1;
{
    own(); local $@ = "kept"; local $! = 2; getppid();
    $@ eq "kept" and $! == 2 or print STDERR "\$@ or \$! was touched";
    eval { own(); getppid() };
}
my @sorted = sort { own(); getppid(); $a <=> $b } 2, 1;
if (my $child = fork) { waitpid $child, 0 } else { own(); getppid(); require POSIX; POSIX::_exit(0) }
{ package Late; sub DESTROY { main::own(); getppid() } }
{ my $late = bless {}, 'Late'; }
our $last = bless {}, 'Late'; # until the global destruction
END { own(); getppid() }
