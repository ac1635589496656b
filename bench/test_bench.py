"""Tests of the parts that compute: `python3 -m unittest discover bench`."""

import unittest

from measure import parse_strace, percentile
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
