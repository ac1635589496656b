"""Tests of the parts that compute: `python3 -m unittest discover bench`."""

import os
import subprocess
import sys
import time
import unittest
from xml.etree import ElementTree

from charts import draw_limit
from measure import percentile
from parties import ALL, REST, limit_costs, limit_ratios, per_transaction_us, stat_fields, tree_seconds
from report import limit_table
from syscalls import SHOWN_BYTES, SHOWN_LINES, one_transaction, parse_strace, shortened
from targets import token
from wire import _error_text, _row

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.600000           6    100000       250 recvfrom
 40.00    0.400000           4    100001           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000           5    200001       250 total
"""

# As `strace -f -yy` writes: a thread, a call, and another thread's call in the middle of it. The proxy listens on port 6543.
TRACE = r"""
7  <... epoll_wait resumed>[{events=EPOLLIN}], 1024, 936) = 1
7  recvfrom(10<TCP:[127.0.0.1:6543->127.0.0.1:41060]>, "Q\0\0\0\rSELECT 1;\0", 16384, 0, NULL, NULL) = 14
7  sendto(10<TCP:[127.0.0.1:6543->127.0.0.1:41060]>, "Z\0\0\0\5I", 6, MSG_NOSIGNAL, NULL, 0) = 6
7  epoll_wait(3<anon_inode:[eventpoll]>, [{events=EPOLLIN|EPOLLOUT}], 1024, 935) = 1
7  recvfrom(10<TCP:[127.0.0.1:6543->127.0.0.1:41060]>, "Q\0\0\0\rSELECT 2;\0", 16384, 0, NULL, NULL) = 14
7  sendto(25<TCP:[127.0.0.1:60716->127.0.0.1:5432]>, "P\0\0\0\20\0SELECT 2\0\0\0S\0\0\0\4", 22 <unfinished ...>
8  epoll_wait(5<anon_inode:[eventpoll]>,  <unfinished ...>
7  <... sendto resumed>, MSG_NOSIGNAL, NULL, 0) = 22
7  recvfrom(25<TCP:[127.0.0.1:60716->127.0.0.1:5432]>, 0x7f10, 16384, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
7  epoll_ctl(5<anon_inode:[eventpoll]>, EPOLL_CTL_MOD, 25<TCP:[127.0.0.1:60716->127.0.0.1:5432]>, {events=EPOLLIN}) = 0
8  <... epoll_wait resumed>[{events=EPOLLIN}], 1024, -1) = 1
7  recvfrom(25<TCP:[127.0.0.1:60716->127.0.0.1:5432]>, "1\0\0\0\4Z\0\0\0\5I", 16384, 0, NULL, NULL) = 11
7  sendto(10<TCP:[127.0.0.1:6543->127.0.0.1:41060]>, "Z\0\0\0\5I", 6, MSG_NOSIGNAL, NULL, 0) = 6
7  epoll_wait(3<anon_inode:[eventpoll]>, [{events=EPOLLIN|EPOLLOUT|EPOLLRDHUP}], 1024, 934) = 1
7  recvfrom(10<TCP:[127.0.0.1:6543->127.0.0.1:41060]>, "X\0\0\0\4", 16384, 0, NULL, NULL) = 5
7  epoll_wait(3<anon_inode:[eventpoll]>,  <detached ...>
"""


def run(tps, error=None, **parties_us):
    """A round as the results hold it."""
    return {"tps": tps, "error": error, "parties_us": parties_us}


# Two cores.
RUNS = {
    "postgres, the same bytes, sent by the client": [
        run(40_000, server=30.0, client=10.0, all=50.0), run(50_000, server=28.0, client=8.0, all=40.0),
        run(62_500, server=20.0, client=6.0, all=32.0),
    ],
    "portcullis, plain SELECT": [
        run(0, error="broken"),
        run(25_000, **{"server": 31.0, "client": 9.0, "proxy, user": 5.0, "proxy, kernel": 10.0, "all": 80.0}),
    ],
}


class Parties(unittest.TestCase):
    def test_coming_and_going_is_not_part_of_a_transaction(self):
        shares = per_transaction_us({"server": 3.5, "client": 1.0}, {"server": 0.5, "client": 1.25}, 100_000, 40_000)
        self.assertEqual(shares["server"], 30.0)
        # A clock's noise is no income.
        self.assertEqual(shares["client"], 0.0)
        self.assertEqual(shares[ALL], 25.0 * len(os.sched_getaffinity(0)))

    def test_costs_are_medians_of_the_good_rounds_and_the_rest_is_what_is_missing(self):
        straight, through = limit_costs(RUNS).values()
        self.assertEqual(straight, {"tps": 50_000, "server": 28.0, "client": 8.0, REST: 4.0})
        self.assertEqual((through["tps"], through["proxy, kernel"], through[REST]), (25_000, 10.0, 25.0))

    def test_the_ratio_needs_both(self):
        self.assertEqual(limit_ratios(limit_costs(RUNS)), {"through Portcullis": 0.5})
        label, rounds = next(iter(RUNS.items()))
        alone = limit_costs({label: rounds, "portcullis, plain SELECT": [run(0, error="broken")]})
        self.assertEqual(list(alone), ["sent straight to the server"])
        self.assertEqual(limit_ratios(alone), {})
        self.assertNotIn("of the limit", limit_table({label: rounds}))

    def test_the_table_says_the_ratio_and_whose_the_difference_is(self):
        table = limit_table(RUNS)
        self.assertIn("| sent straight to the server | 28.0 | 8.0 |  |  | 4.0 | 40.0 |", table)
        self.assertIn("| through Portcullis | 31.0 | 9.0 | 5.0 | 10.0 | 25.0 | 80.0 |", table)
        self.assertIn("0.50 of the limit. Of 40.0 µs more the proxy takes 15.0, 10.0 of them in the kernel; "
                      "the others: server +3.0 µs, client +1.0 µs, idle or other +21.0 µs.", table)

    def test_the_segments_of_a_bar_are_as_long_as_their_shares(self):
        shapes = ElementTree.fromstring(draw_limit(limit_costs(RUNS))).findall("{*}rect")
        lines = {y: [float(shape.get("width")) for shape in shapes if shape.get("y") == y]
                 for y in {shape.get("y") for shape in shapes[:8]}}
        shorter, longer = sorted(lines.values(), key=sum)
        self.assertEqual((len(shorter), len(longer)), (3, 5))
        self.assertAlmostEqual(sum(shorter) / sum(longer), 0.5, places=2)
        self.assertAlmostEqual(longer[0] / sum(longer), 31 / 80, places=2)

    def test_a_child_counts_alive_ended_and_waited_for(self):
        before = tree_seconds(os.getpid())
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nsys.stdin.read()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        child.stdout.readline()
        alive = tree_seconds(os.getpid())
        child.stdin.close()
        child.stdout.read()
        while stat_fields(child.pid)[0] != "Z":
            time.sleep(0.01)
        ended = tree_seconds(os.getpid())
        child.stdout.close()
        child.wait()
        waited_for = tree_seconds(os.getpid())
        self.assertGreaterEqual(alive - before, 0.28)
        self.assertGreaterEqual(ended, alive)
        # What was waited for is told in ticks of 10 ms.
        self.assertAlmostEqual(waited_for, ended, delta=0.05)


class Traces(unittest.TestCase):
    def test_the_last_whole_transaction_with_whose_socket_it_is(self):
        self.assertEqual(one_transaction(TRACE, 6543, 5432), [
            'recvfrom(client, "Q·SELECT 2;·") = 14',
            'sendto(server, "P·SELECT 2·S·") = 22',
            "recvfrom(server, …) = -1 EAGAIN (Resource temporarily unavailable)",
            "epoll_ctl(5, EPOLL_CTL_MOD, server, {events=EPOLLIN}) = 0",
            "epoll_wait(…) = 1",
            'recvfrom(server, "1·Z·I") = 11',
            'sendto(client, "Z·I") = 6',
            "epoll_wait(…) = 1",
        ])

    def test_no_whole_transaction_is_no_trace(self):
        self.assertEqual(one_transaction(TRACE.split("SELECT 2")[0], 6543, 5432), [])
        self.assertEqual(one_transaction("", 6543, 5432), [])

    def test_a_long_body_and_a_long_trace_are_cut(self):
        self.assertEqual(shortened(f'sendto(client, "{"a" * 500}", 500, MSG_NOSIGNAL, NULL, 0) = 500'),
                         f'sendto(client, "{"a" * SHOWN_BYTES}…") = 500')
        lines = TRACE.strip().splitlines()
        piece = '7  sendto(10<TCP:[127.0.0.1:6543->127.0.0.1:41060]>, "d", 1, MSG_NOSIGNAL, NULL, 0) = 1'
        shown = one_transaction("\n".join([*lines[:5], *[piece] * 100, *lines[5:]]), 6543, 5432)
        self.assertEqual((len(shown), shown[-1]), (SHOWN_LINES + 1, f"… and {108 - SHOWN_LINES} more"))

    def test_quotes_and_braces_in_a_body_are_left_alone(self):
        self.assertEqual(shortened(r'sendto(server, "Q\0\0\0\17SELECT \"a\") = 1", 30, MSG_NOSIGNAL, NULL, 0) = 30'),
                         r'sendto(server, "Q·SELECT \"a\") = 1") = 30')


class Computed(unittest.TestCase):
    def test_strace_counts_with_and_without_errors(self):
        self.assertEqual(parse_strace(STRACE), {"recvfrom": 100000, "sendto": 100001})

    def test_percentiles_are_by_nearest_rank(self):
        times = [1000 * n for n in range(1, 101)]
        self.assertEqual((percentile(times, 0.5), percentile(times, 0.99)), (50.0, 99.0))
        self.assertEqual(percentile([7000], 0.99), 7.0)
        self.assertIsNone(percentile([], 0.5))

    def test_a_token_is_header_claims_and_signature(self):
        # Signed with openssl dgst -sha256 -hmac k.
        signed = token("k", {"sub": "u"})
        self.assertEqual(
            signed,
            "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAidSJ9.PxH-Xyfad6sFZCWaYjcBQlun0TzQ-YED_UT_-8m-99M",
        )

    def test_a_row_with_a_null(self):
        body = b"\0\2" + b"\xff\xff\xff\xff" + b"\0\0\0\2hi"
        self.assertEqual(_row(body), [None, "hi"])

    def test_an_error_says_code_message_and_hint(self):
        body = b"SERROR\0VERROR\0C42501\0Mno\0Hask\0\0"
        self.assertEqual(_error_text(body), "ERROR 42501 no (ask)")


if __name__ == "__main__":
    unittest.main()
