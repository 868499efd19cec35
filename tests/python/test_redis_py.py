"""redis-py, as an application uses it: with its default protocol (RESP3) and with RESP2."""

import os
import threading
import time
import unittest

import redis

HOST, PORT = os.environ["LARDER_TEST_HOST"], int(os.environ["LARDER_TEST_PORT"])


class Cases:
    """Every case; the classes below say how to connect."""

    options = {}

    def connect(self, **more):
        client = redis.Redis(host=HOST, port=PORT, socket_timeout=30, **{**self.options, **more})
        self.addCleanup(client.close)
        return client

    def setUp(self):
        self.r = self.connect()
        self.r.flushall()

    def test_protocol(self):
        expected = self.options.get("protocol", 3)
        self.assertEqual(self.r.client_info()["resp"], str(expected))

    def test_set_and_get_with_every_option(self):
        r = self.r
        self.assertTrue(r.set("k", "v"))
        self.assertEqual(r.get("k"), b"v")
        self.assertIsNone(r.get("nosuch"))
        self.assertTrue(r.set("k", "v1", ex=100))
        self.assertTrue(0 < r.ttl("k") <= 100)
        self.assertTrue(r.set("k", "v2", keepttl=True))
        self.assertTrue(0 < r.ttl("k") <= 100)
        self.assertTrue(r.set("k", "v3", px=100_000))
        self.assertTrue(90_000 < r.pttl("k") <= 100_000)
        self.assertTrue(r.set("k", "v4", exat=int(time.time()) + 50))
        self.assertTrue(0 < r.ttl("k") <= 50)
        self.assertTrue(r.set("k", "v5", pxat=int(time.time() * 1000) + 50_000))
        self.assertTrue(0 < r.ttl("k") <= 50)
        self.assertIsNone(r.set("k", "no", nx=True))
        self.assertIsNone(r.set("nosuch", "no", xx=True))
        self.assertTrue(r.set("k", "v6", xx=True))
        self.assertEqual(r.ttl("k"), -1)
        self.assertEqual(r.set("k", "v7", get=True), b"v6")
        self.assertIsNone(r.set("fresh", "x", get=True))
        self.assertEqual(r.getex("k", ex=10), b"v7")
        self.assertTrue(0 < r.ttl("k") <= 10)
        self.assertEqual(r.getdel("k"), b"v7")
        self.assertFalse(r.exists("k"))
        self.assertTrue(r.setnx("k", "1"))
        self.assertTrue(r.setex("k", 5, "2"))
        self.assertTrue(r.psetex("k", 5000, "3"))

    def test_pipeline_with_multi_over_all_nodes(self):
        pipe = self.r.pipeline()  # transaction=True is the default.
        for n in range(200):
            pipe.set(f"key:{n}", n)
            pipe.incr(f"key:{n}")
            pipe.get(f"key:{n}")
        expected = []
        for n in range(200):
            expected += [True, n + 1, str(n + 1).encode()]
        self.assertEqual(pipe.execute(), expected)

    def test_error_in_a_pipeline(self):
        self.r.set("text", "x")
        pipe = self.r.pipeline()
        pipe.set("a", 1).incr("text").set("b", 2)
        replies = pipe.execute(raise_on_error=False)
        self.assertEqual([replies[0], replies[2]], [True, True])
        self.assertIsInstance(replies[1], redis.ResponseError)
        self.assertEqual(self.r.mget("a", "b"), [b"1", b"2"])

    def test_pipeline_without_multi(self):
        pipe = self.r.pipeline(transaction=False)
        for n in range(5000):
            pipe.set(f"key:{n}", n)
        self.assertEqual(pipe.execute(), [True] * 5000)
        for n in range(5000):
            pipe.get(f"key:{n}")
        self.assertEqual(pipe.execute(), [str(n).encode() for n in range(5000)])

    def test_mset_and_mget(self):
        pairs = {f"key:{n}": f"value:{n}" for n in range(500)}
        self.assertTrue(self.r.mset(pairs))
        found = self.r.mget([*pairs, "nosuch"])
        self.assertEqual(found, [value.encode() for value in pairs.values()] + [None])
        self.assertEqual(self.r.exists(*pairs), 500)
        self.assertEqual(self.r.delete(*pairs, "nosuch"), 500)
        self.assertEqual(self.r.dbsize(), 0)

    def test_scan_iter_misses_nothing(self):
        keys = {f"scan:{n}".encode() for n in range(5000)}
        pipe = self.r.pipeline(transaction=False)
        for key in keys:
            pipe.set(key, "x")
        pipe.set("other", "x")
        pipe.execute()
        self.assertEqual(set(self.r.scan_iter(match="scan:*", count=100)), keys)
        self.assertEqual(set(self.r.scan_iter()), keys | {b"other"})
        self.assertEqual(set(self.r.keys("scan:*")), keys)

    def test_incr(self):
        self.assertEqual(self.r.incr("n"), 1)
        self.assertEqual(self.r.incrby("n", 41), 42)
        self.assertEqual(self.r.decr("n", 2), 40)
        self.assertEqual(self.r.incrbyfloat("f", 1.5), 1.5)
        self.r.set("text", "x")
        with self.assertRaisesRegex(redis.ResponseError, "value is not an integer or out of range"):
            self.r.incr("text")

    def test_expire(self):
        self.r.set("k", "v")
        self.assertTrue(self.r.expire("k", 100))
        self.assertTrue(0 < self.r.ttl("k") <= 100)
        self.assertFalse(self.r.expire("k", 50, gt=True))
        self.assertTrue(self.r.expire("k", 200, gt=True))
        self.assertTrue(self.r.persist("k"))
        self.assertEqual(self.r.ttl("k"), -1)
        self.assertFalse(self.r.expire("nosuch", 1))
        self.assertEqual(self.r.ttl("nosuch"), -2)
        self.assertTrue(self.r.pexpire("k", 30))
        time.sleep(0.06)
        self.assertIsNone(self.r.get("k"))

    def test_client_commands(self):
        named = self.connect(client_name="larder-test")
        info = named.client_info()
        self.assertEqual(info["name"], "larder-test")
        self.assertEqual(info["lib-name"].split("(")[0], "redis-py")
        self.assertEqual(int(info["id"]), named.client_id())
        self.assertIn("larder-test", [client["name"] for client in self.r.client_list()])
        self.assertEqual(self.r.client_kill_filter(_id=info["id"]), 1)
        self.assertEqual(named.client_getname(), "larder-test")  # Reconnected, and named again.

    def test_info(self):
        info = self.r.info()
        self.assertEqual(info["redis_version"], "7.4.0")
        self.assertEqual(info["redis_mode"], "standalone")
        self.assertIsInstance(info["used_memory"], int)
        self.assertIsInstance(info["mem_fragmentation_ratio"], (int, float))
        self.r.set("a", 1)
        self.r.set("b", 1, ex=100)
        self.assertEqual(self.r.info("keyspace")["db0"]["keys"], 2)
        self.assertEqual(self.r.info("keyspace")["db0"]["expires"], 1)
        self.assertIn("cmdstat_set", self.r.info("commandstats"))
        self.assertEqual(self.r.config_get("maxmemory-policy"), {"maxmemory-policy": "allkeys-lru"})
        self.assertIn("get", self.r.command())

    def test_decode_responses(self):
        r = self.connect(decode_responses=True)
        r.set("ключ", "värde")
        self.assertEqual(r.get("ключ"), "värde")
        self.assertEqual(r.mget("ключ", "nosuch"), ["värde", None])
        self.assertEqual(list(r.scan_iter()), ["ключ"])

    def test_binary_safety(self):
        every = bytes(range(256))
        key = b"\r\n*1\r\n$4\r\n" + every
        self.r.set(key, every * 3)
        self.assertEqual(self.r.get(key), every * 3)
        self.assertEqual(self.r.keys(), [key])
        self.r.set("empty", b"")
        self.assertEqual(self.r.get("empty"), b"")

    def test_big_value(self):
        value = os.urandom(10 * 1024 * 1024)
        self.r.set("big", value)
        self.assertEqual(self.r.strlen("big"), len(value))
        self.assertEqual(self.r.get("big"), value)
        self.assertEqual(self.r.getrange("big", 5_000_000, 5_000_099), value[5_000_000:5_000_100])
        self.assertEqual(self.r.mget("big", "nosuch", "big"), [value, None, value])

    def test_databases(self):
        five = self.connect(db=5)
        five.set("k", "five")
        self.assertIsNone(self.r.get("k"))
        self.assertEqual(five.get("k"), b"five")
        five.flushdb()
        self.assertEqual(five.dbsize(), 0)

    def test_pool_of_fifty_threads(self):
        failures = []

        def work(number):
            try:
                for round_ in range(40):
                    key = f"thread:{number}:{round_}"
                    self.r.set(key, key)
                    if self.r.get(key) != key.encode():
                        failures.append(key)
                    self.r.incr("all")
                    pipe = self.r.pipeline()
                    pipe.incr("all").get(key)
                    if pipe.execute()[1] != key.encode():
                        failures.append(key)
            except Exception as error:  # Shown by the assertion below.
                failures.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.r.get("all"), str(50 * 40 * 2).encode())

    def test_errors_have_their_own_classes(self):
        with self.assertRaises(redis.AuthenticationError):
            self.r.execute_command("AUTH", "password")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
            self.r.execute_command("NOSUCH")
        with self.assertRaisesRegex(redis.ResponseError, "wrong number of arguments"):
            self.r.execute_command("GET")


class DefaultProtocol(Cases, unittest.TestCase):
    pass


class Resp2(Cases, unittest.TestCase):
    options = {"protocol": 2}


if __name__ == "__main__":
    unittest.main()
