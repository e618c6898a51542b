/* claim.c: the table of who uses an inherited connection has room however many processes came and went. */
#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

#include "claim.h"

enum { EACH = 200 };

static int taken_by_child(int count, bool polite) {
    int child = fork(), status = -1;
    if (child == 0) {
        for (int i = 0; i < count; i++)
            if (claim_take() < 0)
                _exit(1);
        if (polite)
            claims_release();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return status;
}

/* The table holds 2048 places, which 40 children of 200 would fill four times. */
static void many_children(bool polite) {
    int own = claim_take();
    cr_assert_geq(own, 0);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(taken_by_child(EACH, polite), 0, "child %d found no place", i);
    cr_expect_geq(claim_take(), 0);
    cr_expect(claim_is_mine(own));
}

Test(claim, children_that_exit_give_back) {
    many_children(true);
}

Test(claim, what_killed_children_had_is_found) {
    many_children(false);
}

Test(claim, full_until_released) {
    int place, count = 0;
    while (count < 100000 && (place = claim_take()) >= 0)
        count++;
    cr_expect_eq(claim_take(), -1);
    claims_release();
    cr_expect_geq(claim_take(), 0);
}

Test(claim, first_user_after_a_fork_has_it) {
    int place = claim_take(), status = -1;
    claim_open(place);
    int child = fork();
    if (child == 0)
        _exit(claim_try(place) && claim_is_mine(place) ? 0 : 1);
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
    cr_expect_not(claim_try(place));
    cr_expect_eq(claim_holder(place), child);
    claim_release(place);
    cr_expect_eq(claim_holder(place), child, "only its user gives a place back");
}
