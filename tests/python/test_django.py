"""Django's own Redis cache: set_many and its like send MULTI over keys of all nodes."""

import os
import time
import unittest

import django
from django.conf import settings

HOST, PORT = os.environ["LARDER_TEST_HOST"], int(os.environ["LARDER_TEST_PORT"])
BACKEND = "django.core.cache.backends.redis.RedisCache"

settings.configure(
    CACHES={
        "default": {"BACKEND": BACKEND, "LOCATION": f"redis://{HOST}:{PORT}"},
        "first": {"BACKEND": BACKEND, "LOCATION": f"redis://{HOST}:{PORT}/1"},
    }
)
django.setup()

from django.core.cache import cache, caches  # noqa: E402


class RedisCache(unittest.TestCase):
    def setUp(self):
        cache.clear()
        caches["first"].clear()

    def test_many(self):
        pairs = {f"key:{n}": {"n": n} for n in range(300)}
        self.assertEqual(cache.set_many(pairs, timeout=60), [])
        self.assertEqual(cache.get_many([*pairs, "nosuch"]), pairs)
        self.assertEqual(cache.set_many(pairs, timeout=None), [])
        cache.delete_many([f"key:{n}" for n in range(100)])
        self.assertEqual(len(cache.get_many(pairs)), 200)

    def test_incr(self):
        cache.set("n", 1)
        self.assertEqual(cache.incr("n"), 2)
        self.assertEqual(cache.incr("n", 40), 42)
        self.assertEqual(cache.decr("n"), 41)
        with self.assertRaises(ValueError):
            cache.incr("nosuch")

    def test_touch_and_timeouts(self):
        cache.set("k", "v", timeout=1)
        self.assertTrue(cache.touch("k", 100))
        time.sleep(1.1)
        self.assertEqual(cache.get("k"), "v")
        self.assertTrue(cache.touch("k", None))
        self.assertFalse(cache.touch("nosuch", 100))
        cache.set("k", "v", timeout=0)
        self.assertIsNone(cache.get("k"))

    def test_add_and_the_rest(self):
        self.assertTrue(cache.add("k", "first"))
        self.assertFalse(cache.add("k", "second"))
        self.assertEqual(cache.get_or_set("k", "third"), "first")
        self.assertIn("k", cache)
        self.assertTrue(cache.delete("k"))
        self.assertFalse(cache.delete("k"))
        self.assertEqual(cache.get("k", "default"), "default")

    def test_clear_is_of_one_database(self):
        cache.set("k", "zero")
        caches["first"].set("k", "one")
        self.assertEqual(caches["first"].get("k"), "one")
        caches["first"].clear()
        self.assertIsNone(caches["first"].get("k"))
        self.assertEqual(cache.get("k"), "zero")


if __name__ == "__main__":
    unittest.main()
